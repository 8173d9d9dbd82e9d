//! From a route to calls, and from answers to outcomes.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::header::ACCEPT;

use crate::adapter::profile::Profile;
use crate::adapter::wire::{WireRequest, WireResponse};
use crate::adapter::{Answer, Audience, Call, Chunking, DecodeError, MessageCost, Prepared, Repeat, Verdict};
use crate::domain::failure::{Failure, FailureKind};
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::outcome::Outcomes;
use crate::domain::recipients::RecipientList;
use crate::domain::report::Warning;
use crate::domain::route::Route;
use crate::providers::easemob_chatroom::answer::Reading;
use crate::providers::easemob_chatroom::codes::{self, Fate};
use crate::providers::easemob_chatroom::content::{self, Content, Findings};
use crate::providers::easemob_chatroom::options::Options;
use crate::providers::easemob_chatroom::wire::{self, ObjectWriter, push_texts};
use crate::providers::easemob_chatroom::{MOST_MEMBERS_PER_CALL, NAME};

/// What a rate refusal is waited out with at least: the provider counts by the second.
const RATE_WINDOW: Duration = Duration::from_secs(1);

/// Where the two calls of an app go.
pub(super) struct Endpoints {
    rooms: Arc<str>,
    members: Arc<str>,
    timeout: Duration,
}

impl Endpoints {
    /// The calls of the app whose paths start with `app_path`.
    pub(super) fn new(app_path: &str, timeout: Duration) -> Self {
        Self {
            rooms: format!("{app_path}/messages/chatrooms").into(),
            // The document's example of a directed message posts to the path above, which would show the
            // message to the whole room; its own table of endpoints has this one.
            members: format!("{app_path}/messages/chatrooms/users").into(),
            timeout,
        }
    }
}

/// A route that can be sent.
pub(super) struct PreparedRoute {
    warnings: Vec<Warning>,
    audience: Audience,
    chunking: Chunking,
    path: Arc<str>,
    timeout: Duration,
    /// The request up to where the ids of a call stand; the message part is in it.
    head: Vec<u8>,
}

/// Closes the list of ids and the request.
const TAIL: &[u8] = b"]}";

/// Checks a route and writes everything but the ids.
///
/// # Errors
/// Every fault at once.
pub(super) fn prepare(
    profile: &Profile,
    endpoints: &Endpoints,
    route: &Arc<Route>,
) -> Result<PreparedRoute, Vec<Fault>> {
    let mut faults = profile.check(route).err().unwrap_or_default();
    let options = Options::read(route, &mut faults);
    let mut findings = Findings::default();
    let content = content::encode(&route.message, &mut findings);
    faults.append(&mut findings.faults);
    if let Some(content) = &content {
        check_size(content, &options, profile.max_payload_bytes, &mut faults);
    }
    let audience = find_audience(route, options.users.as_deref(), &mut faults);
    let (Some(content), true) = (content, faults.is_empty()) else {
        return Err(faults);
    };
    let is_directed = options.users.is_some();
    Ok(PreparedRoute {
        warnings: findings.warnings,
        head: encode_head(route, &content, &options),
        audience,
        chunking: if is_directed {
            Chunking { recipients_per_call: MOST_MEMBERS_PER_CALL, cost: MessageCost::PerCall }
        } else {
            Chunking {
                recipients_per_call: profile.recipients_per_call.get(),
                cost: MessageCost::PerRecipient,
            }
        },
        path: if is_directed { endpoints.members.clone() } else { endpoints.rooms.clone() },
        timeout: endpoints.timeout,
    })
}

/// Counts the provider's 5 KB: compact `body` and compact `ext`, in UTF-8 bytes.
///
/// Source: Easemob, send chatroom messages, error codes ("message is too large"), read 2026-11-21.
/// Assumed: 5 KB are 5,120 bytes.
fn check_size(content: &Content, options: &Options, most: Option<usize>, faults: &mut Vec<Fault>) {
    let ext_bytes = options.ext.as_ref().map_or(0, |ext| ext.as_str().len());
    let bytes = content.body.len() + ext_bytes;
    if let Some(most) = most.filter(|most| bytes > *most) {
        faults.push(Fault::new(
            "/message",
            FaultCode::TooLarge,
            format!("body and ext of {NAME} take {bytes} bytes, at most {most} are allowed"),
        ));
    }
}

