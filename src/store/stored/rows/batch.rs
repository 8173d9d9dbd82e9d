//! What is said of the batch as a whole.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::batch::{Batch, OnInvalid, Resend, RetryUnknown};
use crate::domain::id::BatchId;
use crate::domain::outcome::Counts;
use crate::domain::report::{Report, RouteReport};
use crate::domain::route::Route;
use crate::store::stored::rows::remarks::{decode_warnings, encode_warnings};
use crate::store::stored::rows::values::{CountsRow, from_nanoseconds, read_id, to_nanoseconds};
use crate::store::stored::{Unreadable, from_document, to_document};

#[derive(Debug)]
pub(crate) struct BatchRow {
    pub(crate) id: BatchId,
    pub(crate) caller: Option<Arc<str>>,
    pub(crate) client_ref: Option<Arc<str>>,
    pub(crate) created_at: i64,
    pub(crate) expires_at: i64,
    pub(crate) completed_at: Option<i64>,
    pub(crate) canceled: bool,
    pub(crate) on_invalid: String,
    pub(crate) retry_unknown: String,
    pub(crate) resend: Option<String>,
    pub(crate) callback: Option<Arc<str>>,
    pub(crate) warnings: String,
    /// Batches that send some of its recipients again.
    pub(crate) resends: Vec<BatchId>,
    /// Whether no further call may start.
    pub(crate) is_canceled: bool,
    /// Of a batch that has ended: everybody. Before: those that were decided without a call.
    pub(crate) counts: CountsRow,
}

#[derive(Serialize, Deserialize)]
struct StoredResend {
    of: String,
    root: String,
    root_routes: Vec<usize>,
}

impl BatchRow {
    pub(super) fn encode(report: &Report) -> Result<Self, Unreadable> {
        // Taken apart, so that a new field has to be looked at here.
        let Batch {
            id,
            caller,
            client_ref,
            created_at,
            expires_at,
            on_invalid,
            retry_unknown,
            routes: _,
            resend,
            callback,
        } = &*report.batch;
        Ok(Self {
            id: *id,
            caller: caller.clone(),
            client_ref: client_ref.clone(),
            created_at: to_nanoseconds(*created_at),
            expires_at: to_nanoseconds(*expires_at),
            completed_at: report.completed_at.map(to_nanoseconds),
            canceled: report.canceled,
            on_invalid: match on_invalid {
                OnInvalid::Skip => "skip".to_owned(),
                OnInvalid::Reject => "reject".to_owned(),
            },
            retry_unknown: match retry_unknown {
                RetryUnknown::Never => "never".to_owned(),
                RetryUnknown::Allowed => "allowed".to_owned(),
            },
            resend: resend.as_ref().map(encode_resend).transpose()?,
            callback: callback.clone(),
            warnings: encode_warnings(&report.warnings)?,
            resends: report.resends.clone(),
            is_canceled: false,
            counts: Self::counts(report),
        })
    }

    fn counts(report: &Report) -> CountsRow {
        if report.is_over() {
            return report.counts().into();
        }
        let mut counts = Counts::default();
        for unsent in report.routes.iter().filter_map(|route| route.unsent.as_ref()) {
            counts += unsent.outcomes.counts();
        }
        counts.total = report.routes.iter().map(|route| route.recipients.len()).sum();
        counts.into()
    }

    pub(super) fn decode(
        self,
        routes: Vec<Arc<Route>>,
        reports: Vec<RouteReport>,
    ) -> Result<Report, Unreadable> {
        let on_invalid = match self.on_invalid.as_str() {
            "skip" => OnInvalid::Skip,
            "reject" => OnInvalid::Reject,
            other => return Err(Unreadable(format!("unknown on_invalid `{other}`"))),
        };
        let retry_unknown = match self.retry_unknown.as_str() {
            "never" => RetryUnknown::Never,
            "allowed" => RetryUnknown::Allowed,
            other => return Err(Unreadable(format!("unknown retry_unknown `{other}`"))),
        };
        let batch = Batch {
            id: self.id,
            caller: self.caller,
            client_ref: self.client_ref,
            created_at: from_nanoseconds(self.created_at),
            expires_at: from_nanoseconds(self.expires_at),
            on_invalid,
            retry_unknown,
            routes,
            resend: self.resend.as_deref().map(decode_resend).transpose()?,
            callback: self.callback,
        };
        Ok(Report {
            batch: Arc::new(batch),
            completed_at: self.completed_at.map(from_nanoseconds),
            canceled: self.canceled,
            routes: reports,
            warnings: decode_warnings(&self.warnings)?,
            resends: self.resends,
            eta: None,
        })
    }
}

fn encode_resend(resend: &Resend) -> Result<String, Unreadable> {
    let Resend { of, root, root_routes } = resend;
    to_document(StoredResend { of: of.to_string(), root: root.to_string(), root_routes: root_routes.clone() })
}

fn decode_resend(text: &str) -> Result<Resend, Unreadable> {
    let StoredResend { of, root, root_routes } = from_document(text)?;
    Ok(Resend { of: read_id(&of)?, root: read_id(&root)?, root_routes })
}
