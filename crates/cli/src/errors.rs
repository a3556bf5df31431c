//! From failures to messages and exit codes.

use std::fmt::Display;

use dhow_base::{Error, Kind};

use crate::console::Console;
use crate::personality::Personality;

/// Exit code of a flag that cannot be understood.
pub(crate) const FLAG_ERROR: u8 = 125;

/// Exit code of everything else that fails.
pub(crate) const FAILED: u8 = 1;

/// Exit code after SIGINT.
const INTERRUPTED: u8 = 128 + 2;

/// What a verb ends with.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// Why a run failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An operation failed: what docker's daemon would have reported.
    Engine(Error),
    /// An operation failed after it began to report, or docker's client does it itself. Docker's daemon says so among its
    /// reports, and its client repeats that as it is: no daemon is spoken of.
    Reported(Error),
    /// The command line refuses: what docker's client reports itself.
    Client(String),
    /// The arguments cannot be understood; the message brings its usage text along.
    Usage {
        /// The whole text for standard error.
        message: String,
        /// [`FLAG_ERROR`] or [`FAILED`].
        code: u8,
    },
    /// A signal ended the run.
    Interrupted {
        /// What happened and what the user can count on.
        message: String,
        /// 128 and the signal's number, as shells show a program that a signal ended.
        code: u8,
    },
    /// Some of several targets failed.
    Several(Vec<Failure>),
    /// Everything was said already, or nobody listens.
    Quiet(u8),
}

impl Failure {
    /// Several failures as one; none is a success.
    pub(crate) fn join(mut failures: Vec<Failure>) -> Outcome {
        match failures.len() {
            0 => Ok(()),
            1 => failures.pop().map_or(Ok(()), Err),
            _ => Err(Failure::Several(failures)),
        }
    }

    /// What failed of a verb that went on with the rest.
    pub(crate) fn of(errors: Vec<Error>) -> Outcome {
        Self::join(errors.into_iter().map(Failure::Engine).collect())
    }

    /// Puts what it was about before what the command line says.
    pub(crate) fn about(self, what: impl Display) -> Self {
        match self {
            Failure::Client(message) => Failure::Client(format!("{what}: {message}")),
            other => other,
        }
    }

    /// The exit code of the process.
    pub(crate) fn code(&self, personality: Personality) -> u8 {
        match self {
            Failure::Engine(error) | Failure::Reported(error) if error.kind() == Kind::Cancelled => INTERRUPTED,
            Failure::Engine(_) | Failure::Reported(_) | Failure::Client(_) => personality.failed(),
            Failure::Usage { code, .. } | Failure::Interrupted { code, .. } | Failure::Quiet(code) => *code,
            Failure::Several(failures) => {
                failures.iter().map(|failure| failure.code(personality)).max().unwrap_or(personality.failed())
            }
        }
    }

    /// Whether the user stopped the run: nothing else is to be started.
    pub(crate) fn is_interruption(&self) -> bool {
        match self {
            Failure::Engine(error) | Failure::Reported(error) => error.kind() == Kind::Cancelled,
            failure => matches!(failure, Failure::Interrupted { .. }),
        }
    }

    /// Whether an object does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Failure::Engine(error) if error.kind() == Kind::NotFound)
    }

    /// An engine's failure in one line, for who goes on all the same.
    pub(crate) fn text(&self, personality: Personality) -> String {
        match self {
            Failure::Engine(error) => format!("{}{error}", personality.engine_prefix()),
            Failure::Client(message) => format!("{}{message}", personality.client_prefix()),
            _ => String::new(),
        }
    }

    /// Says it on standard error, with hints when a person is reading.
    pub(crate) fn report(&self, personality: Personality, console: &Console) {
        match self {
            Failure::Engine(error) if error.kind() == Kind::Cancelled => report(console, "", error),
            Failure::Engine(error) => report(console, personality.engine_prefix(), error),
            Failure::Reported(error) => report(console, personality.client_prefix(), error),
            Failure::Client(message) => console.notice(format!("{}{message}", personality.client_prefix())),
            Failure::Usage { message, .. } | Failure::Interrupted { message, .. } => console.notice(message),
            Failure::Several(failures) => match self.collected(personality) {
                Some(text) => console.notice(text),
                None => failures.iter().for_each(|failure| failure.report(personality, console)),
            },
            Failure::Quiet(_) => {}
        }
    }

    /// Several failures as one text, for those who tell them so; not what was said already or is no error.
    fn collected(&self, personality: Personality) -> Option<String> {
        let Failure::Several(failures) = self else { return None };
        let texts: Option<Vec<String>> = failures
            .iter()
            .map(|failure| match failure {
                Failure::Engine(error) | Failure::Reported(error) if error.kind() != Kind::Cancelled => {
                    Some(error.to_string())
                }
                Failure::Client(message) => Some(message.clone()),
                _ => None,
            })
            .collect();
        personality.several(&texts?).map(|text| format!("{}{text}", personality.client_prefix()))
    }
}

fn report(console: &Console, prefix: &str, error: &Error) {
    console.notice(format!("{prefix}{error}"));
    let way_out = match error.kind() {
        // Not every path that is written is in the store.
        Kind::NoSpace => Some(
            "free space on that disk; of the store, `dhow system df --disk` shows what takes it and `dhow image prune -a` frees some",
        ),
        _ => None,
    };
    if let Some(hint) = error.hint().or(way_out).filter(|_| console.shows_hints()) {
        console.notice(format!("hint: {hint}"));
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Engine(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(kind: Kind) -> Failure {
        Failure::Engine(Error::new(kind, "x"))
    }

    #[test]
    fn codes() {
        let codes = |failure: Failure| [Personality::Docker, Personality::Podman].map(|who| failure.code(who));
        assert_eq!(codes(engine(Kind::NotFound)), [1, 125]);
        assert_eq!(codes(engine(Kind::Cancelled)), [130, 130]);
        assert_eq!(codes(Failure::Client("x".to_owned())), [1, 125]);
        assert_eq!(codes(Failure::Several(vec![engine(Kind::NotFound), engine(Kind::Cancelled)])), [130, 130]);
        assert_eq!(codes(Failure::Quiet(141)), [141, 141]);
    }

    #[test]
    fn joining() {
        assert!(Failure::join(Vec::new()).is_ok());
        assert!(matches!(Failure::join(vec![engine(Kind::Io)]), Err(Failure::Engine(_))));
        assert!(matches!(Failure::join(vec![engine(Kind::Io), engine(Kind::Io)]), Err(Failure::Several(_))));
    }
}
