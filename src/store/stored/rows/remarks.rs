//! What answers said beside their outcomes, and other warnings.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::report::{Remarks, Warning, WarningCode};
use crate::store::stored::rows::values::read_channel;
use crate::store::stored::{Unreadable, from_document, to_document};

#[derive(Serialize, Deserialize)]
struct StoredRemarks {
    request_id: Option<Box<str>>,
    warnings: Vec<StoredWarning>,
}

#[derive(Serialize, Deserialize)]
struct StoredWarning {
    code: String,
    channel: Option<String>,
    pointer: Option<String>,
    detail: String,
}

/// Writes what an answer said; `None` = nothing.
pub(super) fn encode_remarks(remarks: &Remarks) -> Result<Option<Arc<str>>, Unreadable> {
    // The recipients are the route's.
    let Remarks { request_id, warnings, recipients: _ } = remarks;
    if request_id.is_none() && warnings.is_empty() {
        return Ok(None);
    }
    let warnings = warnings.iter().map(StoredWarning::of).collect();
    let document = to_document(StoredRemarks { request_id: request_id.clone(), warnings })?;
    Ok(Some(document.into()))
}

/// Reads what [`encode_remarks`] wrote.
pub(super) fn decode_remarks(text: Option<&str>) -> Result<Remarks, Unreadable> {
    let Some(text) = text else { return Ok(Remarks::default()) };
    let StoredRemarks { request_id, warnings } = from_document(text)?;
    let warnings = warnings.into_iter().map(StoredWarning::read).collect::<Result<_, _>>()?;
    Ok(Remarks { request_id, warnings, recipients: None })
}

/// Writes warnings.
pub(crate) fn encode_warnings(warnings: &[Warning]) -> Result<String, Unreadable> {
    to_document(warnings.iter().map(StoredWarning::of).collect::<Vec<_>>())
}

/// Reads what [`encode_warnings`] wrote.
pub(super) fn decode_warnings(text: &str) -> Result<Vec<Warning>, Unreadable> {
    let stored: Vec<StoredWarning> = from_document(text)?;
    stored.into_iter().map(StoredWarning::read).collect()
}

impl StoredWarning {
    fn of(warning: &Warning) -> Self {
        let Warning { code, channel, pointer, detail } = warning;
        Self {
            code: code.as_str().to_owned(),
            channel: channel.as_ref().map(|channel| channel.as_str().to_owned()),
            pointer: pointer.clone(),
            detail: detail.clone(),
        }
    }

    fn read(self) -> Result<Warning, Unreadable> {
        let Self { code, channel, pointer, detail } = self;
        let found = WarningCode::ALL.into_iter().find(|known| known.as_str() == code);
        let code = found.ok_or_else(|| Unreadable(format!("unknown warning `{code}`")))?;
        let channel = channel.as_deref().map(read_channel).transpose()?;
        Ok(Warning { code, channel, pointer, detail })
    }
}
