//! `import` of podman

use clap::Args;
use dhow_base::progress::Silent;
use dhow_base::{Error, Kind};
use dhow_ops::import::{self, Input, Request};
use dhow_spec::Platform;

use super::Copying;
use crate::errors::{Failure, Outcome};
use crate::session::Session;
use crate::verb::{Count, Verb, miscounted};

/// The instructions that podman knows.
const INSTRUCTIONS: [&str; 10] =
    ["USER", "EXPOSE", "ENV", "ENTRYPOINT", "CMD", "VOLUME", "WORKDIR", "LABEL", "STOPSIGNAL", "ONBUILD"];

/// The arguments of `import`.
#[derive(Args, Debug)]
pub(crate) struct Import {
    /// Say that the files are for this architecture
    #[arg(long, value_name = "string")]
    arch: Option<String>,
    /// Apply a Dockerfile instruction to the image, such as CMD=/bin/sh or 'ENV A=b'
    #[arg(short, long, value_name = "strings")]
    change: Vec<String>,
    /// Say in the history what it is
    #[arg(short, long, value_name = "string", default_value = "", hide_default_value = true)]
    message: String,
    /// Say that the files are for this operating system
    #[arg(long, value_name = "string")]
    os: Option<String>,
    /// Print nothing but the ID of the image
    #[arg(short, long)]
    quiet: bool,
    /// Say that the files are for this variant of the architecture
    #[arg(long, value_name = "string")]
    variant: Option<String>,
    #[arg(value_name = "ARCHIVE")]
    operands: Vec<String>,
}

impl Verb for Import {
    const ABOUT: &'static str = "Make an image of a tar archive of files";
    const OPERANDS: &'static str = "PATH [REFERENCE]";
    const COUNT: Count = Count::Between(1, 2);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some(source) = self.operands.first() else { return miscounted() };
        let context = session.local_context()?;
        let name = self.operands.get(1).filter(|name| !name.is_empty());
        let reference = name.map(|name| context.naming().given(name)).transpose()?;
        let input = match source.as_str() {
            "-" => Input::Stdin,
            url if url.starts_with("http://") || url.starts_with("https://") => Input::Url(url.to_owned()),
            path => Input::Path(path.into()),
        };
        let is_file = matches!(input, Input::Path(_));
        let request = Request {
            input,
            changes: self.change.iter().map(|text| instruction(text)).collect::<Outcome<_>>()?,
            message: self.message.clone(),
            platform: self.platform(),
            reference,
        };
        let imported = import::import(&context, &request, &Silent).map_err(|error| match error.kind() {
            Kind::NotFound if is_file => Failure::Client(format!("error opening {source:?}: {error}")),
            _ => Failure::Engine(error),
        })?;
        Copying::new(session.console, self.quiet).whole(&context, imported.image_id.as_str(), true)?;
        session.console.line(imported.image_id.to_string());
        Ok(())
    }
}

impl Import {
    /// What the files are for, where anything is said of it.
    fn platform(&self) -> Option<Platform> {
        if self.arch.is_none() && self.os.is_none() && self.variant.is_none() {
            return None;
        }
        let host = Platform::host();
        let given = |text: &Option<String>, host: String| text.clone().filter(|text| !text.is_empty()).unwrap_or(host);
        let platform = Platform::new(given(&self.os, host.os), given(&self.arch, host.architecture));
        Some(Platform { variant: self.variant.clone().filter(|variant| !variant.is_empty()), ..platform })
    }
}

/// An instruction as docker writes it: podman also takes an equals sign behind the word.
pub(super) fn instruction(text: &str) -> Outcome<String> {
    let refused = |why: String| Failure::Engine(Error::new(Kind::Invalid, format!("invalid change {text:?} - {why}")));
    let split = text.split_once(' ').or_else(|| text.split_once('='));
    let (word, value) = split.ok_or_else(|| refused("must be formatted as KEY VALUE".to_owned()))?;
    let word = word.trim().to_uppercase();
    if !INSTRUCTIONS.contains(&word.as_str()) {
        return Err(refused(format!("invalid instruction {word}")));
    }
    Ok(format!("{word} {}", value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_take_a_space_or_an_equals_sign() {
        for (given, expected) in [
            ("CMD=ls", "CMD ls"),
            ("cmd ls -l", "CMD ls -l"),
            ("ENV=A=b", "ENV A=b"),
            ("LABEL a=b c", "LABEL a=b c"),
            ("ENTRYPOINT=[\"a\",\"b\"]", "ENTRYPOINT [\"a\",\"b\"]"),
        ] {
            assert_eq!(instruction(given).expect(given), expected, "{given}");
        }
        // Recorded from podman 4.3.1.
        for (given, expected) in [
            ("FOO=ls", "invalid change \"FOO=ls\" - invalid instruction FOO"),
            ("FOO ls", "invalid change \"FOO ls\" - invalid instruction FOO"),
            ("FOO", "invalid change \"FOO\" - must be formatted as KEY VALUE"),
            ("CMD=a b", "invalid change \"CMD=a b\" - invalid instruction CMD=A"),
        ] {
            match instruction(given) {
                Err(Failure::Engine(error)) => assert_eq!(error.to_string(), expected, "{given}"),
                other => panic!("{given}: {other:?}"),
            }
        }
    }
}
