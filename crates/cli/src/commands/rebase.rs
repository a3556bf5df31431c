//! `rebase`

use clap::Args;
use dhow_ops::rebase::{Request, rebase};
use dhow_ops::{Location, Platforms};

use super::remade::Outlet;
use super::targets;
use crate::errors::{Failure, Outcome};
use crate::session::Session;
use crate::verb::{Count, Operands, Verb};

/// The arguments of `rebase`.
#[derive(Args, Debug)]
pub(crate) struct Rebase {
    /// The image, as crane once wanted it; give it as the argument
    #[arg(long, value_name = "string", hide = true)]
    original: Option<String>,
    /// The base that the image has (default what its annotations say)
    #[arg(long = "old_base", alias = "old-base", value_name = "string")]
    old_base: Option<String>,
    /// The base that it gets (default what its annotations name)
    #[arg(long = "new_base", alias = "new-base", value_name = "string")]
    new_base: Option<String>,
    /// Rebase the image for this platform of an index
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    #[command(flatten)]
    outlet: Outlet,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for Rebase {
    const ABOUT: &'static str = "Put an image on a new base without building it again";
    const OPERANDS: &'static str = "IMAGE";
    const COUNT: Count = Count::AtMost(1);
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let name = match (self.names.first(), &self.original) {
            (Some(name), None) | (None, Some(name)) => name,
            (Some(_), Some(_)) => {
                return Err(Failure::Client("cannot use --original with positional argument".to_owned()));
            }
            (None, None) => return Err(Failure::Client("say which image to rebase".to_owned())),
        };
        let image = Location::parse(name)?;
        let base =
            |text: &Option<String>| text.as_deref().map(|text| Location::parse_beside(text, Some(&image))).transpose();
        let (old_base, new_base) = (base(&self.old_base)?, base(&self.new_base)?);
        let platform = targets::platform(self.platform.as_deref())?;
        let platforms = platform.map_or(Platforms::Default, |platform| Platforms::These(vec![platform]));
        let common = self.outlet.common(session, Some(image), platforms)?;
        let others: Vec<&Location> = old_base.iter().chain(&new_base).collect();
        let context = self.outlet.context(session, &common, &others)?;
        let request = Request { common, old_base: old_base.clone(), new_base: new_base.clone() };
        self.outlet.run(session, Some(name), rebase(&context, &request))
    }
}
