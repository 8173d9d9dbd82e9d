//! Labels: every value comes from the configuration or from a closed list of ours, so that the number of series
//! is bounded whatever callers and providers say.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::domain::id::ChannelName;

impl EncodeLabelValue for ChannelName {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        self.as_str().encode(encoder)
    }
}

/// A closed list whose members are label values.
pub(super) trait Word: Copy + PartialEq + Send + Sync + 'static {
    /// All members.
    const ALL: &'static [Self];

    /// The label's value.
    fn word(self) -> &'static str;
}

/// Series of one channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByChannel {
    pub(super) channel: ChannelName,
}

/// Series of one channel and one outcome.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByOutcome {
    pub(super) channel: ChannelName,
    pub(super) status: &'static str,
    pub(super) code: &'static str,
}

/// Series of one channel and one way in which something went.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByResult {
    pub(super) channel: ChannelName,
    pub(super) result: &'static str,
}

/// Series of one channel and one reason.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByReason {
    pub(super) channel: ChannelName,
    pub(super) reason: &'static str,
}

/// Series of one channel and one state of its circuit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByState {
    pub(super) channel: ChannelName,
    pub(super) state: &'static str,
}

/// Series of one batch outcome.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByBatchOutcome {
    pub(super) outcome: &'static str,
}

/// Series of one kind of problem.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByCode {
    pub(super) code: &'static str,
}

/// Series of one kind of broken invariant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByKind {
    pub(super) kind: &'static str,
}

/// Series of one end of a reload.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByReload {
    pub(super) result: &'static str,
}

/// Series of one route of the API.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByRoute {
    pub(super) method: &'static str,
    /// The template, such as `/v1/batches/{id}`; never the path that was asked for.
    pub(super) route: String,
    pub(super) status: &'static str,
}

/// One counter for each member of a closed list, resolved once: counting is one atomic addition.
///
/// All of them are there from the start, at zero, so that the first event is an increase and not a new series.
#[derive(Debug)]
pub(super) struct Counters<W>(Vec<(W, Counter)>);

impl<W: Word> Counters<W> {
    pub(super) fn new<L>(family: &Family<L, Counter>, labels: impl Fn(&'static str) -> L) -> Self
    where
        L: Clone + std::hash::Hash + Eq,
    {
        let counter = |word: &W| (*word, family.get_or_create_owned(&labels(word.word())));
        Self(W::ALL.iter().map(counter).collect())
    }

    pub(super) fn count(&self, word: W) {
        if let Some((_, counter)) = self.0.iter().find(|(known, _)| *known == word) {
            counter.inc();
        }
    }
}
