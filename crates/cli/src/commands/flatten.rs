//! `flatten`

use clap::Args;
use dhow_ops::flatten::flatten;
use dhow_ops::{Location, Platforms};

use super::remade::Outlet;
use super::targets::PlatformOptions;
use crate::errors::Outcome;
use crate::session::Session;
use crate::verb::{Count, Operands, Verb, miscounted};

/// The arguments of `flatten`.
#[derive(Args, Debug)]
pub(crate) struct Flatten {
    #[command(flatten)]
    platforms: PlatformOptions,
    #[command(flatten)]
    outlet: Outlet,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for Flatten {
    const ABOUT: &'static str = "Make one layer of all layers of an image";
    const OPERANDS: &'static str = "IMAGE";
    const COUNT: Count = Count::Exactly(1);
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [name] = self.names.as_slice() else { return miscounted() };
        let image = Location::parse(name)?;
        let platforms = match self.platforms.platforms(None)? {
            Platforms::Default => Platforms::All,
            other => other,
        };
        let common = self.outlet.common(session, Some(image), platforms)?;
        let context = self.outlet.context(session, &common, &[])?;
        self.outlet.run(session, Some(name), flatten(&context, &common))
    }
}
