//! `sync`: many images at once, to a registry or into a folder. What goes where is decided before anything moves.

mod file;
mod versions;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use dhow_base::secret::Secret;
use dhow_base::{Error, Kind, Result, limits};
use dhow_spec::{Reference, Tag};
use regex_lite::Regex;

use crate::context::{Account, Context, Who};
use crate::copy::Location;
use crate::remote;

pub use file::{Entry, Listed, parse_list, parse_yaml};
pub use versions::Versions;

/// Longest list of images that is read, in bytes.
pub const LIST_BYTES_MAX: u64 = 4 << 20;

/// How deep folders are looked into for images.
const FOLDER_DEPTH_MAX: usize = 16;

/// Where the images come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A repository with all its tags, or one tag or digest of it.
    Registry(Reference),
    /// Every image in skopeo's format below a folder.
    Folder(PathBuf),
    /// What a file lists.
    Listed(Vec<Listed>),
}

/// Where they go.
#[derive(Clone, Debug)]
pub enum Target {
    /// Below a registry, or a path in one: `registry.example/mirror`.
    Registry(String),
    /// Below a folder, each in one of its own, in skopeo's format.
    Folder(PathBuf),
}

/// How a registry of a list is reached, where the list says so.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// Who to be there.
    pub account: Option<(String, Secret)>,
    /// Whether it must prove who it is.
    pub tls_verify: Option<bool>,
    /// Folder of certificates to use instead of those configured for it.
    pub cert_dir: Option<PathBuf>,
}

/// One image to be copied.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Where from.
    pub from: Location,
    /// Where to.
    pub to: Location,
    /// Which of [`Plan::contexts`] reaches the source; the caller's own if none.
    pub context: Option<usize>,
}

/// What is to be copied, in order.
#[derive(Debug, Default)]
pub struct Plan {
    /// The images.
    pub images: Vec<Planned>,
    /// Handles for registries that a list has its own words about.
    pub contexts: Vec<Context>,
}

impl Plan {
    /// The handles that reach the source of an image.
    pub fn context<'c>(&'c self, planned: &Planned, own: &'c Context) -> &'c Context {
        planned.context.and_then(|index| self.contexts.get(index)).unwrap_or(own)
    }
}

/// What images are called where they go.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names<'a> {
    /// All of their names count, not only the last part.
    pub scoped: bool,
    /// What is put behind each name.
    pub suffix: &'a str,
}

/// Finds out what there is, and where each image goes: under the last part of its name, or with `scoped` under all of it.
///
/// # Errors
/// Those of the source; [`Kind::Conflict`] when two images would go to the same place.
pub async fn plan(context: &Context, source: &Source, target: &Target, names: Names<'_>) -> Result<Plan> {
    let mut plan = Plan::default();
    match source {
        Source::Registry(reference) => {
            for name in tagged(context, reference).await? {
                let suffix = name.to_string();
                plan.images.push(planned(Location::Registry(name), &suffix, target, names, None)?);
            }
        }
        Source::Folder(folder) => {
            for (path, suffix) in folders(folder)? {
                plan.images.push(planned(Location::Directory(path), &suffix, target, names, None)?);
            }
        }
        Source::Listed(listed) => {
            for registry in listed {
                let index = own_context(context, registry, &mut plan.contexts);
                for name in named(plan.contexts.get(index.unwrap_or(usize::MAX)).unwrap_or(context), registry).await? {
                    let suffix = name.to_string();
                    plan.images.push(planned(Location::Registry(name), &suffix, target, names, index)?);
                }
            }
        }
    }
    refuse_collisions(&plan.images)?;
    Ok(plan)
}

/// Every tag of a repository, unless one is named.
async fn tagged(context: &Context, reference: &Reference) -> Result<Vec<Reference>> {
    if reference.tag().is_some() || reference.digest().is_some() {
        return Ok(vec![reference.clone()]);
    }
    let tags = remote::tags(context, reference.repository(), None).await?;
    if tags.is_empty() {
        let name = reference.familiar();
        return Err(Error::new(Kind::NotFound, format!("{name} has no tags")));
    }
    Ok(tags.into_iter().map(|tag| Reference::from_tag(reference.repository().clone(), tag)).collect())
}

/// Handles of their own for a registry that the list says more of than its name.
fn own_context(context: &Context, registry: &Listed, contexts: &mut Vec<Context>) -> Option<usize> {
    let Reach { account, tls_verify, cert_dir } = &registry.reach;
    if account.is_none() && tls_verify.is_none() && cert_dir.is_none() {
        return None;
    }
    let mut settings = context.settings().clone();
    settings.registries.cert_dir = cert_dir.clone().or(settings.registries.cert_dir);
    settings.tls_verify = tls_verify.or(settings.tls_verify);
    if let (Some((username, password)), Some(domain)) = (account, registry.domain()) {
        settings.who = Who::Account(Account { domain, username: username.clone(), password: password.clone() });
    }
    contexts.push(Context::new(settings));
    Some(contexts.len() - 1)
}

/// The images that one registry of a list is to give.
async fn named(context: &Context, registry: &Listed) -> Result<Vec<Reference>> {
    let mut names = Vec::new();
    for entry in &registry.entries {
        match entry {
            Entry::All(repository) => {
                names.extend(tagged(context, &Reference::parse(repository)?).await?);
            }
            Entry::One(reference) => names.push(reference.clone()),
            Entry::Versions { repository, wanted } => {
                let all = tagged(context, &Reference::parse(repository)?).await?;
                let fits = |name: &Reference| name.tag().is_some_and(|tag| wanted.contain(tag.as_str()));
                names.extend(all.into_iter().filter(fits));
            }
            Entry::Matching { repository, pattern } => {
                let regex = Regex::new(pattern)
                    .map_err(|error| Error::new(Kind::Invalid, format!("{repository}: {pattern:?}: {error}")))?;
                let all = tagged(context, &Reference::parse(repository)?).await?;
                names.extend(all.into_iter().filter(|name| name.tag().is_some_and(|tag| regex.is_match(tag.as_str()))));
            }
        }
    }
    Ok(names)
}

