//! Whose habits the program takes on, told by the name it was called by.

use std::ffi::OsStr;
use std::path::Path;

/// The tool that the user thinks is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Personality {
    /// dhow itself: docker 28's behaviour without the talk of a daemon.
    Dhow,
    /// Called through a link named `docker`.
    Docker,
}

impl Personality {
    /// Reads the personality off the program's name.
    ///
    /// # Errors
    /// What to say when the name promises habits that dhow does not have.
    pub(crate) fn of(program: Option<&OsStr>) -> Result<Self, String> {
        let name = program.and_then(|path| Path::new(path).file_name()).and_then(OsStr::to_str);
        match name {
            Some("docker") => Ok(Personality::Docker),
            Some("podman") => {
                Err("Error: dhow does not have podman's habits yet and was called by a link named podman: \
                                   call it as dhow or through a link named docker"
                    .to_owned())
            }
            _ => Ok(Personality::Dhow),
        }
    }

    /// The name in usage texts.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Personality::Dhow => "dhow",
            Personality::Docker => "docker",
        }
    }

    /// What stands before an error that docker's daemon would have reported.
    pub(crate) fn engine_prefix(self) -> &'static str {
        match self {
            Personality::Dhow => "",
            Personality::Docker => "Error response from daemon: ",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides() {
        assert_eq!(Personality::of(Some(OsStr::new("/usr/bin/docker"))), Ok(Personality::Docker));
        assert_eq!(Personality::of(Some(OsStr::new("./dhow"))), Ok(Personality::Dhow));
        assert_eq!(Personality::of(Some(OsStr::new("dhow-0.1"))), Ok(Personality::Dhow));
        assert_eq!(Personality::of(None), Ok(Personality::Dhow));
        assert!(Personality::of(Some(OsStr::new("podman"))).is_err());
    }
}
