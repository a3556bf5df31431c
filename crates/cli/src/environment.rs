//! The environment, read in this one place.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use dhow_base::secret::Secret;
use dhow_ops::serve::StoreOptions;
use dhow_ops::{ConfigFiles, Family, ProxySettings};

/// Longest `/etc/passwd` that is looked through for a home directory, in bytes.
const PASSWD_BYTES_MAX: u64 = 16 << 20;

/// The variables that dhow heeds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// `HOME`, else what the password file says.
    pub(crate) home: Option<PathBuf>,
    /// `TMPDIR`, else `/tmp`.
    pub(crate) scratch_directory: PathBuf,
    /// `XDG_DATA_HOME`, when it is an absolute path, as the XDG specification wants.
    pub(crate) data_home: Option<PathBuf>,
    /// `DHOW_ROOT`: the store.
    pub(crate) root: Option<PathBuf>,
    /// `DOCKER_CONFIG`: the directory of `config.json`.
    pub(crate) docker_config: Option<PathBuf>,
    /// `DOCKER_AUTH_CONFIG`: credentials.
    pub(crate) docker_auth: Option<Secret>,
    /// `REGISTRY_AUTH_FILE`: what `--authfile` says when it is not given.
    pub(crate) auth_file: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR` and `XDG_CONFIG_HOME`: where podman keeps credentials.
    pub(crate) runtime_dir: Option<PathBuf>,
    /// See above.
    pub(crate) config_home: Option<PathBuf>,
    /// `XDG_CACHE_HOME`: where podman records short names.
    pub(crate) cache_home: Option<PathBuf>,
    /// `CONTAINERS_REGISTRIES_CONF`: `registries.conf` in place of all others.
    pub(crate) registries_conf: Option<PathBuf>,
    /// `DHOW_SYSROOT`: what stands for `/` where the system's configuration is looked for.
    pub(crate) sysroot: Option<PathBuf>,
    /// `DHOW_TOKEN_HOSTS`: token services that may see the credentials of registries in other domains.
    pub(crate) token_hosts: Vec<String>,
    /// `DHOW_MOUNT_BY`: how images are mounted, for tests and for who looks for the cause of something.
    pub(crate) mount_by: Option<String>,
    /// `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, or in lower case; `ALL_PROXY` for what has none of its own.
    pub(crate) proxies: ProxySettings,
    /// `PATH`: where credential helpers are looked for.
    pub(crate) search_path: OsString,
    /// `DOCKER_HOST`: where the Docker engine is.
    pub(crate) docker_host: Option<String>,
    /// `DOCKER_DEFAULT_PLATFORM`: what `pull`, `import`, `run` and `create` take for `--platform`.
    pub(crate) default_platform: Option<String>,
    /// `SOURCE_DATE_EPOCH`: when what is made was made (<https://reproducible-builds.org/specs/source-date-epoch>).
    pub(crate) source_date_epoch: Option<String>,
    /// Whether `NO_COLOR` asks for a terminal without colours (<https://no-color.org>).
    pub(crate) no_color: bool,
    /// The number of the user.
    pub(crate) user: u32,
    /// The name of the user, if the password file knows one.
    pub(crate) user_name: Option<String>,
    /// `SHELL`: what `unshare` runs when it is told nothing.
    pub(crate) shell: Option<String>,
    /// `DHOW_IN_USER_NAMESPACE`: that this process was started by itself in a user namespace, and whether there are users besides root.
    pub(crate) in_user_namespace: Option<bool>,
    /// Whether this program is not root in that namespace, but has root's rights as somebody else.
    pub(crate) keeps_ids: bool,
}

