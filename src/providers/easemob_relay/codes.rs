//! What the relay's codes and texts mean.
//!
//! The document knows two codes, 200 and 500, and one text, "unknown exception"; everything else is free text
//! of the relay or of Easemob behind it.

use crate::domain::failure::FailureKind;

/// The envelope's `code`, sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// 200: everything was sent.
    Sent,
    /// 500: not everything was sent; `data` lists what was not.
    NotAllSent,
    /// Not documented.
    Other,
}

impl Code {
    /// Sorts the code by its decimal text.
    pub(super) fn of(text: &str) -> Self {
        match text {
            "200" => Self::Sent,
            "500" => Self::NotAllSent,
            _ => Self::Other,
        }
    }
}

/// What a text about one message means.
#[derive(Debug)]
pub(super) struct Meaning {
    /// Fragments, in lower case, any of which identifies the text; none = every other text.
    fragments: &'static [&'static str],
    /// The class.
    pub(super) kind: FailureKind,
    /// What it means, for a person.
    pub(super) hint: &'static str,
}

/// In order; the first match counts.
///
/// Source of the fragments: Easemob, chatrooms and messages, error table, read 2026-11-21. That the relay
/// passes Easemob's texts on is Assumed.
const MEANINGS: [Meaning; 2] = [
    Meaning {
        fragments: &["reach limit", "api limit", "429"],
        kind: FailureKind::RateLimited,
        hint: "Easemob behind the relay refused the message for its rate; send it again later",
    },
    Meaning {
        fragments: &["too large"],
        kind: FailureKind::InvalidRequest,
        hint: "Easemob behind the relay takes at most 5120 bytes of message and ext",
    },
];

/// Every other text, "unknown exception" included.
const OTHER: Meaning = Meaning {
    fragments: &[],
    kind: FailureKind::ProviderError,
    hint: "the relay lists the message as not sent; after an exception inside the relay it may have gone out \
           all the same",
};

/// Hint: code 500 and nobody of this call named.
pub(super) const NOBODY_NAMED: &str =
    "the relay reports a failure but names no message of this call; some may have been sent";
/// Hint: code 200 and yet listed.
pub(super) const SENT_BUT_LISTED: &str = "the relay reports success and lists this message all the same";
/// Hint: some entries name nobody.
pub(super) const NOT_TOLD_APART: &str =
    "the relay lists messages without saying whose they are; this one may be among them";
/// Hint: a code that is not in the document, and nothing listed.
pub(super) const OTHER_CODE: &str =
    "a code that the relay does not document; a wrong `sign` is probably answered like this";
/// Hint: a code that is not in the document, and this one is not listed.
pub(super) const OTHER_CODE_UNLISTED: &str =
    "the relay's code is not documented and this message is not listed: nobody can tell";

/// The meaning of the text about one message that was not sent.
///
/// None of them is safe to repeat: nothing removes duplicates, and a message that the relay gave up on may
/// still have reached Easemob.
pub(super) fn meaning(text: &str) -> &'static Meaning {
    let text = text.to_ascii_lowercase();
    let is_match = |meaning: &&Meaning| meaning.fragments.iter().any(|fragment| text.contains(fragment));
    MEANINGS.iter().find(is_match).unwrap_or(&OTHER)
}
