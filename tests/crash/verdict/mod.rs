//! Joins the four books. Every check says what is wrong in words; the names of the goals are those of docs/reliability.md.

pub(crate) mod books;
mod callbacks;
mod promises;
mod truth;
mod unknown;

use crate::figures::Figures;
use crate::verdict::books::Books;

/// What the books show, and everything that is wrong in them.
pub(crate) fn judge(books: &Books) -> (Figures, Vec<String>) {
    let mut broken = Vec::new();
    let mut figures = Figures::count(books);
    for (marker, family) in &books.families() {
        let mut found = Vec::new();
        figures.lost += promises::kept(family, &mut found);
        promises::one_batch_for_one_key(family, &mut found);
        promises::answers_stay(family, &mut found);
        promises::refused_means_unsent(family, &mut found);
        promises::canceled_means_silent(family, &mut found);
        promises::answers_come(family, &books.fates, &mut found);
        truth::everybody_once_in_order(family, &mut found);
        figures.duplicates += truth::nobody_twice(family, &mut found);
        truth::accepted_and_failed_are_true(family, &mut found);
        if let Some(first) = found.first_mut() {
            first.push('\n');
            first.push_str(&family.tell(&books.log));
        }
        broken.extend(found.into_iter().map(|what| format!("{marker}: {what}")));
    }
    broken.extend(unknown::only_what_was_out(books, &mut figures));
    broken.extend(callbacks::every_end_is_told(books));
    (figures, broken)
}
