//! What a name without a registry stands for, as podman has it: aliases, then the registries that are searched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dhow_base::fs::{self, Durability, FileLock, LockMode};
use dhow_base::{Error, Kind, Result, limits};
use dhow_spec::{Reference, Repository};
use serde::{Deserialize, Serialize};

use super::containers::{Containers, Mode};

/// How long another program may take to write the file of recorded aliases.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// What a short name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The names to try, in order; never empty.
    pub candidates: Vec<Reference>,
    /// Why these.
    pub reason: Reason,
}

/// Why a name stands for what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It says its registry, or short names are docker.io's.
    Itself,
    /// It is an alias in this file.
    Alias(PathBuf),
    /// This file says which registries are searched.
    Search(PathBuf),
    /// As [`Reason::Search`], and the user should be asked which one is meant; who cannot ask gets
    /// [`Resolution::unasked`].
    Ask(PathBuf, Mode),
}

/// Who resolves short names, and so what is done where nothing is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Habit {
    /// Docker's: they are docker.io's, whatever podman's files say.
    Docker,
    /// dhow's own: podman's once somebody configured it, else docker's.
    Dhow,
    /// Podman's.
    Containers,
}

impl Resolution {
    pub(super) fn itself(reference: Reference) -> Self {
        Self { candidates: vec![reference], reason: Reason::Itself }
    }

    /// The names to try where nobody can be asked.
    ///
    /// # Errors
    /// [`Kind::Invalid`] in podman's words when the configuration wants somebody to be asked.
    pub fn unasked(self, text: &str) -> Result<Self> {
        match self.reason {
            Reason::Ask(_, Mode::Enforcing) => {
                let names: Vec<String> = self.candidates.iter().map(ToString::to_string).collect();
                let message =
                    format!("short-name {text:?}: short-name resolution enforced but cannot prompt without a TTY");
                Err(Error::new(Kind::Invalid, message).with_hint(format!("give the full name: {}", names.join(" or "))))
            }
            Reason::Ask(file, _) => Ok(Self { candidates: self.candidates, reason: Reason::Search(file) }),
            _ => Ok(self),
        }
    }
}

/// Whether a name as the user wrote it says no registry.
pub fn is_short(text: &str) -> bool {
    match text.split_once('/') {
        None => true,
        Some((first, _)) => {
            let names_a_host = first == "localhost"
                || first.contains(['.', ':'])
                || first.bytes().any(|byte| byte.is_ascii_uppercase());
            !names_a_host
        }
    }
}

/// What a name stands for.
///
/// # Errors
/// [`Kind::Invalid`] for what is no name, and in podman's words when nothing says what a short name stands for.
pub(super) fn resolve(
    text: &str,
    habit: Habit,
    config: &Containers,
    recorded: &BTreeMap<String, String>,
    recorded_file: &Path,
) -> Result<Resolution> {
    let reference = Reference::parse(text)?;
    let search = config.search.as_ref().filter(|(registries, _)| !registries.is_empty());
    if !is_short(text) || habit == Habit::Docker {
        return Ok(Resolution::itself(reference));
    }
    if let Some((target, file)) = alias_of(text, habit, config, recorded, recorded_file) {
        return aliased(&reference, target, file);
    }
    let Some((registries, file)) = search else {
        if habit == Habit::Dhow {
            return Ok(Resolution::itself(reference));
        }
        let message =
            format!("short-name {text:?} did not resolve to an alias and no unqualified-search registries are defined");
        return Err(Error::new(Kind::Invalid, message).with_hint(format!("give the full name: docker.io/{text}")));
    };
    let candidates =
        registries.iter().map(|registry| below(&reference, registry, text, file)).collect::<Result<Vec<_>>>()?;
    let is_clear = candidates.len() == 1 || config.mode == Mode::Disabled;
    let reason = if is_clear { Reason::Search(file.clone()) } else { Reason::Ask(file.clone(), config.mode) };
    Ok(Resolution { candidates, reason })
}

/// The names that a short name may stand for where it is looked up on this machine, best first, as podman has them
/// (containers/image `shortnames.ResolveLocally`): its alias, this machine's own, those of the registries that are searched.
/// Docker's habit knows none, dhow's none of this machine.
///
/// # Errors
/// [`Kind::Invalid`] for what is no name, and for a registry to search that is none.
pub(super) fn resolve_here(
    text: &str,
    habit: Habit,
    config: &Containers,
    recorded: &BTreeMap<String, String>,
    recorded_file: &Path,
) -> Result<Vec<Reference>> {
    if habit == Habit::Docker || !is_short(text) {
        return Ok(Vec::new());
    }
    let reference = Reference::parse(text)?;
    let mut names = Vec::new();
    if let Some((target, file)) = alias_of(text, habit, config, recorded, recorded_file) {
        names.extend(aliased(&reference, target, file)?.candidates);
    }
    let own = (habit == Habit::Containers).then_some("localhost");
    let search =
        config.search.iter().flat_map(|(registries, file)| registries.iter().map(move |name| (name.as_str(), file)));
    let nowhere = PathBuf::new();
    for (registry, file) in own.map(|own| (own, &nowhere)).into_iter().chain(search) {
        names.push(below(&reference, registry, text, file)?);
    }
    Ok(names)
}