impl Environment {
    /// Reads the process's environment.
    pub(crate) fn read() -> Self {
        let path = |name: &str| variable(name).map(PathBuf::from);
        Self {
            home: path("HOME").or_else(home_of_user),
            scratch_directory: path("TMPDIR").unwrap_or_else(|| PathBuf::from("/tmp")),
            data_home: path("XDG_DATA_HOME").filter(|path| path.is_absolute()),
            root: path("DHOW_ROOT"),
            docker_config: path("DOCKER_CONFIG"),
            default_platform: variable("DOCKER_DEFAULT_PLATFORM").and_then(|text| text.into_string().ok()),
            docker_host: variable("DOCKER_HOST").and_then(|text| text.into_string().ok()),
            docker_auth: variable("DOCKER_AUTH_CONFIG").map(|text| Secret::new(text.to_string_lossy())),
            auth_file: path("REGISTRY_AUTH_FILE"),
            runtime_dir: path("XDG_RUNTIME_DIR").filter(|path| path.is_absolute()),
            config_home: path("XDG_CONFIG_HOME").filter(|path| path.is_absolute()),
            cache_home: path("XDG_CACHE_HOME").filter(|path| path.is_absolute()),
            registries_conf: path("CONTAINERS_REGISTRIES_CONF"),
            sysroot: path("DHOW_SYSROOT"),
            token_hosts: token_hosts(),
            mount_by: variable("DHOW_MOUNT_BY").map(|text| text.to_string_lossy().into_owned()),
            proxies: proxies(),
            search_path: variable("PATH").unwrap_or_default(),
            source_date_epoch: variable("SOURCE_DATE_EPOCH").map(|text| text.to_string_lossy().into_owned()),
            no_color: variable("NO_COLOR").is_some(),
            user: rustix::process::geteuid().as_raw(),
            user_name: user_name(),
            shell: variable("SHELL").and_then(|text| text.into_string().ok()),
            in_user_namespace: variable("DHOW_IN_USER_NAMESPACE").map(|kind| kind != "one"),
            keeps_ids: variable("DHOW_IN_USER_NAMESPACE").is_some_and(|kind| kind == "kept"),
        }
    }

    /// Any variable, for who passes on what the user names.
    #[allow(clippy::unused_self, reason = "whoever has not read the environment has none to pass on")]
    pub(crate) fn value_of(&self, name: &str) -> Option<String> {
        variable(name).map(|value| value.to_string_lossy().into_owned())
    }

    /// All variables, for who passes them on, but for those that this program tells itself when it starts anew.
    #[allow(clippy::unused_self, reason = "whoever has not read the environment has none to pass on")]
    pub(crate) fn all(&self) -> Vec<String> {
        let shown =
            |(name, value): (OsString, OsString)| format!("{}={}", name.to_string_lossy(), value.to_string_lossy());
        let own = ["DHOW_ROOT=", "DHOW_IN_USER_NAMESPACE="];
        std::env::vars_os().map(shown).filter(|variable| !own.iter().any(|own| variable.starts_with(own))).collect()
    }

    /// Where the store is unless `--root` says otherwise.
    pub(crate) fn store_root(&self) -> Option<PathBuf> {
        if let Some(root) = &self.root {
            return Some(root.clone());
        }
        if self.user == 0 {
            return Some(PathBuf::from("/var/lib/dhow"));
        }
        let data = self.data_home.clone().or_else(|| self.home.as_ref().map(|home| home.join(".local/share")));
        data.map(|data| data.join("dhow"))
    }

    /// Podman's files of credentials: the one that vanishes with the session, then the lasting one.
    pub(crate) fn containers_auth_files(&self) -> Vec<PathBuf> {
        const NAME: &str = "containers/auth.json";
        let runtime = match &self.runtime_dir {
            Some(runtime) => runtime.join(NAME),
            None => PathBuf::from(format!("/run/containers/{}/auth.json", self.user)),
        };
        let config = self.user_config();
        [Some(runtime), config.map(|config| config.join(NAME))].into_iter().flatten().collect()
    }

    fn user_config(&self) -> Option<PathBuf> {
        self.config_home.clone().or_else(|| self.home.as_ref().map(|home| home.join(".config")))
    }

    /// A path of the system's configuration.
    fn system(&self, path: &str) -> PathBuf {
        self.sysroot.clone().unwrap_or_else(|| PathBuf::from("/")).join(path)
    }

