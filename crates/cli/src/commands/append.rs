//! `append`

use clap::Args;
use dhow_ops::Location;
use dhow_ops::append::{Request, append};

use super::mutate::layers;
use super::remade::{Outlet, list};
use super::targets::PlatformOptions;
use crate::errors::{Failure, Outcome};
use crate::session::Session;
use crate::verb::{Count, Operands, Verb};

/// The arguments of `append`.
#[derive(Args, Debug)]
pub(crate) struct Append {
    /// The image to append to; without one, the result has nothing but the layers
    #[arg(short, long, value_name = "string")]
    base: Option<String>,
    /// Tar to put on top as a layer, byte for byte: uncompressed, gzip or zstd; "-" is standard input
    #[arg(short = 'f', long = "new_layer", alias = "new-layer", value_name = "strings")]
    layers: Vec<String>,
    /// Annotate the result with the name and digest of the base
    #[arg(long)]
    set_base_image_annotations: bool,
    /// Without a base, give the result OCI's media types instead of docker's
    #[arg(long)]
    oci_empty_base: bool,
    #[command(flatten)]
    platforms: PlatformOptions,
    #[command(flatten)]
    outlet: Outlet,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Append {
    const ABOUT: &'static str = "Put tars on top of an image as layers";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        if self.oci_empty_base && self.base.is_some() {
            return Err(Failure::Client(
                "conflicting options: --oci-empty-base is for images without --base".to_owned(),
            ));
        }
        let layers = layers(&list(&self.layers))?;
        if layers.is_empty() {
            return Err(Failure::Client("there is nothing to append: give a tar with -f".to_owned()));
        }
        let base = self.base.as_deref().map(Location::parse).transpose()?;
        let common = self.outlet.common(session, base, self.platforms.platforms(None)?)?;
        let context = self.outlet.context(session, &common, &[])?;
        let request =
            Request { common, layers, annotate_base: self.set_base_image_annotations, is_oci: self.oci_empty_base };
        self.outlet.run(session, self.base.as_deref(), append(&context, &request))
    }
}
