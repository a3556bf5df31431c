//! `cp`: files out of an image, out of a container, and into a container.

use std::io;
use std::path::Path;

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::Context;
use dhow_ops::container::{self, CopyOptions, Incoming, Record};
use dhow_ops::cp::{self, Copied, Failed, Place, Request};

use super::cat::Raw;
use super::container::machine_for;
use crate::errors::{Failure, Outcome};
use crate::format::document::{DocumentFormat, Documents};
use crate::format::{schema, units};
use crate::personality::Personality;
use crate::session::Session;
use crate::verb::{Count, Verb};

/// The arguments of `cp`.
#[derive(Args, Debug)]
pub(crate) struct Cp {
    #[command(flatten)]
    documents: DocumentFormat,
    /// Keep owners, groups and devices, which takes root's rights; into a container, give its user what is copied
    #[arg(short = 'a', long)]
    archive: bool,
    /// Copy what SRC points to if it is a symbolic link
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Do not say what was copied
    #[arg(short = 'q', long)]
    quiet: bool,
    #[arg(value_name = "PATH")]
    names: Vec<String>,
}

impl Verb for Cp {
    const ABOUT: &'static str = "Copy files out of a container or an image, or into a container";
    const OPERANDS: &'static str = "CONTAINER|IMAGE:/SRC_PATH DEST_PATH|-, or SRC_PATH|- CONTAINER:/DEST_PATH";
    const COUNT: Count = Count::Exactly(2);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [source, target] = self.names.as_slice() else { return Ok(()) };
        let refuse = |message: &str| Err(Failure::Client(message.to_owned()));
        match (source.is_empty(), target.is_empty()) {
            (true, _) => return refuse("source can not be empty"),
            (_, true) => return refuse("destination can not be empty"),
            _ => {}
        }
        let context = session.local_context()?;
        match (End::find(session.personality, &context, source)?, End::find(session.personality, &context, target)?) {
            (End::Here, End::Here) if session.personality != Personality::Dhow => {
                refuse("must specify at least one container source")
            }
            (End::Here, End::Here) => refuse("must specify at least one container source, or an image: IMAGE:/path"),
            (End::Container(..), End::Container(..)) => refuse("copying between containers is not supported"),
            (End::Image(_), End::Image(_)) => refuse("copying between images is not supported"),
            (_, End::Image(_)) => refuse("an image does not change: copying into one is not supported"),
            (End::Image(_), End::Container(..)) => refuse(
                "copying from an image into a container takes two steps: cp IMAGE:/path - | cp - CONTAINER:/path",
            ),
            (_, End::Here) if target == "-" && self.documents.is_given() => {
                refuse("--format needs a DEST_PATH: standard output is for the archive")
            }
            (End::Image(place), End::Here) => self.out_of_image(session, &context, place),
            (End::Container(record, path), End::Here) => self.out_of_container(session, &context, &record, path),
            (End::Here, End::Container(record, path)) => self.put_in_container(session, &context, &record, path),
        }
    }
}

impl Cp {
    fn out_of_image(&self, session: &Session<'_>, context: &Context, source: Place) -> Outcome {
        let request = Request { source, follow_link: self.follow_link, archive: self.archive };
        self.out(
            session,
            |output| cp::to_archive(context, &request, output),
            |target| cp::to_path(context, &request, target),
        )
    }

    fn out_of_container(&self, session: &Session<'_>, context: &Context, record: &Record, path: &str) -> Outcome {
        let machine = machine_for(session, record)?;
        let options = self.options(session.personality);
        self.out(
            session,
            |output| container::copy_to_archive(context, record, machine, path, options, output),
            |target| container::copy_to_path(context, record, machine, path, options, target),
        )
    }

    fn put_in_container(&self, session: &Session<'_>, context: &Context, record: &Record, path: &str) -> Outcome {
        let [source, target] = self.names.as_slice() else { return Ok(()) };
        let machine = machine_for(session, record)?;
        // Podman's habit is -a.
        let archive = self.archive || session.personality == Personality::Podman;
        let options = CopyOptions { archive, ..self.options(session.personality) };
        let documents = self.documents.open(session.console);
        let mut input = io::stdin().lock();
        let incoming = match source.as_str() {
            "-" => Incoming::Archive(&mut input),
            source => Incoming::Path(Path::new(source)),
        };
        let copied = container::copy_into(context, record, machine, incoming, path, options);
        self.conclude(session, &documents, copied, target)
    }

