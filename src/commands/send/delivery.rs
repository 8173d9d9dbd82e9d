//! Hands a batch to a gateway once, however often that takes, and waits for its end.

use std::cell::{Cell, OnceCell};
use std::io::Write;
use std::time::Duration;

use http::{Method, StatusCode};
use tokio::time::Instant;

use crate::commands::batch_request::BatchRequest;
use crate::commands::gateway::{Answer, Gateway, Question};
use crate::commands::send::progress::Progress;
use crate::commands::send::{Failure, Outcome, SendError};
use crate::domain::id::BatchId;

/// The most that an answer waits. Source: `api::prefer`.
const MOST_WAIT_SECONDS: u64 = 25;

/// How long an answer waits when somebody looks at the progress.
const WATCHED_WAIT_SECONDS: u64 = 1;

/// No report is asked for sooner than this after the last one, should something between not let answers wait.
const LEAST_INTERVAL: Duration = Duration::from_millis(500);

/// How often a request is sent again of which the answer is missing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Repeats {
    /// Most tries, at least 1.
    pub(super) most_tries: u32,
    /// The pause before the second try, doubled for every further one.
    pub(super) first_pause: Duration,
}

impl Repeats {
    /// 25 seconds in all: a gateway that is started anew is back by then.
    pub(super) const DEFAULT: Self = Self { most_tries: 8, first_pause: Duration::from_millis(200) };

    /// Waits for the next try after `tries`; `false` = there is none.
    async fn pause(self, tries: u32) -> bool {
        if tries >= self.most_tries {
            return false;
        }
        tokio::time::sleep(self.first_pause.saturating_mul(1 << (tries.max(1) - 1).min(16))).await;
        true
    }
}

/// One batch on its way.
pub(super) struct Delivery<'a> {
    gateway: &'a Gateway,
    request: &'a BatchRequest,
    /// Without one nothing is asked for twice.
    key: Option<String>,
    repeats: Repeats,
    /// The format of the report in the end.
    pub(super) accept: &'static str,
    /// Whether somebody looks.
    pub(super) shows_progress: bool,
    /// Whether a gateway may have taken the batch.
    may_be_taken: Cell<bool>,
    /// The batch, once its id is known.
    batch: OnceCell<BatchId>,
}

impl<'a> Delivery<'a> {
    pub(super) const fn new(
        gateway: &'a Gateway,
        request: &'a BatchRequest,
        key: Option<String>,
        repeats: Repeats,
    ) -> Self {
        Self {
            gateway,
            request,
            key,
            repeats,
            accept: "application/json",
            shows_progress: false,
            may_be_taken: Cell::new(false),
            batch: OnceCell::new(),
        }
    }

    /// Sends and waits; the answer is the report in the wanted format.
    pub(super) async fn run(&self, errors: &mut dyn Write) -> Result<(Outcome, Answer), SendError> {
        let ended = self.send_and_wait(errors).await;
        ended.map_err(|failure| self.give_up(failure))
    }

    /// What is to be said when the rest is not waited for.
    pub(super) fn give_up(&self, failure: Failure) -> SendError {
        let advice = match (self.batch.get(), self.may_be_taken.get(), &self.key) {
            (Some(id), ..) => {
                let url = self.gateway.url(&path(*id));
                format!("The batch {id} goes on; its report is at {url}")
            }
            (None, true, Some(key)) => format!(
                "It may have been taken: the same command with --idempotency-key {key} does not send it twice."
            ),
            (None, true, None) => {
                "It may have been taken, and without an idempotency key nobody can tell.".to_owned()
            }
            (None, false, Some(key)) if !matches!(failure, Failure::Refused(_)) => {
                format!("Nothing was sent. Its idempotency key was {key}")
            }
            (None, false, _) => "Nothing was sent.".to_owned(),
        };
        SendError { failure, advice }
    }