/// What a short name is an alias of, and the file that says so.
fn alias_of<'c>(
    text: &str,
    habit: Habit,
    config: &'c Containers,
    recorded: &'c BTreeMap<String, String>,
    recorded_file: &'c Path,
) -> Option<(&'c str, &'c Path)> {
    let name = text.split(['@', ':']).next().unwrap_or(text);
    let is_podmans = habit == Habit::Containers || config.searches();
    if is_podmans && let Some(target) = recorded.get(name) {
        return Some((target.as_str(), recorded_file));
    }
    // What a package brings along is for podman, until somebody says that short names are to be looked for elsewhere.
    let alias = config.aliases.get(name).filter(|alias| is_podmans || !alias.is_packaged)?;
    Some((alias.target.as_str(), alias.file.as_path()))
}

fn aliased(reference: &Reference, target: &str, file: &Path) -> Result<Resolution> {
    let repository = Repository::parse(target)?;
    Ok(Resolution { candidates: vec![with_suffix(repository, reference)], reason: Reason::Alias(file.to_owned()) })
}

fn below(reference: &Reference, registry: &str, text: &str, file: &Path) -> Result<Reference> {
    let name = text.split(['@', ':']).next().unwrap_or(text);
    let full = format!("{registry}/{name}");
    let repository = Repository::parse(&full).ok().filter(|repository| {
        repository.domain() != "docker.io" || registry == "docker.io" || registry.starts_with("docker.io/")
    });
    let repository = repository.ok_or_else(|| {
        Error::new(Kind::Invalid, format!("{file:?}: {registry:?} in unqualified-search-registries is no registry"))
    })?;
    Ok(with_suffix(repository, reference))
}

fn with_suffix(repository: Repository, like: &Reference) -> Reference {
    match (like.tag(), like.digest()) {
        (Some(tag), Some(digest)) => Reference::from_tag(repository, tag.clone()).with_digest(digest.clone()),
        (Some(tag), None) => Reference::from_tag(repository, tag.clone()),
        (None, Some(digest)) => Reference::from_digest(repository, digest.clone()),
        (None, None) => Reference::from_repository(repository),
    }
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct RecordFile {
    aliases: BTreeMap<String, String>,
}

/// The aliases that were recorded, by podman or by dhow. A file that cannot be read is passed over with a warning.
pub(super) fn recorded(path: &Path) -> BTreeMap<String, String> {
    read(path).unwrap_or_else(|error| {
        tracing::warn!("{error}; the aliases in it are not used");
        BTreeMap::new()
    })
}

fn read(path: &Path) -> Result<BTreeMap<String, String>> {
    let bytes = match fs::read_limited(path, limits::API_BODY_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == Kind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    parse_recorded(&bytes, path)
}

/// Parses a file of recorded aliases: `[aliases]` and nothing else.
///
/// # Errors
/// [`Kind::Invalid`] naming the file and what is wrong in it.
pub fn parse_recorded(bytes: &[u8], path: &Path) -> Result<BTreeMap<String, String>> {
    let named = |error: Error| error.context(format_args!("short-name aliases {path:?}"));
    let file: RecordFile = super::toml(bytes).map_err(named)?;
    let mut checked = Containers::default();
    checked.add_aliases(file.aliases, path, false).map_err(named)?;
    Ok(checked.aliases.into_iter().map(|(name, alias)| (name, alias.target)).collect())
}

/// Remembers what the user chose, in podman's file and form.
///
/// # Errors
/// Those of reading and writing the file.
pub(super) fn record(path: &Path, text: &str, chosen: &Repository) -> Result<()> {
    let name = text.split(['@', ':']).next().unwrap_or(text);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let lock = FileLock::acquire(&path.with_extension("conf.lock"), LockMode::Exclusive, LOCK_PATIENCE)?;
    let mut aliases = read(path)?;
    aliases.insert(name.to_owned(), chosen.name().to_owned());
    let text = toml::to_string(&RecordFile { aliases })
        .map_err(|error| Error::new(Kind::Internal, format!("cannot write {path:?}: {error}")))?;
    fs::write_atomic(path, text.as_bytes(), 0o644, Durability::Durable)?;
    drop(lock);
    Ok(())
}

#[cfg(test)]
#[path = "short_names_tests.rs"]
mod tests;
