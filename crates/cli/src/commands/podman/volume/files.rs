//! `volume export`, `import`, `mount` and `unmount`.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use dhow_base::{Error, Kind};
use dhow_ops::container::{self, VolumeDetails};
use dhow_ops::export::Output;
use dhow_ops::{Context, target_file};

use super::named;
use crate::commands::container::machine;
use crate::commands::save::quiet_broken_pipe;
use crate::errors::{Failure, Outcome};
use crate::personality::Personality;
use crate::session::Session;
use crate::verb::{Count, Operands, Verb, miscounted};

/// The arguments of `volume export`.
#[derive(Args, Debug)]
pub(crate) struct Export {
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "string", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    output: Option<PathBuf>,
    #[arg(value_name = "VOLUME")]
    names: Vec<String>,
}

impl Verb for Export {
    const ABOUT: &'static str = "Write the files of a volume to a tar archive";
    const OPERANDS: &'static str = "VOLUME";
    const COUNT: Count = Count::Exactly(1);
    const NAMES: Operands = Operands::Volumes;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some(name) = self.names.first() else { return miscounted() };
        let output = match self.output.filter(|path| !path.as_os_str().is_empty()) {
            Some(path) => {
                target_file::check(&path, "failed to export volume").map_err(Failure::Reported)?;
                Output::Path(path)
            }
            None if session.console.is_terminal() => {
                return Err(Failure::Client("cannot write to a terminal: use --output or redirect".to_owned()));
            }
            None => Output::Stdout,
        };
        machine(session)?;
        let volume = found(session, &session.local_context()?, name, &format!("no such volume {name}"))?;
        container::export_volume(&volume, &output).map_err(quiet_broken_pipe)
    }
}

/// The arguments of `volume import`.
#[derive(Args, Debug)]
pub(crate) struct Import {
    #[arg(value_name = "VOLUME")]
    names: Vec<String>,
}

impl Verb for Import {
    const ABOUT: &'static str = "Put the files of a tar archive, compressed or not, into a volume";
    const OPERANDS: &'static str = "VOLUME SOURCE|-";
    const COUNT: Count = Count::Exactly(2);
    const NAMES: Operands = Operands::Volumes;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [name, source] = self.names.as_slice() else { return miscounted() };
        let machine = machine(session)?;
        let mut archive: Box<dyn Read> = match source.as_str() {
            "-" => Box::new(io::stdin()),
            path => Box::new(File::open(path).map_err(|error| unread(path, error))?),
        };
        let volume = found(session, &session.local_context()?, name, &format!("no such volume {name}"))?;
        for note in container::import_volume(&volume, machine, &mut *archive)? {
            session.console.notice(format!("warning: {note}"));
        }
        Ok(())
    }
}

fn unread(path: &str, error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound => Failure::Client(format!("open {path}: no such file or directory")),
        _ => Error::io(format_args!("cannot read {path:?}"), error).into(),
    }
}

/// The arguments of `volume mount`.
#[derive(Args, Debug)]
pub(crate) struct Mount {
    #[arg(value_name = "VOLUME")]
    names: Vec<String>,
}

impl Verb for Mount {
    const ABOUT: &'static str = "Show where the files of a volume are: it is a directory, and always mounted";
    const OPERANDS: &'static str = "VOLUME";
    const COUNT: Count = Count::Exactly(1);
    const NAMES: Operands = Operands::Volumes;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some(name) = self.names.first() else { return miscounted() };
        let files = found(session, &session.local_context()?, name, &not_found(name))?.files()?;
        session.console.line(files.to_string_lossy());
        Ok(())
    }
}

/// The arguments of `volume unmount`.
#[derive(Args, Debug)]
pub(crate) struct Unmount {
    #[arg(value_name = "VOLUME")]
    names: Vec<String>,
}

impl Verb for Unmount {
    const ABOUT: &'static str = "Accepted for old scripts: a volume stays where it is";
    const OPERANDS: &'static str = "VOLUME";
    const COUNT: Count = Count::Exactly(1);
    const NAMES: Operands = Operands::Volumes;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some(name) = self.names.first() else { return miscounted() };
        session.console.line(found(session, &session.local_context()?, name, &not_found(name))?.volume.name);
        Ok(())
    }
}

/// Podman's longer way to say that there is no volume of the name.
pub(super) fn not_found(name: &str) -> String {
    format!("no volume with name {name:?} found: no such volume")
}

/// Finds a volume by its name or the beginning of it; podman says `missing` if there is none.
fn found(session: &Session<'_>, context: &Context, name: &str, missing: &str) -> Outcome<VolumeDetails> {
    let volumes = container::volumes(context)?;
    if let Some(volume) = named(&volumes, name).map_err(Failure::Client)? {
        return Ok(volume.clone());
    }
    let message = match session.personality {
        Personality::Podman => missing.to_owned(),
        _ => format!("get {name}: no such volume"),
    };
    Err(Error::new(Kind::NotFound, message).into())
}
