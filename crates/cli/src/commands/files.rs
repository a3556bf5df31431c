//! `ls`, `cat` and `diff`: files of images, without a container.

use std::io::{self, Write};

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::diff::{Change, Difference};
use dhow_ops::ls::{FileEntry, Place};
use dhow_ops::{cat, container, diff, ls};

use crate::console::Console;
use crate::errors::{Failure, Outcome};
use crate::format::document::DocumentFormat;
use crate::format::{schema, units};
use crate::personality::Personality;
use crate::session::Session;
use crate::verb::{Count, Verb};

/// The arguments of `ls`.
#[derive(Args, Debug)]
pub(crate) struct List {
    #[command(flatten)]
    documents: DocumentFormat,
    /// Show type, rights, owner, group, size and time (UTC) of each file; a symbolic link is shown itself
    #[arg(short = 'l', long)]
    long: bool,
    /// Show everything below, with whole paths
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Show a directory itself, not what is in it
    #[arg(short = 'd', long)]
    directory: bool,
    /// With -l, show sizes as people read them
    #[arg(short = 'H', long = "human-readable")]
    readable_sizes: bool,
    /// Accepted for the sake of habit: names that begin with a dot are always shown
    #[arg(short = 'a', long)]
    all: bool,
    #[arg(value_name = "IMAGE:/PATH")]
    names: Vec<String>,
}

impl Verb for List {
    const ABOUT: &'static str = "List the files of an image, without a container";
    const OPERANDS: &'static str = "IMAGE:/PATH [IMAGE:/PATH...]";
    const COUNT: Count = Count::AtLeast(1);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let documents = self.documents.open(session.console);
        let request = ls::Request { recursive: self.recursive, itself: self.directory, keep_link: self.long };
        let context = session.local_context()?;
        each(&self.names, |name| {
            let listed = Place::require(name).map_err(Failure::from).and_then(|place| {
                let mut failed = None;
                let done = ls::ls(&context, &place, request, |entry| {
                    let shown = match documents.are_wanted() {
                        true => documents.put(&schema::File::from(&entry)),
                        false => {
                            session.console.bytes(&self.line(&entry, self.recursive || self.directory));
                            Ok(())
                        }
                    };
                    // Only a template can fail; its text is the failure that counts.
                    shown.map_err(|failure| {
                        failed = Some(failure);
                        Error::new(Kind::Invalid, "the template failed")
                    })
                });
                failed.map_or_else(|| done.map_err(Failure::from), Err)
            });
            documents.settle(Some(name), listed)
        })
    }
}

impl List {
    fn line(&self, entry: &FileEntry, is_whole: bool) -> Vec<u8> {
        let name = match entry.path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) if !is_whole && entry.path.len() > 1 => &entry.path[slash + 1..],
            _ => &entry.path,
        };
        let mut line = Vec::new();
        if self.long {
            let size = match (entry.device, self.readable_sizes) {
                (Some((major, minor)), _) => format!("{major}, {minor}"),
                (None, true) => units::human_size(entry.size),
                (None, false) => entry.size.to_string(),
            };
            let rights = format!("{}{}", entry.kind.letter, rights(entry.mode));
            let time = time(entry.modified);
            let FileEntry { uid, gid, links, .. } = entry;
            line.extend(format!("{rights} {links:>3} {uid:>5} {gid:>5} {size:>10} {time} ").bytes());
        }
        line.extend_from_slice(name);
        if let (true, Some(target)) = (self.long, &entry.target) {
            line.extend_from_slice(b" -> ");
            line.extend_from_slice(target);
        }
        line.push(b'\n');
        line
    }
}

/// Goes on after a failure, as `ls` and `cat` do.
fn each(names: &[String], mut act: impl FnMut(&String) -> Outcome) -> Outcome {
    let mut failures: Vec<Failure> = names.iter().filter_map(|name| act(name).err()).collect();
    match failures.len() {
        0 => Ok(()),
        1 => Err(failures.remove(0)),
        _ => Err(Failure::Several(failures)),
    }
}

/// Permission bits as `ls` writes them.
fn rights(mode: u32) -> String {
    let triple = |shift: u32, special: bool, letter: char| {
        let bits = mode >> shift;
        let execute = match (bits & 1 != 0, special) {
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        };
        [if bits & 4 != 0 { 'r' } else { '-' }, if bits & 2 != 0 { 'w' } else { '-' }, execute]
    };
    let all =
        [triple(6, mode & 0o4000 != 0, 's'), triple(3, mode & 0o2000 != 0, 's'), triple(0, mode & 0o1000 != 0, 't')];
    all.iter().flatten().collect()
}

