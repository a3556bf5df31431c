//! Versions that a list asks for: constraints as the library reads them that skopeo has (Masterminds/semver 3).

use std::cmp::Ordering;

use dhow_base::{Error, Kind, Result};
use regex_lite::Regex;

/// Longest text of constraints that is read, in bytes.
const TEXT_BYTES_MAX: usize = 512;

/// What a version looks like, in a constraint or as a tag; in a constraint, parts of it can be left open.
const VERSION: &str =
    r"v?(\d+|[xX*])(?:\.(\d+|[xX*]))?(?:\.(\d+|[xX*]))?(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?";

/// How a version compares, longest first.
const OPERATORS: &str = "!=|>=|=>|<=|=<|~>|=|>|<|~|\\^|";

/// Versions: of several groups of constraints all of one have to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions(Vec<Group>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    constraints: Vec<Constraint>,
    /// Whether one of them names a pre-release: else none fits, whatever its number.
    with_prereleases: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Constraint {
    operator: Operator,
    version: Version,
    open: Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    Tilde,
    Caret,
}

/// From where on a constraint leaves a version open: `1.x` does from the minor number on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Nothing,
    Patch,
    Minor,
    Everything,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    numbers: [u64; 3],
    pre: String,
}

impl Versions {
    /// Reads constraints: `>= 1.2, < 2`, `^1.4 || 2.x`, `1.0 - 1.9`.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for what is none.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Error::new(Kind::Invalid, format!("constraints of more than {TEXT_BYTES_MAX} bytes")));
        }
        let range = pattern(&format!(r"({VERSION})\s+-\s+({VERSION})"))?;
        let text = range.replace_all(text, |found: &regex_lite::Captures<'_>| {
            let part = |index| found.get(index).map_or("", |part| part.as_str());
            format!(">={}, <={} ", part(1), part(6))
        });
        let one = pattern(&format!(r"^\s*({OPERATORS})\s*{VERSION}"))?;
        text.split("||").map(|group| Group::parse(group, &one)).collect::<Result<_>>().map(Self)
    }

    /// Whether a tag is one of the versions; what is no version is none of them.
    pub(super) fn contain(&self, tag: &str) -> bool {
        Version::of_tag(tag).is_some_and(|version| self.0.iter().any(|group| group.contains(&version)))
    }
}

fn pattern(text: &str) -> Result<Regex> {
    Regex::new(text).map_err(|error| Error::new(Kind::Internal, format!("{text:?}: {error}")))
}

impl Group {
    fn parse(text: &str, one: &Regex) -> Result<Self> {
        let improper = || Error::new(Kind::Invalid, format!("improper constraint: {text:?}"));
        let mut constraints = Vec::new();
        let mut rest = text;
        loop {
            let found = one.captures(rest).ok_or_else(improper)?;
            constraints.push(Constraint::of(&found).ok_or_else(improper)?);
            rest = &rest[found.get(0).map_or(0, |whole| whole.end())..];
            let next = rest.trim_start();
            if next.is_empty() {
                break;
            }
            match next.strip_prefix(',') {
                Some(next) => rest = next,
                None if next.len() < rest.len() => rest = next,
                None => return Err(improper()),
            }
        }
        let with_prereleases = constraints.iter().any(|constraint| !constraint.version.pre.is_empty());
        Ok(Self { constraints, with_prereleases })
    }

    fn contains(&self, version: &Version) -> bool {
        (version.pre.is_empty() || self.with_prereleases) && self.constraints.iter().all(|one| one.fits(version))
    }
}

