//! The table that a rig prints: what was measured, what was promised, and whether it holds.

use std::fmt;

/// What a figure must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::AtMost(most) => format!("<= {most}"),
            Self::AtLeast(least) => format!(">= {least}"),
        };
        formatter.pad(&text)
    }
}

/// One line: a figure with one value per run.
struct Figure {
    id: &'static str,
    what: String,
    unit: &'static str,
    /// `None` = could not be measured, which is no pass.
    values: Vec<Option<f64>>,
    bound: Bound,
}

impl Figure {
    /// The middle of the runs; `None` if any of them has no value.
    fn median(&self) -> Option<f64> {
        let mut values = self.values.iter().copied().collect::<Option<Vec<f64>>>()?;
        values.sort_unstable_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }

    fn verdict(&self) -> &'static str {
        match (self.bound, self.median()) {
            (bound, Some(median)) if bound.holds(median) => "pass",
            _ => "FAIL",
        }
    }

    fn measured(&self) -> String {
        self.median()
            .map_or_else(|| "not measured".to_owned(), |median| format!("{} {}", short(median), self.unit))
    }

    fn spread(&self) -> String {
        let values: Vec<f64> = self.values.iter().flatten().copied().collect();
        if values.len() < 2 {
            return String::new();
        }
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        format!("{} .. {}", short(least), short(most))
    }
}

/// Three digits that mean something, and no more than that behind the point.
fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 1000.0 || value.fract() == 0.0 => format!("{value:.0}"),
        middle if middle >= 100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// All figures of a rig, over all its runs.
pub(crate) struct Sheet {
    title: String,
    figures: Vec<Figure>,
    notes: Vec<String>,
}

impl Sheet {
    pub(crate) fn new(title: String) -> Self {
        Self { title, figures: Vec::new(), notes: Vec::new() }
    }

    /// Adds the value of one run to the figure `what` of row `id` of the promises.
    pub(crate) fn add(
        &mut self,
        (id, what): (&'static str, &str),
        (value, unit): (Option<f64>, &'static str),
        bound: Bound,
    ) {
        match self.figures.iter_mut().find(|figure| figure.id == id && figure.what == what) {
            Some(figure) => figure.values.push(value),
            None => {
                let what = what.to_owned();
                self.figures.push(Figure { id, what, unit, values: vec![value], bound });
            }
        }
    }

    /// Adds a line below the table, and shows it at once.
    pub(crate) fn note(&mut self, note: String) {
        crate::say(format_args!("  {note}"));
        self.notes.push(note);
    }

    /// Whether every promise holds.
    pub(crate) fn has_passed(&self) -> bool {
        !self.figures.is_empty() && self.figures.iter().all(|figure| figure.verdict() != "FAIL")
    }
}

impl fmt::Display for Sheet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "\n{}\n", self.title)?;
        let width = self.figures.iter().map(|figure| figure.what.chars().count()).max().unwrap_or(0);
        let line = |formatter: &mut fmt::Formatter<'_>, cells: [&str; 6]| {
            let [id, what, measured, spread, bound, verdict] = cells;
            writeln!(
                formatter,
                "| {id:<3} | {what:<width$} | {measured:>18} | {spread:>18} | {bound:>10} | {verdict:<4} |"
            )
        };
        line(formatter, ["row", "figure", "measured", "spread", "threshold", ""])?;
        writeln!(formatter, "|-----|{0:-<1$}|{0:-<20}|{0:-<20}|{0:-<12}|------|", "", width + 2)?;
        for figure in &self.figures {
            let (measured, spread) = (figure.measured(), figure.spread());
            let bound = figure.bound.to_string();
            line(formatter, [figure.id, &figure.what, &measured, &spread, &bound, figure.verdict()])?;
        }
        writeln!(formatter)?;
        for note in &self.notes {
            writeln!(formatter, "{note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(values: &[Option<f64>], bound: Bound) -> Sheet {
        let mut sheet = Sheet::new(String::new());
        for value in values {
            sheet.add(("X1", "a figure"), (*value, "ms"), bound);
        }
        sheet
    }

    #[test]
    fn the_median_decides_and_a_missing_value_is_no_pass() {
        assert!(sheet(&[Some(9.0), Some(1.0), Some(2.0)], Bound::AtMost(2.0)).has_passed());
        assert!(!sheet(&[Some(9.0), Some(3.0), Some(2.0)], Bound::AtMost(2.0)).has_passed());
        assert!(!sheet(&[Some(0.9)], Bound::AtLeast(0.95)).has_passed());
        assert!(!sheet(&[Some(1.0), None], Bound::AtMost(2.0)).has_passed());
        assert!(!sheet(&[], Bound::AtMost(2.0)).has_passed());
    }
}