    /// Where registries are configured, by whose rules they are read.
    pub(crate) fn registry_files(&self, family: Family) -> ConfigFiles {
        let (home, config) = (self.home.as_ref(), self.user_config());
        // Podman's are below the home, whatever XDG_CONFIG_HOME says.
        let containers = home.map(|home| home.join(".config/containers"));
        let in_containers = |name: &str| containers.as_ref().map(|folder| folder.join(name));
        let user_registries = in_containers("registries.conf");
        let system_registries = self.system("etc/containers/registries.conf");
        let registries = match &self.registries_conf {
            Some(only) => vec![only.clone()],
            None => user_registries.clone().into_iter().chain([system_registries]).collect(),
        };
        let cache = self.cache_home.clone().or_else(|| home.map(|home| home.join(".cache")));
        // Who is root in a user namespace of its own has its own files still.
        let is_root = self.user == 0 && self.in_user_namespace.is_none();
        let cache = if is_root { Some(self.system("var/cache")) } else { cache };
        // What a rootless daemon has comes before what the machine's has.
        let with_user = |name: &str, system: &str| -> Vec<PathBuf> {
            config.as_ref().map(|folder| folder.join(name)).into_iter().chain([self.system(system)]).collect()
        };
        ConfigFiles {
            family,
            token_hosts: self.token_hosts.clone(),
            user_registries: user_registries.filter(|_| self.registries_conf.is_none()),
            registries,
            registries_required: self.registries_conf.is_some(),
            system_drop_ins: Some(self.system("etc/containers/registries.conf.d")),
            user_drop_ins: in_containers("registries.conf.d"),
            recorded: cache.map(|cache| cache.join("containers/short-name-aliases.conf")),
            daemon: with_user("docker/daemon.json", "etc/docker/daemon.json"),
            hosts: with_user("containerd/certs.d", "etc/containerd/certs.d"),
            docker_certs: with_user("docker/certs.d", "etc/docker/certs.d"),
            containers_certs: in_containers("certs.d")
                .into_iter()
                .chain([self.system("etc/containers/certs.d")])
                .collect(),
            cert_dir: None,
        }
    }

    /// Where `config.json` is unless `--config` says otherwise.
    pub(crate) fn docker_config_dir(&self) -> Option<PathBuf> {
        self.docker_config.clone().or_else(|| self.home.as_ref().map(|home| home.join(".docker")))
    }
}

/// `DHOW_COMPAT`: what `--compat` says when it is not given. Read before everything else, since errors depend on it.
pub(crate) fn personality() -> Option<OsString> {
    variable("DHOW_COMPAT")
}

/// Arms the fault named by `DHOW_FAULT`: builds with debug assertions only, for the tests that kill the program.
///
/// # Errors
/// Says what is wrong with the variable.
pub(crate) fn arm_faults() -> Result<(), String> {
    if !cfg!(debug_assertions) {
        return Ok(());
    }
    match variable("DHOW_FAULT").and_then(|text| text.into_string().ok()) {
        Some(text) => text.split(',').try_for_each(dhow_base::fault::arm_from_text),
        None => Ok(()),
    }
}

/// What the tools of object stores read: `AWS_ACCESS_KEY_ID` and the like.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub(crate) fn object_stores() -> StoreOptions {
    const FAMILIES: [&str; 3] = ["AWS_", "AZURE_", "GOOGLE_"];
    let variables =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let is_one =
        |(name, value): &(String, String)| !value.is_empty() && FAMILIES.iter().any(|family| name.starts_with(family));
    StoreOptions(variables.filter(is_one).collect())
}

/// A variable that is set and not empty: empty means unset to every tool of this kind.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Host names, with commas or spaces between them.
fn token_hosts() -> Vec<String> {
    let text = variable("DHOW_TOKEN_HOSTS").unwrap_or_default();
    text.to_string_lossy().split([',', ' ']).filter(|host| !host.is_empty()).map(str::to_owned).collect()
}

/// The first of the names that is set, the one in upper case before the one in lower case, as Go has them.
fn proxies() -> ProxySettings {
    let text = |name: &str| {
        variable(name).or_else(|| variable(&name.to_lowercase())).map(|text| text.to_string_lossy().into_owned())
    };
    let (http, https, all) = (text("HTTP_PROXY"), text("HTTPS_PROXY"), text("ALL_PROXY"));
    ProxySettings {
        http: http.or_else(|| all.clone()).map(Secret::new),
        https: https.or(all).map(Secret::new),
        except: text("NO_PROXY").unwrap_or_default(),
    }
}

/// Root's ranges of users are of no interest, and its name is not looked for.
fn user_name() -> Option<String> {
    let user = rustix::process::geteuid();
    if user.is_root() {
        return None;
    }
    let passwd = dhow_base::fs::read_limited(Path::new("/etc/passwd"), PASSWD_BYTES_MAX).ok()?;
    let (passwd, user) = (String::from_utf8_lossy(&passwd), user.as_raw().to_string());
    let mut rows = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    rows.find(|fields| fields.get(2) == Some(&&*user)).and_then(|fields| fields.first().map(|name| (*name).to_owned()))
}

