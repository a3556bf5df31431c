//! `ls`: the files of an image, without a container.

use clap::Args;
use dhow_ops::ls::{self, FileEntry, Place};

use super::targets;
use crate::errors::Outcome;
use crate::format::document::{DocumentFormat, one_by_one};
use crate::format::{schema, units};
use crate::session::Session;
use crate::verb::{Count, Operands, Verb};

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
    #[arg(value_name = "IMAGE[:/PATH]")]
    names: Vec<String>,
}

impl Verb for List {
    const ABOUT: &'static str = "List the files of an image, without a container";
    const OPERANDS: &'static str = "IMAGE[:/PATH] [IMAGE[:/PATH]...]";
    const COUNT: Count = Count::AtLeast(1);
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let documents = self.documents.open(session.console);
        let request = ls::Request { recursive: self.recursive, itself: self.directory, keep_link: self.long };
        let context = session.local_context()?;
        targets::each(&self.names, |name| {
            let place = Place::or_root(name);
            let listed = one_by_one(|show| {
                ls::ls(&context, &place, request, |entry| {
                    show(match documents.are_wanted() {
                        true => documents.put(&schema::File::from(&entry)),
                        false => {
                            session.console.bytes(&self.line(&entry, self.recursive || self.directory));
                            Ok(())
                        }
                    })
                })
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
