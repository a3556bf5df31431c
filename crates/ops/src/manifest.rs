//! `manifest`: manifests in registries, and lists of them that are put together here and pushed as an index.

mod edit;
mod elsewhere;
mod fetch;
mod index;
mod push;

use dhow_base::{Error, Kind, Result};
use dhow_spec::{Descriptor, Document, Reference};
use dhow_store::{List, ListMember};

use crate::context::Context;
use crate::names;
use crate::naming::Naming;

pub(crate) use edit::copy_to;
pub use edit::{Changes, add, add_from, annotate, create, exists, remove, rm, rm_all};
pub use index::index_of;
pub use push::{push, push_to};

/// One manifest, as far as it was read.
#[derive(Clone, Debug)]
pub struct Member {
    /// The name it was found by.
    pub name: Reference,
    /// Its descriptor, with the platform.
    pub descriptor: Descriptor,
    /// The manifest; nothing when only an index was read that names it.
    pub document: Option<Document>,
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum Found {
    /// One manifest.
    Manifest(Box<Member>),
    /// A list of manifests, here or in a registry.
    List(Vec<Member>),
}

/// Reads a manifest or list by name: a list that is put together here, else what the registry has. With `list`, reads a
/// manifest of that list.
///
/// `verbose` also reads what the platform of a single manifest is, and every manifest of a list.
///
/// # Errors
/// [`Kind::NotFound`] in docker's words, and those of the registry.
pub async fn inspect(context: &Context, list: Option<&str>, name: &str, verbose: bool) -> Result<Found> {
    let name = normalize(name)?;
    if let Some(list) = list {
        let list = normalize(list)?;
        let members = context.store()?.list(&list)?.map(|list| list.members).unwrap_or_default();
        let found = members.into_iter().find(|member| member.name == name);
        return found.map(|member| Found::Manifest(Box::new(member.into()))).ok_or_else(|| no_such_manifest(&name));
    }
    match context.store()?.list(&name)? {
        Some(list) => {
            let members: Vec<Member> = list.members.into_iter().map(Member::from).collect();
            // Podman's lists get a registry only when they are pushed.
            if context.naming() == Naming::Docker {
                let check = index::check_registries(&members, &name);
                check.map_err(|error| error.context("failed to assemble ManifestDescriptor"))?;
            }
            Ok(Found::List(members))
        }
        None => fetch::find(context, &name, verbose).await,
    }
}

impl From<ListMember> for Member {
    fn from(member: ListMember) -> Self {
        let descriptor = member.manifest.descriptor().clone();
        Self { name: member.name, descriptor, document: Some(member.manifest.document().clone()) }
    }
}

/// A name with the tag `latest` where it has neither tag nor digest.
fn normalize(text: &str) -> Result<Reference> {
    names::parse(text).map(Reference::with_default_tag)
}

/// The list that `text` names where lists go by podman's names, if there is one.
///
/// # Errors
/// Those of reading it.
pub(crate) fn named(context: &Context, text: &str) -> Result<Option<Reference>> {
    let Ok(name) = Naming::Podman.given(text) else { return Ok(None) };
    Ok(context.store()?.list(&name)?.map(|_| name))
}

fn no_such_manifest(name: &Reference) -> Error {
    Error::new(Kind::NotFound, format!("No such manifest: {name}"))
}

/// The list of this name.
fn local_list(context: &Context, name: &Reference) -> Result<List> {
    context.store()?.list(name)?.ok_or_else(|| no_such_manifest(name))
}
