//! Podman's ways to say for which platform an image is to be.

use clap::Args;
use dhow_spec::Platform;

use crate::commands::targets;
use crate::errors::{Failure, Outcome};

/// The parts of a platform, each an option.
#[derive(Args, Debug)]
pub(in crate::commands) struct PlatformParts {
    /// Take this architecture of multi-platform images
    #[arg(long, value_name = "string")]
    pub(in crate::commands) arch: Option<String>,
    /// Take this operating system of multi-platform images
    #[arg(long, value_name = "string")]
    pub(in crate::commands) os: Option<String>,
    /// Take this variant of the architecture
    #[arg(long, value_name = "string")]
    pub(in crate::commands) variant: Option<String>,
}

impl PlatformParts {
    /// The name of one that is given.
    pub(in crate::commands) fn given(&self) -> Option<&'static str> {
        let all = [("arch", &self.arch), ("os", &self.os), ("variant", &self.variant)];
        all.into_iter().find(|(_, value)| value.is_some()).map(|(name, _)| name)
    }

    /// The platform that they and `whole`, the value of `--platform`, stand for; without an architecture or system, this machine's.
    ///
    /// # Errors
    /// In podman's words where both are given; those of parsing.
    pub(in crate::commands) fn platform(&self, whole: Option<&str>) -> Outcome<Option<Platform>> {
        let part = |part: &Option<String>| part.clone().filter(|text| !text.is_empty());
        let (arch, os, variant) = (part(&self.arch), part(&self.os), part(&self.variant));
        if let Some(whole) = whole.filter(|text| !text.is_empty()) {
            if arch.is_some() || os.is_some() {
                let message = "--platform option can not be specified with --arch or --os";
                return Err(Failure::Client(message.to_owned()));
            }
            let platform = targets::platform(Some(whole))?;
            return Ok(platform.map(|platform| Platform { variant: variant.or(platform.variant.clone()), ..platform }));
        }
        if arch.is_none() && os.is_none() && variant.is_none() {
            return Ok(None);
        }
        let host = Platform::host();
        let platform = Platform::new(os.as_deref().unwrap_or(&host.os), arch.as_deref().unwrap_or(&host.architecture));
        Ok(Some(Platform { variant, ..platform }))
    }
}