/// A time in UTC, to the second; seconds since 1970 where there is no such date.
fn time((seconds, _): (i64, u32)) -> String {
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| seconds.to_string(), |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// The arguments of `cat`.
#[derive(Args, Debug)]
pub(crate) struct Cat {
    #[arg(value_name = "IMAGE:/PATH")]
    names: Vec<String>,
}

impl Verb for Cat {
    const ABOUT: &'static str = "Write files of images to standard output, without a container";
    const OPERANDS: &'static str = "IMAGE:/PATH [IMAGE:/PATH...]";
    const COUNT: Count = Count::AtLeast(1);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let context = session.local_context()?;
        each(&self.names, |name| {
            let done = Place::require(name).and_then(|place| cat::cat(&context, &place, &mut Raw(session.console)));
            // A reader that went away is told of once, at the end.
            if session.console.has_failed() { Ok(()) } else { done.map_err(Failure::from) }
        })
    }
}

/// Standard output for bytes of any kind.
pub(super) struct Raw<'a>(pub(super) &'a Console);

impl Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.bytes(bytes);
        if self.0.has_failed() { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush();
        Ok(())
    }
}

/// The arguments of `diff`.
#[derive(Args, Debug)]
pub(crate) struct Diff {
    #[command(flatten)]
    documents: DocumentFormat,
    /// Show no sizes: the letter and the path alone, as docker and podman do
    #[arg(long)]
    no_size: bool,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for Diff {
    const ABOUT: &'static str =
        "Show which files differ between two images, or what a container or the last layer of an image changed";
    const OPERANDS: &'static str = "IMAGE|CONTAINER [IMAGE]";
    const COUNT: Count = Count::Between(1, 2);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [first, rest @ ..] = self.names.as_slice() else { return Ok(()) };
        let documents = self.documents.open(session.console);
        let context = session.local_context()?;
        let missing = match (rest.is_empty(), container::find(&context, first)) {
            (true, Ok(_)) => return self.container(session, first),
            (true, Err(error)) => Some(super::container::missing(session.personality, first, error)),
            (false, _) => None,
        };
        let mut failed = None;
        let done = diff::diff(&context, first, rest.first().map(String::as_str), |difference| {
            let shown = match documents.are_wanted() {
                true => documents.put(&schema::Difference::from(&difference)),
                false => {
                    session.console.bytes(&self.line(&difference));
                    Ok(())
                }
            };
            shown.map_err(|failure| {
                failed = Some(failure);
                Error::new(Kind::Invalid, "the template failed")
            })
        });
        let done = match (done, missing) {
            // Docker's command is of containers alone.
            (Err(error), Some(missing))
                if error.kind() == Kind::NotFound && session.personality != Personality::Dhow =>
            {
                Err(missing)
            }
            (done, _) => done,
        };
        documents.settle(None, failed.map_or_else(|| done.map_err(Failure::from), Err))
    }
}

impl Diff {
    /// What a container changed, as docker writes it.
    fn container(&self, session: &Session<'_>, name: &str) -> Outcome {
        if self.documents.is_given() {
            let message = "--format is not supported for containers: docker has none for them";
            return Err(Failure::Client(message.to_owned()));
        }
        super::container::machine(session)?;
        let context = session.local_context()?;
        let record = container::find(&context, name)?;
        for (change, path) in container::changes(&context, &record)? {
            let line = [format!("{} ", change.letter()).as_bytes(), &path, b"\n"].concat();
            session.console.bytes(&line);
        }
        Ok(())
    }

    fn line(&self, difference: &Difference) -> Vec<u8> {
        let Difference { change, path, size_before, size_after, .. } = difference;
        let mut line = format!("{} ", change.letter()).into_bytes();
        if !self.no_size {
            let size = match change {
                Change::Added => format!("+{}", units::human_size(size_after.unwrap_or(0))),
                Change::Deleted => format!("-{}", units::human_size(size_before.unwrap_or(0))),
                Change::Changed => grown(size_before.unwrap_or(0), size_after.unwrap_or(0)),
            };
            line.extend(format!("{size:>9} ").bytes());
        }
        line.extend_from_slice(path);
        line.push(b'\n');
        line
    }
}

fn grown(before: u64, after: u64) -> String {
    let sign = if after < before { '-' } else { '+' };
    format!("{sign}{}", units::human_size(after.abs_diff(before)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_those_of_ls() {
        let cases = [
            (0o755, "rwxr-xr-x"),
            (0o4755, "rwsr-xr-x"),
            (0o2640, "rw-r-S---"),
            (0o1777, "rwxrwxrwt"),
            (0o1000, "--------T"),
        ];
        for (mode, expected) in cases {
            assert_eq!(rights(mode), expected);
        }
    }

    #[test]
    fn times_are_utc_and_odd_ones_numbers() {
        assert_eq!(time((1_700_000_000, 5)), "2023-11-14 22:13:20");
        assert_eq!(time((-1, 0)), "1969-12-31 23:59:59");
        assert_eq!(time((i64::MAX, 0)), i64::MAX.to_string());
    }
}
