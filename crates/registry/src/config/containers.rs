//! `registries.conf` of podman, skopeo and buildah (containers-registries.conf(5), version 2 and the old version 1).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dhow_base::{Error, Kind, Result};
use dhow_spec::Reference;
use serde::Deserialize;

use super::invalid;

/// One file of the configuration, to be read in the order that they count in, the last one most.
#[derive(Clone, Debug)]
pub struct File {
    /// Where it is, for messages.
    pub path: PathBuf,
    /// Its content.
    pub bytes: Vec<u8>,
    /// Whether a package may have put it there: a drop-in of the whole machine.
    pub is_packaged: bool,
}

/// What the files say together.
#[derive(Clone, Debug, Default)]
pub struct Containers {
    registries: BTreeMap<String, Registry>,
    /// Registries that a short name is looked for in, and the file that says so.
    pub(super) search: Option<(Vec<String>, PathBuf)>,
    pub(super) mode: Mode,
    pub(super) aliases: BTreeMap<String, Alias>,
    /// Where credentials are kept, in order (`credential-helpers`); nothing when no file says so.
    pub(super) credential_helpers: Vec<String>,
}

/// What a short name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alias {
    /// The full name, without tag and digest.
    pub(super) target: String,
    pub(super) file: PathBuf,
    pub(super) is_packaged: bool,
}

/// What to do with a short name that several registries may have (`short-name-mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Ask on a terminal, else fail.
    Enforcing,
    /// Ask on a terminal, else try them all.
    #[default]
    Permissive,
    /// Try them all.
    Disabled,
}

/// One `[[registry]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Registry {
    pub(super) prefix: String,
    /// Where what the prefix names really is; empty to leave it where it is.
    pub(super) location: String,
    pub(super) insecure: bool,
    pub(super) blocked: bool,
    pub(super) mirrors: Vec<Mirror>,
    pub(super) file: PathBuf,
}

/// One `[[registry.mirror]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mirror {
    pub(super) location: String,
    pub(super) insecure: bool,
    pub(super) serves: Serves,
}

