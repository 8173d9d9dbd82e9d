//! The provider's answer, as tolerant as its documents are loose.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The answer to `batchsendmsg`.
///
/// Source: batch one-to-one messages, section 2.8 and 2.9; `MsgKey` and `SomeError` from the newer page of the
/// same call, read 2026-11-21.
#[derive(Debug, Deserialize)]
pub(super) struct SendResponse<'a> {
    #[serde(borrow, rename = "ActionStatus")]
    pub(super) action_status: Option<&'a RawValue>,
    #[serde(borrow, rename = "ErrorCode")]
    pub(super) error_code: Option<&'a RawValue>,
    #[serde(borrow, rename = "ErrorInfo")]
    pub(super) error_info: Option<&'a RawValue>,
    #[serde(borrow, rename = "ErrorList")]
    pub(super) error_list: Option<&'a RawValue>,
    #[serde(borrow, rename = "MsgKey")]
    pub(super) msg_key: Option<&'a RawValue>,
}

/// One account that failed.
#[derive(Debug, Deserialize)]
pub(super) struct ErrorEntry<'a> {
    #[serde(borrow, rename = "To_Account")]
    to_account: Option<&'a RawValue>,
    #[serde(borrow, rename = "ErrorCode")]
    error_code: Option<&'a RawValue>,
}

impl<'a> SendResponse<'a> {
    /// Reads a body; `None` if it is no object with a status or a code.
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let response: Self = serde_json::from_slice(body).ok()?;
        (response.action_status.is_some() || response.error_code.is_some()).then_some(response)
    }

    /// The failed accounts; `None` in place of an entry that is no object.
    ///
    /// `Err(())` if the list is there but is no array.
    pub(super) fn failed(&self) -> Result<Vec<Option<ErrorEntry<'a>>>, ()> {
        let Some(list) = self.error_list.filter(|list| list.get() != "null") else {
            return Ok(Vec::new());
        };
        let entries: Vec<&'a RawValue> = serde_json::from_str(list.get()).map_err(|_| ())?;
        Ok(entries
            .into_iter()
            .map(|entry| serde_json::from_str(entry.get()).ok())
            .collect())
    }
}

impl<'a> ErrorEntry<'a> {
    /// The account: a text, or a number that counts as its digits.
    pub(super) fn account(&self) -> Option<Cow<'a, str>> {
        let raw = self.to_account?.get();
        text(raw).or_else(|| integer(raw).map(|_| Cow::Borrowed(raw)))
    }

    /// The code.
    pub(super) fn code(&self) -> Option<i64> {
        self.error_code.and_then(|raw| integer(raw.get()))
    }
}

/// A whole number, or a text of its digits.
pub(super) fn integer(raw: &str) -> Option<i64> {
    raw.parse().ok().or_else(|| text(raw)?.parse().ok())
}

/// A JSON string's text, borrowed where it has no escapes.
pub(super) fn text(raw: &str) -> Option<Cow<'_, str>> {
    match serde_json::from_str::<&str>(raw) {
        Ok(plain) => Some(Cow::Borrowed(plain)),
        Err(_) => serde_json::from_str::<String>(raw).ok().map(Cow::Owned),
    }
}
