use super::samples::{any_outcomes, any_positions, any_recipients, any_report, providers, same};
use super::*;
use crate::domain::failure::FailureKind;
use crate::domain::outcome::{Acceptance, Evidence, Outcome, Outcomes};
use crate::domain::recipients::Positions;
use crate::domain::report::RouteReport;
use crate::store::durable::Chunk;
use crate::store::stored::outcomes::{decode_outcomes, encode_outcomes};
use crate::store::stored::packed::{
    decode_positions, decode_recipients, encode_positions, encode_recipients,
};
use crate::store::stored::rows::{BatchRows, from_nanoseconds, to_nanoseconds};
use proptest::prelude::*;

proptest! {
    #[test]
    fn recipients_read_back(list in any_recipients(40)) {
        prop_assert_eq!(decode_recipients(&encode_recipients(&list)).unwrap(), list);
    }

    #[test]
    fn positions_read_back(positions in any_positions()) {
        let read = decode_positions(&encode_positions(&positions)).unwrap();
        prop_assert_eq!(read.iter().collect::<Vec<_>>(), positions.iter().collect::<Vec<_>>());
    }

    #[test]
    fn outcomes_read_back(outcomes in (0_usize..30).prop_flat_map(any_outcomes)) {
        let read = decode_outcomes(&encode_outcomes(&outcomes).unwrap(), outcomes.len()).unwrap();
        prop_assert_eq!(read.len(), outcomes.len());
        prop_assert!(read.iter().eq(outcomes.iter()));
    }

    #[test]
    fn batches_read_back(report in any_report()) {
        let rows = BatchRows::encode(&report, &[]).unwrap();
        let read = rows.decode(providers).unwrap();
        prop_assert!(read.in_flight.is_empty());
        let mut report = report;
        if !report.is_over() {
            report.routes.iter_mut().for_each(RouteReport::count_calls);
        }
        prop_assert_eq!(same(&read.report), same(&report));
    }

    #[test]
    fn times_read_back(count: i64) {
        let count = count.max(-i64::MAX);
        prop_assert_eq!(to_nanoseconds(from_nanoseconds(count)), count);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(mut bytes: Vec<u8>, count in 0_usize..5, is_ours: bool) {
        if is_ours {
            bytes.splice(0..0, [VERSION]);
        }
        let _ = decode_recipients(&bytes);
        let _ = decode_positions(&bytes);
        let _ = decode_outcomes(&bytes, count);
    }

    #[test]
    fn no_damage_makes_a_reader_panic(list in any_recipients(10), at: usize, byte: u8) {
        let mut bytes = encode_recipients(&list);
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = decode_recipients(&bytes);
        bytes.truncate(at);
        let _ = decode_recipients(&bytes);
    }
}

#[test]
fn calls_that_are_out_read_back() {
    let report = samples::report(&["a", "b", "c", "d"]);
    let out = Chunk { route_index: 0, positions: Positions::Picked([1, 3].into(), 0..2) };
    let rows = BatchRows::encode(&report, std::slice::from_ref(&out)).unwrap();
    let read = rows.decode(providers).unwrap().in_flight;
    assert_eq!(read, [out]);
}

#[test]
fn one_outcome_for_all_is_a_few_bytes_however_many_there_are() {
    let acceptance = Acceptance { evidence: Evidence::Implied, message_id: None, provider_fields: None };
    let size =
        |count| encode_outcomes(&Outcomes::same(Outcome::Accepted(acceptance.clone()), count)).unwrap().len();
    assert!(size(1_000_000) < 50, "{}", size(1_000_000));
    // Also where a builder counted one by one.
    let built = crate::domain::outcome::OutcomesBuilder::new(Outcome::Accepted(acceptance.clone()), 500);
    assert_eq!(encode_outcomes(&built.build()).unwrap().len(), size(500));
}

#[test]
fn a_range_is_a_few_bytes_and_a_pick_one_byte_each() {
    assert!(encode_positions(&Positions::Range(999_000..1_000_000)).len() < 10);
    let picked: Vec<u32> = (0..1_000).map(|number| number * 3).collect();
    assert!(encode_positions(&Positions::Picked(picked.into(), 0..1_000)).len() < 1_010);
}

#[test]
fn another_version_and_another_provider_are_unreadable() {
    let mut bytes = encode_positions(&Positions::Range(0..3));
    bytes[0] = VERSION + 1;
    assert!(decode_positions(&bytes).is_err());
    assert!(from_document::<u8>(r#"{"v":1,"is":7}"#).is_ok());
    assert!(from_document::<u8>(r#"{"v":2,"is":7}"#).is_err());
    let rows = BatchRows::encode(&samples::report(&["a"]), &[]).unwrap();
    assert!(rows.decode(|_| None).is_err());
}

#[test]
fn a_route_with_sealed_options_is_unreadable_for_whoever_does_not_know_of_them() {
    let route = |sealed_options| {
        let mut report = (*samples::report(&["a"])).clone();
        let batch = std::sync::Arc::make_mut(&mut report.batch);
        std::sync::Arc::make_mut(&mut batch.routes[0]).sealed_options = sealed_options;
        BatchRows::encode(&report, &[]).unwrap().routes.remove(0).route
    };
    assert!(from_document::<serde::de::IgnoredAny>(&route(Some([7].into()))).is_err());
    // Without them it is what it always was.
    let plain = route(None);
    assert!(from_document::<serde::de::IgnoredAny>(&plain).is_ok() && !plain.contains("sealed_options"));
}

#[test]
fn entries_are_written_only_where_they_are_not_the_recipients() {
    let report = samples::report(&["a"]);
    assert!(BatchRows::encode(&report, &[]).unwrap().routes[0].entries.is_none());
    let mut directed = (*report).clone();
    directed.routes[0].recipients = std::sync::Arc::new(["x", "y"].into_iter().collect());
    let rows = BatchRows::encode(&directed, &[]).unwrap();
    assert!(rows.routes[0].entries.is_some());
    assert_eq!(same(&rows.decode(providers).unwrap().report), same(&directed));
}

#[test]
fn names_are_those_of_the_api() {
    for kind in samples::KINDS {
        let mut written = Vec::new();
        let mut serializer = serde_json::Serializer::new(&mut written);
        outcomes::StoredKind::serialize(&kind, &mut serializer).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), format!("\"{}\"", kind.as_str()));
    }
    assert!(samples::KINDS.contains(&FailureKind::Internal));
}