/// The search path alone, before anything else is read.
pub(crate) fn search_path() -> OsString {
    variable("PATH").unwrap_or_default()
}

/// Services often run without `HOME`.
fn home_of_user() -> Option<PathBuf> {
    let passwd = dhow_base::fs::read_limited(Path::new("/etc/passwd"), PASSWD_BYTES_MAX).ok()?;
    home_in(&String::from_utf8_lossy(&passwd), rustix::process::geteuid().as_raw())
}

fn home_in(passwd: &str, uid: u32) -> Option<PathBuf> {
    let uid = uid.to_string();
    let fields =
        passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields.get(2) == Some(&&*uid))?;
    fields.get(5).filter(|home| !home.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_follows_the_variables() {
        let mut environment = Environment { home: Some("/home/bob".into()), user: 1000, ..Environment::default() };
        assert_eq!(environment.store_root(), Some("/home/bob/.local/share/dhow".into()));
        environment.data_home = Some("/data".into());
        assert_eq!(environment.store_root(), Some("/data/dhow".into()));
        environment.user = 0;
        assert_eq!(environment.store_root(), Some("/var/lib/dhow".into()));
        environment.root = Some("/srv/dhow".into());
        assert_eq!(environment.store_root(), Some("/srv/dhow".into()));
    }

    #[test]
    fn the_page_names_every_variable() {
        /// For tests, and for this program when it starts anew.
        const INTERNAL: [&str; 2] = ["DHOW_FAULT", "DHOW_IN_USER_NAMESPACE"];
        let page = include_str!("../../../docs/reference/environment.md");
        let is_name =
            |text: &&str| text.len() > 3 && text.chars().all(|letter| letter == '_' || letter.is_ascii_uppercase());
        let names: Vec<&str> = include_str!("environment.rs").split('"').filter(is_name).collect();
        assert!(names.contains(&"DHOW_ROOT") && names.contains(&"AWS_"), "{names:?}");
        for name in names.into_iter().filter(|name| !INTERNAL.contains(name)) {
            assert!(page.contains(&format!("`{name}")), "docs/reference/environment.md does not name {name}");
        }
    }

    #[test]
    fn config_json_is_docker_s() {
        let mut environment = Environment { home: Some("/home/bob".into()), ..Environment::default() };
        assert_eq!(environment.docker_config_dir(), Some("/home/bob/.docker".into()));
        environment.docker_config = Some("/etc/docker-client".into());
        assert_eq!(environment.docker_config_dir(), Some("/etc/docker-client".into()));
        assert_eq!(Environment::default().docker_config_dir(), None);
    }

    #[test]
    fn podman_s_files_are_where_podman_has_them() {
        let mut environment = Environment { home: Some("/home/bob".into()), user: 1000, ..Environment::default() };
        let lasting = PathBuf::from("/home/bob/.config/containers/auth.json");
        assert_eq!(environment.containers_auth_files(), ["/run/containers/1000/auth.json".into(), lasting]);
        environment.runtime_dir = Some("/run/user/1000".into());
        environment.config_home = Some("/config".into());
        let expected = ["/run/user/1000/containers/auth.json", "/config/containers/auth.json"];
        assert_eq!(environment.containers_auth_files(), expected.map(PathBuf::from));
        let aliases = |environment: &Environment| environment.registry_files(Family::default()).recorded;
        let own = Some(PathBuf::from("/home/bob/.cache/containers/short-name-aliases.conf"));
        assert_eq!(aliases(&environment), own);
        environment.user = 0;
        assert_eq!(aliases(&environment), Some("/var/cache/containers/short-name-aliases.conf".into()));
        environment.in_user_namespace = Some(true);
        assert_eq!(aliases(&environment), own);
    }

    #[test]
    fn the_password_file_knows_the_home() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/nonexistent:/bin/false\nodd:x:7\n";
        assert_eq!(home_in(passwd, 0), Some("/root".into()));
        assert_eq!(home_in(passwd, 7), None);
        assert_eq!(home_in(passwd, 1000), None);
    }
}