impl Constraint {
    /// What `one` found: the operator, three numbers, a pre-release.
    fn of(found: &regex_lite::Captures<'_>) -> Option<Self> {
        let part = |index: usize| found.get(index).map(|part| part.as_str());
        let numbers = [part(2), part(3), part(4)].map(|part| part.filter(|text| !matches!(*text, "x" | "X" | "*")));
        let (open, closed) = match numbers {
            [None, ..] => (Open::Everything, 0),
            [_, None, _] => (Open::Minor, 1),
            [_, _, None] => (Open::Patch, 2),
            _ => (Open::Nothing, 3),
        };
        let mut version = Version { numbers: [0; 3], pre: prerelease(part(5).unwrap_or_default())? };
        for (number, text) in version.numbers.iter_mut().zip(numbers).take(closed) {
            *number = text?.parse().ok()?;
        }
        let operator = match part(1)? {
            "" | "=" => Operator::Equal,
            "!=" => Operator::NotEqual,
            ">" => Operator::Greater,
            "<" => Operator::Less,
            ">=" | "=>" => Operator::GreaterOrEqual,
            "<=" | "=<" => Operator::LessOrEqual,
            "~" | "~>" => Operator::Tilde,
            _ => Operator::Caret,
        };
        Some(Self { operator, version, open })
    }

    fn fits(&self, version: &Version) -> bool {
        let order = version.cmp(&self.version);
        match self.operator {
            Operator::Equal if self.open == Open::Nothing => order.is_eq(),
            Operator::Equal | Operator::Tilde => self.is_near(version),
            Operator::NotEqual => self.differs(version),
            Operator::Greater => self.is_below(version),
            Operator::Less => order.is_lt(),
            Operator::GreaterOrEqual => order.is_ge(),
            Operator::LessOrEqual => self.reaches(version),
            Operator::Caret => order.is_ge() && self.is_compatible(version),
        }
    }

    /// `~1.2.3`: the same minor number, `~1`: the same major one, and not less.
    fn is_near(&self, version: &Version) -> bool {
        let ([major, minor, _], [own_major, own_minor, _]) = (version.numbers, self.version.numbers);
        let takes_all = self.version.numbers == [0; 3] && !matches!(self.open, Open::Minor | Open::Patch);
        version.cmp(&self.version).is_ge()
            && (takes_all || (major == own_major && (minor == own_minor || self.open == Open::Minor)))
    }

    fn differs(&self, version: &Version) -> bool {
        let ([major, minor, patch], [own_major, own_minor, own_patch]) = (version.numbers, self.version.numbers);
        match self.open {
            Open::Nothing => !version.cmp(&self.version).is_eq(),
            _ if major != own_major => true,
            Open::Minor => false,
            _ if minor != own_minor => true,
            Open::Patch => version.pre != self.version.pre,
            _ if patch != own_patch => true,
            _ => !version.cmp(&self.version).is_eq(),
        }
    }

    /// `>1.2` begins with 1.3, `>1` with 2.
    fn is_below(&self, version: &Version) -> bool {
        let ([major, minor, _], [own_major, own_minor, _]) = (version.numbers, self.version.numbers);
        match (self.open, major.cmp(&own_major)) {
            (Open::Nothing, _) => version.cmp(&self.version).is_gt(),
            (_, Ordering::Greater) => true,
            (_, Ordering::Less) | (Open::Minor, _) => false,
            (Open::Patch, _) => minor > own_minor,
            (Open::Everything, _) => version.cmp(&self.version).is_gt(),
        }
    }

    /// `<=1.2` ends with the last 1.2, `<=1` with the last 1.
    fn reaches(&self, version: &Version) -> bool {
        let ([major, minor, _], [own_major, own_minor, _]) = (version.numbers, self.version.numbers);
        match self.open {
            Open::Nothing => version.cmp(&self.version).is_le(),
            Open::Minor => major <= own_major,
            Open::Patch | Open::Everything => (major, minor) <= (own_major, own_minor),
        }
    }

