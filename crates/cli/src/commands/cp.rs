//! `cp`: files out of an image, out of a container, and into a container.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::Context;
use dhow_ops::container::{self, CopyOptions, InContainer, Incoming, Record};
use dhow_ops::cp::{self, Clash, Copied, Failed, Place, Request};

use super::cat::Raw;
use super::container::machine_for;
use crate::errors::{FLAG_ERROR, Failure, Outcome};
use crate::format::document::{DocumentFormat, Documents};
use crate::format::{schema, units};
use crate::personality::Personality;
use crate::session::Session;
use crate::signals;
use crate::verb::{Count, Verb, miscounted};

/// What becomes of a copy that is interrupted.
const HALF: &str = "what was half copied is not kept";

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
    /// Let a directory take the place of another file, and another file that of a directory with all that is in it
    #[arg(long)]
    overwrite: bool,
    /// Accepted for old scripts of podman: nothing stands still while files are copied
    #[arg(long, hide = true, value_name = "bool", num_args = 0..=1, require_equals = true)]
    pause: Option<Option<bool>>,
    /// Accepted for old scripts of podman: archives are always unpacked
    #[arg(long, hide = true, value_name = "bool", num_args = 0..=1, require_equals = true)]
    extract: Option<Option<bool>>,
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
        let [source, target] = self.names.as_slice() else { return miscounted() };
        let refuse = |message: &str| Err(Failure::Client(message.to_owned()));
        if let Some(flag) = self.podman_only().filter(|_| is_docker(session.personality)) {
            let usage = format!("{} [OPTIONS] {}", session.path, Self::OPERANDS);
            let message = session.personality.about_flag(&format!("unknown flag: --{flag}"), &usage, &session.path);
            return Err(Failure::Usage { message, code: FLAG_ERROR });
        }
        match (source.is_empty(), target.is_empty()) {
            (true, _) => return refuse("source can not be empty"),
            (_, true) => return refuse("destination can not be empty"),
            _ => {}
        }
        let context = session.local_context()?;
        if End::of_container(source).is_some() && End::of_container(target).is_none() && target != "-" {
            cp::check_output(Path::new(target), context.naming()).map_err(Failure::Reported)?;
        }
        let ends =
            (End::find(session.personality, &context, source)?, End::find(session.personality, &context, target)?);
        if session.personality == Personality::Podman && (ends.0.has_no_path() || ends.1.has_no_path()) {
            return refuse(&format!("invalid arguments {source:?}, {target:?}: you must specify paths"));
        }
        match ends {
            (End::Here, End::Here) if session.personality != Personality::Dhow => {
                refuse("must specify at least one container source")
            }
            (End::Here, End::Here) => refuse("must specify at least one container source, or an image: IMAGE:/path"),
            (End::Container(..), End::Container(..)) if is_docker(session.personality) => {
                refuse("copying between containers is not supported")
            }
            (End::Container(from, from_named, from_path), End::Container(to, to_named, to_path)) => {
                let from = InContainer { record: &from, named: from_named, path: &from_path };
                let to = InContainer { record: &to, named: to_named, path: &to_path };
                self.between_containers(session, &context, from, to)
            }
            (End::Image(_), End::Image(_)) => refuse("copying between images is not supported"),
            (_, End::Image(_)) => refuse("an image does not change: copying into one is not supported"),
            (End::Image(_), End::Container(..)) => refuse(
                "copying from an image into a container takes two steps: cp IMAGE:/path - | cp - CONTAINER:/path",
            ),
            (_, End::Here) if target == "-" && self.documents.is_given() => {
                refuse("--format needs a DEST_PATH: standard output is for the archive")
            }
            (End::Image(place), End::Here) => self.out_of_image(session, &context, place),
            (End::Container(record, named, path), End::Here) => {
                self.out_of_container(session, &context, InContainer { record: &record, named, path: &path })
            }
            (End::Here, End::Container(record, named, path)) => {
                self.put_in_container(session, &context, InContainer { record: &record, named, path: &path })
            }
        }
    }
}

