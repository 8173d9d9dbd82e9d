use std::num::NonZeroU32;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use proptest::prelude::*;
use tokio::time::Instant;

use crate::api::keys::key::{Key, KeyDigest, id_of};
use crate::api::keys::quota::{Exceeded, Quota};
use crate::api::keys::rate_limit;
use crate::api::keys::ring::KeyRing;
use crate::api::keys::settings::{KeySettings, Rights};

fn settings(name: &str, key: &Key) -> KeySettings {
    KeySettings {
        name: name.into(),
        id: Some(key.id.as_str().into()),
        digest: key.digest(),
        rights: Rights::default(),
    }
}

fn limited(batches: u32, recipients: u32) -> Rights {
    Rights {
        batches_per_second: NonZeroU32::new(batches),
        recipients_per_minute: NonZeroU32::new(recipients),
        ..Rights::default()
    }
}

#[test]
fn a_key_is_an_id_and_256_random_bits() {
    let [key, other] = [(); 2].map(|()| Key::generate().unwrap());
    assert_eq!(id_of(key.text.expose()), Some(&*key.id));
    let secret = |key: &Key| key.text.expose().split_once('.').unwrap().1.to_owned();
    assert_eq!(URL_SAFE_NO_PAD.decode(secret(&key)).unwrap().len(), 32);
    assert_ne!(key.id, other.id);
    assert_ne!(secret(&key), secret(&other));
    assert!(key.text.expose().starts_with("imc_") && key.text.expose().len() < 128);
}

