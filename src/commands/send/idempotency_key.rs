//! Keys under which a send can be repeated without a second batch.

use std::time::SystemTime;

use crate::dispatch::clock::Randomness;

/// A `UUIDv7` (RFC 9562, section 5.7): the milliseconds of `now`, then randomness.
pub(super) fn generate(now: SystemTime, randomness: &Randomness) -> String {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let random = (u128::from(randomness.next()) << 64) | u128::from(randomness.next());
    from_parts(since.as_millis(), random)
}

fn from_parts(unix_ms: u128, random: u128) -> String {
    const VERSION: u128 = 0x7 << 76;
    const VARIANT: u128 = 0b10 << 62;
    // 12 random bits stand between version and variant, 62 behind them.
    let random = (random & (0xfff << 64)) | (random & ((1 << 62) - 1));
    let digits = format!("{:032x}", ((unix_ms & ((1 << 48) - 1)) << 80) | VERSION | VARIANT | random);
    let part = |range| digits.get(range).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_form_of_the_standard() {
        // RFC 9562, appendix A.6: rand_a = 0xCC3, rand_b = 0x18C4DC0C0C07398F.
        let random = (0xcc3_u128 << 64) | 0x18c4_dc0c_0c07_398f;
        assert_eq!(from_parts(0x017f_22e2_79b0, random), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
        let filled = from_parts(u128::MAX, u128::MAX);
        assert_eq!(filled, "ffffffff-ffff-7fff-bfff-ffffffffffff");
        let randomness = Randomness::seeded(1);
        assert_ne!(
            generate(SystemTime::UNIX_EPOCH, &randomness),
            generate(SystemTime::UNIX_EPOCH, &randomness)
        );
    }
}
