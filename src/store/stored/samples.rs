//! Batches for tests: one plain one, and any that proptest thinks of.

use std::sync::Arc;
use std::time::Duration;

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use crate::domain::batch::{Batch, OnInvalid, Resend, RetryUnknown};
use crate::domain::failure::{Cause, Failure, FailureKind, Source};
use crate::domain::id::{BatchId, ChannelName};
use crate::domain::json::{JsonText, TextOrJson};
use crate::domain::message::{Audio, Custom, File, Image, Location, Message, Thumbnail, Video};
use crate::domain::outcome::{Acceptance, Evidence, Outcome, Outcomes, OutcomesBuilder};
use crate::domain::recipients::{Positions, RecipientList, narrow};
use crate::domain::report::{Report, RouteReport, Settled, Warning, WarningCode};
use crate::domain::route::{Push, Route, TargetType};
use crate::domain::samples;
use crate::store::stored::rows::from_nanoseconds;

/// The only provider of these tests.
pub(crate) fn providers(name: &str) -> Option<&'static str> {
    (name == "fake").then_some("fake")
}

/// Everything that a report says, for comparing.
pub(crate) fn same(report: &Report) -> String {
    let routes: Vec<_> = report
        .routes
        .iter()
        .map(|route| {
            let lines = route.lines().map(|line| {
                let decided = line.decided.map(|decided| (decided.outcome, decided.attempts));
                format!("{} {decided:?}", line.position)
            });
            let lines: Vec<_> = lines.collect();
            let counted = (route.calls, route.retries, route.throttled, &route.provider_request_ids);
            let whose = (&route.channel, route.provider, route.is_sandbox, &route.chatroom_id);
            format!("{whose:?} {:?} {counted:?} {lines:?}", route.recipients)
        })
        .collect();
    let end = (report.completed_at, report.canceled, &report.warnings, &report.resends);
    format!("{:?} {end:?} {routes:?}", report.batch)
}

/// A batch of one route that nobody has begun.
pub(crate) fn report(to: &[&str]) -> Arc<Report> {
    numbered(1, to)
}

/// The same with a name of its own: `number` is the millisecond of its creation.
pub(crate) fn numbered(number: u64, to: &[&str]) -> Arc<Report> {
    let recipients = Arc::new(to.iter().copied().collect());
    let route = Route { sender: Some("admin".into()), ..samples::route("main", recipients) };
    let created_at = from_nanoseconds(i64::try_from(number).unwrap() * 1_000_000);
    let batch = Batch {
        caller: Some("shop".into()),
        client_ref: Some("order-1".into()),
        created_at,
        expires_at: created_at + Duration::from_secs(600),
        ..samples::batch(BatchId::new(number, 7), vec![Arc::new(route)])
    };
    let reports = batch.routes.iter().map(|route| samples::nobody_decided(route)).collect();
    Arc::new(Report { completed_at: None, ..samples::ended(batch, reports) })
}

/// One that has ended, with a text of so many bytes.
pub(crate) fn heavy(number: u64, bytes: usize) -> Arc<Report> {
    let mut report = (*ended(&numbered(number, &["a"]))).clone();
    let mut batch = (*report.batch).clone();
    let message = Arc::new(Message::Text { text: "x".repeat(bytes).into() });
    batch.routes = vec![Arc::new(Route { message, ..(*batch.routes[0]).clone() })];
    report.batch = Arc::new(batch);
    Arc::new(report)
}

/// The same batch with everybody accepted, ended an hour after its creation.
pub(crate) fn ended(report: &Report) -> Arc<Report> {
    let mut report = report.clone();
    for route in &mut report.routes {
        for positions in route.open_runs() {
            route.settle(samples::accepted(positions));
        }
        route.calls += 1;
    }
    report.completed_at = Some(report.batch.created_at + Duration::from_secs(3_600));
    Arc::new(report)
}

