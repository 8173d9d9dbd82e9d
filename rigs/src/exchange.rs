//! HTTP/1.1 as far as the rigs need it, read and written by hand: a client library would cost more than the
//! gateway's own work and hide when a byte was sent.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What the rigs want to know of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) has_retry_after: bool,
    pub(crate) has_location: bool,
    /// Whether it shows a batch that an earlier request with the same key began.
    pub(crate) is_replay: bool,
}

/// A connection that carries one exchange after the other.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Where the body of the last answer stands in `buffer`.
    body: std::ops::Range<usize>,
    is_reusable: bool,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(2048), body: 0..0, is_reusable: true })
    }

    /// Whether another exchange may follow: the far side keeps it open and has not said anything unasked.
    pub(crate) fn is_reusable(&self) -> bool {
        let mut byte = [0];
        let is_silent =
            matches!(self.stream.try_read(&mut byte), Err(error) if error.kind() == ErrorKind::WouldBlock);
        self.is_reusable && is_silent
    }

    /// Writes a whole request and reads the whole answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<Answer> {
        self.buffer.clear();
        self.stream.write_all(request).await?;
        let (head, length) = loop {
            if let Some(length) = head_length(&self.buffer) {
                let head = self.buffer.get(..length).unwrap_or_default();
                break (Head::parse(head).ok_or(ErrorKind::InvalidData)?, length);
            }
            self.read_more().await?;
        };
        self.is_reusable = !head.closes;
        let end = if head.is_chunked {
            while !self.buffer.ends_with(b"\r\n0\r\n\r\n") {
                self.read_more().await?;
            }
            self.buffer.len()
        } else {
            let end = length + head.content_length.unwrap_or(0);
            while self.buffer.len() < end {
                self.read_more().await?;
            }
            end
        };
        self.body = length..end;
        Ok(head.answer)
    }

    /// The body of the last answer, unless it was chunked.
    pub(crate) fn body(&self) -> &[u8] {
        self.buffer.get(self.body.clone()).unwrap_or_default()
    }

    async fn read_more(&mut self) -> Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(Error::from(ErrorKind::UnexpectedEof)),
            _ => Ok(()),
        }
    }
}

/// One exchange on a connection of its own.
pub(crate) async fn once(address: SocketAddr, request: &[u8]) -> Result<(Answer, Vec<u8>)> {
    let mut connection = Connection::open(address).await?;
    let answer = connection.exchange(request).await?;
    Ok((answer, connection.body().to_vec()))
}

/// The length of a head with its empty line, once that is there.
pub(crate) fn head_length(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|position| position + 4)
}

/// The length that a head announces for its body; 0 if it says nothing.
pub(crate) fn content_length(head: &[u8]) -> usize {
    fields(head).find_map(|(name, value)| length_of(name, value)).unwrap_or(0)
}

fn length_of(name: &[u8], value: &[u8]) -> Option<usize> {
    if !name.eq_ignore_ascii_case(b"content-length") {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// The fields of a head: name and trimmed value.
fn fields(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    head.split(|byte| *byte == b'\n').skip(1).filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        Some((name, value.get(1..)?.trim_ascii()))
    })
}

#[derive(Default)]
struct Head {
    answer: Answer,
    content_length: Option<usize>,
    is_chunked: bool,
    closes: bool,
}

impl Head {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let status = std::str::from_utf8(bytes.get(9..12)?).ok()?.parse().ok()?;
        let mut head = Self { answer: Answer { status, ..Answer::default() }, ..Self::default() };
        for (name, value) in fields(bytes) {
            if let Some(length) = length_of(name, value) {
                head.content_length = Some(length);
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                head.is_chunked = value.eq_ignore_ascii_case(b"chunked");
            } else if name.eq_ignore_ascii_case(b"connection") {
                head.closes = value.eq_ignore_ascii_case(b"close");
            } else if name.eq_ignore_ascii_case(b"retry-after") {
                head.answer.has_retry_after = true;
            } else if name.eq_ignore_ascii_case(b"location") {
                head.answer.has_location = true;
            } else if name.eq_ignore_ascii_case(b"idempotency-replayed") {
                head.answer.is_replay = true;
            }
        }
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_read_with_its_fields() {
        let bytes = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\ncontent-length: 12\r\n\r\n";
        let head = Head::parse(bytes).unwrap();
        assert_eq!(head.answer, Answer { status: 503, has_retry_after: true, ..Answer::default() });
        assert_eq!(head.content_length, Some(12));
        assert_eq!(head_length(bytes), Some(bytes.len()));
    }
}
