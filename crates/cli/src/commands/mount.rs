//! `image mount` and `image unmount`, as podman has them.

use clap::Args;
use dhow_ops::mount::{self, Mounted, Request};

use crate::errors::{Failure, Outcome};
use crate::format::document::DocumentFormat;
use crate::format::schema;
use crate::session::Session;
use crate::verb::{Count, Verb};

/// The arguments of `image mount`.
#[derive(Args, Debug)]
pub(crate) struct Mount {
    #[command(flatten)]
    documents: DocumentFormat,
    /// Mount all images
    #[arg(short = 'a', long)]
    all: bool,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for Mount {
    const ABOUT: &'static str = "Mount images read-only and show where, or show what is mounted";
    const OPERANDS: &'static str = "[IMAGE...]";
    const COUNT: Count = Count::AtLeast(0);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        if self.all && !self.names.is_empty() {
            return Err(Failure::Client(
                "when using the --all switch, you may not pass any image names or IDs".to_owned(),
            ));
        }
        let documents = self.documents.open(session.console);
        let context = session.local_context()?;
        let is_one = self.names.len() == 1;
        let mounted = if self.all || !self.names.is_empty() {
            mount::mount(&context, &Request { names: self.names, all: self.all, force: false })
        } else {
            mount::list(&context)
        };
        let mounted = documents.settle(None, mounted.map_err(Failure::from))?;
        if documents.are_wanted() {
            return mounted.iter().try_for_each(|mounted| documents.put(&schema::Mounted::from(mounted)));
        }
        session.console.text(shown(&mounted, is_one));
        Ok(())
    }
}

/// The path of one that was asked for, else a row for each.
fn shown(mounted: &[Mounted], is_one: bool) -> String {
    if let ([Mounted { path, .. }], true) = (mounted, is_one) {
        return format!("{}\n", path.display());
    }
    let width = mounted.iter().map(|mounted| mounted.name.len()).max().unwrap_or(0);
    mounted.iter().map(|Mounted { name, path, .. }| format!("{name:width$}  {}\n", path.display())).collect()
}

/// The arguments of `image unmount`.
#[derive(Args, Debug)]
pub(crate) struct Unmount {
    #[command(flatten)]
    documents: DocumentFormat,
    /// Unmount everything that is mounted
    #[arg(short = 'a', long)]
    all: bool,
    /// Unmount however often an image was mounted, and even if it is in use
    #[arg(short = 'f', long)]
    force: bool,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for Unmount {
    const ABOUT: &'static str = "Unmount images";
    const OPERANDS: &'static str = "IMAGE [IMAGE...]";
    const COUNT: Count = Count::AtLeast(0);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let refuse = |message: &str| Err(Failure::Client(message.to_owned()));
        match (self.all, self.names.is_empty()) {
            (true, false) => return refuse("when using the --all switch, you may not pass any image names or IDs"),
            (false, true) => return refuse("image name or ID must be specified"),
            _ => {}
        }
        let documents = self.documents.open(session.console);
        let context = session.local_context()?;
        let request = Request { names: self.names, all: self.all, force: self.force };
        let unmounted = documents.settle(None, mount::unmount(&context, &request).map_err(Failure::from))?;
        for id in &unmounted {
            documents.put(&schema::Unmounted { image_id: id })?;
            if !documents.are_wanted() {
                session.console.line(id.hex());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use dhow_spec::Digest;

    use super::*;

    #[test]
    fn one_that_was_asked_for_is_a_path_alone() {
        let mounted = |name: &str| Mounted {
            name: name.to_owned(),
            id: Digest::sha256(name.as_bytes()),
            references: Vec::new(),
            path: format!("/m/{name}").into(),
        };
        assert_eq!(shown(&[mounted("a")], true), "/m/a\n");
        assert_eq!(shown(&[mounted("a")], false), "a  /m/a\n");
        assert_eq!(shown(&[mounted("a"), mounted("longer")], false), "a       /m/a\nlonger  /m/longer\n");
    }
}
