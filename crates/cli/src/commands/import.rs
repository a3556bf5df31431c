//! `import`

use std::path::PathBuf;

use clap::Args;
use dhow_base::Kind;
use dhow_ops::import::{self, Input, Request};

use super::targets;
use crate::errors::{Failure, Outcome};
use crate::personality::Personality;
use crate::progress::Progress;
use crate::progress::state::Direction;
use crate::session::Session;
use crate::verb::{Count, Verb, miscounted};

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
    const OPERANDS: &'static str = "file|URL|- [REPOSITORY[:TAG]]";
    const COUNT: Count = Count::AtLeast(1);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let Some(source) = self.operands.first() else { return miscounted() };
        let input = match source.as_str() {
            "-" => Input::Stdin,
            url if url.starts_with("http://") || url.starts_with("https://") => Input::Url(url.to_owned()),
            path => Input::Path(PathBuf::from(path)),
        };
        let context = session.local_context()?;
        let name = self.operands.get(1).filter(|name| !name.is_empty());
        let reference = name.map(|name| {
            // Docker's client checks the name before it sends anything.
            context.naming().given(name).map_err(|error| Failure::Client(error.to_string()))
        });
        let platform = self.platform.as_deref().or(session.environment.default_platform.as_deref());
        let message = self.message.filter(|message| !message.is_empty()).unwrap_or_else(|| match &input {
            Input::Url(url) => format!("Imported from {}", import::shown_url(url)),
            Input::Path(_) | Input::Stdin => MESSAGE.to_owned(),
        });
        let request = Request {
            input,
            changes: self.change,
            message,
            platform: targets::platform(platform)?,
            reference: reference.transpose()?,
        };
        let imported = {
            let is_fetched = matches!(request.input, Input::Url(_));
            if let Input::Url(url) = &request.input {
                announce(session, url);
            }
            let progress = Progress::new(session.console, Direction::Pull, !is_fetched);
            import::import(&context, &request, &progress)
        };
        let imported = imported.map_err(|error| match error.kind() {
            // Docker's client opens the file itself.
            Kind::NotFound if !matches!(request.input, Input::Url(_)) => Failure::Reported(error),
            _ => Failure::Engine(error),
        })?;
        session.console.line(imported.image_id.to_string());
        Ok(())
    }
}

/// Docker tells on standard output where it fetches from; else that is for the ID alone.
fn announce(session: &Session<'_>, url: &str) {
    let text = format!("Downloading from {}", import::shown_url(url));
    match session.personality {
        Personality::Docker | Personality::Docker29 => session.console.line(text),
        Personality::Dhow | Personality::Podman => {
            session.console.divert();
            session.console.notice(text);
        }
    }
}
