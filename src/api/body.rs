//! Reads request bodies within their limits.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::api::problem::{Problem, ProblemCode};
use crate::api::settings::Limits;

/// Most time between two pieces of a body; a caller that is slower holds memory for nothing.
const MOST_PAUSE: Duration = Duration::from_secs(30);

/// Most bytes of room for a body of which nothing has come: an announcement costs a caller nothing.
const FIRST_ROOM: usize = 64 * 1024;

/// How soon to come back when bodies take up all the memory that they may, in seconds.
const RETRY_AFTER_SECONDS: u64 = 1;

/// Reads bodies; one permit is one byte in memory.
#[derive(Clone, Debug)]
pub struct Bodies {
    most_bytes: usize,
    patience: Duration,
    bytes_per_second: u64,
    most_held_bytes: usize,
    room: Arc<Semaphore>,
}

/// A body in memory, which counts as held until this is dropped.
#[derive(Debug)]
pub struct HeldBody {
    bytes: Vec<u8>,
    _permit: OwnedSemaphorePermit,
}

/// Room for what was made of a body that was not kept; free again once this is dropped.
#[derive(Debug)]
pub struct HeldRoom(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// A body that is being read.
struct ComingBody {
    body: Body,
    /// Its announced length; 0 = none.
    expected: usize,
    /// Bytes that have come.
    length: usize,
    begin: Instant,
}

/// What a body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON value.
    Json,
    /// One JSON value a line.
    JsonLines,
}

impl HeldBody {
    /// The body as text.
    ///
    /// # Errors
    /// A [`Problem`] if it is not UTF-8, which JSON always is.
    pub fn text(&self) -> Result<&str, Problem> {
        std::str::from_utf8(&self.bytes)
            .map_err(|error| Problem::new(ProblemCode::InvalidJson, format!("not UTF-8: {error}")))
    }

    /// How long it is.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// The format that the headers promise.
///
/// # Errors
/// A [`Problem`] that says what to send instead.
pub fn format(headers: &HeaderMap) -> Result<Format, Problem> {
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    if text(CONTENT_ENCODING).is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        let detail = "send the body without `content-encoding`";
        return Err(Problem::new(ProblemCode::UnsupportedMediaType, detail));
    }
    let given = text(CONTENT_TYPE).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        Ok(Format::Json)
    } else if essence.eq_ignore_ascii_case("application/x-ndjson") {
        Ok(Format::JsonLines)
    } else {
        let detail = "send `content-type: application/json` (with curl: `curl --json`), \
                      or application/x-ndjson for a stream of recipients";
        Err(Problem::new(ProblemCode::UnsupportedMediaType, detail))
    }
}

