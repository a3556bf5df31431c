//! `mutate`: an image with other labels, another command, more layers.

use std::collections::BTreeMap;

use dhow_base::{Error, Kind, Result};
use dhow_spec::config::{History, NameSet, RunConfig};
use dhow_spec::{ImageConfig, MediaType, Platform};

use crate::context::Context;
use crate::remake::{Change, Common, Image, LayerFile, Remade, Shop, remake};

/// What is to be changed; what is empty stays.
#[derive(Debug, Default)]
pub struct Changes {
    /// Annotations of the manifest to set.
    pub annotations: BTreeMap<String, String>,
    /// Labels to set.
    pub labels: BTreeMap<String, String>,
    /// Variables to set, in order.
    pub env: Vec<(String, String)>,
    /// The new entry point; the command is dropped with the old one, as docker does it.
    pub entrypoint: Vec<String>,
    /// The new command.
    pub command: Vec<String>,
    /// The new user.
    pub user: String,
    /// The new working directory.
    pub working_directory: String,
    /// The ports that are exposed from now on.
    pub exposed_ports: Vec<String>,
    /// The platform that the image says it is for.
    pub platform: Option<Platform>,
    /// Layers to put on top, in order.
    pub layers: Vec<LayerFile>,
}

/// Changes an image, all chosen platforms alike.
///
/// # Errors
/// [`Kind::Invalid`] for changes that make no sense, those of the places and of layers.
pub async fn mutate(context: &Context, common: &Common, changes: Changes) -> Result<Remade> {
    if let Some((label, _)) = changes.labels.iter().chain(&changes.annotations).find(|(_, value)| value.is_empty()) {
        return Err(Error::new(Kind::Invalid, format!("parsing label {label:?}, value is empty")));
    }
    remake(context, common, &mut Mutation(changes)).await
}

struct Mutation(Changes);

impl Change for Mutation {
    async fn apply(&mut self, shop: &mut Shop<'_>, image: &mut Image) -> Result<()> {
        append(shop, image, &self.0.layers)?;
        self.0.run(&mut image.config)?;
        image.manifest.annotations.extend(self.0.annotations.clone());
        Ok(())
    }
}

impl Changes {
    fn run(&self, config: &mut ImageConfig) -> Result<()> {
        let is_windows = config.os == "windows";
        let mut run = config.config.clone().unwrap_or_default();
        if !self.labels.is_empty() {
            run.labels.get_or_insert_default().extend(self.labels.clone());
        }
        if !self.env.is_empty() {
            set_env(&mut run, &self.env, is_windows)?;
        }
        if !self.entrypoint.is_empty() {
            run.entrypoint = Some(self.entrypoint.clone());
            run.cmd = None;
        }
        if !self.command.is_empty() {
            run.cmd = Some(self.command.clone());
        }
        if !self.user.is_empty() {
            run.user.clone_from(&self.user);
        }
        if !self.working_directory.is_empty() {
            run.working_dir.clone_from(&self.working_directory);
        }
        if !self.exposed_ports.is_empty() {
            run.exposed_ports = Some(NameSet(self.exposed_ports.iter().cloned().collect()));
        }
        if config.config.is_some() || run != RunConfig::default() {
            config.config = Some(run);
        }
        if let Some(platform) = &self.platform {
            config.os.clone_from(&platform.os);
            config.architecture.clone_from(&platform.architecture);
            config.variant.clone_from(&platform.variant);
            config.os_version.clone_from(&platform.os_version);
        }
        Ok(())
    }
}

/// Sets variables as crane does: in their old place where they had one, else at the end.
fn set_env(run: &mut RunConfig, new: &[(String, String)], is_windows: bool) -> Result<()> {
    let last: BTreeMap<&str, &str> = new.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let mut env = Vec::new();
    let mut placed = Vec::new();
    for old in run.env.take().unwrap_or_default() {
        let Some((key, _)) = old.split_once('=') else {
            return Err(Error::new(Kind::Invalid, format!("invalid key value pair in config: {old}")));
        };
        match last.get(key) {
            Some(value) if !placed.iter().any(|known: &String| known == key) => {
                env.push(format!("{key}={value}"));
                placed.push(key.to_owned());
            }
            _ => env.push(old),
        }
    }
    for (key, value) in new.iter().filter(|(key, _)| !placed.contains(key)) {
        let key = if is_windows { key.to_uppercase() } else { key.clone() };
        env.push(format!("{key}={value}"));
    }
    run.env = Some(env);
    Ok(())
}

/// Puts layers on top of an image.
///
/// # Errors
/// [`Kind::Unsupported`] for Windows, whose layers have their files elsewhere; those of layers.
pub(crate) fn append(shop: &mut Shop<'_>, image: &mut Image, layers: &[LayerFile]) -> Result<()> {
    if layers.is_empty() {
        return Ok(());
    }
    if image.config.os == "windows" {
        let message = "layers for Windows cannot be appended: they have files below Files/ and a registry beside them";
        return Err(Error::new(Kind::Unsupported, message));
    }
    let is_oci = image.manifest.media_type == MediaType::OciManifest;
    for layer in shop.layers_of(layers, is_oci)? {
        shop.put_layer(image, layer, History::default());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_keep_their_place() {
        let check = |old: &[&str], new: &[(&str, &str)], is_windows, expected: &[&str]| {
            let env = Some(old.iter().map(|&text| text.to_owned()).collect());
            let mut run = RunConfig { env, ..RunConfig::default() };
            let new: Vec<_> = new.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
            set_env(&mut run, &new, is_windows).unwrap();
            assert_eq!(run.env.unwrap(), expected);
        };
        check(&["PATH=/bin", "A=1"], &[("A", "2"), ("B", "3")], false, &["PATH=/bin", "A=2", "B=3"]);
        check(&["A=1"], &[("A", "2"), ("A", "3")], false, &["A=3"]);
        check(&["A=1"], &[("path", "x=y")], true, &["A=1", "PATH=x=y"]);
        let mut run = RunConfig { env: Some(vec!["odd".to_owned()]), ..RunConfig::default() };
        let error = set_env(&mut run, &[("A".to_owned(), String::new())], false).unwrap_err();
        assert_eq!(error.to_string(), "invalid key value pair in config: odd");
    }
}
