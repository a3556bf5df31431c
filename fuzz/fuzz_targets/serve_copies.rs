//! A repository that is a copy lies below the name of its upstream, and its original is one of that registry: nobody gets something
//! of another one.
#![no_main]

use dhow_serve::configuration::{CacheSection, UpstreamSection};
use dhow_serve::copy_of;
use dhow_serve::name::RepositoryName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str, Option<&str>, bool)| {
    let (upstream, repository, namespace, has_default) = input;
    let mut upstreams = vec![
        UpstreamSection { name: "hub".to_owned(), registry: "docker.io".to_owned() },
        UpstreamSection { name: "hub/quay".to_owned(), registry: "quay.io".to_owned() },
    ];
    upstreams.extend(UpstreamSection::parse(upstream).ok());
    let section = CacheSection { upstreams, default: has_default.then(|| "hub".to_owned()), ..CacheSection::default() };
    let Some(repository) = RepositoryName::parse(repository) else { return };
    let Ok(Some((name, original))) = copy_of(&section, &repository, namespace) else { return };
    let of_one = |upstream: &UpstreamSection| {
        name.starts_with(&format!("{}/", upstream.name)) && original.starts_with(&format!("{}/", upstream.registry))
    };
    assert!(section.upstreams.iter().any(of_one), "{name} {original}");
    assert!(RepositoryName::parse(&name).is_some(), "{name}");
});