impl Cp {
    /// An option that docker's client does not know, if one is given.
    fn podman_only(&self) -> Option<&'static str> {
        let all = [("overwrite", self.overwrite), ("pause", self.pause.is_some()), ("extract", self.extract.is_some())];
        all.into_iter().find(|(_, is_given)| *is_given).map(|(flag, _)| flag)
    }

    fn out_of_image(&self, session: &Session<'_>, context: &Context, source: Place) -> Outcome {
        let request = Request { source, follow_link: self.follow_link, archive: self.archive, clash: self.clash() };
        self.out(
            session,
            |output| cp::to_archive(context, &request, output),
            |target| cp::to_path(context, &request, target),
        )
    }

    fn out_of_container(&self, session: &Session<'_>, context: &Context, from: InContainer<'_>) -> Outcome {
        let machine = machine_for(session, from.record)?;
        let options = self.options(session.personality);
        self.out(
            session,
            |output| container::copy_to_archive(context, from, machine, options, output),
            |target| container::copy_to_path(context, from, machine, options, target),
        )
    }

    fn put_in_container(&self, session: &Session<'_>, context: &Context, to: InContainer<'_>) -> Outcome {
        let [source, target] = self.names.as_slice() else { return miscounted() };
        let machine = machine_for(session, to.record)?;
        // Podman's habit is -a.
        let archive = self.archive || session.personality == Personality::Podman;
        let options = CopyOptions { archive, ..self.options(session.personality) };
        let documents = self.documents.open(session.console);
        let mut input = io::stdin().lock();
        let incoming = match source.as_str() {
            "-" => Incoming::Archive(&mut input),
            source => Incoming::Path(Path::new(source)),
        };
        let work = || container::copy_into(context, incoming, to, machine, options);
        self.conclude(session, &documents, heeding(session, work), target)
    }

    fn between_containers(
        &self,
        session: &Session<'_>,
        context: &Context,
        from: InContainer<'_>,
        to: InContainer<'_>,
    ) -> Outcome {
        let environment = &session.environment;
        let is_same = from.record.container.id == to.record.container.id;
        // Each container of an ordinary user that runs has a user namespace of its own, and nobody is in two.
        if environment.user != 0 && environment.in_user_namespace.is_none() && !is_same {
            let both_run = from.record.container.is_running() && to.record.container.is_running();
            if both_run || container::kept_ids(from.record)? != container::kept_ids(to.record)? {
                let message = "copying between containers of different user namespaces takes two steps: \
                               cp CONTAINER:/path - | cp - CONTAINER:/path";
                return Err(Failure::Client(message.to_owned()));
            }
        }
        let one = if from.record.container.is_running() { from } else { to };
        let machine = machine_for(session, one.record)?;
        let options = CopyOptions {
            archive: self.archive || session.personality == Personality::Podman,
            ..self.options(session.personality)
        };
        let documents = self.documents.open(session.console);
        let work = || container::copy_between(context, from, to, machine, options);
        self.conclude(session, &documents, heeding(session, work), &format!("{}:{}", to.named, to.path))
    }

    fn options(&self, personality: Personality) -> CopyOptions {
        // Podman follows the links that it is given, and has no word for it.
        let follow_link = self.follow_link || personality == Personality::Podman;
        CopyOptions { follow_link, archive: self.archive, clash: self.clash() }
    }

    fn clash(&self) -> Clash {
        if self.overwrite { Clash::Replaced } else { Clash::Refused }
    }

    /// To the place that the user named: standard output, or a path of this machine.
    fn out(
        &self,
        session: &Session<'_>,
        to_archive: impl FnOnce(&mut Raw<'_>) -> dhow_base::Result<Copied>,
        to_path: impl FnOnce(&Path) -> Result<Copied, Failed>,
    ) -> Outcome {
        let Some(target) = self.names.last() else { return miscounted() };
        let documents = self.documents.open(session.console);
        if target == "-" {
            let copied = to_archive(&mut Raw(session.console));
            // A reader that went away is told of at the end.
            return if session.console.has_failed() { Ok(()) } else { Ok(copied.map(drop)?) };
        }
        let path = Path::new(target);
        let shown = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        self.conclude(session, &documents, heeding(session, || to_path(path)), &shown.to_string_lossy())
    }

    /// Says what was copied, to the place called `shown`.
    fn conclude(
        &self,
        session: &Session<'_>,
        documents: &Documents<'_>,
        copied: Outcome<Copied>,
        shown: &str,
    ) -> Outcome {
        let [source, target] = self.names.as_slice() else { return miscounted() };
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

/// Copies; a signal ends that early.
fn heeding(session: &Session<'_>, work: impl FnOnce() -> Result<Copied, Failed>) -> Outcome<Copied> {
    let work = || {
        work().map_err(|failed| match failed {
            Failed::Here(error) => Failure::Reported(error),
            Failed::There(error) => Failure::Engine(error),
        })
    };
    signals::heeding(session.console, HALF, work)
}

/// A path in a container as podman has it: one that does not begin with a slash begins in the working directory, not at the root.
fn from_working_directory<'a>(record: &Record, path: &'a str) -> Outcome<Cow<'a, str>> {
    if path.is_empty() || path.starts_with('/') {
        return Ok(Cow::Borrowed(path));
    }
    let directory = container::working_directory(record)?;
    let directory = directory.trim_matches('/');
    Ok(Cow::Owned(match path {
        // The directory itself: only a longer path that ends so is what is in it.
        "." | "./" => format!("/{directory}"),
        path => format!("/{directory}/{path}"),
    }))
}

fn is_docker(personality: Personality) -> bool {
    matches!(personality, Personality::Docker | Personality::Docker29)
}

/// One end of a copy.
enum End<'a> {
    /// A path of this machine, or `-`.
    Here,
    /// What a container was called, and a path in it.
    Container(Box<Record>, &'a str, Cow<'a, str>),
    /// A path in an image.
    Image(Place),
}

impl<'a> End<'a> {
    fn has_no_path(&self) -> bool {
        matches!(self, Self::Container(_, _, path) if path.is_empty())
    }

    /// The name and the path that docker reads of an operand; nothing where it is a path of this machine.
    fn of_container(text: &'a str) -> Option<(&'a str, &'a str)> {
        let is_path = text.starts_with(['/', '.']);
        text.split_once(':').filter(|(name, _)| !is_path && !name.is_empty())
    }

    /// What an operand stands for, by docker's rule: what has a `:` in it and does not begin like a path of this machine is of a container;
    /// if there is none of that name, of an image. Called as dhow, `web:1:/path` is of the image `web:1` also where a container is called `web`.
    fn find(personality: Personality, context: &Context, text: &'a str) -> Outcome<Self> {
        let Some((name, path)) = Self::of_container(text) else { return Ok(End::Here) };
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
                    _ => {
                        let path = match personality {
                            Personality::Podman => from_working_directory(&record, path)?,
                            _ => Cow::Borrowed(path),
                        };
                        End::Container(Box::new(record), name, path)
                    }
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