    fn options(&self, personality: Personality) -> CopyOptions {
        // Podman follows the links that it is given, and has no word for it.
        let follow_link = self.follow_link || personality == Personality::Podman;
        CopyOptions { follow_link, archive: self.archive }
    }

    /// To the place that the user named: standard output, or a path of this machine.
    fn out(
        &self,
        session: &Session<'_>,
        to_archive: impl FnOnce(&mut Raw<'_>) -> dhow_base::Result<Copied>,
        to_path: impl FnOnce(&Path) -> Result<Copied, Failed>,
    ) -> Outcome {
        let Some(target) = self.names.last() else { return Ok(()) };
        let documents = self.documents.open(session.console);
        if target == "-" {
            let copied = to_archive(&mut Raw(session.console));
            // A reader that went away is told of at the end.
            return if session.console.has_failed() { Ok(()) } else { Ok(copied.map(drop)?) };
        }
        let path = Path::new(target);
        let shown = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        self.conclude(session, &documents, to_path(path), &shown.to_string_lossy())
    }

    /// Says what was copied, to the place called `shown`.
    fn conclude(
        &self,
        session: &Session<'_>,
        documents: &Documents<'_>,
        copied: Result<Copied, Failed>,
        shown: &str,
    ) -> Outcome {
        let [source, target] = self.names.as_slice() else { return Ok(()) };
        let copied = copied.map_err(|failed| match failed {
            Failed::Here(error) => Failure::Reported(error),
            Failed::There(error) => Failure::Engine(error),
        });
        let copied = documents.settle(Some(source), copied)?;
        copied.notes.iter().for_each(|note| session.console.notice(format!("warning: {note}")));
        if documents.are_wanted() {
            return documents.put(&schema::Copied::new(&copied, source, target));
        }
        // Docker's client only says so to a person, podman's to nobody.
        let is_said = match session.personality {
            Personality::Docker | Personality::Docker29 => session.console.is_terminal(),
            Personality::Podman => false,
            Personality::Dhow => true,
        };
        if !self.quiet && is_said {
            let size = units::short_size(copied.bytes);
            session.console.notice(format!("Successfully copied {size} to {shown}"));
        }
        Ok(())
    }
}

/// One end of a copy.
enum End<'a> {
    /// A path of this machine, or `-`.
    Here,
    /// A path in a container.
    Container(Box<Record>, &'a str),
    /// A path in an image.
    Image(Place),
}

impl<'a> End<'a> {
    /// What an operand stands for, by docker's rule: what has a `:` in it and does not begin like a path of this machine is of a container;
    /// if there is none of that name, of an image. Called as dhow, `web:1:/path` is of the image `web:1` also where a container is called `web`.
    fn find(personality: Personality, context: &Context, text: &'a str) -> Outcome<Self> {
        if text.starts_with(['/', '.']) {
            return Ok(End::Here);
        }
        let Some((name, path)) = text.split_once(':').filter(|(name, _)| !name.is_empty()) else {
            return Ok(End::Here);
        };
        let error = match container::find(context, name) {
            Ok(record) => {
                return Ok(match Place::parse(text) {
                    Some(place)
                        if personality == Personality::Dhow
                            && place.image != name
                            && container::has_image(context, &place.image, None).is_ok() =>
                    {
                        End::Image(place)
                    }
                    _ => End::Container(Box::new(record), path),
                });
            }
            Err(error) if error.kind() == Kind::NotFound => error,
            Err(error) => return Err(error.into()),
        };
        let Some(place) = Place::parse(text) else { return Err(error.into()) };
        // What can only be an image is missing as one.
        let may_be_container = place.image == name && !name.contains('/');
        if may_be_container && container::has_image(context, &place.image, None).is_err() {
            return Err(match personality {
                Personality::Podman => Error::new(Kind::NotFound, format!("container {name:?} does not exist")).into(),
                _ => error.with_hint("there is no image of that name either").into(),
            });
        }
        Ok(End::Image(place))
    }
}