pub(crate) const KINDS: [FailureKind; 15] = [
    FailureKind::InvalidRequest,
    FailureKind::InvalidRecipient,
    FailureKind::Authentication,
    FailureKind::Permission,
    FailureKind::ContentRejected,
    FailureKind::RateLimited,
    FailureKind::ProviderUnavailable,
    FailureKind::ProviderError,
    FailureKind::Unknown,
    FailureKind::DuplicateRecipient,
    FailureKind::CircuitOpen,
    FailureKind::Expired,
    FailureKind::Canceled,
    FailureKind::Shutdown,
    FailureKind::Internal,
];

pub(crate) fn any_recipients(most: usize) -> impl Strategy<Value = RecipientList> {
    vec((".{0,12}", option::weighted(0.2, ".{0,6}")), 0..most).prop_map(|recipients| {
        let mut list = RecipientList::default();
        for (id, reference) in recipients {
            match reference {
                Some(reference) => list.push_with_reference(&id, reference.into()),
                None => list.push(&id),
            }
        }
        list
    })
}

pub(crate) fn any_positions() -> impl Strategy<Value = Positions> {
    let range = (0_u32..1 << 31, 0_u32..1 << 31).prop_map(|(first, count)| first..first + count % 50);
    let picked = btree_set(0..u32::MAX, 0..20).prop_map(|positions| {
        let count = positions.len();
        Positions::Picked(positions.into_iter().collect(), 0..count)
    });
    prop_oneof![range.prop_map(Positions::Range), picked]
}

fn text() -> impl Strategy<Value = Arc<str>> {
    ".{0,10}".prop_map(Arc::from)
}

fn boxed_text() -> impl Strategy<Value = Option<Box<str>>> {
    option::of(".{0,10}".prop_map(Box::from))
}

fn json() -> impl Strategy<Value = JsonText> {
    prop_oneof![
        any::<i64>().prop_map(|number| JsonText::from_serialized(number.to_string())),
        ".{0,10}".prop_map(|text| {
            JsonText::from_serialized(
                serde_json::json!({ "a": [text, 12345678901234567890_u64] }).to_string(),
            )
        }),
    ]
}

fn text_or_json() -> impl Strategy<Value = TextOrJson> {
    prop_oneof![text().prop_map(TextOrJson::Text), json().prop_map(TextOrJson::Json)]
}

fn fraction() -> impl Strategy<Value = f64> {
    use proptest::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO
}

fn failure() -> impl Strategy<Value = Failure> {
    let cause = prop_oneof![
        Just(Cause::Connect),
        Just(Cause::Timeout),
        Just(Cause::ConnectionReset),
        Just(Cause::UnreadableAnswer),
        Just(Cause::Unaccounted),
        any::<u16>().prop_map(Cause::HttpStatus),
    ];
    let source = prop_oneof![Just(Source::Provider), Just(Source::Transport), Just(Source::Gateway)];
    let texts = (boxed_text(), boxed_text(), boxed_text(), boxed_text());
    (prop::sample::select(KINDS.to_vec()), source, option::of(cause), any::<bool>(), texts).prop_map(
        |(kind, source, cause, retryable, (provider_code, provider_message, hint, message_id))| Failure {
            kind,
            source,
            cause,
            retryable,
            provider_code,
            provider_message,
            hint,
            message_id,
        },
    )
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let evidence = prop_oneof![Just(Evidence::Explicit), Just(Evidence::Implied), Just(Evidence::Unverified)];
    let acceptance =
        (evidence, boxed_text(), option::of(json())).prop_map(|(evidence, message_id, provider_fields)| {
            Acceptance { evidence, message_id, provider_fields }
        });
    prop_oneof![
        acceptance.prop_map(Outcome::Accepted),
        failure().prop_map(Outcome::failed),
        failure().prop_map(|failure| Outcome::Unknown(Box::new(failure))),
    ]
}

pub(crate) fn any_outcomes(count: usize) -> impl Strategy<Value = Outcomes> {
    let built = (vec(outcome(), 1..4), vec(any::<u32>(), count)).prop_map(|(distinct, picks)| {
        let distinct_count = narrow(distinct.len());
        let mut distinct = distinct.into_iter();
        let mut builder = OutcomesBuilder::new(distinct.next().unwrap(), picks.len());
        for outcome in distinct {
            builder.add(outcome);
        }
        for (offset, pick) in picks.into_iter().enumerate() {
            builder.assign(offset, pick % distinct_count);
        }
        builder.build()
    });
    prop_oneof![
        outcome().prop_map(move |outcome| Outcomes::same(outcome, count)),
        vec(outcome(), count).prop_map(Outcomes::from_each),
        built,
    ]
}

