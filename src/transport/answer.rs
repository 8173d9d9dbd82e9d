//! Reads an answer in pieces and stops at the limit.

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body_util::BodyExt as _;
use hyper::body::Body;

use crate::adapter::wire::WireResponse;
use crate::transport::TransportError;

/// Reads the whole answer, at most `answer_bytes` of body.
pub(super) async fn read<B>(
    response: Response<B>,
    answer_bytes: usize,
) -> Result<WireResponse, TransportError>
where
    B: Body<Data = Bytes> + Unpin,
{
    let (head, mut coming) = response.into_parts();
    let unreadable = TransportError::Unreadable { status: head.status.as_u16() };
    let announced = coming.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    if announced.is_some_and(|bytes| bytes > answer_bytes) {
        return Err(unreadable);
    }
    let mut body = Pieces::default();
    while let Some(frame) = coming.frame().await {
        let Ok(frame) = frame else { return Err(unreadable) };
        // What is no data are trailers.
        let Ok(piece) = frame.into_data() else { continue };
        if body.len() + piece.len() > answer_bytes {
            return Err(unreadable);
        }
        body.push(piece);
    }
    Ok(WireResponse { status: head.status, headers: head.headers, body: body.join() })
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
