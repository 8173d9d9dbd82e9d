//! What the client wanted, written down before each request, and what it heard, written down after it.

use std::sync::{Mutex, MutexGuard};

use crate::client::Heard;
use crate::dice::Dice;

/// Who is to be sent to: through which channel, and whom.
pub(crate) type Recipient = (usize, String);

/// What a request is for.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Send {
        /// In the order of the request.
        to: Vec<Recipient>,
    },
    /// Sends what failed of a batch again.
    Resend,
    /// Stops this line's batch.
    Cancel { of: usize },
}

/// One intent, however often it was tried.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) what: What,
    /// The text of the message, which also is the `client_ref` of the batch: every send has its own.
    pub(crate) marker: String,
    pub(crate) path: String,
    pub(crate) body: String,
    pub(crate) key: Option<String>,
    pub(crate) prefer: Option<&'static str>,
    /// Whether its end is to be told.
    pub(crate) has_callback: bool,
    pub(crate) tries: Vec<Try>,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Try {
    /// The life to which it was written.
    pub(crate) life: usize,
    /// The latest life when the answer came.
    pub(crate) newest: usize,
    /// `None`: no answer came, or none yet.
    pub(crate) heard: Option<Heard>,
}

impl Line {
    pub(crate) fn heard(&self) -> impl Iterator<Item = &Heard> {
        self.tries.iter().filter_map(|attempt| attempt.heard.as_ref())
    }

    /// The batch that it started, as far as the client knows.
    pub(crate) fn batch(&self) -> Option<&str> {
        self.heard().find_map(Heard::batch)
    }

    /// Whether an answer promised that the batch survives.
    pub(crate) fn is_promised(&self) -> bool {
        let is_large = matches!(&self.what, What::Send { to } if to.len() > 1000);
        let is_durable = self.key.is_some() || self.has_callback || is_large;
        let promises = |heard: &Heard| heard.status == 202 || (is_durable && heard.is_success());
        !matches!(self.what, What::Cancel { .. }) && self.heard().any(promises)
    }

    /// Whether it may have started a batch that nobody knows of and that nothing kept.
    pub(crate) fn may_have_vanished(&self) -> bool {
        self.key.is_none()
            && self.batch().is_none()
            && self.tries.iter().any(|attempt| attempt.heard.is_none())
    }

    /// Whether it was refused and nothing else.
    pub(crate) fn is_refused(&self) -> bool {
        let is_refusal = |attempt: &Try| attempt.heard.as_ref().is_some_and(|heard| heard.status >= 400);
        !self.tries.is_empty() && self.tries.iter().all(is_refusal)
    }
}

/// All lines in the order of their writing.
#[derive(Default)]
pub(crate) struct Record(Mutex<Vec<Line>>);

impl Record {
    /// Writes an intent down; its number names it from now on.
    pub(crate) fn intend(&self, make: impl FnOnce(usize) -> Line) -> usize {
        let mut lines = self.0.lock().unwrap();
        let number = lines.len();
        lines.push(make(number));
        number
    }

    /// Writes down that a request is about to be written.
    pub(crate) fn begin_try(&self, number: usize, life: usize) -> usize {
        let tries = &mut self.0.lock().unwrap()[number].tries;
        tries.push(Try { life, newest: life, heard: None });
        tries.len() - 1
    }

    pub(crate) fn note(&self, number: usize, attempt: usize, newest: usize, heard: Option<Heard>) {
        let tried = &mut self.0.lock().unwrap()[number].tries[attempt];
        (tried.newest, tried.heard) = (newest, heard);
    }

    pub(crate) fn line(&self, number: usize) -> Line {
        self.0.lock().unwrap()[number].clone()
    }

    pub(crate) fn lines(&self) -> MutexGuard<'_, Vec<Line>> {
        self.0.lock().unwrap()
    }

    /// All lines, once nothing more is written.
    pub(crate) fn take(&self) -> Vec<Line> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// One of the latest lines that are so, if one is found soon.
    pub(crate) fn pick(&self, dice: &Dice, is_so: impl Fn(&Line) -> bool) -> Option<usize> {
        const LATEST: usize = 200;
        let lines = self.0.lock().unwrap();
        let from = lines.len().saturating_sub(LATEST);
        let fitting: Vec<usize> = (from..lines.len()).filter(|number| is_so(&lines[*number])).collect();
        (!fitting.is_empty()).then(|| dice.pick(&fitting))
    }

    /// Whether somebody has canceled this line's batch, or wants to.
    pub(crate) fn is_canceled(&self, number: usize) -> bool {
        let lines = self.0.lock().unwrap();
        lines.iter().any(|line| matches!(line.what, What::Cancel { of } if of == number))
    }
}
