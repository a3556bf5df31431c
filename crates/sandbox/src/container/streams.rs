//! The streams between a container and whoever runs it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;
use std::thread::JoinHandle;

use dhow_base::threads;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

/// Bytes that are moved at once.
const BUFFER_BYTES: usize = 64 << 10;

/// Go's name for standard output (`os.Stdout`).
const OUTPUT: &str = "/dev/stdout";

/// The streams of whoever runs a container.
#[derive(Debug)]
pub struct Streams {
    /// What the container reads; nothing for none.
    pub input: Option<OwnedFd>,
    /// Where its standard output goes.
    pub output: OwnedFd,
    /// Where its standard error goes.
    pub error: OwnedFd,
}

/// What a stream of a container did not get to, and why.
#[derive(Debug)]
pub struct Unwritten {
    /// The stream, under the name that Go's programs have for it.
    pub to: &'static str,
    /// What the system said.
    pub error: io::Error,
}

/// A thread that passes on what a container writes.
pub(super) struct Moving {
    to: &'static str,
    thread: JoinHandle<io::Result<()>>,
}

impl Moving {
    /// Waits for the last byte, or for the first that could not be written.
    pub(super) fn finish(self) -> Option<Unwritten> {
        let error = self.thread.join().ok()?.err()?;
        Some(Unwritten { to: self.to, error })
    }
}

/// Our ends of the container's pipes.
pub(super) struct Pipes {
    input: Option<File>,
    output: File,
    error: File,
}

impl Pipes {
    /// Makes pipes; a container that reads nothing gets the end of one at once.
    pub(super) fn new(has_input: bool) -> io::Result<(Self, [Stdio; 3])> {
        let (input_reader, input_writer) = io::pipe()?;
        let (output_reader, output_writer) = io::pipe()?;
        let (error_reader, error_writer) = io::pipe()?;
        let file = |end: OwnedFd| File::from(end);
        let input = has_input.then(|| file(input_writer.into()));
        // Docker gives the null device to who has no input.
        let stdin = if has_input { Stdio::from(input_reader) } else { Stdio::null() };
        let pipes = Self { input, output: file(output_reader.into()), error: file(error_reader.into()) };
        Ok((pipes, [stdin, output_writer.into(), error_writer.into()]))
    }

    /// Moves bytes until the container's ends are closed. The thread for its input ends with the process: it waits for the user.
    pub(super) fn connect(self, streams: Streams) -> io::Result<Vec<Moving>> {
        if let (Some(theirs), Some(ours)) = (self.input, streams.input) {
            move_all(File::from(ours), theirs)?;
        }
        Ok(vec![
            Moving { to: OUTPUT, thread: move_all(self.output, File::from(streams.output))? },
            Moving { to: "/dev/stderr", thread: move_all(self.error, File::from(streams.error))? },
        ])
    }
}

/// The terminal that shows a container's, whose size it has: where output goes, as docker has it, also where no keys are passed on; where
/// keys come from if output goes elsewhere.
pub(super) struct Screen(Option<OwnedFd>);

impl Screen {
    pub(super) fn of(streams: &Streams) -> io::Result<Self> {
        let shown = [Some(&streams.output), streams.input.as_ref()].into_iter().flatten().find(|end| isatty(end));
        Ok(Self(shown.map(|end| end.try_clone()).transpose()?))
    }

    /// Gives a container's terminal its size.
    pub(super) fn size(&self, master: impl AsFd) {
        if let Some(size) = self.0.as_ref().and_then(|screen| tcgetwinsize(screen).ok()) {
            let _ = tcsetwinsize(master, size);
        }
    }
}

/// Our side of a container's terminal.
pub(super) struct Terminal {
    master: File,
    screen: Screen,
    _user: Option<UserTerminal>,
}

impl Terminal {
    /// Takes the user's terminal over, if keys come from one.
    pub(super) fn new(master: OwnedFd, screen: Screen, streams: &Streams) -> io::Result<Self> {
        let user = streams.input.as_ref().map(UserTerminal::take).transpose()?.flatten();
        let terminal = Self { master: File::from(master), screen, _user: user };
        // It may have changed while the container began.
        terminal.resize();
        Ok(terminal)
    }

    /// Gives it the size of the user's terminal.
    pub(super) fn resize(&self) {
        self.screen.size(&self.master);
    }

    /// As [`Pipes::connect`].
    pub(super) fn connect(&self, streams: Streams) -> io::Result<Vec<Moving>> {
        if let Some(ours) = streams.input {
            move_all(File::from(ours), self.master.try_clone()?)?;
        }
        Ok(vec![Moving { to: OUTPUT, thread: move_all(self.master.try_clone()?, File::from(streams.output))? }])
    }
}

/// The terminal of the user, which passes every key on as long as this lives.
pub(super) struct UserTerminal {
    terminal: OwnedFd,
    before: Termios,
}

impl UserTerminal {
    /// Nothing when the stream is no terminal.
    pub(super) fn take(stream: &impl AsFd) -> io::Result<Option<Self>> {
        let Ok(before) = tcgetattr(stream) else { return Ok(None) };
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stream, OptionalActions::Now, &raw)?;
        Ok(Some(Self { terminal: stream.as_fd().try_clone_to_owned()?, before }))
    }
}

impl Drop for UserTerminal {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Drain, &self.before);
    }
}

/// Moves bytes until there are none any more, or until nobody takes them: an error then. Both ends are dropped, so that the other side hears
/// of it.
fn move_all(mut from: File, mut to: File) -> io::Result<JoinHandle<io::Result<()>>> {
    let moving = threads::start("move", move || {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => to.write_all(&buffer[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A terminal whose other side is closed says that so.
                Err(_) => return Ok(()),
            }
        }
    });
    moving.map_err(io::Error::other)
}
