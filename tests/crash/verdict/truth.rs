//! Whether the reports are true: D3, D4, D5 and D7.

use std::collections::HashMap;

use crate::record::What;
use crate::told::{Status, Told, counts};
use crate::verdict::books::{Family, Final};

/// D7: everybody who was asked for has one end, in the order of the request, and the counts say so.
pub(super) fn everybody_once_in_order(family: &Family<'_>, broken: &mut Vec<String>) {
    for found in &family.finals {
        let named: Vec<&str> = found.results.iter().map(|told| &*told.recipient).collect();
        let asked: Vec<&str> = family.to.iter().map(|(_, recipient)| recipient.as_str()).collect();
        let is_right = if found.resend_of.is_none() {
            named == asked
        } else {
            let mut rest = asked.iter();
            !named.is_empty() && named.iter().all(|recipient| rest.any(|asked| asked == recipient))
        };
        if !is_right || found.status == "processing" || !counts_are_right(found) {
            let Final { id, status, counts, results, .. } = found;
            broken.push(format!("D7: {id} {status} {counts:?} asked {asked:?}: {results:?}"));
        }
    }
}

fn counts_are_right(found: &Final) -> bool {
    found.results.iter().all(|told| told.status != Status::Pending)
        && found.counts == counts(&found.results)
        && (0..).zip(&found.results).all(|(index, told)| told.index == index)
}

/// D5: nobody is taken twice, also when his batch is sent again. Returns how many are.
pub(super) fn nobody_twice(family: &Family<'_>, broken: &mut Vec<String>) -> usize {
    let mut times: HashMap<&str, usize> = HashMap::new();
    for (channel, _, entry) in &family.calls {
        for (recipient, is_taken) in entry.recipients.iter().zip(&entry.is_taken) {
            if !family.to.iter().any(|(asked, name)| asked == channel && name == recipient) {
                broken.push(format!("{recipient} was sent to and nobody asked for him"));
            }
            *times.entry(recipient).or_default() += usize::from(*is_taken);
        }
    }
    let twice: Vec<&str> =
        times.into_iter().filter(|(_, times)| *times > 1).map(|(recipient, _)| recipient).collect();
    if !twice.is_empty() {
        broken.push(format!("D5: sent twice to {twice:?}"));
    }
    twice.len()
}

/// D3 and D4: who is reported accepted was taken, and who is reported failed everywhere was not.
pub(super) fn accepted_and_failed_are_true(family: &Family<'_>, broken: &mut Vec<String>) {
    let reports = family.results();
    // A resend without a key that was killed may have sent to whoever failed before, and nothing says so.
    let may_be_sent_again =
        family.lines.iter().any(|line| matches!(line.what, What::Resend) && line.may_have_vanished());
    let mut claims: HashMap<&str, Claims> = HashMap::new();
    for told in reports.into_iter().flatten() {
        claims.entry(&told.recipient).or_default().add(told);
    }
    for (recipient, claims) in claims {
        let taken = family.times_taken(recipient);
        if claims.accepted > taken {
            broken.push(format!("D3: {recipient} accepted {} times, taken {taken} times", claims.accepted));
        }
        let is_failed = claims.failed > 0 && claims.accepted + claims.unknown == 0 && !may_be_sent_again;
        if is_failed && taken > 0 {
            broken.push(format!("D4: {recipient} failed, taken {taken} times"));
        }
    }
}

/// What all reports of a family say of one recipient.
#[derive(Default)]
struct Claims {
    accepted: usize,
    failed: usize,
    unknown: usize,
}

impl Claims {
    fn add(&mut self, told: &Told) {
        match told.status {
            Status::Accepted => self.accepted += 1,
            Status::Failed => self.failed += 1,
            Status::Unknown | Status::Pending => self.unknown += 1,
        }
    }
}
