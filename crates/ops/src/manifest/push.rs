//! Pushing a list as an index.

use std::collections::HashMap;

use dhow_base::progress::Silent;
use dhow_base::{Error, Kind, Result};
use dhow_content::{CopyOptions, Prefetched, TagSink, copy, verify_document};
use dhow_registry::Access;
use dhow_spec::{Digest, Reference, Repository};
use dhow_store::ListMember;

use super::index::{check_registries, index_of};
use super::{Member, local_list, normalize};
use crate::context::Context;

/// Pushes a list under its own name or another one; `pushed` is told of each manifest that the repository of the index did
/// not have under its own. With `purge` the list is gone afterwards. Returns the name and the digest of the index.
///
/// Manifests of other repositories of the registry are brought along: their blobs are mounted, or copied where the
/// registry mounts nothing.
///
/// # Errors
/// [`Kind::NotFound`] and [`Kind::Invalid`] in docker's words, before anything is sent; those of the registry.
pub async fn push(
    context: &Context,
    list: &str,
    destination: Option<&str>,
    purge: bool,
    pushed: &dyn Fn(&Reference, &Digest),
) -> Result<(Reference, Digest)> {
    let name = normalize(list)?;
    let members = local_list(context, &name)?.members;
    let target = match destination {
        Some(text) => normalize(text.strip_prefix("docker://").unwrap_or(text))?,
        None => name.clone(),
    };
    if members.is_empty() {
        return Err(Error::new(Kind::NotFound, format!("{name} not found")));
    }
    let shown: Vec<Member> = members.iter().cloned().map(Member::from).collect();
    check_platforms(&shown)?;
    check_registries(&shown, &target)?;
    let index = index_of(&shown)?;
    for member in members.iter().filter(|member| member.name.repository() != target.repository()) {
        bring(context, member, target.repository()).await?;
        let digest = &member.manifest.descriptor().digest;
        pushed(&Reference::from_digest(target.repository().clone(), digest.clone()), digest);
    }
    let remote = context.client()?.repository(target.repository(), Access::Push)?;
    let descriptor = index.descriptor();
    remote.tag(&target, &verify_document(index.bytes().to_vec(), &descriptor)?).await?;
    if purge {
        context.store()?.update_list(&name, |list| {
            list.take();
            Ok(())
        })?;
    }
    Ok((target, descriptor.digest))
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
    let from = member.name.repository();
    let children = member.manifest.document().children();
    let hints = children.into_iter().map(|blob| (blob.digest.clone(), vec![from.clone()]));
    let source = context.client()?.repository(from, Access::Pull)?;
    let sink = context.push_to(to)?.with_mount_hints(hints.collect::<HashMap<_, _>>());
    let documents = [member.manifest.clone()];
    let source = Prefetched::new(&source, &documents);
    let copied = copy(&source, &sink, member.manifest.descriptor(), &CopyOptions::new(&Silent)).await;
    if copied.is_err() {
        sink.cancel_uploads().await;
    }
    copied.map(drop)
}
