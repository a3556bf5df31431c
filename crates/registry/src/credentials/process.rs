//! Running another program to its end, with limits on what it says and how long it takes.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use dhow_base::threads;

/// Most that is taken from each of a program's outputs, in bytes: far more than any credential.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;

/// How often is looked whether the program has ended, when its outputs do not tell.
const TICK: Duration = Duration::from_millis(20);

/// How long outputs are waited for after the program's end: a daemon that it started may keep them open for ever.
const GRACE: Duration = Duration::from_millis(500);

/// How a program ended.
#[derive(Debug)]
pub(super) enum End {
    /// By itself.
    Exited { status: ExitStatus, stdout: Vec<u8>, stderr: Vec<u8> },
    /// Not in time, so that it was killed.
    TimedOut,
    /// It said too much.
    Endless,
}

/// Runs `program` with one argument and this input.
pub(super) fn run(program: &Path, argument: &str, input: Vec<u8>, patience: Duration) -> io::Result<End> {
    let deadline = Instant::now() + patience;
    let mut child = Command::new(program)
        .arg(argument)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let end = converse(&mut child, input, deadline);
    if !matches!(end, Ok(End::Exited { .. } | End::Endless)) {
        child.kill()?;
        child.wait()?;
    }
    end
}

/// Gives a program its input and takes what it says until it ends, or until it is too late.
fn converse(child: &mut Child, input: Vec<u8>, deadline: Instant) -> io::Result<End> {
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input is judged by its answer.
        threads::start("helper", move || drop(stdin.write_all(&input))).map_err(io::Error::other)?;
    }
    let (ends, ended) = channel();
    let stdout = collect(child.stdout.take(), ends.clone())?;
    let stderr = collect(child.stderr.take(), ends)?;
    let Some(status) = wait(child, &ended, deadline)? else { return Ok(End::TimedOut) };
    while ended.recv_timeout(GRACE).is_ok() {}
    let (stdout, stderr) = (take(&stdout), take(&stderr));
    if stdout.len().max(stderr.len()) as u64 > OUTPUT_BYTES_MAX {
        return Ok(End::Endless);
    }
    Ok(End::Exited { status, stdout, stderr })
}

/// Waits for the end of the program; `None` when it does not come in time.
fn wait(child: &mut Child, ended: &Receiver<()>, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        if ended.recv_timeout(TICK) == Err(RecvTimeoutError::Disconnected) {
            // Both outputs are closed: the end is near.
            thread::sleep(Duration::from_millis(1));
        }
    }
}

type Collected = Arc<Mutex<Vec<u8>>>;

/// Reads an output on a thread of its own, up to one byte more than may be; what follows meets a closed pipe.
fn collect(output: Option<impl Read + Send + 'static>, end: Sender<()>) -> io::Result<Collected> {
    let collected = Collected::default();
    let of_thread = Arc::clone(&collected);
    let take_all = move || {
        if let Some(pipe) = output {
            read(pipe, &of_thread);
        }
        drop(end);
    };
    threads::start("helper", take_all).map_err(io::Error::other)?;
    Ok(collected)
}

fn read(mut pipe: impl Read, collected: &Collected) {
    let mut buffer = [0; 8 << 10];
    let mut left = OUTPUT_BYTES_MAX + 1;
    while left > 0 {
        let count = match pipe.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        collected.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..count]);
        left = left.saturating_sub(count as u64);
    }
}

fn take(collected: &Collected) -> Vec<u8> {
    std::mem::take(&mut collected.lock().unwrap_or_else(PoisonError::into_inner))
}
