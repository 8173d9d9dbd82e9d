//! Whether the time of a key's check tells how much of a wrong key is right.
//!
//! A million wrong keys in two classes, drawn in random order: the first character of the secret is wrong, or the last
//! one. Welch's t-test compares their times; |t| below 4.5 says that a million checks do not tell them apart. As others
//! do, it also looks at the faster 99 in a hundred alone, since what interrupts a check is no part of it.
//! Run it with `cargo bench --bench key_check` on a machine with nothing else to do; it exits with 1 above 4.5.
//!
//! Source: Reparaz, Balasch, Verbauwhede, Dude, is my code constant time?, 2017.

#![expect(clippy::unwrap_used, reason = "a measurement stops at the first surprise")]
#![expect(clippy::print_stdout, reason = "it prints what it found")]
#![expect(clippy::disallowed_methods, reason = "it is the clock that is asked here")]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use imcast::api::keys::key::Key;
use imcast::api::keys::ring::KeyRing;
use imcast::api::keys::settings::{KeySettings, Rights};
use imcast::dispatch::clock::Randomness;

const CHECKS: usize = 1_000_000;
const WARM_UP: usize = 10_000;

/// More is a difference. Source: as above.
const MOST: f64 = 4.5;

/// The times of one class, in nanoseconds.
#[derive(Clone, Copy, Default)]
struct Class {
    count: f64,
    mean: f64,
    /// Sum of the squares of the distances from the mean.
    squares: f64,
}

impl Class {
    /// Welford's way, which loses no digits.
    fn add(&mut self, time: f64) {
        self.count += 1.0;
        let distance = time - self.mean;
        self.mean += distance / self.count;
        self.squares += distance * (time - self.mean);
    }

    fn error(&self) -> f64 {
        self.squares / (self.count - 1.0) / self.count
    }
}

/// Welch's t of the times up to `most` nanoseconds.
fn welch(times: &[(usize, u32)], most: u32) -> (f64, [Class; 2]) {
    let mut classes = [Class::default(); 2];
    for (class, time) in times.iter().filter(|(_, time)| *time <= most) {
        classes.get_mut(*class).unwrap().add(f64::from(*time));
    }
    let [first, last] = classes;
    ((first.mean - last.mean) / (first.error() + last.error()).sqrt(), classes)
}

/// The key with another character at this place.
fn wrong(key: &str, place: usize) -> String {
    let mut bytes = key.as_bytes().to_vec();
    let byte = bytes.get_mut(place).unwrap();
    *byte = if *byte == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).unwrap()
}

fn main() -> ExitCode {
    let key = Key::generate().unwrap();
    let (id, digest) = (Some(key.id.as_str().into()), key.digest());
    let ring = KeyRing::new(&[KeySettings { name: "a".into(), id, digest, rights: Rights::default() }]);
    let text = key.text.expose();
    let secret = text.find('.').unwrap() + 1;
    let keys = [wrong(text, secret), wrong(text, text.len() - 1)];
    let random = Randomness::from_entropy();
    let mut times = Vec::with_capacity(CHECKS);
    for number in 0..WARM_UP + CHECKS {
        let class = usize::from(random.next() % 2 == 1);
        // Both are read from the same place, so that only their characters differ.
        let presented = keys.get(class).unwrap().clone();
        let begun = Instant::now();
        let found = black_box(ring.find(black_box(&presented)));
        let time = begun.elapsed();
        assert!(found.is_none(), "a wrong key is right");
        if number >= WARM_UP {
            times.push((class, u32::try_from(time.as_nanos()).unwrap_or(u32::MAX)));
        }
    }
    let mut sorted: Vec<u32> = times.iter().map(|(_, time)| *time).collect();
    sorted.sort_unstable();
    let most = *sorted.get(CHECKS / 100 * 99).unwrap();
    let mut is_same = true;
    for (what, most) in [("all", u32::MAX), ("the faster 99 %", most)] {
        let (t, [first, last]) = welch(&times, most);
        is_same &= t.abs() < MOST;
        println!(
            "{what}: t = {t:.2}; first character wrong: {:.1} ns in {} checks, last: {:.1} ns in {}",
            first.mean, first.count, last.mean, last.count
        );
    }
    if is_same { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