    /// `^1.2.3`: up to the first number that is not 0, nothing changes.
    fn is_compatible(&self, version: &Version) -> bool {
        let ([major, minor, patch], [own_major, own_minor, own_patch]) = (version.numbers, self.version.numbers);
        if own_major > 0 || self.open == Open::Minor {
            return major == own_major;
        }
        match (own_minor > 0 || self.open == Open::Patch, major) {
            (_, 1..) => false,
            (true, _) => minor == own_minor,
            (false, _) => minor == 0 && patch == own_patch,
        }
    }
}

impl Version {
    fn of_tag(tag: &str) -> Option<Self> {
        let text = tag.strip_prefix('v').unwrap_or(tag);
        let text = text.split_once('+').map_or(text, |(text, _)| text);
        let (text, pre) = text.split_once('-').map_or((text, None), |(text, pre)| (text, Some(pre)));
        let pre = match pre {
            None => String::new(),
            Some(pre) => Some(prerelease(pre)?).filter(|pre| !pre.is_empty())?,
        };
        let mut numbers = [0; 3];
        let mut parts = text.split('.');
        for (position, number) in numbers.iter_mut().enumerate() {
            match parts.next() {
                Some(part) if part.bytes().all(|byte| byte.is_ascii_digit()) => *number = part.parse().ok()?,
                None if position > 0 => break,
                _ => return None,
            }
        }
        if parts.next().is_some() { None } else { Some(Self { numbers, pre }) }
    }

    fn cmp(&self, other: &Self) -> Ordering {
        let of_prereleases = || match (self.pre.is_empty(), other.pre.is_empty()) {
            (false, false) => compare_prereleases(&self.pre, &other.pre),
            // A pre-release comes before what it is one of.
            (is_release, other_is_release) => is_release.cmp(&other_is_release),
        };
        self.numbers.cmp(&other.numbers).then_with(of_prereleases)
    }
}

/// A pre-release as it can stand in a version: numbers in it begin with no 0.
fn prerelease(text: &str) -> Option<String> {
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let is_text = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let fits = |part: &str| is_text(part) && !(is_number(part) && part.len() > 1 && part.starts_with('0'));
    text.split('.').all(fits).then(|| text.to_owned())
}

/// Part by part, numbers before texts, and the shorter one first where it is the beginning of the other.
fn compare_prereleases(one: &str, other: &str) -> Ordering {
    let (mut ones, mut others) = (one.split('.'), other.split('.'));
    loop {
        let (one, other) = match (ones.next(), others.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(one), Some(other)) => (one, other),
        };
        let order = match (one.parse::<u64>(), other.parse::<u64>()) {
            (Ok(one), Ok(other)) => one.cmp(&other),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => one.cmp(other),
        };
        if order.is_ne() {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Masterminds/semver 3.5.0 answers: constraints, and which of [`TAGS`] they take; `!` where it refuses them.
    const RECORDED: &str = include_str!("versions.txt");

    const TAGS: &str = "0 0.0.1 0.0.3 0.1 0.2.3 0.2.9 0.3 1 v1 1.0.1 1.2 1.2.0 1.2.3 1.2.9 1.2.3-rc.1 1.2.3-alpine 1.3 1.10.2 2 \
                        2.0.0-beta.2 2.0.0-beta.11 2.1.4 3.12.0 3.20 latest 1.2.3.4 v1.x 1.2.3-01 stable-1 1. 01.2 11.1.0 12";

    #[test]
    fn constraints_take_what_skopeo_s_library_takes() {
        for line in RECORDED.lines() {
            let (text, expected) = line.rsplit_once('|').expect("a constraint and what it takes");
            let taken = Versions::parse(text).map(|versions| {
                let taken: Vec<&str> = TAGS.split_whitespace().filter(|tag| versions.contain(tag)).collect();
                taken.join(" ")
            });
            assert_eq!(taken.unwrap_or_else(|_| "!".to_owned()), expected, "{text:?}");
        }
        assert_eq!(Versions::parse(&"1 || ".repeat(200)).expect_err("too long").kind(), Kind::Invalid);
    }
}