fn find_audience(route: &Route, users: Option<&[Arc<str>]>, faults: &mut Vec<Fault>) -> Audience {
    let Some(users) = users else {
        return Audience::To;
    };
    let room = route.to.id(0);
    if route.to.len() != 1 {
        faults.push(Fault::new(
            "/to",
            FaultCode::Conflict,
            format!("with `users`, {NAME} takes exactly one chatroom"),
        ));
    } else if room.is_empty() {
        faults.push(Fault::new("/to/0", FaultCode::InvalidRecipient, "a chatroom id must not be empty"));
    }
    let text_bytes = users.iter().map(|user| user.len()).sum();
    let mut members = RecipientList::with_capacity(users.len(), text_bytes);
    for user in users {
        match route.to.reference(0) {
            Some(reference) => members.push_with_reference(user, reference.clone()),
            None => members.push(user),
        }
    }
    Audience::Members { chatroom_id: room.into(), members: Arc::new(members) }
}

fn encode_head(route: &Route, content: &Content, options: &Options) -> Vec<u8> {
    let mut request = ObjectWriter::new();
    request.optional_text("from", route.sender.as_deref());
    request.text("type", content.kind);
    request.raw("body", &content.body);
    if let Some(ext) = &options.ext {
        request.raw("ext", ext.as_str().as_bytes());
    }
    request.optional_text("chatroom_msg_level", options.level);
    if let Some(users) = &options.roam_ignore_users {
        request.texts("roam_ignore_users", users.iter().map(|user| &**user));
    }
    if options.users.is_some() {
        request.texts("to", [route.to.id(0)]);
        request.name("users").push(b'[');
    } else {
        request.name("to").push(b'[');
    }
    request.into_open()
}

impl Prepared for PreparedRoute {
    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn audience(&self) -> Audience {
        self.audience.clone()
    }

    fn chunking(&self) -> Chunking {
        self.chunking
    }

    fn check_recipient(&self, id: &str) -> Result<(), Failure> {
        if id.is_empty() {
            return Err(Failure::gateway(FailureKind::InvalidRecipient).with_hint("the id is empty"));
        }
        Ok(())
    }

    fn encode(&self, call: &Call<'_>) -> WireRequest {
        let ids = call.recipients;
        let size = self.head.len() + ids.text_bytes() + 3 * ids.len() + TAIL.len();
        let mut body = Vec::with_capacity(size);
        body.extend_from_slice(&self.head);
        push_texts(&mut body, ids.iter());
        body.extend_from_slice(TAIL);
        let mut request = WireRequest::post_json(&*self.path, body, self.timeout);
        request.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        request
    }

    fn decode(&self, call: &Call<'_>, response: &WireResponse) -> Result<Answer, DecodeError> {
        let status = response.status.as_u16();
        let answer = wire::Answer::parse(&response.body);
        let error = answer.as_ref().and_then(wire::Answer::error);
        if let Some(meaning) = codes::judge(status, error.as_ref()) {
            let failure = codes::failure(meaning, status, error.as_ref());
            return Ok(Answer::from(match meaning.fate {
                Fate::Undecided => Verdict::Undecided(failure),
                Fate::Refused(repeat) => {
                    Verdict::Refused { failure, repeat, retry_after: wait(repeat, response) }
                }
            }));
        }
        let answer = answer.filter(|_| status == 200).ok_or(DecodeError::NotDocumented)?;
        let mut reading = Reading::default();
        let outcomes = match &self.audience {
            Audience::Members { chatroom_id, .. } => {
                let outcome = reading.read_room(&answer, chatroom_id);
                Outcomes::same(outcome, call.recipients.len())
            }
            Audience::To | Audience::Everyone => reading.read_rooms(&answer, call.recipients),
        };
        Ok(Answer { verdict: Verdict::Answered(outcomes), request_id: None, warnings: reading.warnings() })
    }
}

/// How long to wait before the repeat of a refused call; `None` where waiting does not help.
fn wait(repeat: Repeat, response: &WireResponse) -> Option<Duration> {
    match repeat {
        Repeat::Safe => Some(response.retry_after().unwrap_or_default().max(RATE_WINDOW)),
        Repeat::Never | Repeat::WithNewToken | Repeat::EndsRoute => None,
    }
}
