//! Reads an answer in pieces and stops at the limit.

use bytes::{Bytes, BytesMut};
use reqwest::Response;

use crate::adapter::wire::WireResponse;
use crate::transport::TransportError;

/// Reads the whole answer, at most `answer_bytes` of body.
pub(super) async fn read(
    mut response: Response,
    answer_bytes: usize,
) -> Result<WireResponse, TransportError> {
    let status = response.status();
    let unreadable = TransportError::Unreadable { status: status.as_u16() };
    let announced = response.content_length().and_then(|bytes| usize::try_from(bytes).ok());
    if announced.is_some_and(|bytes| bytes > answer_bytes) {
        return Err(unreadable);
    }
    let headers = std::mem::take(response.headers_mut());
    let mut body = Pieces::default();
    loop {
        match response.chunk().await {
            Ok(Some(piece)) if body.len() + piece.len() > answer_bytes => return Err(unreadable),
            Ok(Some(piece)) => body.push(piece),
            Ok(None) => break,
            Err(error) if error.is_timeout() => return Err(TransportError::Timeout),
            Err(_) => return Err(unreadable),
        }
    }
    Ok(WireResponse { status, headers, body: body.join() })
}

/// Pieces of a body; the usual answer is a single one, which is never copied.
#[derive(Default)]
struct Pieces {
    first: Bytes,
    joined: BytesMut,
}

impl Pieces {
    fn len(&self) -> usize {
        self.first.len() + self.joined.len()
    }

    fn push(&mut self, piece: Bytes) {
        if self.len() == 0 {
            self.first = piece;
        } else {
            self.joined.extend_from_slice(&std::mem::take(&mut self.first));
            self.joined.extend_from_slice(&piece);
        }
    }

    fn join(self) -> Bytes {
        if self.joined.is_empty() { self.first } else { self.joined.freeze() }
    }
}
