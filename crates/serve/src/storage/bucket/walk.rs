//! Lists in pages.

use std::collections::BTreeSet;

use dhow_base::Result;
use futures::stream::TryStreamExt as _;

use super::keys;
use super::objects::Objects;
use crate::name::RepositoryName;
use crate::storage::Page;

/// The names directly below `folder` behind `after`; nothing when there are none.
pub(super) async fn names(objects: &Objects, folder: &str, after: Option<&str>, limit: usize) -> Result<Option<Page>> {
    // What a client sends as the last name it knows need not be one.
    let start = after.filter(|after| is_key_part(after)).map(|after| format!("{folder}/{after}"));
    let mut listed = objects.list(folder, start.as_deref());
    let mut page = Page::default();
    while let Some(object) = listed.try_next().await? {
        let Some(name) = object.key.strip_prefix(folder).and_then(|name| name.strip_prefix('/')) else { continue };
        let name = name.split('/').next().unwrap_or(name);
        if after.is_some_and(|after| name <= after) || page.names.last().is_some_and(|last| last == name) {
            continue;
        }
        if page.names.len() == limit {
            page.more = true;
            break;
        }
        page.names.push(name.to_owned());
    }
    let is_empty = page.names.is_empty() && !page.more;
    Ok((!is_empty).then_some(page))
}

fn is_key_part(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':'))
}

/// The repositories that hold a manifest, in byte order. One request for each repository and each folder of some.
pub(super) async fn repositories(objects: &Objects, after: Option<&str>, limit: usize) -> Result<Page> {
    let mut page = Page::default();
    let mut queue = BTreeSet::new();
    queue.extend(below(objects, None, after).await?.0);
    while let Some(name) = queue.pop_first() {
        let (inside, has_manifest) = below(objects, Some(&name), after).await?;
        queue.extend(inside);
        if !has_manifest || after.is_some_and(|after| name.as_str() <= after) {
            continue;
        }
        if page.names.len() == limit {
            page.more = true;
            break;
        }
        page.names.push(name);
    }
    Ok(page)
}

/// The repositories directly below one that may have some behind `after`, and whether it has manifests itself.
async fn below(objects: &Objects, parent: Option<&str>, after: Option<&str>) -> Result<(Vec<String>, bool)> {
    let folder = parent.map_or(keys::REPOSITORIES.to_owned(), |parent| format!("{}/{parent}", keys::REPOSITORIES));
    let (folders, _) = objects.children(&folder).await?;
    let has_manifest = folders.iter().any(|name| name == "_manifests");
    let full_name = |name: String| parent.map_or(name.clone(), |parent| format!("{parent}/{name}"));
    let is_wanted = |name: &String| {
        let inside = format!("{name}/");
        let may_have = |after: &str| inside.as_str() > after || after.starts_with(&inside);
        RepositoryName::parse(name).is_some() && after.is_none_or(may_have)
    };
    Ok((folders.into_iter().map(full_name).filter(is_wanted).collect(), has_manifest))
}
