//! Reads case files.

use std::fmt;
use std::path::Path;

use super::judge::Said;

/// Cases that run one after the other, both sides starting from the same images.
#[derive(Debug)]
pub struct Group {
    /// Name of the state that both sides are in at its begin.
    pub state: String,
    /// Whether its commands leave that state as it is, so that the next group can go on with it.
    pub reads: bool,
    /// What to do, in order.
    pub steps: Vec<Step>,
}

/// One thing to do on both sides.
#[derive(Debug)]
pub enum Step {
    /// A command line that must succeed on both sides; what it says is not compared.
    Prepare(String),
    /// Writes docker's `config.json` or podman's `auth.json`.
    Configure(String),
    /// A command line to compare.
    Compare(Box<Case>),
}

/// A command line and what is known about it.
#[derive(Debug, Default)]
pub struct Case {
    /// File and line, for messages.
    pub place: String,
    /// The command line as written.
    pub line: String,
    /// Standard input.
    pub input: String,
    /// Whether it runs on a terminal; both streams are one then.
    pub terminal: bool,
    /// Whether the peer prints the lines in no order that could be relied upon.
    pub any_order: bool,
    /// A file that is compared as well once the command has ended, below the side's folder.
    pub file: Option<String>,
    /// Why dhow is not, or not only, compared with the live peer.
    pub mark: Mark,
    /// A missing or wrong feature of dhow.
    pub gap: Option<String>,
    /// What must be said, where the live peer is not the one to ask.
    pub expected: Option<Said>,
}

impl Group {
    /// The command lines that are compared.
    pub fn cases(&self) -> impl Iterator<Item = &Case> {
        self.steps.iter().filter_map(|step| match step {
            Step::Compare(case) => Some(&**case),
            _ => None,
        })
    }
}

/// Why a difference from the live peer is right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// There may be none.
    #[default]
    None,
    /// The live docker is older than the facts; the text is their section and the reason.
    Era(String),
    /// dhow differs on purpose; the text is the entry's name in `docs/compatibility.md`.
    Differs(String),
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.line)
    }
}

/// Reads a case file.
///
/// # Errors
/// The first line that cannot be understood.
pub fn parse(path: &Path, text: &str) -> Result<Vec<Group>, String> {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let mut reader = Reader { groups: Vec::new(), block: Block::None };
    for (number, line) in text.lines().enumerate() {
        let place = format!("{file}:{}", number + 1);
        reader.line(line, &place).map_err(|problem| format!("{place}: {problem}: {line}"))?;
    }
    Ok(reader.groups)
}

#[derive(Clone, Copy)]
enum Block {
    None,
    Out,
    Err,
    File,
}

struct Reader {
    groups: Vec<Group>,
    block: Block,
}

impl Reader {
    fn line(&mut self, line: &str, place: &str) -> Result<(), String> {
        if line.trim().is_empty() || line.starts_with('#') {
            return Ok(());
        }
        if let Some(header) = line.strip_prefix("== ") {
            let (how, state) = header.split_once(' ').ok_or("a group is `== read STATE` or `== change STATE`")?;
            let reads = match how {
                "read" => true,
                "change" => false,
                _ => return Err("a group reads or changes its state".to_owned()),
            };
            self.groups.push(Group { state: state.to_owned(), reads, steps: Vec::new() });
            return Ok(());
        }
        let group = self.groups.last_mut().ok_or("a case before the first group")?;
        if let Some(json) = line.strip_prefix("! config ") {
            group.steps.push(Step::Configure(json.to_owned()));
        } else if let Some(command) = line.strip_prefix("! ") {
            group.steps.push(Step::Prepare(command.to_owned()));
        } else if let Some(command) = line.strip_prefix("$ ") {
            let case = Case { place: place.to_owned(), line: command.to_owned(), ..Case::default() };
            group.steps.push(Step::Compare(Box::new(case)));
            self.block = Block::None;
        } else if let Some(attribute) = line.strip_prefix("    ") {
            let Some(Step::Compare(case)) = group.steps.last_mut() else {
                return Err("an attribute without a command line".to_owned());
            };
            return attribute_of(case, &mut self.block, attribute);
        } else {
            return Err("cannot be understood".to_owned());
        }
        Ok(())
    }
}

fn attribute_of(case: &mut Case, block: &mut Block, attribute: &str) -> Result<(), String> {
    if let Some(text) = attribute.strip_prefix('|') {
        let expected = case.expected.get_or_insert_default();
        let target = match block {
            Block::Out => &mut expected.out,
            Block::Err => &mut expected.err,
            Block::File => expected.file.get_or_insert_default(),
            Block::None => return Err("output without `out:` or `err:`".to_owned()),
        };
        let text = text.strip_prefix(' ').unwrap_or(text);
        match text.strip_suffix('¬') {
            Some(unfinished) => target.push_str(unfinished),
            None => {
                target.push_str(text.strip_suffix('⏎').unwrap_or(text));
                target.push('\n');
            }
        }
        return Ok(());
    }
    let (key, value) = attribute.split_once(':').map_or((attribute, ""), |(key, value)| (key, value.trim()));
    match key {
        "in" => case.input = value.replace("\\n", "\n").replace("\\r", "\r"),
        "tty" => case.terminal = true,
        "any order" => case.any_order = true,
        "file" if value.is_empty() => *block = Block::File,
        "file" => case.file = Some(value.to_owned()),
        "era" if value.starts_with('§') => case.mark = Mark::Era(value.to_owned()),
        "era" => return Err("an era names its section".to_owned()),
        "differs" => case.mark = Mark::Differs(value.to_owned()),
        "gap" if !value.is_empty() => case.gap = Some(value.to_owned()),
        "exit" => {
            case.expected.get_or_insert_default().code = value.parse().map_err(|_| "an exit code is a number")?;
        }
        "out" => *block = Block::Out,
        "err" => *block = Block::Err,
        _ => return Err("an attribute that nobody knows".to_owned()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_readme_shows() {
        let text = "# words\n== read pair\n! docker tag a b\n$ docker images\n    in: y\\n\n    era: §1, x\n    exit: 3\n    \
                    out:\n    | a\n    |\n    | b? ¬\n$ docker images -q\n    gap: x\n";
        let groups = parse(Path::new("x.txt"), text).expect("cases");
        assert_eq!((groups.len(), groups[0].steps.len(), groups[0].reads), (1, 3, true));
        let Step::Compare(case) = &groups[0].steps[1] else { panic!("{groups:?}") };
        assert_eq!(case.input, "y\n");
        assert_eq!(case.expected, Some(Said { out: "a\n\nb? ".to_owned(), code: 3, ..Said::default() }));
        assert_eq!(case.mark, Mark::Era("§1, x".to_owned()));
        assert_eq!(case.to_string(), "x.txt:4: docker images");
        for wrong in ["$ docker x", "== look pair", "== read a\n    exit: 1", "== read a\n$ b\n    era: 4.6", "x"] {
            assert!(parse(Path::new("x.txt"), wrong).is_err(), "{wrong}");
        }
    }
}
