//! The `Accept` header (RFC 9110, section 12.5.1).

use http::HeaderMap;
use http::header::ACCEPT;

/// The offer that the caller likes best.
///
/// The first offer wins ties, and is also the answer to a caller who accepts none of them: a report in
/// another format is worth more than none.
#[must_use]
pub fn best<T: Copy>(headers: &HeaderMap, first: (&str, T), others: &[(&str, T)]) -> T {
    if !headers.contains_key(ACCEPT) {
        return first.1;
    }
    let ranges = read(headers);
    let mut best = (quality(&ranges, first.0), first.1);
    for (name, offer) in others {
        let quality = quality(&ranges, name);
        if quality > best.0 {
            best = (quality, *offer);
        }
    }
    best.1
}

/// Media ranges with their weight in thousandths.
fn read(headers: &HeaderMap) -> Vec<(String, u16)> {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges = values.flat_map(|text| text.split(',')).map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        (name, weight.map_or(1000, read_weight))
    });
    ranges.collect()
}

fn read_weight(text: &str) -> u16 {
    if text.starts_with('1') {
        return 1000;
    }
    let digits = text.strip_prefix("0.").unwrap_or_default();
    format!("{digits:0<3}").get(..3).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// The weight of the most specific range that covers `offer`.
fn quality(ranges: &[(String, u16)], offer: &str) -> u16 {
    let family = offer.split('/').next().unwrap_or_default();
    let weight = |wanted: &str| ranges.iter().find(|(name, _)| name == wanted).map(|(_, weight)| *weight);
    weight(offer).or_else(|| weight(&format!("{family}/*"))).or_else(|| weight("*/*")).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: Option<&str>, expected: char) {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(ACCEPT, accept.parse().unwrap());
        }
        let others = [("text/plain", 't'), ("text/csv", 'c')];
        assert_eq!(best(&headers, ("application/json", 'j'), &others), expected, "{accept:?}");
    }

    #[test]
    fn chooses_what_the_caller_likes_best() {
        check(None, 'j');
        check(Some("*/*"), 'j');
        check(Some("text/plain"), 't');
        check(Some("Text/CSV; charset=utf-8"), 'c');
        check(Some("application/json;q=0.5, text/plain;q=0.75"), 't');
        check(Some("text/*;q=0.1, text/csv;q=0.2"), 'c');
        check(Some("text/html, application/xhtml+xml, */*;q=0.8"), 'j');
        check(Some("image/png"), 'j');
        check(Some("text/plain;q=0, */*"), 'j');
        check(Some(",;q=,"), 'j');
    }
}
