//! What every verb works with: the local store and the way to registries, opened when first needed.

use std::cell::OnceCell;
use std::path::PathBuf;
use std::sync::Arc;

use dhow_base::Result;
use dhow_base::secret::Secret;
use dhow_registry::{
    Access, Anonymous, Client, ClientOptions, ConfigFiles, Credential, CredentialSource, Given, Keychain, Places,
    Proxies, Registries, Remote,
};
use dhow_spec::{Reference, Repository};
use dhow_store::{Found, OpenOptions, Store};

use crate::naming::{Lookup, Naming};
use crate::transfers::Transfers;
use crate::uploads::Notes;

/// Where things are and how to behave, as the command line and the environment say.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The store's directory.
    pub store_root: PathBuf,
    /// Where files without a name go that a store cannot take that can only be read.
    pub scratch_directory: PathBuf,
    /// Where credentials may be.
    pub credentials: Places,
    /// Who to be at registries in this run.
    pub who: Who,
    /// Whether registries must prove who they are, whatever is configured of them; without it plain HTTP is accepted too.
    pub tls_verify: Option<bool>,
    /// Where registries are configured.
    pub registries: ConfigFiles,
    /// The proxies to go through.
    pub proxies: ProxySettings,
    /// Whose rules names follow.
    pub naming: Naming,
    /// What registries are told of this program.
    pub user_agent: String,
    /// How bytes are moved.
    pub transfers: Transfers,
}

/// Addresses of proxies, as the environment has them.
#[derive(Clone, Debug, Default)]
pub struct ProxySettings {
    /// For plain HTTP.
    pub http: Option<Secret>,
    /// For HTTPS.
    pub https: Option<Secret>,
    /// What is reached without one.
    pub except: String,
}

/// Who to be at registries.
#[derive(Clone, Debug, Default)]
pub enum Who {
    /// Whoever the stored credentials say.
    #[default]
    Stored,
    /// Nobody in particular, whatever is stored.
    Nobody,
    /// This account at its registry, whatever is stored for that one.
    Account(Account),
    /// Whoever this access token is for, at its registry.
    Token {
        /// The registry, as references name it.
        domain: String,
        /// What it gets.
        token: Secret,
    },
}

/// An account that the user gave for this run.
#[derive(Clone, Debug)]
pub struct Account {
    /// The registry, as references name it.
    pub domain: String,
    /// User name.
    pub username: String,
    /// Password or token.
    pub password: Secret,
}

/// The handles of one run.
#[derive(Debug)]
pub struct Context {
    settings: Settings,
    store: OnceCell<Store>,
    keychain: OnceCell<Keychain>,
    registries: OnceCell<Arc<Registries>>,
    client: OnceCell<Client>,
}

impl Context {
    /// Opens nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            store: OnceCell::new(),
            keychain: OnceCell::new(),
            registries: OnceCell::new(),
            client: OnceCell::new(),
        }
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
        let scratch_directory = self.settings.scratch_directory.clone();
        let options = OpenOptions { scratch_directory, ..OpenOptions::default() };
        let store = Store::open(&self.settings.store_root, &options)?;
        Ok(self.store.get_or_init(|| store))
    }

    /// What is configured of registries.
    pub fn registries(&self) -> &Arc<Registries> {
        self.registries.get_or_init(|| Arc::new(Registries::new(self.settings.registries.clone())))
    }

    /// Finds an image of the store by anything that stands for one.
    ///
    /// # Errors
    /// Those of [`Naming::find`] and of the store.
    pub(crate) fn find(&self, text: &str) -> Result<Found> {
        self.find_in(self.store()?, text)
    }

    /// As [`Context::find`], in a change of the store that is under way.
    ///
    /// # Errors
    /// As [`Context::find`].
    pub(crate) fn find_in(&self, place: &impl Lookup, text: &str) -> Result<Found> {
        self.settings.naming.find(place, text, &self.configured(text)?)
    }

    /// The full names that the configuration of registries has for a short name, best first.
    ///
    /// # Errors
    /// Those of reading the configuration, in podman's way. dhow's own way to look up what is here does not end over a
    /// mistake in it.
    pub(crate) fn configured(&self, text: &str) -> Result<Vec<Reference>> {
        match (self.registries().resolve_here(text), self.settings.naming) {
            (Err(error), Naming::Docker) => {
                tracing::warn!("{error}; {text:?} is looked up without it");
                Ok(Vec::new())
            }
            (names, _) => names,
        }
    }

    /// Whose rules names follow.
    pub fn naming(&self) -> Naming {
        self.settings.naming
    }

    /// The way to registries, with the user's credentials.
    ///
    /// # Errors
    /// Those of reading the files of credentials.
    pub fn client(&self) -> Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = Client::new(self.client_options()?)?;
        Ok(self.client.get_or_init(|| client))
    }

    /// A repository to write to. What is left of uploads is noted in the local store, where there is one, for the next run.
    ///
    /// # Errors
    /// As [`Context::client`], and those of the configuration of registries.
    pub(crate) fn push_to(&self, repository: &Repository) -> Result<Remote> {
        let notes = match self.store.get() {
            Some(store) => Notes::of(store),
            None => Notes::at(&self.settings.store_root),
        };
        Ok(self.client()?.repository(repository, Access::Push)?.with_upload_notes(Arc::new(notes)))
    }

    /// How registries are spoken to: for who needs a client that behaves otherwise in something.
    pub(crate) fn client_options(&self) -> Result<ClientOptions> {
        let keychain = self.keychain()?;
        let ProxySettings { http, https, except } = &self.settings.proxies;
        Ok(ClientOptions {
            registries: Arc::clone(self.registries()),
            proxies: Proxies::new(http.as_ref(), https.as_ref(), except)?,
            headers: keychain.registry_headers(),
            tls_verify: self.settings.tls_verify,
            user_agent: self.settings.user_agent.clone(),
            credentials: self.identity(keychain.clone()),
            retry: self.settings.transfers.retry_policy(),
            traffic: self.settings.transfers.traffic(),
            ..ClientOptions::default()
        })
    }

    fn identity(&self, stored: Keychain) -> Arc<dyn CredentialSource> {
        match self.settings.who.clone() {
            Who::Account(Account { domain, username, password }) => {
                Arc::new(Given { domain, credential: Credential::password(username, password), stored })
            }
            Who::Token { domain, token } => {
                Arc::new(Given { domain, credential: Credential::registry_token(token), stored })
            }
            Who::Nobody => Arc::new(Anonymous),
            Who::Stored => Arc::new(stored),
        }
    }

    /// The user's credentials, read once.
    pub(crate) fn keychain(&self) -> Result<&Keychain> {
        if let Some(keychain) = self.keychain.get() {
            return Ok(keychain);
        }
        let keychain = Keychain::open(&self.settings.credentials)?;
        let keychain = keychain.with_order(self.registries().credential_helpers()?);
        Ok(self.keychain.get_or_init(|| keychain))
    }
}
