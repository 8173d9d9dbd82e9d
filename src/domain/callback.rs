//! Where the end of a batch may be told: the servers that the operator allows.

use std::sync::Arc;

/// Longest URL, in bytes.
pub const MOST_URL_BYTES: usize = 2_048;

/// Longest host: what a name may have at most.
const MOST_HOST_BYTES: usize = 253;

/// Scheme, host and port of a URL: which server is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Whether it is `https`.
    pub is_tls: bool,
    /// A name or an address, in lower case; one of IPv6 in brackets.
    pub host: Box<str>,
    /// 1 to 65535; that of the scheme where the URL has none.
    pub port: u16,
}

/// Why nothing may be sent to a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlFault {
    /// It has more than [`MOST_URL_BYTES`].
    TooLong,
    /// It is no URL of a kind that programs read alike.
    Malformed,
    /// The operator does not allow its server.
    NotAllowed,
}

/// The servers that the operator allows; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedHosts(Arc<[Origin]>);

impl Origin {
    /// Takes the server out of a URL; `None` if there is any doubt which one is meant.
    ///
    /// Narrower than what URLs may be: only visible ASCII, no user, no fragment, no backslash. What is left is read
    /// alike by everybody, so that no other server is connected to than was judged here.
    #[must_use]
    pub fn of(url: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\\#\"<>^`{|}".contains(&byte);
        if !url.bytes().all(is_plain) {
            return None;
        }
        let (scheme, rest) = url.split_once("://")?;
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let authority = rest.split(['/', '?']).next()?;
        let (host, port) = split_port(authority)?;
        let port = match port {
            Some(port) => read_port(port)?,
            None if is_tls => 443,
            None => 80,
        };
        is_host(host).then(|| Self { is_tls, host: host.to_ascii_lowercase().into(), port })
    }
}

impl AllowedHosts {
    /// Allows these servers.
    #[must_use]
    pub fn new(origins: Vec<Origin>) -> Self {
        Self(origins.into())
    }

    /// All of them, as configured.
    #[must_use]
    pub fn origins(&self) -> &[Origin] {
        &self.0
    }

    /// The place in [`Self::origins`] of the server of a URL.
    ///
    /// # Errors
    /// Why nothing may be sent there.
    pub fn find(&self, url: &str) -> Result<usize, UrlFault> {
        if url.len() > MOST_URL_BYTES {
            return Err(UrlFault::TooLong);
        }
        let wanted = Origin::of(url).ok_or(UrlFault::Malformed)?;
        self.0.iter().position(|origin| *origin == wanted).ok_or(UrlFault::NotAllowed)
    }
}

/// Host and port, which may be missing.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let name_end = if authority.starts_with('[') { authority.find(']')? + 1 } else { 0 };
    let (name, after) = authority.split_at_checked(name_end)?;
    if name_end > 0 {
        return match after.strip_prefix(':') {
            Some(port) => Some((name, Some(port))),
            None => after.is_empty().then_some((name, None)),
        };
    }
    match authority.split_once(':') {
        Some((host, port)) => Some((host, Some(port))),
        None => Some((authority, None)),
    }
}

fn read_port(text: &str) -> Option<u16> {
    let is_number = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

fn is_host(host: &str) -> bool {
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let (text, is_allowed): (_, fn(u8) -> bool) = match inner {
        Some(address) => (address, |byte| byte.is_ascii_hexdigit() || b":.".contains(&byte)),
        None => (host, |byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)),
    };
    (1..=MOST_HOST_BYTES).contains(&text.len()) && text.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(origins: &[&str]) -> AllowedHosts {
        AllowedHosts::new(origins.iter().map(|origin| Origin::of(origin).unwrap()).collect())
    }

    #[test]
    fn only_the_very_server_is_allowed() {
        let hosts = allowed(&["https://hooks.example", "https://hooks.example:8443", "http://[::1]:80"]);
        for (url, expected) in [
            ("https://hooks.example", Ok(0)),
            ("https://hooks.example/", Ok(0)),
            ("https://hooks.example/a/b?c=d&e=%20", Ok(0)),
            ("https://hooks.example?c=https://other.example", Ok(0)),
            ("HTTPS://Hooks.Example:443/a", Ok(0)),
            ("https://hooks.example:8443/", Ok(1)),
            ("http://[::1]/x", Ok(2)),
            ("http://hooks.example/", Err(UrlFault::NotAllowed)),
            ("https://hooks.example:80/", Err(UrlFault::NotAllowed)),
            ("https://hooks.example./", Err(UrlFault::NotAllowed)),
            ("https://a.hooks.example/", Err(UrlFault::NotAllowed)),
            ("https://hooks.example.evil.test/", Err(UrlFault::NotAllowed)),
            ("https://evil.test/hooks.example", Err(UrlFault::NotAllowed)),
            ("https://[::1]/", Err(UrlFault::NotAllowed)),
        ] {
            assert_eq!(hosts.find(url), expected, "{url}");
        }
        assert_eq!(AllowedHosts::default().find("https://hooks.example/"), Err(UrlFault::NotAllowed));
    }

    #[test]
    fn what_others_could_read_otherwise_is_no_url() {
        let hosts = allowed(&["https://hooks.example"]);
        for url in [
            "",
            "hooks.example",
            "//hooks.example/",
            "https:/hooks.example/",
            "https:hooks.example/",
            "https:///hooks.example/",
            "ftp://hooks.example/",
            "https://",
            "https://:443/",
            "https://user@hooks.example/",
            "https://user:pass@hooks.example/",
            "https://hooks.example#a",
            "https://hooks.example/#a",
            "https://hooks.example\\@evil.test/",
            "https://evil.test\\@hooks.example/",
            "https://hooks.example/ a",
            " https://hooks.example/",
            "https://hooks.example\t/",
            "https://hooks.ex\nample/",
            "https://hooks%2eexample/",
            "https://hooks.example:/",
            "https://hooks.example:0/",
            "https://hooks.example:0443/",
            "https://hooks.example:+443/",
            "https://hooks.example:65536/",
            "https://hooks.example:443:443/",
            "https://[::1/",
            "https://[::1]x/",
            "https://[]/",
            "https://[v1.a]/",
            "https://h\u{f6}oks.example/",
        ] {
            assert_eq!(hosts.find(url), Err(UrlFault::Malformed), "{url:?}");
        }
        let url = |length: usize| format!("https://hooks.example/{}", "a".repeat(length - 22));
        assert_eq!(hosts.find(&url(MOST_URL_BYTES)), Ok(0));
        assert_eq!(hosts.find(&url(MOST_URL_BYTES + 1)), Err(UrlFault::TooLong));
    }
}
