//! Compares what both sides said, in the light of what is known.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use super::case::{Case, Mark};

/// What a command said and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Standard output, with names for what differs from run to run.
    pub out: String,
    /// Standard error, likewise.
    pub err: String,
    /// Exit code; 128 and the signal when one ended it.
    pub code: i32,
    /// Content of the file that the case compares as well.
    pub file: Option<String>,
}

impl Said {
    /// The same with its lines sorted.
    #[must_use]
    pub fn sorted(&self) -> Self {
        let sort = |text: &str| {
            let mut lines: Vec<&str> = text.lines().collect();
            lines.sort_unstable();
            lines.join("\n")
        };
        Self { out: sort(&self.out), err: sort(&self.err), ..self.clone() }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "    exit: {}", self.code)?;
        let file = self.file.as_deref().unwrap_or_default();
        for (stream, text) in [("out", self.out.as_str()), ("err", &self.err), ("file", file)] {
            if !text.is_empty() {
                writeln!(formatter, "    {stream}:")?;
                let mut lines = text.split('\n').peekable();
                while let Some(line) = lines.next() {
                    match lines.peek() {
                        Some(_) => writeln!(formatter, "    | {line}")?,
                        None if line.is_empty() => {}
                        None => writeln!(formatter, "    | {line}¬")?,
                    }
                }
            }
        }
        Ok(())
    }
}

/// How a run of all cases went.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Command lines compared.
    pub cases: usize,
    /// Their shapes: lines of one shape differ only in a value.
    pub shapes: BTreeSet<String>,
    /// dhow said what the live peer said.
    pub equal: usize,
    /// dhow said what the facts say, which the live peer is too old for.
    pub era: usize,
    /// Those of them in which the live peer is not too old any more.
    pub era_over: usize,
    /// dhow differs on purpose, as `docs/compatibility.md` says; each with the entry's name.
    pub differences: Vec<String>,
    /// Something is missing or wrong; each with what.
    pub gaps: Vec<String>,
    /// What makes the suite fail.
    pub failures: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = BTreeSet::from_iter(self.differences.iter().filter_map(|known| known.rsplit_once(" -- ")));
        let entries = BTreeSet::from_iter(entries.into_iter().map(|(_, entry)| entry));
        writeln!(
            formatter,
            "{} command lines of {} shapes: {} equal, {} era ({} of them over), {} known differences, {} gaps, {} \
             failures",
            self.cases,
            self.shapes.len(),
            self.equal,
            self.era,
            self.era_over,
            self.differences.len(),
            self.gaps.len(),
            self.failures.len()
        )?;
        writeln!(formatter, "known differences are about: {}", Vec::from_iter(entries).join("; "))?;
        for gap in &self.gaps {
            writeln!(formatter, "gap: {gap}")?;
        }
        Ok(())
    }
}

/// Judges one case and writes it down. `is_listed` says whether `docs/compatibility.md` has an entry of that name.
pub fn judge(report: &mut Report, case: &Case, peer: &Said, dhow: &Said, is_listed: impl Fn(&str) -> bool) {
    report.cases += 1;
    let same = |one: &Said, other: &Said| if case.any_order { one.sorted() == other.sorted() } else { one == other };
    let verdict = |expected: &Said, whose: &str| {
        let mut text = format!("{case}\n{whose}:\n{expected}");
        let _ = write!(text, "  dhow:\n{dhow}");
        text
    };
    let expected = case.expected.as_ref();
    let wanted = match &case.mark {
        Mark::None | Mark::Differs(_) => peer,
        Mark::Era(_) => match expected {
            Some(expected) => expected,
            None => {
                return report
                    .failures
                    .push(format!("{case}\n  an era needs its expectation; the peer says\n{peer}  dhow:\n{dhow}"));
            }
        },
    };
    let fits = same(dhow, wanted);
    if let Some(gap) = &case.gap {
        if fits {
            report.failures.push(format!("{case}\n  the gap is closed: remove its mark ({gap})"));
        } else {
            report.gaps.push(format!("{case} -- {gap}"));
        }
        return;
    }
    match &case.mark {
        Mark::None if expected.is_some() => {
            report.failures.push(format!("{case}\n  an expectation without `era` or `differs`"));
        }
        Mark::None if fits => report.equal += 1,
        Mark::None => report.failures.push(verdict(peer, "  peer")),
        Mark::Era(_) if fits => {
            report.era += 1;
            report.era_over += usize::from(same(peer, wanted));
        }
        Mark::Era(_) => report.failures.push(verdict(wanted, "  expected")),
        Mark::Differs(entry) if !is_listed(entry) => {
            report.failures.push(format!("{case}\n  docs/compatibility.md has no entry {entry:?}"));
        }
        Mark::Differs(entry) if fits => {
            report.failures.push(format!("{case}\n  does not differ any more: remove its mark ({entry})"));
        }
        Mark::Differs(entry) => match expected {
            Some(expected) if !same(dhow, expected) => report.failures.push(verdict(expected, "  expected")),
            _ => report.differences.push(format!("{case} -- {entry}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(mark: Mark, gap: bool, expected: Option<&str>, peer: &str, dhow: &str) -> usize {
        let said = |text: &str| Said { out: text.to_owned(), ..Said::default() };
        let gap = gap.then(|| "something".to_owned());
        let case = Case { mark, gap, expected: expected.map(said), ..Case::default() };
        let mut report = Report::default();
        judge(&mut report, &case, &said(peer), &said(dhow), |entry| entry == "listed");
        report.failures.len()
    }

    #[test]
    fn only_what_is_known_may_differ() {
        let era = || Mark::Era("§1".to_owned());
        let differs = |entry: &str| Mark::Differs(entry.to_owned());
        assert_eq!(failures(Mark::None, false, None, "a", "a"), 0);
        assert_eq!(failures(Mark::None, false, None, "a", "b"), 1);
        assert_eq!(failures(Mark::None, false, Some("b"), "a", "b"), 1);
        assert_eq!(failures(era(), false, Some("b"), "a", "b"), 0);
        assert_eq!(failures(era(), false, Some("b"), "a", "a"), 1);
        assert_eq!(failures(era(), false, None, "a", "a"), 1);
        assert_eq!(failures(differs("listed"), false, None, "a", "b"), 0);
        assert_eq!(failures(differs("listed"), false, Some("c"), "a", "b"), 1);
        assert_eq!(failures(differs("other"), false, None, "a", "b"), 1);
        assert_eq!(failures(differs("listed"), false, None, "a", "a"), 1);
        assert_eq!(failures(Mark::None, true, None, "a", "b"), 0);
        assert_eq!(failures(Mark::None, true, None, "a", "a"), 1);
        assert_eq!(failures(era(), true, Some("b"), "a", "b"), 1);
    }
}