#[test]
fn a_digest_reads_back_and_is_that_of_common_tools() {
    // Source: FIPS 180-2, appendix B.1.
    let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(KeyDigest::of("abc").to_string(), text);
    assert!(KeyDigest::parse(text).unwrap().matches(&KeyDigest::of("abc")));
    assert!(KeyDigest::parse(&text.to_uppercase()).unwrap().matches(&KeyDigest::of("abc")));
    assert!(!KeyDigest::parse(text).unwrap().matches(&KeyDigest::of("abd")));
    for broken in ["", &text[1..], &format!("{text}0"), &text.replace('b', "g"), &text.replace("ba", "é")] {
        assert!(KeyDigest::parse(broken).is_none(), "{broken}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_whole_key_is_right() {
    let [key, other] = [(); 2].map(|()| Key::generate().unwrap());
    let with_id = settings("a", &key);
    let without_id = KeySettings { id: None, ..with_id.clone() };
    for key_settings in [with_id, without_id] {
        let ring = KeyRing::new(&[key_settings, settings("b", &other)]);
        assert!(!ring.is_empty());
        let text = key.text.expose();
        assert_eq!(ring.find(text).unwrap().name().map(|name| &**name), Some("a"));
        for place in 0..text.len() {
            let mut wrong = text.as_bytes().to_vec();
            wrong[place] ^= 1;
            assert!(ring.find(&String::from_utf8(wrong).unwrap()).is_none(), "{place}");
            assert!(ring.find(&text[..place]).is_none(), "{place}");
        }
        let secret = other.text.expose().split_once('.').unwrap().1;
        let mixed = format!("imc_{}.{secret}", key.id);
        let padded = format!("{text}{}", "A".repeat(1 << 16));
        for wrong in ["", "imc_", "imc_.", &mixed, &padded, " "] {
            assert!(ring.find(wrong).is_none());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn keys_without_an_id_alone_are_asked_for_as_well() {
    let key = Key::generate().unwrap();
    let ring = KeyRing::new(&[KeySettings { id: None, ..settings("a", &key) }]);
    assert!(!ring.is_empty());
    ring.replace(&[]);
    assert!(ring.is_empty() && ring.find(key.text.expose()).is_none());
}

#[tokio::test(start_paused = true)]
async fn two_keys_of_one_name_are_one_caller_and_a_revoked_one_is_nobodys() {
    let [old, new] = [(); 2].map(|()| Key::generate().unwrap());
    let rights = limited(2, 0);
    let [old_settings, new_settings] =
        [&old, &new].map(|key| KeySettings { rights: rights.clone(), ..settings("a", key) });
    let ring = KeyRing::new(&[old_settings, new_settings.clone()]);
    let find = |key: &Key| ring.find(key.text.expose());
    assert!(find(&old).unwrap().spend_batch().is_ok());
    assert!(find(&new).unwrap().spend_batch().is_ok());
    assert!(find(&old).unwrap().spend_batch().is_err());
    ring.replace(std::slice::from_ref(&new_settings));
    assert!(find(&old).is_none());
    // A reload is no way to more than the quota.
    assert!(find(&new).unwrap().spend_batch().is_err());
    ring.replace(&[KeySettings { rights: limited(3, 0), ..new_settings.clone() }]);
    assert!(find(&new).unwrap().spend_batch().is_ok());
    assert!(find(&new).unwrap().spend_batch().is_err());
    ring.replace(&[KeySettings { rights: limited(1, 0), ..new_settings.clone() }]);
    assert!(find(&new).unwrap().spend_batch().is_err());
    ring.replace(&[KeySettings { rights: limited(0, 0), ..new_settings }]);
    assert!(find(&new).unwrap().spend_batch().is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_fields_say_what_is_left_and_when_there_is_more() {
    let now = Instant::now();
    let mut quota = Quota::new(&limited(5, 120), now);
    let shown = |quota: &mut Quota, now| {
        let mut headers = HeaderMap::new();
        rate_limit::insert(&mut headers, &quota.standings(now));
        let text = |name| headers.get(name).map_or("", |value: &http::HeaderValue| value.to_str().unwrap());
        [text("ratelimit-policy").to_owned(), text("ratelimit").to_owned()]
    };
    let policy = "\"batches\";q=5;w=1, \"recipients\";q=120;w=60";
    assert_eq!(shown(&mut quota, now), [policy, "\"batches\";r=5, \"recipients\";r=120"]);
    quota.take_batch(now).unwrap();
    quota.take_recipients(now, 120).unwrap();
    assert_eq!(shown(&mut quota, now), [policy, "\"batches\";r=4;t=1, \"recipients\";r=0;t=1"]);
    assert_eq!(quota.take_recipients(now, 60), Err(Exceeded::For(Duration::from_secs(30))));
    assert_eq!(quota.take_recipients(now, 121), Err(Exceeded::Forever { limit: 120 }));
    quota.give_back_recipients(now, 100);
    assert_eq!(shown(&mut quota, now)[1], "\"batches\";r=4;t=1, \"recipients\";r=100;t=1");
    let mut quota = Quota::new(&limited(0, 7), now);
    assert_eq!(shown(&mut quota, now), ["\"recipients\";q=7;w=60", "\"recipients\";r=7"]);
    assert_eq!(shown(&mut Quota::new(&limited(0, 0), now), now), ["", ""]);
}

proptest! {
    /// What is told is what is decided, to the nanosecond, and no window gives more than two quotas.
    #[test]
    fn a_quota_decides_as_it_says(
        limit in 1..2_000_u32,
        steps in prop::collection::vec((0..90_000_000_000_u64, 1..2_500_usize), 1..60),
    ) {
        let start = Instant::now();
        let mut now = start;
        let mut quota = Quota::new(&limited(0, limit), now);
        let mut taken = 0_u128;
        for (nanoseconds, count) in steps {
            now += Duration::from_nanos(nanoseconds);
            let remaining = quota.standings(now).recipients.unwrap().remaining;
            let decided = quota.take_recipients(now, count);
            let count = u128::try_from(count).unwrap();
            prop_assert_eq!(decided.is_ok(), count <= remaining);
            match decided {
                Ok(()) => {
                    taken += count;
                    prop_assert_eq!(quota.standings(now).recipients.unwrap().remaining, remaining - count);
                }
                Err(Exceeded::Forever { .. }) => prop_assert!(count > u128::from(limit)),
                Err(Exceeded::For(wait)) => {
                    let at = |time| quota.clone().standings(time).recipients.unwrap().remaining;
                    prop_assert!(at(now + wait) >= count);
                    prop_assert!(at(now + wait - Duration::from_nanos(1)) < count);
                }
            }
            let most = u128::from(limit) * (60_000_000_000 + (now - start).as_nanos()) / 60_000_000_000;
            prop_assert!(taken <= most);
        }
    }
}