/// Every folder with an image below `root`, and its name from there.
fn folders(root: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    let mut pending = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = pending.pop() {
        let failed = |error| Error::io(format_args!("cannot read {folder:?}"), error);
        if folder.join("manifest.json").is_file() {
            let inside = folder.strip_prefix(root).ok().filter(|path| !path.as_os_str().is_empty());
            let name = inside.or_else(|| folder.file_name().map(Path::new)).and_then(Path::to_str);
            let name = name.ok_or_else(|| Error::new(Kind::Invalid, format!("{folder:?} is no name of an image")))?;
            found.push((folder.clone(), name.to_owned()));
            continue;
        }
        if depth == FOLDER_DEPTH_MAX || found.len() + pending.len() > limits::DOCUMENTS_MAX {
            return Err(Error::new(Kind::LimitExceeded, format!("{root:?} has too many folders below it")));
        }
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // Links are not followed: they could lead around in circles.
            if entry.file_type().map_err(failed)?.is_dir() {
                pending.push((entry.path(), depth + 1));
            }
        }
    }
    if found.is_empty() {
        return Err(Error::new(Kind::NotFound, format!("no images below {root:?}")));
    }
    found.sort();
    Ok(found)
}

/// An image with the place it goes to: below the target, under its name.
fn planned(from: Location, name: &str, target: &Target, names: Names<'_>, context: Option<usize>) -> Result<Planned> {
    let name = if names.scoped { name } else { name.rsplit('/').next().unwrap_or(name) };
    let suffix = format!("{name}{}", names.suffix);
    let to = match target {
        Target::Folder(folder) => Location::Directory(folder.join(suffix)),
        Target::Registry(prefix) => {
            let text = format!("{}/{suffix}", prefix.trim_end_matches('/'));
            let reference = Reference::parse(&text).map_err(|error| Error::from(error).context(&text))?;
            // `docker.io` is never meant by a name that has no host.
            if !text.starts_with(reference.repository().domain()) {
                let message = format!("{prefix:?} names no registry: the destination begins with one");
                return Err(Error::new(Kind::Invalid, message));
            }
            Location::Registry(if reference.digest().is_some() { reference } else { reference.with_default_tag() })
        }
    };
    Ok(Planned { from, to, context })
}

fn refuse_collisions(images: &[Planned]) -> Result<()> {
    let mut seen: HashMap<String, &Location> = HashMap::new();
    for image in images {
        let to = image.to.to_string();
        match seen.insert(to.clone(), &image.from) {
            Some(other) if *other != image.from => {
                let message = format!("{other} and {} would both go to {to}", image.from);
                return Err(Error::new(Kind::Conflict, message).with_hint("--scoped keeps the whole names apart"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A tag, or a digest, of a repository in a list.
fn of_repository(repository: &str, text: &str) -> Result<Reference> {
    let reference = Reference::parse(repository)?;
    if text.contains(':') {
        return Ok(reference.with_digest(dhow_spec::Digest::parse(text)?));
    }
    Ok(reference.with_tag(
        Tag::parse(text).map_err(|error| Error::from(error).context(format_args!("{repository}: {text:?}")))?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(name: &str, target: &Target, scoped: bool) -> String {
        let from = Location::Directory("x".into());
        planned(from, name, target, Names { scoped, suffix: "" }, None)
            .map_or_else(|error| error.to_string(), |planned| planned.to.to_string())
    }

    #[test]
    fn images_go_where_skopeo_puts_them() {
        let folder = Target::Folder("/media/usb".into());
        let registry = Target::Registry("mirror.example/test/".to_owned());
        let name = "registry.example/base/busybox:1-glibc";
        assert_eq!(to(name, &folder, false), "dir:/media/usb/busybox:1-glibc");
        assert_eq!(to(name, &folder, true), "dir:/media/usb/registry.example/base/busybox:1-glibc");
        assert_eq!(to(name, &registry, false), "docker://mirror.example/test/busybox:1-glibc");
        assert_eq!(to(name, &registry, true), "docker://mirror.example/test/registry.example/base/busybox:1-glibc");
        let suffixed =
            planned(Location::Directory("x".into()), name, &folder, Names { scoped: false, suffix: "-new" }, None);
        assert_eq!(suffixed.expect("a plan").to.to_string(), "dir:/media/usb/busybox:1-glibc-new");
        let nowhere = Target::Registry("mirror".to_owned());
        assert_eq!(to(name, &nowhere, false), "\"mirror\" names no registry: the destination begins with one");
    }

    #[test]
    fn two_images_for_one_place_are_told_before_anything_moves() {
        let target = Target::Folder("/t".into());
        let of = |name: &str| {
            let from = Location::Registry(Reference::parse(name).expect("a name"));
            planned(from, name, &target, Names::default(), None).expect("a plan")
        };
        let (one, other) = (of("a.example/x/app:1"), of("b.example/y/app:1"));
        assert!(refuse_collisions(&[one.clone(), one.clone()]).is_ok(), "the same twice is no harm");
        assert_eq!(refuse_collisions(&[one, other]).expect_err("a collision").kind(), Kind::Conflict);
    }
}
