//! `mutate`

use std::path::PathBuf;

use clap::Args;
use dhow_ops::mutate::{Changes, mutate};
use dhow_ops::{LayerFile, Location};

use super::remade::{Outlet, list, pair, pairs};
use super::targets::{self, PlatformOptions};
use crate::errors::Outcome;
use crate::session::Session;
use crate::verb::{Count, Operands, Verb, miscounted};

/// The arguments of `mutate`.
#[derive(Args, Debug)]
pub(crate) struct Mutate {
    /// Annotation of the manifest to set
    #[arg(short, long = "annotation", value_name = "stringToString")]
    annotations: Vec<String>,
    /// Tar to put on top as a layer
    #[arg(long = "append", value_name = "strings")]
    layers: Vec<String>,
    /// New command
    #[arg(long = "cmd", value_name = "strings", allow_hyphen_values = true)]
    command: Vec<String>,
    /// New entry point; the old command goes with the old one
    #[arg(long, value_name = "strings", allow_hyphen_values = true)]
    entrypoint: Vec<String>,
    /// Variable to set
    #[arg(short, long, value_name = "key=value")]
    env: Vec<String>,
    /// Ports to expose in place of the old ones
    #[arg(long, value_name = "strings")]
    exposed_ports: Vec<String>,
    /// Label to set
    #[arg(short, long = "label", value_name = "stringToString")]
    labels: Vec<String>,
    /// Put the result into this repository, by digest alone
    #[arg(long, value_name = "string", conflicts_with_all = ["tag", "output"])]
    repo: Option<String>,
    /// Platform that the image is to say it is for
    #[arg(
        long,
        value_name = "string",
        help = "Platform that the image is to say it is for: os/arch[/variant][:osversion]"
    )]
    set_platform: Option<String>,
    /// New user
    #[arg(short, long, value_name = "string", default_value = "")]
    user: String,
    /// New working directory
    #[arg(short, long, value_name = "string", default_value = "")]
    workdir: String,
    #[command(flatten)]
    platforms: PlatformOptions,
    #[command(flatten)]
    outlet: Outlet,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for Mutate {
    const ABOUT: &'static str = "Change the labels, annotations, command or layers of an image";
    const OPERANDS: &'static str = "IMAGE";
    const COUNT: Count = Count::Exactly(1);
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [name] = self.names.as_slice() else { return miscounted() };
        let image = Location::parse(name)?;
        let mut common = self.outlet.common(session, Some(image), self.platforms.platforms(None)?)?;
        if let Some(repository) = &self.repo {
            common.repository = Some(dhow_ops::remote::repository(repository)?);
        }
        let changes = Changes {
            annotations: pairs(&self.annotations)?,
            labels: pairs(&self.labels)?,
            env: self.env.iter().map(|text| pair(text)).collect::<Outcome<_>>()?,
            entrypoint: list(&self.entrypoint),
            command: list(&self.command),
            user: self.user.clone(),
            working_directory: self.workdir.clone(),
            exposed_ports: list(&self.exposed_ports),
            platform: targets::platform_with_version(self.set_platform.as_deref())?,
            layers: layers(&list(&self.layers))?,
        };
        let context = self.outlet.context(session, &common, &[])?;
        self.outlet.run(session, Some(name), mutate(&context, &common, changes))
    }
}

/// Opens tars that are to become layers; `-` is standard input.
///
/// # Errors
/// That one is not there.
pub(super) fn layers(paths: &[String]) -> Outcome<Vec<LayerFile>> {
    let path = |text: &String| PathBuf::from(if text == "-" { "/dev/stdin" } else { text });
    Ok(paths.iter().map(|text| LayerFile::open(&path(text))).collect::<Result<_, _>>()?)
}