    async fn send_and_wait(&self, errors: &mut dyn Write) -> Result<(Outcome, Answer), Failure> {
        let sent = self.send().await?;
        let id = BatchId::parse(sent.header("batch-id")).ok_or(Failure::Foreign(sent.status))?;
        // Set once, here.
        let id = *self.batch.get_or_init(|| id);
        if let Some(outcome) = outcome(&sent) {
            return Ok((outcome, sent));
        }
        if self.shows_progress {
            // Whether it can be shown makes no difference to the batch; so below.
            drop(writeln!(errors, "batch {id}"));
        }
        let mut progress = Progress::default();
        let waited = self.wait(id, &mut progress, errors).await;
        drop(progress.clear(errors));
        let (outcome, answer) = waited?;
        if self.shows_progress && self.accept != "application/json" {
            return Ok((outcome, self.read(id, self.accept, None).await?));
        }
        Ok((outcome, answer))
    }

    /// Hands the batch over. A try whose answer is missing is repeated under the same key.
    async fn send(&self) -> Result<Answer, Failure> {
        let mut tries = 0;
        loop {
            tries += 1;
            // An interruption finds the request on its way.
            let was_taken_before = self.may_be_taken.replace(true);
            let failure = match self.gateway.ask(self.question()).await.map(Answer::accepted) {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(refusal)) => {
                    self.may_be_taken.set(was_taken_before || refusal.is_hearsay());
                    let is_final = !refusal.is_passing();
                    if is_final || !self.may_be_taken.get() {
                        return Err(refusal.into());
                    }
                    Failure::Refused(refusal)
                }
                Err(error) => {
                    self.may_be_taken.set(was_taken_before || error.may_have_been_read());
                    if !self.may_be_taken.get() {
                        return Err(error.into());
                    }
                    Failure::Unanswered(error)
                }
            };
            if self.key.is_none() || !self.repeats.pause(tries).await {
                return Err(failure);
            }
        }
    }

    fn question(&self) -> Question<'_> {
        // Whoever does not wait is taken however busy the gateway is.
        let wait_seconds = if self.request.is_long { 0 } else { MOST_WAIT_SECONDS };
        Question {
            method: Method::POST,
            path: "/v1/batches",
            accept: self.accept,
            wait_seconds: Some(wait_seconds),
            idempotency_key: self.key.as_deref(),
            body: Some((self.request.content_type, self.request.body.clone())),
        }
    }

    /// Reads the report until the batch is over.
    async fn wait(
        &self,
        id: BatchId,
        progress: &mut Progress,
        errors: &mut dyn Write,
    ) -> Result<(Outcome, Answer), Failure> {
        let (accept, wait_seconds) = if self.shows_progress {
            ("application/json", WATCHED_WAIT_SECONDS)
        } else {
            (self.accept, MOST_WAIT_SECONDS)
        };
        loop {
            let asked_at = Instant::now();
            let answer = self.read(id, accept, Some(wait_seconds)).await?;
            if let Some(outcome) = outcome(&answer) {
                return Ok((outcome, answer));
            }
            if answer.header("batch-outcome").is_empty() {
                return Err(Failure::Foreign(answer.status));
            }
            if self.shows_progress {
                drop(progress.show(&answer.body, errors));
            }
            tokio::time::sleep_until(asked_at + LEAST_INTERVAL).await;
        }
    }

    /// Reads the report once; reading twice harms nobody.
    async fn read(
        &self,
        id: BatchId,
        accept: &'static str,
        wait_seconds: Option<u64>,
    ) -> Result<Answer, Failure> {
        let path = path(id);
        let question = Question {
            method: Method::GET,
            path: &path,
            accept,
            wait_seconds,
            idempotency_key: None,
            body: None,
        };
        let mut tries = 0;
        loop {
            tries += 1;
            let failure = match self.gateway.ask(question.clone()).await.map(Answer::accepted) {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(refusal)) if !refusal.is_passing() => return Err(refusal.into()),
                Ok(Err(refusal)) => Failure::Refused(refusal),
                Err(error) => Failure::Unanswered(error),
            };
            if !self.repeats.pause(tries).await {
                return Err(failure);
            }
        }
    }
}

fn path(id: BatchId) -> String {
    format!("/v1/batches/{id}")
}

/// What a batch came to, if the answer says that it is over.
fn outcome(answer: &Answer) -> Option<Outcome> {
    if answer.status == StatusCode::ACCEPTED {
        return None;
    }
    match answer.header("batch-outcome").split(';').next()? {
        "all_accepted" => Some(Outcome::AllAccepted),
        "partial" => Some(Outcome::Partial),
        "none_accepted" => Some(Outcome::NoneAccepted),
        _ => None,
    }
}
