//! Questions about an image's names, which are answered without reading all of them.

use std::collections::HashSet;

use dhow_base::Result;
use dhow_spec::{Digest, Repository};
use dhow_store::Update;

use crate::common::*;

const NAMES: [&str; 5] = ["app:1", "app:2", "team/app:1", "team/web:1", "zoo:1"];

/// Both ways, with all names and after each that goes.
#[test]
fn single_questions_answer_as_the_whole_lists() {
    let directory = scratch();
    let store = open(&directory);
    Remote::small("named").pull(&store, &NAMES).unwrap();
    Remote::small("another").pull(&store, &["team/other:1"]).unwrap();
    let found = store.find("app:1").unwrap();
    let repositories: Vec<Repository> = ["app", "team/app", "team/web", "zoo", "team/other", "nowhere"]
        .iter()
        .map(|name| reference(name).repository().clone())
        .collect();
    store
        .update(|update| {
            assert_agree(update, &found.image_id, &repositories)?;
            for name in NAMES {
                assert!(update.untag(&reference(name))?);
                assert_agree(update, &found.image_id, &repositories)?;
            }
            for repository in repositories.iter().take(4) {
                assert!(update.remove_repo_digest(repository, &found.target.digest)?);
                assert_agree(update, &found.image_id, &repositories)?;
            }
            Ok(())
        })
        .unwrap();
}

fn assert_agree(update: &Update<'_>, image: &Digest, repositories: &[Repository]) -> Result<()> {
    let (tags, digests) = (update.references_of(image)?, update.repo_digests_of(image)?);
    let names = update.names_of(image)?;
    for max in 1..=NAMES.len() {
        let some: HashSet<_> = names.some_tags(update, max)?.into_iter().collect();
        assert_eq!(some.len(), tags.len().min(max));
        assert!(some.iter().all(|tag| tags.contains(tag)));
        let some: HashSet<_> = names.some_digests(update, max)?.into_iter().collect();
        assert_eq!(some.len(), digests.len().min(max));
        assert!(some.iter().all(|name| digests.contains(name)));
    }
    for repository in repositories {
        let inside: Vec<Digest> =
            digests.iter().filter(|(home, _)| home == repository).map(|(_, digest)| digest.clone()).collect();
        assert_eq!(names.has_tag_in(update, repository)?, tags.iter().any(|tag| tag.repository() == repository));
        assert_eq!(names.has_digest_outside(update, repository)?, digests.len() > inside.len());
        assert_eq!(names.digests_in(update, repository)?, inside);
    }
    Ok(())
}
