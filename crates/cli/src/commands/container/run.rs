//! `create` and `run`.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use clap::Args;
use dhow_base::error::words;
use dhow_base::{Error, Kind};
use dhow_ops::container::{
    self, Ended, MountKind, Options, StartCause, StartFailure, StartStage, Streams, Unwritten, Witness,
};
use dhow_ops::{Context, rmi};
use rustix::io::Errno;

use super::flags::Flags;
use super::found::taken;
use crate::console::BROKEN_PIPE;
use crate::errors::{FAILED, FLAG_ERROR, Failure, Outcome};
use crate::format::ago;
use crate::personality::Personality;
use crate::session::Session;
use crate::terminal;
use crate::verb::{Count, Operands, Verb};

/// Exit code of what this program cannot do, as with docker.
pub(super) const CANNOT: u8 = 125;
/// Exit code of a program that cannot be started.
const NOT_EXECUTABLE: u8 = 126;
/// Exit code of a program that is not there.
const NOT_FOUND: u8 = 127;

/// Exit code of a container that ran longer than it may, as with podman.
const TIMED_OUT: u8 = 255;

/// Exit code of a container that was killed.
const KILLED: u8 = 128 + 9;

/// The arguments of `create`.
#[derive(Args, Debug)]
pub(crate) struct Create {
    #[command(flatten)]
    flags: Flags,
    #[arg(value_name = "IMAGE", trailing_var_arg = true)]
    words: Vec<String>,
}

impl Verb for Create {
    const ABOUT: &'static str = "Make a container of an image, without running it";
    const OPERANDS: &'static str = "IMAGE [COMMAND] [ARG...]";
    const COUNT: Count = Count::AtLeast(1);
    const NAMES: Operands = Operands::ImageThenOthers;

    fn operands(&self) -> &[String] {
        &self.words
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        if self.flags.removes_image() {
            let usage = format!("{} [OPTIONS] {}", session.path, Self::OPERANDS);
            let message = session.personality.about_flag("unknown flag: --rmi", &usage, &session.path);
            return Err(Failure::Usage { message, code: FLAG_ERROR });
        }
        self.flags.check_authfile(session)?;
        let words = self.flags.words(session, &self.words)?;
        // What docker's client tells while it reads its options has the code of `run`, what comes later has not.
        let options = self.flags.options(session, &words).map_err(|failure| match (session.personality, failure) {
            (Personality::Docker | Personality::Docker29, failure @ Failure::Client(_)) => {
                refused(session, failure, CANNOT)
            }
            (_, failure) => failure,
        })?;
        self.flags.check_cidfile(session.personality)?;
        self.flags.fetch(session, &options)?;
        let machine = self.flags.machine(session, &options)?;
        self.flags.tell_of_ports(session);
        let context = session.local_context()?;
        self.flags.replace(&context)?;
        let made = container::create(&context, &options, machine)
            .map_err(|error| taken(session.personality, &context, options.name.as_deref(), error))?;
        self.flags.write_cidfile(&made.id)?;
        session.console.line(made.id);
        Ok(())
    }
}

/// The arguments of `run`.
#[derive(Args, Debug)]
pub(crate) struct Run {
    #[command(flatten)]
    flags: Flags,
    /// Accepted for old scripts: signals are passed on
    #[arg(long, hide = true)]
    #[allow(dead_code, reason = "signals are always passed on")]
    sig_proxy: bool,
    #[arg(value_name = "IMAGE", trailing_var_arg = true)]
    words: Vec<String>,
}

impl Verb for Run {
    const ABOUT: &'static str = "Make a container of an image and run it in the foreground";
    const OPERANDS: &'static str = "IMAGE [COMMAND] [ARG...]";
    const COUNT: Count = Count::AtLeast(1);
    const NAMES: Operands = Operands::ImageThenOthers;

    fn operands(&self) -> &[String] {
        &self.words
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        self.to_its_end(session).map_err(|failure| refused(session, failure, CANNOT))
    }
}

impl Run {
    fn to_its_end(&self, session: &Session<'_>) -> Outcome {
        self.flags.check_authfile(session)?;
        let words = self.flags.words(session, &self.words)?;
        let options = self.flags.options(session, &words)?;
        let [input, output, error] = self.flags.attached();
        let interactive = options.interactive && input;
        check_terminal(session, interactive, options.terminal)?;
        self.flags.check_cidfile(session.personality).map_err(|failure| {
            let code = code_of_client(session.personality, &failure);
            refused(session, failure, code)
        })?;
        self.flags.fetch(session, &options)?;
        let machine = self.flags.machine(session, &options)?;
        self.flags.tell_of_ports(session);
        let context = session.local_context()?;
        check_images(session, &context, &options)?;
        self.flags.replace(&context)?;
        let own = streams(session, interactive)?;
        let streams = Streams {
            output: if output { own.output } else { nowhere()? },
            error: if error { own.error } else { nowhere()? },
            ..own
        };
        let tells_id = session.personality == Personality::Podman && !output && !error;
        let mut told = Told { session, flags: Some(&self.flags), tells_id };
        let run = container::run(&context, &options, machine, streams, &mut told)
            .map_err(|error| taken(session.personality, &context, options.name.as_deref(), error))?;
        if self.flags.removes_image() {
            remove_image(session, &context, &options.image)?;
        }
        ended(session, run, refused)
    }
}

