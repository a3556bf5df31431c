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

    /// The same with the rows of one image sorted, where they follow each other: docker's client keeps the names of an image
    /// in a map, and lists its repositories in another order each time.
    fn rows_of_one_image_sorted(&self) -> Self {
        let mut lines: Vec<&str> = self.out.split_inclusive('\n').collect();
        lines
            .chunk_by_mut(|one, next| image_id(one).is_some_and(|id| image_id(next) == Some(id)))
            .for_each(<[&str]>::sort_unstable);
        Self { out: lines.concat(), ..self.clone() }
    }
}

/// The image ID in a row of `images`: the last word that is a shown digest (`<web>`, `web---------`).
fn image_id(row: &str) -> Option<&str> {
    let words = row.split(|letter: char| letter.is_whitespace() || "\",:".contains(letter));
    let is_id =
        |word: &&str| (word.starts_with('<') && word.ends_with('>')) || (word.len() == 12 && word.ends_with('-'));
    words.filter(is_id).rfind(|word| *word != "<none>")
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
    let lists_images = lists_images(&case.line);
    let same = |one: &Said, other: &Said| match case.any_order {
        true => one.sorted() == other.sorted(),
        false if lists_images => one.rows_of_one_image_sorted() == other.rows_of_one_image_sorted(),
        false => one == other,
    };
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

/// Whether docker's table of images is a part of what the command line prints.
fn lists_images(line: &str) -> bool {
    ["docker images", "docker image ls", "docker image list", "docker system df"]
        .iter()
        .any(|verb| line.starts_with(verb))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_image_may_change_places_and_others_may_not() {
        let failures = |line: &str, peer: [&str; 3], dhow: [&str; 3]| {
            let said = |rows: [&str; 3]| Said { out: rows.concat(), ..Said::default() };
            let case = Case { line: line.to_owned(), ..Case::default() };
            let mut report = Report::default();
            judge(&mut report, &case, &said(peer), &said(dhow), |_| false);
            report.failures.len()
        };
        let [web, other, tool] =
            ["web    1  web---------  131kB\n", "other  1  web---------  131kB\n", "tool 2 tool-------- 1B\n"];
        assert_eq!(failures("docker images", [web, other, tool], [other, web, tool]), 0);
        assert_eq!(failures("docker images", [web, other, tool], [tool, web, other]), 1);
        assert_eq!(failures("docker images", [web, tool, other], [other, tool, web]), 1);
        assert_eq!(failures("docker ps", [web, other, tool], [other, web, tool]), 1);
        assert_eq!(failures("podman images", [web, other, tool], [other, web, tool]), 1);
        let [long, whole, none] =
            ["a <none> sha256:<web>\n", "b sha256:<web.manifest> sha256:<web>\n", "<none> <none>\n"];
        assert_eq!(failures("docker image ls --no-trunc", [long, whole, none], [whole, long, none]), 0);
        assert_eq!(failures("docker image ls --no-trunc", [long, none, whole], [none, long, whole]), 1);
    }

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
