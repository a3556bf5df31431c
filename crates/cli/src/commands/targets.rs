//! What verbs with several targets have in common.

use dhow_base::{Error, Kind};
use dhow_spec::{Platform, Reference};

use crate::errors::{Failure, Outcome};

/// Does the same to every target. A failure does not keep the others from their turn, unless it is the user's wish to
/// stop; all failures are told together at the end.
///
/// # Errors
/// All that failed.
pub(crate) fn each<T>(targets: impl IntoIterator<Item = T>, mut action: impl FnMut(T) -> Outcome) -> Outcome {
    let mut failures = Vec::new();
    for target in targets {
        if let Err(failure) = action(target) {
            let stop = failure.is_interruption();
            failures.push(failure);
            if stop {
                break;
            }
        }
    }
    Failure::join(failures)
}

/// Parses a reference as docker's client does, which reports mistakes itself.
///
/// # Errors
/// Docker's words for what is wrong with it.
pub(crate) fn reference(text: &str) -> Outcome<Reference> {
    Reference::parse(text).map_err(|error| Failure::Client(error.to_string()))
}

/// Parses the value of `--platform`, which docker leaves to its engine. An empty one means none.
///
/// # Errors
/// Docker's words for what is wrong with it.
pub(crate) fn platform(text: Option<&str>) -> Outcome<Option<Platform>> {
    match text {
        None | Some("") => Ok(None),
        Some(text) => {
            Platform::parse(text).map(Some).map_err(|error| Error::new(Kind::Invalid, error.to_string()).into())
        }
    }
}
