//! `import`

use std::path::PathBuf;

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::import::{self, Input, Request};

use super::targets;
use crate::errors::{Failure, Outcome};
use crate::session::Session;
use crate::verb::{Count, Verb};

/// What the history says when the user says nothing; docker's client sends files as if they came from standard input.
const MESSAGE: &str = "Imported from -";

/// The arguments of `import`.
#[derive(Args, Debug)]
pub(crate) struct Import {
    /// Apply a Dockerfile instruction to the image, such as 'CMD ["sh"]' or 'ENV A=b'
    #[arg(short, long, value_name = "list")]
    change: Vec<String>,
    /// Say in the history what it is
    #[arg(short, long, value_name = "string")]
    message: Option<String>,
    /// Say what the files run on
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    #[arg(value_name = "ARCHIVE")]
    operands: Vec<String>,
}

impl Verb for Import {
    const ABOUT: &'static str = "Make an image of a tar archive of files";
    const OPERANDS: &'static str = "file|- [REPOSITORY[:TAG]]";
    const COUNT: Count = Count::AtLeast(1);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some(source) = self.operands.first() else { return Ok(()) };
        let input = match source.as_str() {
            "-" => Input::Stdin,
            url if url.starts_with("http://") || url.starts_with("https://") => {
                let message = format!("cannot import {url}: archives are read from files and standard input only");
                let hint = "fetch it and pipe it in: curl -fL URL | dhow import -";
                return Err(Error::new(Kind::Unsupported, message).with_hint(hint).into());
            }
            path => Input::Path(PathBuf::from(path)),
        };
        let context = session.local_context()?;
        let name = self.operands.get(1).filter(|name| !name.is_empty());
        let reference = name.map(|name| {
            // Docker's client checks the name before it sends anything.
            context.naming().given(name).map_err(|error| Failure::Client(error.to_string()))
        });
        let platform = self.platform.as_deref().or(session.environment.default_platform.as_deref());
        let request = Request {
            input,
            changes: self.change,
            message: self.message.filter(|message| !message.is_empty()).unwrap_or_else(|| MESSAGE.to_owned()),
            platform: targets::platform(platform)?,
            reference: reference.transpose()?,
        };
        let imported = import::import(&context, &request).map_err(|error| match error.kind() {
            // Docker's client opens the file itself.
            Kind::NotFound => Failure::Reported(error),
            _ => Failure::Engine(error),
        })?;
        session.console.line(imported.image_id.to_string());
        Ok(())
    }
}
