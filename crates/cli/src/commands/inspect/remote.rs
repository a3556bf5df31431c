//! `inspect --remote`: what skopeo says of an image in a registry, or in another place.

mod document;

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::Location;
use dhow_ops::remote::{self, Inspected};
use dhow_template::{Options, Template, Value};

use super::super::remote::{READ_ONLY, Reach, run};
use super::super::targets;
use crate::errors::{Failure, Outcome};
use crate::format::{json, list, podman};
use crate::session::Session;
use document::Document;

/// The options of `inspect --remote`.
#[derive(Args, Debug)]
pub(super) struct Remote {
    /// Ask the registry instead of this machine; also of other places, such as oci:DIRECTORY
    #[arg(long)]
    pub(super) remote: bool,
    /// With --remote: show the manifest exactly as the registry keeps it (with --image-config, the config)
    #[arg(long)]
    raw: bool,
    /// With --remote: show the image's config
    #[arg(long = "image-config")]
    image_config: bool,
    /// With --remote: do not list the repository's tags
    #[arg(short = 'n', long)]
    no_tags: bool,
    /// With --remote: show this platform of multi-platform images
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

impl Remote {
    /// Refuses options that mean nothing without `--remote`.
    pub(super) fn check(&self) -> Outcome {
        let given = [(self.raw, "--raw"), (self.image_config, "--image-config"), (self.no_tags, "--no-tags")];
        let given = given.iter().find_map(|(is_given, name)| is_given.then_some(*name));
        match given.or(self.platform.as_ref().map(|_| "--platform")).filter(|_| !self.remote) {
            Some(name) => Err(Failure::Client(format!("{name} goes with --remote"))),
            None => Ok(()),
        }
    }

    /// Shows each of the names.
    pub(super) fn show(&self, session: &Session<'_>, format: &str, names: &[String]) -> Outcome {
        if self.raw && !format.is_empty() {
            let error = Error::new(Kind::Invalid, "conflicting options: --raw and --format exclude each other");
            return Err(error
                .with_hint("what is raw is printed as it is kept; without --raw there are templates")
                .into());
        }
        let template = match format {
            "" | "json" => None,
            text => Some(podman::template_of_one(text).map_err(|error| Failure::Usage {
                message: format!("template parsing error: {error}"),
                code: list::TEMPLATE_ERROR,
            })?),
        };
        let engine = session.environment.docker_host.as_deref();
        let places = names.iter().map(|name| Ok(remote::place(name)?.at_engine(engine)));
        let places: Vec<Location> = places.collect::<Outcome<_>>()?;
        let context = self.reach.context(session, places.iter().filter_map(Location::domain))?;
        let platform = targets::platform(self.platform.as_deref())?;
        targets::each(&places, |place| {
            if self.raw && !self.image_config && platform.is_none() {
                let document = run(READ_ONLY, remote::raw(&context, place))?;
                session.console.text(String::from_utf8_lossy(document.bytes()));
                return Ok(());
            }
            let with_tags = !self.raw && !self.image_config && !self.no_tags;
            let found = run(READ_ONLY, remote::inspect(&context, place, platform.as_ref(), with_tags))?;
            if let Some(error) = &found.untold {
                session.console.notice(format!("{place}: tags are left out, the registry does not tell them: {error}"));
            }
            session.console.text(self.text(format, template.as_ref(), &found)?);
            Ok(())
        })
    }

    fn text(&self, format: &str, template: Option<&Template>, found: &Inspected) -> Outcome<String> {
        if let Some(template) = template {
            return self.by_template(template, found);
        }
        let is_json = format == "json";
        if self.image_config {
            let config = String::from_utf8_lossy(&found.config_bytes);
            return Ok(match (self.raw, is_json) {
                (true, _) => config.into_owned(),
                (false, true) => json::compact(&parsed(&found.config_bytes)?).map_err(Failure::Client)? + "\n",
                (false, false) => json::reindent(&config, "    ") + "\n",
            });
        }
        if self.raw {
            return Ok(String::from_utf8_lossy(found.document.bytes()).into_owned());
        }
        let document = Document::new(found);
        let text = if is_json { json::compact(&document) } else { json::indented(&document) };
        Ok(text.map_err(Failure::Client)? + "\n")
    }

    fn by_template(&self, template: &Template, found: &Inspected) -> Outcome<String> {
        let value = match (self.image_config, &found.config) {
            (false, _) => Document::new(found).object(),
            (true, Some(config)) => document::image(config),
            // An artifact's config may be anything.
            (true, None) => Value::from(&parsed(&found.config_bytes)?),
        };
        let mut output = Vec::new();
        template.execute(&value, Options::default(), &mut output).map_err(|error| list::failure(&error))?;
        Ok(list::shown(output))
    }
}

fn parsed(config: &[u8]) -> Outcome<serde_json::Value> {
    serde_json::from_slice(config).map_err(|error| Failure::Client(format!("the config is no JSON: {error}")))
}