impl Bodies {
    /// Holds at most what `limits` allow.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let room = limits.held_body_bytes.min(Semaphore::MAX_PERMITS);
        Self {
            most_bytes: limits.body_bytes,
            most_held_bytes: room,
            patience: limits.body_patience,
            bytes_per_second: limits.body_bytes_per_second,
            room: Arc::new(Semaphore::new(room)),
        }
    }

    /// Reads a body and keeps it; one whose announced length is too long is not even started.
    ///
    /// # Errors
    /// A [`Problem`] if it is too long, too slow or broken off, or if there is no room for it now.
    pub async fn read(&self, headers: &HeaderMap, body: Body) -> Result<HeldBody, Problem> {
        let mut coming = self.begin(headers, body)?;
        let expected = coming.expected;
        self.check_room(expected)?;
        let mut permit = self.take(expected.min(FIRST_ROOM))?;
        let mut bytes = Vec::with_capacity(permit.num_permits());
        while let Some(piece) = self.next_piece(&mut coming).await? {
            let room = permit.num_permits();
            if coming.length > room {
                // Doubled, so that a long body is moved seldom, but never beyond what can still come.
                let most = if expected == 0 { self.most_bytes } else { expected };
                let wanted = room.saturating_mul(2).min(most).min(self.most_held_bytes).max(coming.length);
                self.check_ever(wanted)?;
                permit.merge(self.take(wanted - room)?);
                bytes.reserve_exact(wanted - bytes.len());
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(HeldBody { bytes, _permit: permit })
    }

    /// Hands a body over piece by piece without keeping it; `take` says how many bytes it keeps in all.
    ///
    /// # Errors
    /// As [`read`](Self::read), and whatever `take` refuses: the rest is not read then.
    pub async fn read_pieces(
        &self,
        headers: &HeaderMap,
        body: Body,
        mut take: impl FnMut(&[u8]) -> Result<usize, Problem> + Send,
    ) -> Result<HeldRoom, Problem> {
        let mut coming = self.begin(headers, body)?;
        let mut permit = self.take(0)?;
        while let Some(piece) = self.next_piece(&mut coming).await? {
            let held = take(&piece)?;
            let room = permit.num_permits();
            if held > room {
                self.check_ever(held)?;
                permit.merge(self.take(held - room)?);
            }
        }
        Ok(HeldRoom(permit))
    }

    /// Judges the announced length.
    fn begin(&self, headers: &HeaderMap, body: Body) -> Result<ComingBody, Problem> {
        let announced = headers
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
            .or_else(|| body.size_hint().exact());
        let expected = match announced.map(usize::try_from) {
            None => 0,
            Some(Ok(length)) if length <= self.most_bytes => length,
            Some(Ok(_) | Err(_)) => return Err(self.too_long()),
        };
        Ok(ComingBody { body, expected, length: 0, begin: Instant::now() })
    }

    /// The next piece, or the end.
    async fn next_piece(&self, coming: &mut ComingBody) -> Result<Option<Bytes>, Problem> {
        loop {
            let deadline = self.deadline(coming.begin, coming.length);
            let frame = match tokio::time::timeout_at(deadline, coming.body.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(_))) => {
                    return Err(Problem::new(ProblemCode::InvalidJson, "the body broke off"));
                }
                Err(_) => return Err(self.too_slow(coming.length)),
            };
            // What is no data are trailers.
            let Ok(piece) = frame.into_data() else { continue };
            coming.length += piece.len();
            if coming.length > self.most_bytes {
                return Err(self.too_long());
            }
            return Ok(Some(piece));
        }
    }

    /// When a body that began at `begin` and has this length so far must have gone on.
    fn deadline(&self, begin: Instant, length: usize) -> Instant {
        let bought = u64::try_from(length).unwrap_or(u64::MAX) / self.bytes_per_second;
        (begin + self.patience + Duration::from_secs(bought)).min(Instant::now() + MOST_PAUSE)
    }

    /// How many bytes are in memory now.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.most_held_bytes.saturating_sub(self.room.available_permits())
    }

    /// Whether so many bytes could be held now: nothing of what could not be held to its end is read.
    fn check_room(&self, bytes: usize) -> Result<(), Problem> {
        self.check_ever(bytes)?;
        if bytes > self.room.available_permits() { Err(no_room()) } else { Ok(()) }
    }

    /// Whether there is room for so many bytes once nobody else takes any: no waiting helps otherwise.
    fn check_ever(&self, bytes: usize) -> Result<(), Problem> {
        if bytes <= self.most_held_bytes {
            return Ok(());
        }
        let detail = format!("the body takes more than the {} bytes that may be held", self.most_held_bytes);
        Err(Problem::new(ProblemCode::TooLarge, detail))
    }

    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        u32::try_from(bytes)
            .ok()
            .and_then(|count| Arc::clone(&self.room).try_acquire_many_owned(count).ok())
            .ok_or_else(no_room)
    }

    fn too_slow(&self, length: usize) -> Problem {
        let detail = format!(
            "only {length} bytes came: a body may take {} seconds, one more for every {} bytes, and pause for {}",
            self.patience.as_secs_f32(),
            self.bytes_per_second,
            MOST_PAUSE.as_secs()
        );
        Problem::new(ProblemCode::Timeout, detail)
    }

    fn too_long(&self) -> Problem {
        let detail = format!("the body may have at most {} bytes", self.most_bytes);
        Problem::new(ProblemCode::TooLarge, detail)
    }
}

fn no_room() -> Problem {
    let problem = Problem::new(ProblemCode::Overloaded, "too many request bodies at once");
    problem.with_retry_after(RETRY_AFTER_SECONDS)
}