/// Which pulls a mirror is for (`pull-from-mirror`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serves {
    All,
    Digests,
    Tags,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct RawFile {
    unqualified_search_registries: Option<Vec<String>>,
    short_name_mode: String,
    credential_helpers: Option<Vec<String>>,
    registry: Vec<RawRegistry>,
    aliases: BTreeMap<String, String>,
    registries: Option<RawVersion1>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct RawRegistry {
    prefix: String,
    location: String,
    insecure: bool,
    blocked: bool,
    mirror_by_digest_only: bool,
    pull_from_mirror: String,
    mirror: Vec<RawMirror>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct RawMirror {
    location: String,
    insecure: bool,
    pull_from_mirror: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawVersion1 {
    search: RawList,
    insecure: RawList,
    block: RawList,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawList {
    registries: Vec<String>,
}

impl Containers {
    /// Puts files together: tables of the same prefix, aliases of the same name and settings are taken from the last.
    ///
    /// # Errors
    /// [`Kind::Invalid`] naming the file and what is wrong in it.
    pub fn parse<'a>(files: impl IntoIterator<Item = &'a File>) -> Result<Self> {
        let mut all = Self::default();
        for file in files {
            all.add(file).map_err(|error| {
                let error = error.context(format_args!("registries configuration {:?}", file.path));
                error.with_hint("correct the file; containers-registries.conf(5) describes it")
            })?;
        }
        Ok(all)
    }

    /// Whether short names are looked for in registries.
    pub(super) fn searches(&self) -> bool {
        self.search.as_ref().is_some_and(|(registries, _)| !registries.is_empty())
    }

    /// The table that a name falls under: the one with the longest prefix.
    pub(super) fn registry(&self, name: &str) -> Option<&Registry> {
        let fitting = self.registries.values().filter(|registry| covered(name, &registry.prefix).is_some());
        fitting.max_by_key(|registry| registry.prefix.len())
    }

    fn add(&mut self, file: &File) -> Result<()> {
        let mut raw: RawFile = super::toml(&file.bytes)?;
        if let Some(old) = raw.registries.take() {
            if raw.unqualified_search_registries.is_some() || !raw.registry.is_empty() {
                return Err(invalid("the old form ([registries.search] …) and the new are mixed"));
            }
            version_2(old, &mut raw);
        }
        if let Some(search) = raw.unqualified_search_registries {
            let search: Vec<String> = search.iter().map(|registry| location(registry)).collect::<Result<_>>()?;
            if search.iter().any(String::is_empty) {
                return Err(invalid("unqualified-search-registries has an empty name"));
            }
            self.search = Some((search, file.path.clone()));
        }
        if let Some(helpers) = raw.credential_helpers {
            if let Some(wrong) = helpers.iter().find(|name| name.is_empty() || name.contains('/')) {
                return Err(invalid(format!("{wrong:?} in credential-helpers is no name of a credential helper")));
            }
            self.credential_helpers = helpers;
        }
        match raw.short_name_mode.as_str() {
            "" => {}
            "enforcing" => self.mode = Mode::Enforcing,
            "permissive" => self.mode = Mode::Permissive,
            "disabled" => self.mode = Mode::Disabled,
            other => return Err(invalid(format!("invalid short-name mode: {other:?}"))),
        }
        for registry in raw.registry {
            let registry = registry.check(&file.path)?;
            self.registries.insert(registry.prefix.clone(), registry);
        }
        self.add_aliases(raw.aliases, &file.path, file.is_packaged)
    }

    /// Takes over aliases; an empty value erases one.
    pub(super) fn add_aliases(
        &mut self,
        aliases: BTreeMap<String, String>,
        file: &Path,
        is_packaged: bool,
    ) -> Result<()> {
        for (name, target) in aliases {
            check_short(&name)?;
            if target.is_empty() {
                self.aliases.remove(&name);
                continue;
            }
            let parsed = Reference::parse(&target)
                .map_err(|error| invalid(format!("the alias {name:?} stands for {target:?}: {error}")))?;
            let is_full = parsed.repository().name() == target && parsed.tag().is_none() && parsed.digest().is_none();
            if !is_full {
                return Err(invalid(format!(
                    "the alias {name:?} stands for {target:?}, which is no full name of a repository"
                )));
            }
            self.aliases.insert(name, Alias { target, file: file.to_owned(), is_packaged });
        }
        Ok(())
    }
}

impl File {
    /// Whether the file has nothing but aliases, which matter only to short names. A line that begins with a bracket is, or
    /// may be, the header of a table: where there is but one and nothing stands before it, all keys are below it.
    pub(super) fn has_only_aliases(&self) -> bool {
        let Ok(text) = std::str::from_utf8(&self.bytes) else { return false };
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let is_first =
            lines.next().is_some_and(|line| line.split('#').next().unwrap_or_default().trim() == "[aliases]");
        is_first && !lines.any(|line| line.starts_with('['))
    }
}

/// Says of version 1 what version 2 would say.
fn version_2(old: RawVersion1, raw: &mut RawFile) {
    raw.unqualified_search_registries = Some(old.search.registries).filter(|registries| !registries.is_empty());
    let insecure = old.insecure.registries.into_iter().map(|name| (name, true, false));
    let blocked = old.block.registries.into_iter().map(|name| (name, false, true));
    for (name, insecure, blocked) in insecure.chain(blocked) {
        match raw.registry.iter_mut().find(|known| known.location == name) {
            Some(known) => (known.insecure, known.blocked) = (known.insecure | insecure, known.blocked | blocked),
            None => raw.registry.push(RawRegistry { location: name, insecure, blocked, ..RawRegistry::default() }),
        }
    }
}

impl RawRegistry {
    fn check(self, file: &Path) -> Result<Registry> {
        let at = location(&self.location)?;
        let prefix = location(&self.prefix)?;
        let is_pattern = prefix.starts_with("*.");
        let prefix = match (prefix.is_empty(), at.is_empty()) {
            (true, true) => return Err(invalid("invalid condition: both location and prefix are unset")),
            (true, false) => at.clone(),
            (false, true) if !is_pattern => {
                return Err(invalid(
                    "invalid condition: location is unset and prefix is not in the format: *.example.com",
                ));
            }
            _ => prefix,
        };
        if prefix.strip_prefix("*.").unwrap_or(&prefix).contains('*') || (is_pattern && prefix.contains('/')) {
            return Err(invalid(format!(
                "invalid prefix {prefix:?}: a star stands only before a host, as in *.example.com"
            )));
        }
        if !self.pull_from_mirror.is_empty() {
            return Err(invalid(format!("pull-from-mirror must not be set for a non-mirror registry {prefix:?}")));
        }
        let mirror = |mirror: &RawMirror| mirror.check(&prefix, self.mirror_by_digest_only);
        let mirrors = self.mirror.iter().map(mirror).collect::<Result<_>>()?;
        let file = file.to_owned();
        Ok(Registry { location: at, insecure: self.insecure, blocked: self.blocked, mirrors, file, prefix })
    }
}

impl RawMirror {
    fn check(&self, prefix: &str, by_digest_only: bool) -> Result<Mirror> {
        let at = location(&self.location)?;
        if at.is_empty() {
            return Err(invalid(format!("invalid condition: mirror location is unset (registry {prefix:?})")));
        }
        if by_digest_only && !self.pull_from_mirror.is_empty() {
            return Err(invalid(format!(
                "cannot set mirror-by-digest-only for the registry {prefix:?} and pull-from-mirror for its mirror {at:?}"
            )));
        }
        let serves = match self.pull_from_mirror.as_str() {
            "" | "all" if !by_digest_only => Serves::All,
            "" | "digest-only" => Serves::Digests,
            "tag-only" => Serves::Tags,
            other => return Err(invalid(format!("unsupported pull-from-mirror value {other:?} for mirror {at:?}"))),
        };
        Ok(Mirror { location: at, insecure: self.insecure, serves })
    }
}

/// A place as the file names it, without slashes at its end.
fn location(text: &str) -> Result<String> {
    let at = text.trim_end_matches('/');
    if at.contains("://") {
        return Err(invalid(format!("invalid location {text:?}: URI schemes are not supported")));
    }
    if at.is_empty() && !text.is_empty() {
        return Err(invalid(format!("invalid location {text:?}")));
    }
    Ok(at.to_owned())
}

/// An alias is of a name that says nothing of a registry.
fn check_short(name: &str) -> Result<()> {
    let refused = |why: &str| invalid(format!("invalid short name {name:?}: {why}"));
    let parsed = Reference::parse(name).map_err(|error| refused(&error.to_string()))?;
    if parsed.tag().is_some() || parsed.digest().is_some() {
        return Err(refused("must not contain a tag or digest"));
    }
    if !super::short_names::is_short(name) {
        return Err(refused("must not contain a registry"));
    }
    Ok(())
}

/// How many bytes of a name a prefix stands for; `None` when the name is not below it.
pub(super) fn covered(name: &str, prefix: &str) -> Option<usize> {
    let length = match prefix.strip_prefix('*') {
        Some(domain) => {
            // The star stands for subdomains: never for a slash, and never for nothing.
            let host = name.find([':', '/']).unwrap_or(name.len());
            (name[..host].ends_with(domain) && host > domain.len()).then_some(host)?
        }
        None => name.starts_with(prefix).then_some(prefix.len())?,
    };
    matches!(name.as_bytes().get(length), None | Some(b':' | b'/' | b'@')).then_some(length)
}

impl Registry {
    /// The name of an image where the table says that it really is.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when that is no name.
    pub(super) fn moved(&self, reference: &Reference, to: &str) -> Result<Reference> {
        if to.is_empty() {
            return Ok(reference.clone());
        }
        let name = reference.to_string();
        let rest = covered(&name, &self.prefix).map_or("", |length| &name[length..]);
        let text = format!("{to}{rest}");
        let failed = |why: &str| {
            let message = format!("cannot look for {name} at {text:?}, as {:?} says: {why}", self.file);
            Error::new(Kind::Invalid, message)
        };
        let moved = Reference::parse(&text).map_err(|error| failed(&error.to_string()))?;
        if moved.repository().domain() == "docker.io" && !text.starts_with("docker.io/") {
            return Err(failed("it begins with no registry"));
        }
        if moved.tag() != reference.tag() || moved.digest() != reference.digest() {
            return Err(failed("the location changes the tag or digest"));
        }
        Ok(moved)
    }
}

#[cfg(test)]
#[path = "containers_tests.rs"]
mod tests;
