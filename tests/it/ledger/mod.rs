//! The only witness of what was sent: who was named in which call, for which batch, and who was taken.
//!
//! One ledger speaks one of the five wire formats over [`FakeProvider`]. What it knows of a format it takes from
//! the arrival alone and from the provider's document, never from an adapter. Every call is written down before
//! it is answered, and who is taken stays taken, whatever becomes of the answer.

mod dialects;
mod judge;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::accounts::Account;
use crate::fake_provider::{Arrival, FakeProvider, Reply, Response};
pub(crate) use crate::ledger::dialects::Dialect;
pub(crate) use crate::ledger::judge::{Batch, judge, judge_together};

/// What a call says, read apart from the adapters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Named {
    /// Where it was sent; filled in by the ledger.
    pub(crate) host: String,
    /// The text of the message: every batch of a test has its own.
    pub(crate) marker: String,
    /// In the call's order.
    pub(crate) recipients: Vec<String>,
}

/// What the provider does with a call.
#[derive(Clone, Debug)]
pub(crate) enum Conduct {
    /// Takes everybody but these, and says so.
    Serve(Vec<String>),
    /// Takes nobody: too fast.
    Throttle {
        /// Seconds until a repeat is welcome.
        retry_after: Option<u64>,
    },
    /// Takes nobody: it is busy inside and asks for the same call again; throttles where no such answer is documented.
    Busy,
    /// Takes nobody: the credential's time is over.
    Stale,
    /// Takes everybody and says something else.
    TakeAndSay(Response),
    /// Takes nobody and says something that is no documented answer.
    Say(Response),
}

/// How the answer travels.
#[derive(Clone, Debug)]
pub(crate) enum Carry {
    /// In one piece.
    Whole,
    /// In one piece; then the provider closes the connection.
    ThenClose,
    /// Byte by byte.
    Drip,
    /// When the test says so.
    After(CancellationToken),
    /// Only so many bytes of it, then the connection ends.
    Cut(usize),
    /// Not at all: the connection stays open.
    Hang,
    /// Not at all: the connection is reset.
    Reset,
    /// Behind its head so many bytes of nothing.
    Flood(u64),
}

/// One call as it was written down.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) marker: String,
    pub(crate) recipients: Vec<String>,
    /// Who was taken, in the same order.
    pub(crate) is_taken: Vec<bool>,
    /// Whether the answer says so in the provider's own words and was sent as a whole.
    pub(crate) is_clear: bool,
    /// Whether the connection was closed behind a whole answer, when the next call may be on it already.
    pub(crate) is_last: bool,
    /// Bytes of the request.
    pub(crate) size: usize,
}

impl Entry {
    /// The place of `recipient` in the call of this batch.
    fn place(&self, marker: &str, recipient: &str) -> Option<usize> {
        if self.marker != marker {
            return None;
        }
        self.recipients.iter().position(|named| named == recipient)
    }
}

/// A provider that keeps a ledger.
pub(crate) struct Ledger {
    pub(crate) account: &'static Account,
    pub(crate) fake: FakeProvider,
    book: Arc<Book>,
}

#[derive(Default)]
struct Book {
    entries: Mutex<Vec<Entry>>,
    grants: Mutex<Grants>,
}

/// Decides about each call, in the order of arrival.
pub(crate) type Plan = Box<dyn FnMut(&Named) -> (Conduct, Carry) + Send>;

/// Takes everybody at once.
pub(crate) fn willing() -> Plan {
    Box::new(|_| (Conduct::Serve(Vec::new()), Carry::Whole))
}

/// These in order, and then everybody.
pub(crate) fn first(conducts: impl IntoIterator<Item = (Conduct, Carry)>) -> Plan {
    let mut conducts = conducts.into_iter().collect::<Vec<_>>().into_iter();
    Box::new(move |_| conducts.next().unwrap_or((Conduct::Serve(Vec::new()), Carry::Whole)))
}

/// Always this.
pub(crate) fn always(conduct: Conduct, carry: Carry) -> Plan {
    Box::new(move |_| (conduct.clone(), carry.clone()))
}

impl Ledger {
    pub(crate) async fn start(account: &'static Account, mut plan: Plan) -> Self {
        let book = Arc::new(Book::default());
        let writer = Arc::clone(&book);
        let dialect = Dialect::of(account.provider);
        let fake = FakeProvider::start(Box::new(move |arrival| {
            if account.asks_for_token(arrival) {
                return writer.grants.lock().unwrap().grant(account);
            }
            writer.write(dialect, arrival, &mut plan)
        }))
        .await;
        Self { account, fake, book }
    }

