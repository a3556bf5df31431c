//! Standard output and standard error.

use std::io::{self, BufWriter, IsTerminal, Stderr, Stdout, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dhow_base::error::words;

use crate::errors::{Failure, Outcome};
use crate::format::text::without_controls;

/// Exit status of a program that SIGPIPE killed, as the shell shows it: docker dies of it, so scripts may look for it.
pub(crate) const BROKEN_PIPE: u8 = 128 + 13;

/// How much of the results is written at once: long lists go to a pipe in a few steps.
const OUT_BYTES: usize = 64 << 10;

/// Where results and notices go. Results are buffered; a failed write is remembered, and [`Console::finish`] reports it.
#[derive(Debug)]
pub(crate) struct Console {
    out: Mutex<Output>,
    out_is_terminal: bool,
    error_is_terminal: bool,
    /// Whether standard output is for documents only.
    is_diverted: AtomicBool,
}

#[derive(Debug)]
struct Output {
    writer: BufWriter<Stdout>,
    failed: Option<io::Error>,
}

impl Console {
    /// The process's own streams.
    pub(crate) fn new() -> Self {
        let (out, error): (Stdout, Stderr) = (io::stdout(), io::stderr());
        Self {
            out_is_terminal: out.is_terminal(),
            error_is_terminal: error.is_terminal(),
            is_diverted: AtomicBool::new(false),
            out: Mutex::new(Output { writer: BufWriter::with_capacity(OUT_BYTES, out), failed: None }),
        }
    }

    /// Whether standard output is a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.out_is_terminal
    }

    /// Whether standard error is a terminal: only then hints are shown.
    pub(crate) fn shows_hints(&self) -> bool {
        self.error_is_terminal
    }

    /// Writes a line of results.
    pub(crate) fn line(&self, text: impl AsRef<str>) {
        self.text(text);
        self.text("\n");
    }

    /// Writes results as they are.
    pub(crate) fn text(&self, text: impl AsRef<str>) {
        let text = text.as_ref();
        let mut out = self.output();
        if out.failed.is_none() {
            let written = if self.out_is_terminal {
                out.writer.write_all(without_controls(text).as_bytes())
            } else {
                out.writer.write_all(text.as_bytes())
            };
            out.failed = written.err();
        }
    }

    /// Writes bytes of any kind. On a terminal they are text without control characters: they are somebody else's.
    pub(crate) fn bytes(&self, bytes: &[u8]) {
        if self.out_is_terminal {
            return self.text(String::from_utf8_lossy(bytes));
        }
        let mut out = self.output();
        if out.failed.is_none() {
            out.failed = out.writer.write_all(bytes).err();
        }
    }

    /// Whether results could not be written. [`Console::finish`] says so.
    pub(crate) fn has_failed(&self) -> bool {
        self.output().failed.is_some()
    }

    /// Writes what was drawn for a terminal: its escape sequences are the program's own, and nobody else's are in it.
    pub(crate) fn drawn(&self, text: &str) {
        let mut out = self.output();
        if out.failed.is_none() {
            out.failed = out.writer.write_all(text.as_bytes()).err();
        }
    }

    /// Display columns of the terminal that standard output is; 0 when it is none, or does not know.
    pub(crate) fn columns(&self) -> usize {
        let size = self.out_is_terminal.then(|| rustix::termios::tcgetwinsize(io::stdout()).ok()).flatten();
        size.map_or(0, |size| usize::from(size.ws_col))
    }

    /// Keeps standard output for documents from now on: [`Console::aside`] goes to standard error.
    pub(crate) fn divert(&self) {
        self.is_diverted.store(true, Ordering::Relaxed);
    }

    /// Whether standard output is for documents only.
    pub(crate) fn is_diverted(&self) -> bool {
        self.is_diverted.load(Ordering::Relaxed)
    }

    /// Whether a person sees what is said beside results.
    pub(crate) fn shows_asides(&self) -> bool {
        if self.is_diverted() { self.error_is_terminal } else { self.out_is_terminal }
    }

    /// Writes what is said beside results, such as questions and progress. Docker says it on standard output.
    pub(crate) fn aside(&self, text: impl AsRef<str>) {
        if self.is_diverted() {
            self.flush();
            // As in a notice.
            let _ = io::stderr().lock().write_all(self.for_error(text.as_ref()).as_bytes());
        } else {
            self.text(text);
        }
    }

    /// Hands what was written so far to the operating system, so that a reader sees progress as it happens.
    pub(crate) fn flush(&self) {
        let mut out = self.output();
        if out.failed.is_none() {
            out.failed = out.writer.flush().err();
        }
    }

    /// Writes a line to standard error, after everything written to standard output so far.
    pub(crate) fn notice(&self, text: impl AsRef<str>) {
        self.flush();
        // Nobody is left to tell when standard error cannot be written.
        let _ = writeln!(io::stderr().lock(), "{}", self.for_error(text.as_ref()));
    }

    fn for_error(&self, text: &str) -> String {
        if self.error_is_terminal { without_controls(text) } else { text.to_owned() }
    }

    /// Flushes, and says whether all results arrived.
    ///
    /// # Errors
    /// A reader that went away ends the program quietly, as SIGPIPE would; other failures are named.
    pub(crate) fn finish(&self) -> Outcome {
        self.flush();
        match self.output().failed.take() {
            None => Ok(()),
            Some(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::Quiet(BROKEN_PIPE)),
            Some(error) => Err(Failure::Client(format!("cannot write to standard output: {}", words(&error)))),
        }
    }

    fn output(&self) -> MutexGuard<'_, Output> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
