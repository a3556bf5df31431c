//! `inspect --remote`: what skopeo says of an image in a registry.

use std::collections::BTreeMap;

use clap::Args;
use dhow_ops::remote::{self, Inspected};
use dhow_spec::Reference;
use dhow_template::{Options, Template, Value};
use serde::Serialize;

use super::super::remote::{READ_ONLY, Reach, run};
use super::super::targets;
use crate::errors::{Failure, Outcome};
use crate::format::{json, list};
use crate::session::Session;

/// The options of `inspect --remote`.
#[derive(Args, Debug)]
pub(super) struct Remote {
    /// Ask the registry instead of this machine
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

/// What skopeo prints, in its order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    digest: String,
    repo_tags: Vec<String>,
    created: Option<String>,
    docker_version: String,
    labels: Option<BTreeMap<String, String>>,
    architecture: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    variant: String,
    os: String,
    layers: Vec<String>,
    layers_data: Vec<LayerData>,
    env: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct LayerData {
    #[serde(rename = "MIMEType")]
    mime_type: String,
    digest: String,
    size: u64,
    annotations: Option<BTreeMap<String, String>>,
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
        let references: Vec<Reference> = names.iter().map(|name| remote::reference(name)).collect::<Result<_, _>>()?;
        let context = self.reach.context(session, references.iter().map(|name| name.repository().domain()))?;
        let platform = targets::platform(self.platform.as_deref())?;
        targets::each(&references, |reference| {
            if self.raw && !self.image_config && platform.is_none() {
                let document = run(READ_ONLY, remote::raw(&context, reference))?;
                session.console.text(String::from_utf8_lossy(document.bytes()));
                return Ok(());
            }
            let with_tags = !self.raw && !self.image_config && !self.no_tags;
            let found = run(READ_ONLY, remote::inspect(&context, reference, platform.as_ref(), with_tags))?;
            session.console.text(self.text(format, &found)?);
            Ok(())
        })
    }

    fn text(&self, format: &str, found: &Inspected) -> Outcome<String> {
        if self.image_config {
            let config = String::from_utf8_lossy(&found.config_bytes);
            return Ok(if self.raw { config.into_owned() } else { json::reindent(&config, "    ") + "\n" });
        }
        if self.raw {
            return Ok(String::from_utf8_lossy(found.document.bytes()).into_owned());
        }
        let document = document(found);
        match format {
            "" => Ok(json::indented(&document).map_err(Failure::Client)? + "\n"),
            "json" => Ok(json::compact(&document).map_err(Failure::Client)? + "\n"),
            template => {
                let template = Template::parse(template).map_err(|error| Failure::Usage {
                    message: format!("template parsing error: {error}"),
                    code: list::TEMPLATE_ERROR,
                })?;
                let value = serde_json::to_value(&document).map_err(|error| Failure::Client(error.to_string()))?;
                let mut output = Vec::new();
                let options = Options { missing_key_is_error: true, ..Options::default() };
                template.execute(&Value::from(&value), options, &mut output).map_err(|error| list::failure(&error))?;
                Ok(list::shown(output) + "\n")
            }
        }
    }
}

fn document(found: &Inspected) -> Document {
    let layers = &found.manifest.layers;
    let config = found.config.as_ref();
    let run = config.and_then(|config| config.config.as_ref());
    let data = layers.iter().map(|layer| LayerData {
        mime_type: layer.media_type.to_string(),
        digest: layer.digest.to_string(),
        size: layer.size,
        annotations: Some(layer.annotations.clone()).filter(|annotations| !annotations.is_empty()),
    });
    Document {
        name: found.repository.name().to_owned(),
        digest: found.root.descriptor().digest.to_string(),
        repo_tags: found.tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
        created: config.and_then(|config| config.created.clone()),
        docker_version: config.and_then(|config| config.docker_version.clone()).unwrap_or_default(),
        labels: run.and_then(|run| run.labels.clone()),
        architecture: config.map(|config| config.architecture.clone()).unwrap_or_default(),
        variant: config.and_then(|config| config.variant.clone()).unwrap_or_default(),
        os: config.map(|config| config.os.clone()).unwrap_or_default(),
        layers: layers.iter().map(|layer| layer.digest.to_string()).collect(),
        layers_data: data.collect(),
        env: run.and_then(|run| run.env.clone()),
    }
}
