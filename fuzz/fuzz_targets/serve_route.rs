//! A path that is read as a route holds only names that cannot leave the registry's folder.
#![no_main]

use dhow_serve::name::RepositoryName;
use dhow_serve::query::Query;
use dhow_serve::route::Route;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    if let Ok(query) = Query::parse(query) {
        let digests = query.all("digest").count();
        assert_eq!(query.one("digest").is_err(), digests > 1);
    }
    match Route::parse(path) {
        Ok(Route::Tags(name) | Route::Uploads(name)) => check_name(&name),
        Ok(Route::Manifest(name, _) | Route::Referrers(name, _) | Route::Blob(name, _)) => check_name(&name),
        Ok(Route::Upload(name, id)) => {
            check_name(&name);
            assert!(id.as_str().bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'));
        }
        Ok(Route::Health | Route::Ready | Route::Metrics | Route::Page(_) | Route::Version | Route::Catalog) | Err(_) => {}
    }
});

fn check_name(name: &RepositoryName) {
    assert!(name.as_str().len() <= 255);
    for component in name.as_str().split('/') {
        assert!(component.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit()));
        assert!(!component.contains(".."));
    }
}
