//! `unpack`

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use dhow_ops::unpack::{self, IdMap, IdRange, Note, Owners, Request};

use super::targets;
use crate::errors::{Failure, Outcome};
use crate::format::text;
use crate::progress::Progress;
use crate::progress::state::Direction;
use crate::session::Session;
use crate::verb::{Count, Operands, Verb, miscounted};

/// The arguments of `unpack`.
#[derive(Args, Debug)]
pub(crate) struct Unpack {
    /// Replace the directory with all that is in it
    #[arg(short, long)]
    force: bool,
    /// Map a group ID of the image to one of this machine: IMAGE:HOST or IMAGE:HOST:COUNT; can be repeated
    #[arg(long, value_name = "map")]
    gid_map: Vec<String>,
    /// Whom the files belong to: "keep" what the image says (needs root), "caller", or "record" it in an extended attribute
    #[arg(long, value_name = "string")]
    owners: Option<Whose>,
    /// Unpack this platform of a multi-platform image
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Do not show progress
    #[arg(short, long)]
    quiet: bool,
    /// Map a user ID of the image to one of this machine: IMAGE:HOST or IMAGE:HOST:COUNT; can be repeated
    #[arg(long, value_name = "map")]
    uid_map: Vec<String>,
    #[arg(value_name = "IMAGE")]
    operands: Vec<String>,
}

/// The values of `--owners`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Whose {
    /// As the image says.
    Keep,
    /// All to who unpacks.
    Caller,
    /// All to who unpacks, with the image's in an attribute.
    Record,
}

impl Verb for Unpack {
    const ABOUT: &'static str = "Unpack the files of an image into a directory";
    const OPERANDS: &'static str = "IMAGE DIRECTORY";
    const COUNT: Count = Count::Exactly(2);
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [image, directory] = self.operands.as_slice() else { return miscounted() };
        let request = Request {
            image: image.clone(),
            platform: targets::platform(self.platform.as_deref())?,
            target: PathBuf::from(directory),
            force: self.force,
            owners: self.owners()?,
        };
        let context = session.local_context()?;
        let done = {
            let progress = Progress::new(session.console, Direction::Load, self.quiet);
            unpack::unpack(&context, &request, &progress).map_err(Failure::Reported)?
        };
        for left_out in &done.notes {
            session.console.notice(text::note(&describe(left_out)));
        }
        Ok(())
    }
}

impl Unpack {
    /// Root keeps what the image says, anybody else cannot.
    fn owners(&self) -> Outcome<Owners> {
        let map = IdMap { uids: ranges(&self.uid_map, "uid-map")?, gids: ranges(&self.gid_map, "gid-map")? };
        let whose = self.owners.unwrap_or_else(|| {
            if rustix::process::geteuid().is_root() || map != IdMap::default() { Whose::Keep } else { Whose::Caller }
        });
        match whose {
            Whose::Keep => Ok(Owners::Keep(map)),
            _ if map != IdMap::default() => {
                Err(Failure::Client("--uid-map and --gid-map only go with --owners keep".to_owned()))
            }
            Whose::Caller => Ok(Owners::Caller),
            Whose::Record => Ok(Owners::Record),
        }
    }
}

fn ranges(texts: &[String], flag: &str) -> Outcome<Vec<IdRange>> {
    let parse = |text: &String| {
        let mut numbers = text.split(':').map(|number| number.parse::<u32>().ok());
        let (inside, outside) = (numbers.next()??, numbers.next()??);
        let count = numbers.next().unwrap_or(Some(1))?;
        numbers.next().is_none().then(|| IdRange::new(inside, outside, count)).flatten()
    };
    let wrong = |text: &String| {
        let message = format!("invalid --{flag} {text:?}: it is IMAGE:HOST[:COUNT], in numbers below 4294967295");
        Failure::Client(message)
    };
    texts.iter().map(|text| parse(text).ok_or_else(|| wrong(text))).collect()
}

/// What was left out, in a sentence.
fn describe(note: &Note) -> String {
    let further = match note.count {
        1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    format!("left out {} ({}): {:?}{further}", note.what, note.why, note.first)
}