/// Podman finds out that an image is not there which is to be mounted when it starts the container.
fn check_images(session: &Session<'_>, context: &Context, options: &Options) -> Outcome {
    let code = if session.personality == Personality::Podman { NOT_EXECUTABLE } else { CANNOT };
    let mut images = options.settings.mounts.iter().filter(|mount| mount.kind == MountKind::Image);
    images
        .try_for_each(|mount| container::mounted_image(context, mount).map(drop))
        .map_err(|error| refused(session, error.into(), code))
}

/// Removes the image after its container, unless another one uses it, which is said and is no failure.
fn remove_image(session: &Session<'_>, context: &Context, image: &str) -> Outcome {
    let report = rmi::remove_as_podman(context, &[image.to_owned()], false)?;
    for failure in report.failures {
        session.console.notice(format!("WARNING: the image stays: {failure}"));
    }
    Ok(())
}

/// Says what cannot be had, and writes a new container's ID where the user wants it.
pub(super) struct Told<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) flags: Option<&'a Flags>,
    /// Whether the container's ID is all that is heard of it, as with podman.
    pub(super) tells_id: bool,
}

impl Witness for Told<'_> {
    fn made(&mut self, id: &str) -> dhow_base::Result<()> {
        if self.tells_id {
            self.session.console.line(id);
            self.session.console.flush();
        }
        self.flags.map_or(Ok(()), |flags| flags.write_cidfile(id))
    }

    fn note(&mut self, note: &str) {
        self.session.console.notice(format!("WARNING: {note}"));
        self.session.console.flush();
    }
}

/// Refuses what docker's client refuses: a terminal for the container, and none for who types. Podman warns of it.
pub(super) fn check_terminal(session: &Session<'_>, interactive: bool, wants_terminal: bool) -> Outcome {
    if !interactive || !wants_terminal || terminal::input_is_terminal() {
        return Ok(());
    }
    if session.personality != Personality::Podman {
        // Docker's client finds out before it turns to its engine, and says so by another code.
        let message = format!("{}the input device is not a TTY", session.personality.client_prefix());
        return Err(Failure::Usage { message, code: FAILED });
    }
    let environment = &session.environment;
    // Who is not root starts this program anew, which says it then.
    if environment.user != 0 && environment.in_user_namespace.is_none() {
        return Ok(());
    }
    let message = "The input device is not a TTY. The --tty and --interactive flags might not work properly";
    session.console.notice(format!("time={:?} level=warning msg={message:?}", ago::rfc3339(ago::now())));
    Ok(())
}

/// Where what nobody is to see goes.
fn nowhere() -> Outcome<OwnedFd> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null");
    Ok(null.map(OwnedFd::from).map_err(|error| Error::io("cannot open /dev/null", error))?)
}

/// This process's own streams.
pub(super) fn streams(session: &Session<'_>, interactive: bool) -> Outcome<Streams> {
    session.console.flush();
    let (input, output, error) = (io::stdin(), io::stdout(), io::stderr());
    let own = |stream: &dyn AsFd| {
        stream.as_fd().try_clone_to_owned().map_err(|error| Error::io("cannot pass the streams on", error))
    };
    let input = if interactive { Some(own(&input)?) } else { None };
    Ok(Streams { input, output: own(&output)?, error: own(&error)? })
}

