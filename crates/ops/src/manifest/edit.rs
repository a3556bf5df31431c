//! Putting lists together.

use std::slice;

use dhow_base::{Error, Kind, Result};
use dhow_content::{VerifiedDocument, read_document, verify_document};
use dhow_spec::{Descriptor, Digest, Document, Platform, Reference};
use dhow_store::{List, ListMember};

use super::index::index_of;
use super::{Member, elsewhere, fetch, local_list, no_such_manifest, normalize};
use crate::context::Context;
use crate::naming::Naming;
use crate::select::{Fit, Selection};
use crate::transport::Location;

/// What is to be said of a manifest in a list, beside what is said already.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// The operating system.
    pub os: String,
    /// The processor architecture.
    pub architecture: String,
    /// Its variant.
    pub variant: String,
    /// The version of the operating system.
    pub os_version: String,
    /// Features of the operating system, which are added to those known.
    pub os_features: Vec<String>,
    /// Annotations, which replace those of the same name.
    pub annotations: Vec<(String, String)>,
}

/// What docker takes for platforms (docker/cli `cli/command/manifest/util.go`).
const KNOWN_PLATFORMS: &[(&str, &[&str])] = &[
    ("darwin", &["386", "amd64", "arm", "arm64"]),
    ("dragonfly", &["amd64"]),
    ("freebsd", &["386", "amd64", "arm"]),
    ("linux", &["386", "amd64", "arm", "arm64", "mips64", "mips64le", "ppc64le", "riscv64", "s390x"]),
    ("netbsd", &["386", "amd64", "arm"]),
    ("openbsd", &["386", "amd64", "arm"]),
    ("plan9", &["386", "amd64"]),
    ("solaris", &["amd64"]),
    ("windows", &["386", "amd64"]),
];

impl Changes {
    fn is_empty(&self) -> bool {
        let texts = [&self.os, &self.architecture, &self.variant, &self.os_version];
        texts.iter().all(|text| text.is_empty()) && self.os_features.is_empty() && self.annotations.is_empty()
    }

    /// The same manifest with what is to be said of it.
    fn apply(&self, manifest: &VerifiedDocument) -> Result<VerifiedDocument> {
        let mut descriptor = manifest.descriptor().clone();
        let mut platform = descriptor.platform.take().unwrap_or_default();
        let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        platform.os = given(&self.os).unwrap_or(platform.os);
        platform.architecture = given(&self.architecture).unwrap_or(platform.architecture);
        platform.variant = given(&self.variant).or(platform.variant);
        platform.os_version = given(&self.os_version).or(platform.os_version);
        for feature in &self.os_features {
            if !platform.os_features.contains(feature) {
                platform.os_features.push(feature.clone());
            }
        }
        let known = KNOWN_PLATFORMS.iter().find(|(os, _)| *os == platform.os);
        if !known.is_some_and(|(_, architectures)| architectures.contains(&platform.architecture.as_str())) {
            let (os, architecture) = (&self.os, &self.architecture);
            let message = format!("manifest entry for image has unsupported os/arch combination: {os}/{architecture}");
            return Err(Error::new(Kind::Invalid, message));
        }
        descriptor.platform = Some(platform);
        descriptor.annotations.extend(self.annotations.iter().cloned());
        verify_document(manifest.bytes().to_vec(), &descriptor)
    }
}

/// Makes a list of manifests that registries have, or adds to one that is there. Returns its whole name.
///
/// # Errors
/// [`Kind::Conflict`] in docker's words when there is such a list and `amend` is not asked for, [`Kind::Invalid`] when a
/// name stands for a list itself; those of the registry. Nothing is changed then.
pub async fn create(context: &Context, list: &str, names: &[String], amend: bool) -> Result<Reference> {
    let target =
        normalize(list).map_err(|error| error.context(format_args!("error parsing name for manifest list {list}")))?;
    let known = context.store()?.list(&target)?;
    check_amend(known.as_ref(), amend)?;
    let known = known.unwrap_or_default();
    let mut new: Vec<ListMember> = Vec::with_capacity(names.len());
    for name in names {
        let name = normalize(name)?;
        match known.members.iter().find(|member| member.name == name) {
            Some(member) => new.push(member.clone()),
            None => new.push(single(context, name).await?),
        }
    }
    context.store()?.update_list(&target, |list| {
        check_amend(list.as_ref(), amend)?;
        let list = list.get_or_insert_default();
        new.into_iter().for_each(|member| put(list, member));
        Ok(())
    })?;
    Ok(target)
}

