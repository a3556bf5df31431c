//! Asking the user.

use std::fmt::Display;
use std::io::{self, BufRead, IsTerminal, Read};

use dhow_base::secret::Secret;
use dhow_base::{Error, Kind};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::console::Console;
use crate::errors::Outcome;
use crate::signals;

/// Longest line that is taken from the user, in bytes: passwords and tokens can be long, but not without end.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Control-C, Control-D, Control-U and the two ways to say «erase» as a terminal in non-canonical mode sends them.
const INTERRUPT: u8 = 0x03;
const END: u8 = 0x04;
const KILL: u8 = 0x15;
const ERASE: [u8; 2] = [0x08, 0x7f];

/// Whether standard input is a terminal.
pub(crate) fn input_is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// Shows `question` and reads the answer, without its line ending. The end of input is an empty
/// answer.
///
/// # Errors
/// Those of reading.
pub(crate) fn ask(console: &Console, question: &str) -> Outcome<String> {
    Ok(ask_for_line(console, question)?.0)
}

/// As [`ask`]; says too whether the line was ended.
///
/// # Errors
/// Those of reading.
pub(crate) fn ask_for_line(console: &Console, question: &str) -> Outcome<(String, bool)> {
    console.aside(question);
    console.flush();
    let mut answer = Vec::new();
    let mut input = io::stdin().lock().take(LINE_BYTES_MAX);
    input.read_until(b'\n', &mut answer).map_err(unreadable)?;
    let is_ended = answer.ends_with(b"\n");
    let answer = String::from_utf8_lossy(&answer);
    Ok((answer.trim_end_matches(['\n', '\r']).to_owned(), is_ended))
}

/// Has the user choose one of several by its number.
///
/// # Errors
/// Those of reading; [`Kind::Cancelled`] when there are three answers that are none.
pub(crate) fn choose<'a, T: Display>(console: &Console, question: &str, choices: &'a [T]) -> Outcome<&'a T> {
    let list = (1..).zip(choices).map(|(number, choice)| format!("  {number}) {choice}\n"));
    console.aside(format!("{question}\n{}", list.collect::<String>()));
    for _ in 0..3 {
        let answer = ask(console, &format!("Number (1-{}): ", choices.len()))?;
        let number = answer.trim().parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        if let Some(choice) = number.and_then(|index| choices.get(index)) {
            return Ok(choice);
        }
    }
    Err(Error::new(Kind::Cancelled, "nothing was chosen").into())
}

/// Asks for a yes; anything but `y` or `Y` is a no, the end of input too.
///
/// # Errors
/// Those of reading.
pub(crate) fn confirm(console: &Console, warning: &str) -> Outcome<bool> {
    let answer = ask(console, &format!("{warning}\nAre you sure you want to continue? [y/N] "))?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}

/// Asks for a secret: what the user types is not shown.
///
/// # Errors
/// Those of reading; [`Kind::Cancelled`] when the user presses Control-C, with the terminal as it was before.
pub(crate) fn ask_secret(console: &Console, question: &str) -> Outcome<Secret> {
    let silence = Silence::new().map_err(unreadable)?;
    let end = || {
        silence.end();
        // The user's own line ending was not shown either.
        console.aside("\n");
        console.flush();
    };
    let typed = signals::ending(end, || {
        // Before the question: who answers at once must not be shown either.
        silence.begin().map_err(unreadable)?;
        console.aside(question);
        console.flush();
        read_secret(io::stdin().lock())
    });
    end();
    Ok(typed?)
}

/// Takes all of an input, but for one line ending, as a secret.
///
/// # Errors
/// Those of reading.
pub(crate) fn read_password(input: impl Read) -> Outcome<Secret> {
    let mut text = String::new();
    input.take(LINE_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Secret::new(text.strip_suffix('\r').unwrap_or(text)))
}

fn read_secret(input: impl BufRead) -> Result<Secret, Error> {
    let mut typed: Vec<u8> = Vec::new();
    for byte in input.take(LINE_BYTES_MAX).bytes() {
        match byte.map_err(unreadable)? {
            INTERRUPT => return Err(Error::new(Kind::Cancelled, "interrupted")),
            END | b'\n' | b'\r' => break,
            KILL => typed.clear(),
            byte if ERASE.contains(&byte) => erase(&mut typed),
            byte => typed.push(byte),
        }
    }
    let text = String::from_utf8(typed).map_err(|_| Error::new(Kind::Invalid, "the password is not UTF-8 text"))?;
    Ok(Secret::new(text))
}

/// Takes back the last character, which may be several bytes.
fn erase(typed: &mut Vec<u8>) {
    while let Some(byte) = typed.pop() {
        let continues = byte & 0b1100_0000 == 0b1000_0000;
        if !continues {
            break;
        }
    }
}

fn unreadable(error: io::Error) -> Error {
    Error::io("cannot read standard input", error)
}

/// Turns off echo, and with it the terminal's line editing and signals: were Control-C to kill the program, the user's
/// shell would stay without echo. Dropping it restores what was.
#[derive(Debug)]
struct Silence {
    before: Termios,
}

impl Silence {
    /// Changes nothing yet.
    fn new() -> io::Result<Self> {
        Ok(Self { before: tcgetattr(io::stdin())? })
    }

    fn begin(&self) -> io::Result<()> {
        let mut silent = self.before.clone();
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        Ok(tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?)
    }

    fn end(&self) {
        // There is nothing else to try when the terminal is gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(bytes: &[u8]) -> Result<String, Kind> {
        read_secret(bytes).map(|secret| secret.expose().to_owned()).map_err(|error| error.kind())
    }

    #[test]
    fn secrets_can_be_edited_and_abandoned() {
        assert_eq!(typed(b"hunter2\nrest"), Ok("hunter2".to_owned()));
        assert_eq!(typed(b"hunter3\x7f2\r"), Ok("hunter2".to_owned()));
        assert_eq!(typed(b"wrong\x15right\n"), Ok("right".to_owned()));
        assert_eq!(typed("é\x08x\n".as_bytes()), Ok("x".to_owned()));
        assert_eq!(typed(b"\x7f\n"), Ok(String::new()));
        assert_eq!(typed(b"hun\x03ter2\n"), Err(Kind::Cancelled));
        assert_eq!(typed(b"\xff\n"), Err(Kind::Invalid));
    }

    #[test]
    fn one_line_ending_is_not_part_of_the_password() {
        let read = |text: &str| read_password(text.as_bytes()).unwrap().expose().to_owned();
        assert_eq!(read("secret\n"), "secret");
        assert_eq!(read("secret\r\n"), "secret");
        assert_eq!(read("secret\r"), "secret");
        assert_eq!(read(" two\nlines \n\n"), " two\nlines \n");
    }
}
