//! What every verb works with: the local store and the way to registries, opened when first needed.

use std::cell::OnceCell;
use std::path::PathBuf;
use std::sync::Arc;

use dhow_base::Result;
use dhow_registry::{Client, ClientOptions, DockerConfig};
use dhow_store::{OpenOptions, Store};

/// Where things are and how to behave, as the command line and the environment say.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The store's directory.
    pub store_root: PathBuf,
    /// The directory that holds `config.json`.
    pub docker_config_dir: PathBuf,
    /// Whether registries must prove who they are; without it plain HTTP is accepted too.
    pub tls_verify: bool,
    /// What registries are told of this program.
    pub user_agent: String,
}

/// The handles of one run.
#[derive(Debug)]
pub struct Context {
    settings: Settings,
    store: OnceCell<Store>,
    client: OnceCell<Client>,
}

impl Context {
    /// Opens nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, store: OnceCell::new(), client: OnceCell::new() }
    }

    /// What this run was told.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The local store, made when it is not there.
    ///
    /// # Errors
    /// Those of opening it.
    pub fn store(&self) -> Result<&Store> {
        if let Some(store) = self.store.get() {
            return Ok(store);
        }
        let store = Store::open(&self.settings.store_root, &OpenOptions::default())?;
        Ok(self.store.get_or_init(|| store))
    }

    /// The way to registries, with the credentials of `config.json`.
    ///
    /// # Errors
    /// Those of reading `config.json`.
    pub fn client(&self) -> Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = Client::new(ClientOptions {
            tls_verify: self.settings.tls_verify,
            user_agent: self.settings.user_agent.clone(),
            credentials: Arc::new(self.docker_config()?),
            ..ClientOptions::default()
        })?;
        Ok(self.client.get_or_init(|| client))
    }

    pub(crate) fn docker_config(&self) -> Result<DockerConfig> {
        DockerConfig::load(&self.settings.docker_config_dir.join("config.json"))
    }
}