fn check_amend(list: Option<&List>, amend: bool) -> Result<()> {
    match list {
        Some(_) if !amend => {
            Err(Error::new(Kind::Conflict, "refusing to amend an existing manifest list with no --amend flag"))
        }
        _ => Ok(()),
    }
}

/// A manifest of a registry, with its platform.
async fn single(context: &Context, name: Reference) -> Result<ListMember> {
    let (remote, document) = fetch::fetch(context, &name).await?;
    if document.document().as_index().is_some() {
        return Err(Error::new(Kind::Invalid, format!("{name} is a manifest list")));
    }
    let manifest = fetch::with_platform(&remote, document).await?;
    Ok(ListMember { name, place: None, manifest })
}

/// Puts a member where docker has it, which lists the files of a folder: the order decides the digest of the index.
fn put(list: &mut List, member: ListMember) {
    let key = |name: &Reference| name.to_string().replace(':', "-").replace('/', "_");
    list.members.retain(|known| known.name != member.name);
    let position = list.members.partition_point(|known| key(&known.name) < key(&member.name));
    list.members.insert(position, member);
}

/// Adds what a registry has under a name to a list that is there: one manifest; of an index the member for the platform
/// that the changes name (else the host's), or all its members. Returns the digest of what the list is now.
///
/// Where names are podman's, an image that is here will do where no registry has the name.
///
/// # Errors
/// [`Kind::NotFound`] in docker's words, and those of the registry. Nothing is changed then.
pub async fn add(context: &Context, list: &str, name: &str, all: bool, changes: &Changes) -> Result<Digest> {
    let target = normalize(list)?;
    local_list(context, &target)?;
    let new = match from_registry(context, name, all, changes).await {
        Err(error) if context.naming() == Naming::Podman && !name.starts_with("docker://") => {
            context.find(name).map_err(|_| error)?;
            elsewhere::members(context, &Location::Store(name.to_owned()), all, &wanted(changes)).await?
        }
        found => found?,
    };
    put_all(context, &target, new, changes)
}

/// As [`add`], of an image in a place that is no registry.
///
/// # Errors
/// Those of the place. Nothing is changed then.
pub async fn add_from(context: &Context, list: &str, place: &Location, all: bool, changes: &Changes) -> Result<Digest> {
    let target = normalize(list)?;
    local_list(context, &target)?;
    let new = elsewhere::members(context, place, all, &wanted(changes)).await?;
    put_all(context, &target, new, changes)
}

async fn from_registry(context: &Context, name: &str, all: bool, changes: &Changes) -> Result<Vec<ListMember>> {
    let name = normalize(name.strip_prefix("docker://").unwrap_or(name))?;
    let (remote, document) = fetch::fetch(context, &name).await?;
    if document.document().as_index().is_none() {
        let manifest = fetch::with_platform(&remote, document).await?;
        return Ok(vec![ListMember { name, place: None, manifest }]);
    }
    let mut new = Vec::new();
    for member in picked(document.document(), &document.descriptor().digest, all, &wanted(changes))? {
        let manifest = read_document(&remote, &member).await?;
        let name = Reference::from_digest(name.repository().clone(), member.digest.clone());
        new.push(ListMember { name, place: None, manifest });
    }
    Ok(new)
}

/// The manifests of an index that are wanted: all of them, or that for a platform.
pub(super) fn picked(index: &Document, digest: &Digest, all: bool, wanted: &Platform) -> Result<Vec<Descriptor>> {
    let wanted = slice::from_ref(wanted);
    let mut picked = match index.as_index() {
        Some(index) if all => index.manifests.clone(),
        _ => Selection::new(wanted, Fit::Best, digest).pick(index)?,
    };
    picked.retain(|member| member.media_type.is_manifest());
    Ok(picked)
}

fn put_all(context: &Context, target: &Reference, mut new: Vec<ListMember>, changes: &Changes) -> Result<Digest> {
    if !changes.is_empty() {
        for member in &mut new {
            member.manifest = changes.apply(&member.manifest)?;
        }
    }
    change(context, target, |list| {
        for member in new {
            // Podman's lists know manifests by their digests alone.
            if context.naming() == Naming::Podman {
                let digest = &member.manifest.descriptor().digest;
                list.members.retain(|known| known.manifest.descriptor().digest != *digest);
            }
            put(list, member);
        }
        Ok(())
    })
}

