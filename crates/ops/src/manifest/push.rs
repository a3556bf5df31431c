//! Pushing a list as an index.

use std::collections::HashMap;

use dhow_base::progress::Silent;
use dhow_base::{Error, Kind, Result};
use dhow_content::{CopyOptions, Prefetched, TagSink, VerifiedDocument, copy, verify_document};
use dhow_registry::Access;
use dhow_spec::{Digest, Reference, Repository};
use dhow_store::ListMember;

use super::index::{check_registries, index_of};
use super::{Member, elsewhere, local_list, normalize};
use crate::context::Context;
use crate::copy::{Location, shown};
use crate::naming::Naming;
use crate::transport::Destination;

/// Pushes a list under its own name or another one; `pushed` is told of each manifest that the repository of the index did
/// not have under its own. With `purge` the list is gone afterwards. Returns the name and the digest of the index.
///
/// Manifests of other repositories of the registry are brought along: their blobs are mounted, or copied where the
/// registry mounts nothing. Those of other registries are copied where names are podman's.
///
/// # Errors
/// [`Kind::NotFound`] and [`Kind::Invalid`] in docker's words, before anything is sent; those of the registry. Podman pushes lists of
/// nothing.
pub async fn push(
    context: &Context,
    list: &str,
    destination: Option<&str>,
    purge: bool,
    pushed: &dyn Fn(&Reference, &Digest),
) -> Result<(Reference, Digest)> {
    let name = normalize(list)?;
    let listed = local_list(context, &name)?.members;
    let target = match destination {
        Some(text) => normalize(text.strip_prefix("docker://").unwrap_or(text))?,
        None => name.clone(),
    };
    if listed.is_empty() && context.naming() == Naming::Docker {
        return Err(Error::new(Kind::NotFound, format!("{name} not found")));
    }
    let mut members = Vec::with_capacity(listed.len());
    for member in listed {
        members.push(match member.place {
            Some(_) => elsewhere::to_go(context, &context.push_to(target.repository())?, member).await?,
            None => member,
        });
    }
    let listed: Vec<Member> = members.iter().cloned().map(Member::from).collect();
    check_platforms(&listed)?;
    // Docker's engine moves nothing between registries.
    if context.naming() == Naming::Docker {
        check_registries(&listed, &target)?;
    }
    let index = index_of(&listed)?;
    let is_there = |member: &&ListMember| member.place.is_none() && member.name.repository() == target.repository();
    for member in members.iter().filter(|member| !is_there(member)) {
        bring(context, member, target.repository()).await?;
        let digest = &member.manifest.descriptor().digest;
        pushed(&Reference::from_digest(target.repository().clone(), digest.clone()), digest);
    }
    let remote = context.client()?.repository(target.repository(), Access::Push)?;
    let descriptor = index.descriptor();
    remote.tag(&target, &verify_document(index.bytes().to_vec(), &descriptor)?).await?;
    if purge {
        forget(context, &name)?;
    }
    Ok((target, descriptor.digest))
}

/// Copies a list as an index, with all that is in it, to a place that is no registry. Otherwise as [`push`]; returns the index's digest.
///
/// # Errors
/// As there; [`Kind::Unsupported`] for a place that holds no index; those of the place.
pub async fn push_to(
    context: &Context,
    list: &str,
    place: &Location,
    purge: bool,
    pushed: &dyn Fn(&Reference, &Digest),
) -> Result<Digest> {
    let name = normalize(list)?;
    let members = local_list(context, &name)?.members;
    if members.is_empty() {
        return Err(Error::new(Kind::NotFound, format!("{name} not found")));
    }
    if !matches!(place, Location::OciArchive { .. } | Location::OciDirectory { .. } | Location::Directory(_)) {
        let text = place.to_string();
        let transport = text.split(':').next().unwrap_or_default();
        let why = "does not support copying multiple images as a group";
        let message = format!("copying multiple images: destination transport {transport:?} {why}");
        return Err(Error::new(Kind::Unsupported, message));
    }
    let index = index_of(&members.iter().cloned().map(Member::from).collect::<Vec<_>>())?;
    let root = verify_document(index.bytes().to_vec(), &index.descriptor())?;
    let destination = Destination::open(context, place)?;
    for member in &members {
        let documents = [member.manifest.clone()];
        let descriptor = member.manifest.descriptor();
        if let Some(place) = &member.place {
            let opened = elsewhere::opened(context, place).await?;
            let source = Prefetched::new(&opened.source, &documents);
            copy(&source, &destination.sink, descriptor, &CopyOptions::new(&Silent)).await?;
        } else {
            let source = context.client()?.repository(member.name.repository(), Access::Pull)?;
            let source = Prefetched::new(&source, &documents);
            copy(&source, &destination.sink, descriptor, &CopyOptions::new(&Silent)).await?;
        }
        pushed(&member.name, &member.manifest.descriptor().digest);
    }
    let mut documents: Vec<VerifiedDocument> = members.into_iter().map(|member| member.manifest).collect();
    documents.push(root.clone());
    destination.finish(&root, &documents, shown(&root)).await?;
    if purge {
        forget(context, &name)?;
    }
    Ok(root.descriptor().digest.clone())
}

fn forget(context: &Context, name: &Reference) -> Result<()> {
    context.store()?.update_list(name, |list| {
        list.take();
        Ok(())
    })?;
    Ok(())
}

fn check_platforms(members: &[Member]) -> Result<()> {
    let lacks = |member: &&Member| {
        let platform = member.descriptor.platform.as_ref();
        platform.is_none_or(|platform| platform.os.is_empty() || platform.architecture.is_empty())
    };
    match members.iter().find(lacks) {
        None => Ok(()),
        Some(member) => {
            let name = &member.name;
            let message = format!("manifest {name} must have an OS and Architecture to be pushed to a registry");
            Err(Error::new(Kind::Invalid, message))
        }
    }
}

/// Brings a manifest with all its blobs from its repository to another one of the registry.
async fn bring(context: &Context, member: &ListMember, to: &Repository) -> Result<()> {
    let documents = [member.manifest.clone()];
    let descriptor = member.manifest.descriptor();
    if let Some(place) = &member.place {
        let (opened, sink) = (elsewhere::opened(context, place).await?, context.push_to(to)?);
        let source = Prefetched::new(&opened.source, &documents);
        let copied = copy(&source, &sink, descriptor, &CopyOptions::new(&Silent)).await;
        if copied.is_err() {
            sink.cancel_uploads().await;
        }
        return copied.map(drop).map_err(|error| opened.explain(error));
    }
    let from = member.name.repository();
    let children = member.manifest.document().children();
    let is_same = from.domain() == to.domain();
    let hints = children.into_iter().filter(|_| is_same).map(|blob| (blob.digest.clone(), vec![from.clone()]));
    let source = context.client()?.repository(from, Access::Pull)?;
    let sink = context.push_to(to)?.with_mount_hints(hints.collect::<HashMap<_, _>>());
    let source = Prefetched::new(&source, &documents);
    let copied = copy(&source, &sink, descriptor, &CopyOptions::new(&Silent)).await;
    if copied.is_err() {
        sink.cancel_uploads().await;
    }
    copied.map(drop)
}
