//! `save` of podman

use std::path::{Path, PathBuf};

use clap::Args;
use dhow_base::progress::Silent;
use dhow_ops::copy::{self, Location};
use dhow_ops::save::{self, Named};
use dhow_ops::{Platforms, runtime, target_file};

use super::Copying;
use crate::commands::save::{quiet_broken_pipe, unfinished};
use crate::errors::{Failure, Outcome};
use crate::format::text;
use crate::session::Session;
use crate::signals;
use crate::verb::{Count, Operands, Verb};

/// What can be written. The archive is both kinds at once.
const FORMATS: [&str; 4] = ["oci-dir", "oci-archive", "docker-dir", "docker-archive"];

/// Skopeo's `dir:`, which podman calls so.
const DOCKER_DIRECTORY: &str = "docker-dir";

/// What an interrupted user can count on.
const UNFINISHED: &str = "the folder is not whole, and the next run goes on with it";

/// The arguments of `save`.
#[derive(Args, Debug)]
pub(crate) struct Save {
    /// Accepted with "docker-dir" only; layers are written as they are kept
    #[arg(long)]
    compress: bool,
    /// Write "docker-archive", "oci-archive", "oci-dir" or "docker-dir"
    #[arg(long, value_name = "string", default_value = "docker-archive")]
    format: String,
    /// Take every argument for an image, not for a further name of the first
    #[arg(short, long)]
    multi_image_archive: bool,
    /// Write to a file or directory instead of standard output
    #[arg(short, long, value_name = "string")]
    output: Option<PathBuf>,
    /// Do not show progress
    #[arg(short, long)]
    quiet: bool,
    /// Accepted for old scripts; layers are written as they are kept
    #[arg(long)]
    #[allow(dead_code, reason = "layers are written as they are kept")]
    uncompressed: bool,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for Save {
    const ABOUT: &'static str = "Write images to an archive or a directory";
    const OPERANDS: &'static str = "IMAGE [IMAGE...]";
    const COUNT: Count = Count::AtLeast(0);
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        self.check()?;
        let Some((first, others)) = self.names.split_first() else {
            return Err(Failure::Client("need at least 1 argument".to_owned()));
        };
        let context = session.local_context()?;
        let images: Vec<Named> = match self.multi_image_archive {
            true => self.names.iter().map(|name| Named { image: name.clone(), further: Vec::new() }).collect(),
            false => vec![Named { image: first.clone(), further: others.to_vec() }],
        };
        if self.format == DOCKER_DIRECTORY {
            return self.to_docker_directory(session, first);
        }
        let output = self.output(session)?;
        let saved = signals::heeding(session.console, unfinished(&output), || {
            save::save_named(&context, &images, &Platforms::Default, &output).map_err(quiet_broken_pipe)
        })?;
        // Standard output is the archive's alone, which podman takes for a wish to be left in peace.
        let quiet = self.quiet || matches!(output, save::Output::Stdout);
        let copying = Copying::new(session.console, quiet);
        for image in &images {
            copying.whole(&context, &image.image, false)?;
        }
        for note in saved.iter().filter_map(|image| image.note.as_deref()) {
            session.console.notice(text::note(note));
        }
        Ok(())
    }
}

impl Save {
    fn check(&self) -> Outcome {
        let refuse = |message: String| Err(Failure::Client(message));
        if !FORMATS.contains(&self.format.as_str()) {
            return refuse(format!("format value must be one of {}", FORMATS.join(" ")));
        }
        if self.compress && self.format != DOCKER_DIRECTORY {
            return refuse("--compress can only be set when --format is 'docker-dir'".to_owned());
        }
        Ok(())
    }

    /// Writes skopeo's folder of one image, with manifest and layers as they are kept.
    fn to_docker_directory(&self, session: &Session<'_>, image: &str) -> Outcome {
        let Some(path) = self.output.as_deref().filter(|path| !path.as_os_str().is_empty()) else {
            return Err(needs_directory(DOCKER_DIRECTORY));
        };
        if path.display().to_string().contains(':') {
            return Err(Failure::Client(format!(
                "invalid filename (should not contain ':') {:?}",
                path.display().to_string()
            )));
        }
        let context = session.local_context()?;
        let request = copy::Request::new(Location::Store(image.to_owned()), Location::Directory(path.to_owned()));
        let mut copied = Ok(());
        runtime::block_on(async {
            let copy = copy::copy(&context, &context, &request, &Silent);
            copied = signals::interruptible(copy, UNFINISHED).await.map(drop);
            Ok(())
        })?;
        copied?;
        Copying::new(session.console, self.quiet).whole(&context, image, false)
    }

    fn output(&self, session: &Session<'_>) -> Outcome<save::Output> {
        let is_directory = self.format == "oci-dir";
        let Some(path) = self.output.as_deref().filter(|path| !path.as_os_str().is_empty()) else {
            if is_directory {
                return Err(needs_directory("oci-dir"));
            }
            if session.console.is_terminal() {
                let message = "refusing to save to terminal. Use -o flag or redirect";
                return Err(Failure::Client(message.to_owned()));
            }
            return Ok(save::Output::Stdout);
        };
        if is_directory {
            return Ok(save::Output::Directory(path.to_owned()));
        }
        check_file(path, &self.format)?;
        Ok(save::Output::Path(path.to_owned()))
    }
}

fn needs_directory(format: &str) -> Failure {
    Failure::Client(format!("--format {format} needs the name of a directory: --output"))
}

/// Podman's words for what cannot be written to.
fn check_file(path: &Path, format: &str) -> Outcome {
    let shown = path.display().to_string();
    let refuse = |message: String| Err(Failure::Client(message));
    if shown.contains(':') {
        return refuse(format!("invalid filename (should not contain ':') {shown:?}"));
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.exists() {
        return refuse(format!("opening file {shown:?}: open {shown}: no such file or directory"));
    }
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => refuse(format!("opening file {shown:?}: open {shown}: is a directory")),
        Ok(metadata) if format == "docker-archive" && metadata.is_file() && metadata.len() > 0 => {
            refuse("docker-archive doesn't support modifying existing images".to_owned())
        }
        _ => Ok(target_file::check(path, save::FAILED)?),
    }
}