    /// Every call so far, in the order of arrival.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.book.entries.lock().unwrap().clone()
    }

    /// How often a recipient was taken for a batch.
    pub(crate) fn times_taken(&self, marker: &str, recipient: &str) -> usize {
        let entries = self.book.entries.lock().unwrap();
        let is_taken =
            |entry: &&Entry| entry.place(marker, recipient).is_some_and(|place| entry.is_taken[place]);
        entries.iter().filter(is_taken).count()
    }

    /// How often a token was asked for.
    pub(crate) fn token_requests(&self) -> usize {
        self.book.grants.lock().unwrap().requests
    }

    /// Takes every token granted so far out of service.
    pub(crate) fn revoke(&self) {
        self.book.grants.lock().unwrap().valid.clear();
    }

    /// What requests for a token are answered from now on; `None` = with a token.
    pub(crate) fn set_token_answer(&self, answer: Option<Reply>) {
        self.book.grants.lock().unwrap().answer = answer;
    }

    pub(crate) fn dialect(&self) -> &'static Dialect {
        Dialect::of(self.account.provider)
    }
}

impl Book {
    /// Decides, writes it down, and only then makes the answer.
    fn write(&self, dialect: &Dialect, arrival: &Arrival, plan: &mut Plan) -> Reply {
        let host = arrival.header("host").unwrap_or_default().to_owned();
        let named = Named { host, ..(dialect.read)(arrival) };
        let distinct: BTreeSet<_> = named.recipients.iter().collect();
        assert_eq!(distinct.len(), named.recipients.len(), "a call names everybody once: {named:?}");
        assert!((1..=dialect.most_recipients).contains(&distinct.len()), "{named:?}");
        let is_known =
            (dialect.token)(arrival).is_none_or(|token| self.grants.lock().unwrap().is_valid(&token));
        let (conduct, carry) = if is_known { plan(&named) } else { (Conduct::Stale, Carry::Whole) };
        let is_taken = |recipient: &String| match &conduct {
            Conduct::Serve(refused) => !refused.contains(recipient),
            Conduct::TakeAndSay(_) => true,
            Conduct::Throttle { .. } | Conduct::Busy | Conduct::Stale | Conduct::Say(_) => false,
        };
        let is_documented = !matches!(conduct, Conduct::TakeAndSay(_) | Conduct::Say(_));
        let is_whole = matches!(carry, Carry::Whole | Carry::ThenClose | Carry::Drip | Carry::After(_));
        self.entries.lock().unwrap().push(Entry {
            marker: named.marker.clone(),
            is_taken: named.recipients.iter().map(is_taken).collect(),
            recipients: named.recipients.clone(),
            is_clear: is_documented && is_whole,
            is_last: matches!(carry, Carry::ThenClose),
            size: arrival.size,
        });
        carry.reply(conduct.answer(dialect, &named))
    }
}

impl Conduct {
    fn answer(self, dialect: &Dialect, named: &Named) -> Response {
        match self {
            Self::Serve(refused) => Response::json(200, &(dialect.served)(named, &refused)),
            Self::Throttle { retry_after } => {
                let mut response = (dialect.throttled)();
                let seconds = retry_after.map(|seconds| ("retry-after".to_owned(), seconds.to_string()));
                response.headers.extend(seconds);
                response
            }
            Self::Busy => dialect.busy.map_or_else(dialect.throttled, |busy| busy()),
            Self::Stale => (dialect.stale)(),
            Self::TakeAndSay(response) | Self::Say(response) => response,
        }
    }
}

impl Carry {
    fn reply(self, response: Response) -> Reply {
        match self {
            Self::Whole => Reply::Respond(response),
            Self::ThenClose => Reply::Cut(response, usize::MAX),
            Self::Drip => Reply::Drip(response),
            Self::After(release) => Reply::After(release, Box::new(Reply::Respond(response))),
            Self::Cut(count) => Reply::Cut(response, count),
            Self::Hang => Reply::Hang,
            Self::Reset => Reply::Reset,
            Self::Flood(count) => Reply::Flood(response, count),
        }
    }
}

/// The tokens that were handed out.
#[derive(Default)]
struct Grants {
    requests: usize,
    /// Empty = none was asked for, and whatever the channel's settings hold is good.
    valid: BTreeSet<String>,
    answer: Option<Reply>,
}

impl Grants {
    /// A new token, each one another text.
    fn grant(&mut self, account: &Account) -> Reply {
        self.requests += 1;
        if let Some(answer) = &self.answer {
            return answer.clone();
        }
        let token = format!("canary-token-{}", self.requests);
        self.valid.insert(token.clone());
        let mut answer = (account.token.expect("a provider with tokens"))();
        let pointer = if answer["data"].is_object() {
            &mut answer["data"]["token"]
        } else {
            &mut answer["access_token"]
        };
        *pointer = json!(token);
        Reply::Respond(Response::json(200, &answer))
    }

    fn is_valid(&self, token: &str) -> bool {
        self.requests == 0 || self.valid.contains(token)
    }
}
