//! What verbs with several targets have in common.

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::Platforms;
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

/// Options of the verbs that move multi-platform images.
#[derive(Args, Clone, Debug)]
pub(crate) struct PlatformOptions {
    /// Only this platform of multi-platform images; several with commas, or by repeating it
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    platform: Vec<String>,
    /// All platforms of multi-platform images
    #[arg(long)]
    all_platforms: bool,
}

impl PlatformOptions {
    /// What was asked for; `default` is what is, unless something else is. Docker leaves parsing to its engine.
    ///
    /// # Errors
    /// Docker's words for what is no platform; that both options contradict each other.
    pub(crate) fn platforms(&self, default: Option<&str>) -> Outcome<Platforms> {
        let given: Vec<&str> = self.platform.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
        if self.all_platforms {
            if !given.is_empty() {
                let message = "conflicting options: cannot specify both --platform and --all-platforms";
                return Err(Failure::Client(message.to_owned()));
            }
            return Ok(Platforms::All);
        }
        let default = default.filter(|text| given.is_empty() && !text.is_empty());
        let mut platforms: Vec<Platform> = Vec::new();
        for text in given.into_iter().chain(default) {
            let platform = parse(text)?;
            if platforms.iter().all(|known| known.normalized() != platform.normalized()) {
                platforms.push(platform);
            }
        }
        Ok(if platforms.is_empty() { Platforms::Default } else { Platforms::These(platforms) })
    }
}

/// Parses the value of a `--platform` that takes one. An empty one means none.
///
/// # Errors
/// As [`PlatformOptions::platforms`].
pub(crate) fn platform(text: Option<&str>) -> Outcome<Option<Platform>> {
    text.filter(|text| !text.is_empty()).map(parse).transpose()
}

/// Parses the platform that an image is to say it is for: as [`platform`], with the version of the operating system behind a
/// colon, as crane has it.
///
/// # Errors
/// As [`PlatformOptions::platforms`].
pub(crate) fn platform_with_version(text: Option<&str>) -> Outcome<Option<Platform>> {
    let Some((plain, version)) = text.and_then(|text| text.split_once(':')) else { return platform(text) };
    let is_version = !version.is_empty() && version.chars().all(|c| c.is_ascii_alphanumeric() || "._-+".contains(c));
    if plain.is_empty() || !is_version {
        let message = format!("{:?}: a platform is os/arch[/variant][:osversion]", text.unwrap_or_default());
        return Err(Error::new(Kind::Invalid, message).into());
    }
    Ok(Some(Platform { os_version: Some(version.to_owned()), ..parse(plain)? }))
}

fn parse(text: &str) -> Outcome<Platform> {
    Platform::parse(text).map_err(|error| Error::new(Kind::Invalid, error.to_string()).into())
}