/// Ends as the container did. `refused` says how the verb tells of one that was not started, by which code of docker's `run`.
pub(super) fn ended(
    session: &Session<'_>,
    run: container::Run,
    refused: impl FnOnce(&Session<'_>, Failure, u8) -> Failure,
) -> Outcome {
    match run.ended {
        Ended::Exited(0) => Ok(()),
        Ended::Exited(code) => Err(Failure::Quiet(code)),
        Ended::Unheard(_, unwritten) => Err(unheard(session, &run.id, &unwritten)),
        Ended::TimedOut => Err(Failure::Quiet(TIMED_OUT)),
        // Podman's client passes them on for ever.
        Ended::GivenUp if session.personality == Personality::Podman => Err(Failure::Quiet(KILLED)),
        Ended::GivenUp => {
            let message = "\ngot 3 SIGTERM/SIGINTs, forcefully exiting".to_owned();
            Err(Failure::Usage { message, code: FAILED })
        }
        Ended::NotStarted(failure) => {
            let code = match failure.cause {
                StartCause::NotFound => NOT_FOUND,
                StartCause::NotExecutable | StartCause::IsDirectory => NOT_EXECUTABLE,
                // Podman has no code for what it finds out when the container is there.
                StartCause::Setup if session.personality == Personality::Podman => NOT_EXECUTABLE,
                // Docker's client knows what may not be started, or is not there, by these words.
                StartCause::Setup if failure.message.ends_with(": is a directory") => NOT_EXECUTABLE,
                StartCause::Setup if failure.message.ends_with(": no such file or directory") => NOT_FOUND,
                StartCause::Setup => CANNOT,
            };
            let message = start_message(session.personality, &failure);
            Err(refused(session, Failure::Engine(Error::new(Kind::Invalid, message)), code))
        }
    }
}

/// The client's words and code when its own streams take no more, whatever code the container ended with.
fn unheard(session: &Session<'_>, id: &str, unwritten: &Unwritten) -> Failure {
    let is_podman = session.personality == Personality::Podman;
    if is_podman && unwritten.error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::Quiet(BROKEN_PIPE);
    }
    let message = format!("write {}: {}", unwritten.to, words(&unwritten.error));
    match is_podman {
        true => {
            Failure::Usage { message: format!("Error: attaching to container {id}: {message}"), code: NOT_EXECUTABLE }
        }
        false => Failure::Usage { message, code: FAILED },
    }
}

/// Engines tell through whom they heard of a program that cannot be started.
pub(super) fn start_message(personality: Personality, failure: &StartFailure) -> String {
    let message = match (failure.cause, personality) {
        (StartCause::IsDirectory, Personality::Podman) => format!("{}: permission denied", failure.message),
        (StartCause::IsDirectory, _) => format!("{}: is a directory", failure.message),
        _ => failure.message.clone(),
    };
    let during = match failure.stage {
        StartStage::Request => return message,
        StartStage::Container => "error during container init: ",
        StartStage::Program => "",
    };
    let by_runc = format!("runc create failed: unable to start container process: {during}{message}");
    match (personality, failure.cause) {
        (Personality::Dhow, _) => message,
        (Personality::Docker | Personality::Docker29, cause) => {
            // Docker's client knows what may not be started by these words.
            let denied = if cause == StartCause::IsDirectory { ": permission denied" } else { "" };
            let by_containerd = "failed to create task for container: failed to create shim task";
            format!("{by_containerd}: OCI runtime create failed: {by_runc}: unknown{denied}")
        }
        (Personality::Podman, StartCause::NotFound) => {
            format!("runc: {by_runc}: OCI runtime attempted to invoke a command that was not found")
        }
        (Personality::Podman, StartCause::NotExecutable | StartCause::IsDirectory) => {
            format!("runc: {by_runc}: OCI permission denied")
        }
        (Personality::Podman, StartCause::Setup) => format!("OCI runtime error: runc: {by_runc}"),
    }
}

/// The exit code of what goes wrong before there is a container. Docker's client goes by the words, whatever they are about.
fn code_of_client(personality: Personality, failure: &Failure) -> u8 {
    let says = |error: Errno| matches!(failure, Failure::Client(message) if message.ends_with(&words(&error.into())));
    match personality {
        Personality::Podman => CANNOT,
        _ if says(Errno::NOENT) => NOT_FOUND,
        _ if says(Errno::ACCESS) || says(Errno::ISDIR) => NOT_EXECUTABLE,
        _ => CANNOT,
    }
}

/// A failure with the exit code of docker's `run`, and its words around it.
pub(super) fn refused(session: &Session<'_>, failure: Failure, code: u8) -> Failure {
    let personality = session.personality;
    let text = match &failure {
        Failure::Engine(error) if error.kind() != Kind::Cancelled => {
            let hint = error.hint().filter(|_| session.console.shows_hints());
            let hint = hint.map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            format!("{}{error}{hint}", personality.engine_prefix())
        }
        Failure::Reported(error) if error.kind() != Kind::Cancelled => {
            format!("{}{error}", personality.client_prefix())
        }
        Failure::Client(message) => format!("{}{message}", personality.client_prefix()),
        _ => return failure,
    };
    let message = match personality {
        Personality::Docker | Personality::Docker29 => {
            format!("docker: {text}\n\nRun '{} --help' for more information", session.path)
        }
        Personality::Dhow => format!("dhow: {text}"),
        Personality::Podman => text,
    };
    Failure::Usage { message, code }
}