/// The platform that changes describe, where they say nothing the host's.
fn wanted(changes: &Changes) -> Platform {
    let host = Platform::host();
    let or_host = |text: &str, host: String| if text.is_empty() { host } else { text.to_owned() };
    let is_other = !changes.architecture.is_empty() && changes.architecture != host.architecture;
    let variant = if is_other { None } else { host.variant };
    let platform = Platform::new(or_host(&changes.os, host.os), or_host(&changes.architecture, host.architecture));
    platform.with_variant(or_host(&changes.variant, variant.unwrap_or_default()))
}

/// Says more of a manifest in a list, which is named as it was when it was added, or by its digest.
///
/// # Errors
/// [`Kind::NotFound`] and [`Kind::Invalid`] in docker's words.
pub fn annotate(context: &Context, list: &str, name: &str, changes: &Changes) -> Result<Digest> {
    let parsed = |text: &str, what: &str| {
        normalize(text).map_err(|error| error.context(format_args!("annotate: error parsing name for {what} {text}")))
    };
    let target = parsed(list, "manifest list")?;
    let digest = Digest::parse(name).ok();
    let reference = digest.is_none().then(|| parsed(name, "manifest")).transpose()?;
    let missing = || Error::new(Kind::NotFound, format!("manifest for image {name} does not exist in {list}"));
    context.store()?.list(&target)?.ok_or_else(missing)?;
    change(context, &target, |list| {
        let is_it = |member: &ListMember| {
            reference.as_ref() == Some(&member.name) || digest.as_ref() == Some(&member.manifest.descriptor().digest)
        };
        let member = list.members.iter_mut().find(|member| is_it(member)).ok_or_else(missing)?;
        member.manifest = changes.apply(&member.manifest)?;
        Ok(())
    })
}

/// Takes the manifest with a digest out of a list.
///
/// # Errors
/// [`Kind::NotFound`] when the list has none, [`Kind::Invalid`] for what is no digest.
pub fn remove(context: &Context, list: &str, digest: &str) -> Result<Digest> {
    let target = normalize(list)?;
    let digest = Digest::parse(digest).map_err(|error| Error::new(Kind::Invalid, error.to_string()))?;
    change(context, &target, |list| {
        let before = list.members.len();
        list.members.retain(|member| member.manifest.descriptor().digest != digest);
        if list.members.len() == before {
            return Err(Error::new(Kind::NotFound, format!("no instance with digest {digest} found in manifest list")));
        }
        Ok(())
    })
}

/// Changes a list that is there; returns the digest of the index that it makes now.
fn change(context: &Context, target: &Reference, action: impl FnOnce(&mut List) -> Result<()>) -> Result<Digest> {
    context.store()?.update_list(target, |list| {
        let list = list.as_mut().ok_or_else(|| no_such_manifest(target))?;
        action(list)?;
        let members: Vec<Member> = list.members.iter().cloned().map(Member::from).collect();
        Ok(index_of(&members)?.descriptor().digest)
    })
}

/// Whether there is a list of this name.
///
/// # Errors
/// Those of parsing the name and of reading the list.
pub fn exists(context: &Context, list: &str) -> Result<bool> {
    Ok(context.store()?.list(&normalize(list)?)?.is_some())
}

/// Gives a list further names: each is a list of its own from here on.
///
/// # Errors
/// [`Kind::NotFound`] when there is no such list.
pub(crate) fn copy_to(context: &Context, list: &Reference, targets: &[Reference]) -> Result<()> {
    let store = context.store()?;
    let copied = store.list(list)?.ok_or_else(|| no_such_manifest(list))?;
    targets.iter().try_for_each(|target| {
        store.update_list(target, |list| {
            *list = Some(copied.clone());
            Ok(())
        })
    })
}

/// Removes every list; returns their names.
///
/// # Errors
/// Those of reading and removing them.
pub fn rm_all(context: &Context) -> Result<Vec<Reference>> {
    let store = context.store()?;
    let mut removed = Vec::new();
    for name in store.lists()? {
        if store.update_list(&name, |list| Ok(list.take().is_some()))? {
            removed.push(name);
        }
    }
    Ok(removed)
}

/// Removes a list; what it names stays in its registry.
///
/// # Errors
/// [`Kind::NotFound`] in docker's words.
pub fn rm(context: &Context, list: &str) -> Result<()> {
    let target = normalize(list)?;
    context.store()?.update_list(&target, |list| match list.take() {
        Some(_) => Ok(()),
        None => Err(no_such_manifest(&target)),
    })
}