fn thumbnail() -> impl Strategy<Value = Thumbnail> {
    let texts = (option::of(text()), option::of(text()), option::of(text()));
    let numbers = (any::<Option<u32>>(), any::<Option<u32>>(), any::<Option<u64>>());
    (texts, numbers).prop_map(|((url, format, secret), (width, height, size_bytes))| Thumbnail {
        url,
        width,
        height,
        size_bytes,
        format,
        secret,
    })
}

fn media() -> impl Strategy<Value = Message> {
    let texts = (text(), option::of(text()), option::of(text()), option::of(text()), option::of(text()));
    let numbers = (any::<Option<u64>>(), any::<Option<u32>>(), any::<Option<u32>>(), option::of(fraction()));
    (texts, numbers, thumbnail(), 0..4_u8).prop_map(
        |(
            (url, filename, format, id, secret),
            (size_bytes, width, height, duration_seconds),
            thumbnail,
            kind,
        )| {
            match kind {
                0 => Message::Image(Image {
                    url,
                    filename,
                    size_bytes,
                    width,
                    height,
                    format,
                    id,
                    secret,
                    thumbnail,
                }),
                1 => Message::Audio(Audio { url, filename, duration_seconds, size_bytes, id, secret }),
                2 => Message::Video(Video {
                    url,
                    filename,
                    duration_seconds,
                    size_bytes,
                    format,
                    secret,
                    thumbnail,
                }),
                _ => Message::File(File { url, filename, size_bytes, id, secret }),
            }
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    let custom = (
        option::of(text()),
        option::of(vec((text(), text()), 0..3)),
        option::of(text_or_json()),
        option::of(text()),
        option::of(text()),
        option::of(text()),
    )
        .prop_map(|(event, exts, data, description, extension, sound)| {
            Message::Custom(Custom { event, exts, data, description, extension, sound })
        });
    let location = (fraction(), fraction(), option::of(text())).prop_map(|(latitude, longitude, address)| {
        Message::Location(Location { latitude, longitude, address })
    });
    prop_oneof![
        text().prop_map(|text| Message::Text { text }),
        media(),
        location,
        (text(), option::of(json())).prop_map(|(action, params)| Message::Command { action, params }),
        custom,
        (any::<i64>(), option::of(text())).prop_map(|(index, data)| Message::Face { index, data }),
        json().prop_map(|payload| Message::Native { payload }),
    ]
}

fn push() -> impl Strategy<Value = Push> {
    let texts = (option::of(text()), option::of(text()), option::of(text()), option::of(text()));
    (any::<Option<bool>>(), any::<Option<bool>>(), texts, option::of(text_or_json())).prop_map(
        |(disabled, ios_badge, (title, body, ios_sound, android_sound), ext)| Push {
            disabled,
            title,
            body,
            ext,
            ios_sound,
            ios_badge,
            android_sound,
        },
    )
}

fn any_route() -> impl Strategy<Value = (Route, RouteReport)> {
    let options = (option::of(json()), option::of(vec(any::<u8>(), 0..9).prop_map(Arc::from)));
    let what = (message(), option::of(text_or_json()), option::of(push()), options);
    let whose = (option::of(text()), option::of(prop::sample::select(TargetType::ALL.to_vec())));
    let counted = (any::<u32>(), any::<u32>(), 0..1_u64 << 60, vec(".{0,5}".prop_map(Box::from), 0..3));
    let to = (any_recipients(12), option::weighted(0.3, any_recipients(3)));
    let settled = (any::<u8>(), vec(outcome(), 1..3));
    (what, whose, counted, to, settled, any::<bool>(), option::of(text())).prop_map(
        |(what, (sender, target_type), counted, (recipients, entries), settled, is_sandbox, chatroom_id)| {
            let (message, ext, push, (provider_options, sealed_options)) = what;
            let (calls, retries, throttled, provider_request_ids) = counted;
            let channel = ChannelName::parse("main").unwrap();
            let recipients = Arc::new(recipients);
            let to = entries.map_or_else(|| Arc::clone(&recipients), Arc::new);
            let message = Arc::new(message);
            let route = Route {
                channel: channel.clone(),
                sender,
                to,
                target_type,
                message,
                ext,
                push,
                provider_options,
                sealed_options,
                only: None,
            };
            let mut report = RouteReport {
                channel,
                provider: "fake",
                is_sandbox,
                recipients,
                chatroom_id,
                settled: Vec::new(),
                unsent: None,
                calls,
                retries,
                throttled: Duration::from_nanos(throttled),
                provider_request_ids,
            };
            settle_some(&mut report, settled);
            (route, report)
        },
    )
}

/// Leaves the first out as unsent, and settles the others in pairs up to `most`.
fn settle_some(report: &mut RouteReport, (most, outcomes): (u8, Vec<Outcome>)) {
    let count = narrow(report.recipients.len());
    let outcome = outcomes.first().unwrap().clone();
    if count > 0 && most % 2 == 0 {
        let positions = Positions::Range(0..1);
        let outcomes = Outcomes::same(outcome.clone(), 1);
        report.unsent = Some(Settled { positions, outcomes, attempts: 0 });
    }
    for positions in Positions::Range(1.min(count)..count).chunks(2).take(usize::from(most % 6)) {
        let outcomes = Outcomes::same(outcomes.last().unwrap().clone(), positions.len());
        report.settle(Settled { positions, outcomes, attempts: u32::from(most) });
    }
}

pub(crate) fn any_report() -> impl Strategy<Value = Report> {
    let codes =
        [WarningCode::FieldLeftOut, WarningCode::UnexpectedRecipient, WarningCode::ContradictoryAnswer];
    let warning = (prop::sample::select(codes.to_vec()), any::<bool>(), option::of(".{0,9}"), ".{0,9}");
    let warnings = vec(warning, 0..3);
    let times = (0..i64::MAX, 0..i64::MAX, option::of(0..i64::MAX));
    let choices = (any::<bool>(), any::<bool>(), any::<bool>());
    let belonging = (option::of(text()), option::of(any::<u64>()), option::of(text()));
    let names = (any::<u64>(), any::<u128>(), option::of(text()), belonging);
    (vec(any_route(), 1..3), warnings, times, choices, names).prop_map(
        |(routes, warnings, (created_at, expires_at, completed_at), choices, names)| {
            let (canceled, is_reject, is_allowed) = choices;
            let (number, randomness, client_ref, (caller, resend_of, callback)) = names;
            let (routes, reports): (Vec<_>, Vec<_>) = routes
                .into_iter()
                .map(|(route, report)| {
                    let only = resend_of.map(|_| Arc::clone(&report.recipients));
                    (Arc::new(Route { only, ..route }), report)
                })
                .unzip();
            let resend = resend_of.map(|number| Resend {
                of: BatchId::new(number, 0),
                root: BatchId::new(number, 1),
                root_routes: (0..routes.len()).rev().collect(),
            });
            let batch = Batch {
                id: BatchId::new(number, randomness),
                caller,
                client_ref,
                created_at: from_nanoseconds(created_at),
                expires_at: from_nanoseconds(expires_at),
                on_invalid: if is_reject { OnInvalid::Reject } else { OnInvalid::Skip },
                retry_unknown: if is_allowed { RetryUnknown::Allowed } else { RetryUnknown::Never },
                routes,
                resend,
                callback,
            };
            let warnings = warnings.into_iter().map(|(code, has_channel, pointer, detail)| Warning {
                code,
                channel: has_channel.then(|| ChannelName::parse("main").unwrap()),
                pointer,
                detail,
            });
            Report {
                batch: Arc::new(batch),
                completed_at: completed_at.map(from_nanoseconds),
                canceled,
                routes: reports,
                warnings: warnings.collect(),
                resends: Vec::new(),
                eta: None,
            }
        },
    )
}
