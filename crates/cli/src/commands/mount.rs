//! `image mount` and `image unmount`, as podman has them.

use std::path::PathBuf;

use clap::Args;
use dhow_ops::Context;
use dhow_ops::mount::{self, Listed, MountRequest, Mounted, Server, UnmountRequest, Way};

use crate::errors::{Failure, Outcome};
use crate::format::document::DocumentFormat;
use crate::format::schema;
use crate::session::Session;
use crate::verb::{Count, Operands, Verb};

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
    const NAMES: Operands = Operands::Images;

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
            mount::mount(&context, &request(session, self.names, self.all)?).map_err(Failure::from)
        } else {
            warned_of_dead(session, &context)
        };
        let mounted = documents.settle(None, mounted)?;
        if documents.are_wanted() {
            return mounted.iter().try_for_each(|mounted| {
                documents.put(&schema::Mounted::new(mounted, mount::references(&context, mounted)?))
            });
        }
        session.console.text(shown(&mounted, is_one));
        Ok(())
    }
}

/// What is mounted of images; says what would be if the process that served it were not dead.
pub(super) fn warned_of_dead(session: &Session<'_>, context: &Context) -> Outcome<Vec<Mounted>> {
    let Listed { mounted, dead } = mount::list(context)?;
    dead.iter().for_each(|dead| session.console.notice(warning(dead)));
    Ok(mounted)
}

/// Mounts one image.
pub(super) fn of_image(session: &Session<'_>, context: &Context, name: &str) -> Outcome<Mounted> {
    let mounted = mount::mount(context, &request(session, vec![name.to_owned()], false)?)?.pop();
    mounted.ok_or_else(|| Failure::Client(format!("nothing was mounted of {name}")))
}

/// Unmounts one image.
pub(super) fn unmount_image(context: &Context, name: &str, force: bool) -> Outcome {
    let request = UnmountRequest { names: vec![name.to_owned()], all: false, force };
    Ok(mount::unmount(context, &request).map(drop)?)
}

/// What to mount, and how.
pub(super) fn request(session: &Session<'_>, names: Vec<String>, all: bool) -> Outcome<MountRequest> {
    Ok(MountRequest { names, all, ways: ways(session)?, server: server() })
}

/// How to mount: as the environment says, else whatever works.
fn ways(session: &Session<'_>) -> Outcome<Vec<Way>> {
    let Some(names) = &session.environment.mount_by else {
        return Ok(Way::usual(session.environment.user == 0).to_vec());
    };
    let way = |name| {
        let wrong = || format!("invalid value {name:?} in DHOW_MOUNT_BY: it takes kernel, loop, fuse and tree");
        Way::parse(name).ok_or_else(|| Failure::Client(wrong()))
    };
    names.split(',').map(way).collect()
}

/// This program, as [`Serve`].
fn server() -> Server {
    Server { program: "/proc/self/exe".into(), arguments: vec!["--compat=dhow".into(), SERVE.into()] }
}

fn warning(dead: &Mounted) -> String {
    let Mounted { name, path, .. } = dead;
    let path = path.display();
    format!(
        "WARNING: {name} was mounted at {path}, but the process that served it is dead: \
         `dhow image unmount {name}` takes it away, `dhow image mount {name}` mounts it again"
    )
}

/// The word for [`Serve`].
pub(super) const SERVE: &str = "mount-server";

/// The arguments of the process that serves a mount over FUSE.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    target: PathBuf,
    lock: PathBuf,
}

impl Verb for Serve {
    const ABOUT: &'static str = "Serve a mounted image; `image mount` starts it";
    const OPERANDS: &'static str = "TARGET LOCK";
    // Both are required: what counts operands has nothing to add.
    const COUNT: Count = Count::AtLeast(0);

    fn operands(&self) -> &[String] {
        &[]
    }

    fn run(self, _: &Session<'_>) -> Outcome {
        mount::serve(&self.target, &self.lock).map_err(Failure::from)
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
    const NAMES: Operands = Operands::Images;

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
        let request = UnmountRequest { names: self.names, all: self.all, force: self.force };
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
            path: format!("/m/{name}").into(),
        };
        assert_eq!(shown(&[mounted("a")], true), "/m/a\n");
        assert_eq!(shown(&[mounted("a")], false), "a  /m/a\n");
        assert_eq!(shown(&[mounted("a"), mounted("longer")], false), "a       /m/a\nlonger  /m/longer\n");
    }
}
