//! The layer test: `layers.toml` against what every `Cargo.toml` says.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::workspace::{self, Package};

#[derive(Deserialize)]
struct Layers {
    crates: BTreeMap<String, Layer>,
    confined: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Layer {
    level: u32,
    imports: Vec<String>,
    #[serde(default)]
    tests_only: bool,
}

/// Everything that is wrong, one sentence each.
pub(crate) fn problems() -> Result<Vec<String>> {
    let text = std::fs::read_to_string(workspace::root().join("layers.toml")).context("cannot read layers.toml")?;
    let layers: Layers = toml::from_str(&text).context("cannot understand layers.toml")?;
    Ok(judge(&layers, &workspace::packages()?))
}

fn judge(layers: &Layers, packages: &[Package]) -> Vec<String> {
    let mut problems = arrows(layers);
    let crates: BTreeMap<&str, &Package> =
        packages.iter().filter_map(|package| Some((folder(package)?, package))).collect();
    for name in layers.crates.keys().filter(|name| !crates.contains_key(name.as_str())) {
        problems.push(format!("layers.toml names `{name}`, but there is no crates/{name}"));
    }
    for (name, package) in crates {
        if package.name != format!("dhow-{name}") {
            problems.push(format!("crates/{name} is the package `{}`; it has to be `dhow-{name}`", package.name));
        }
        match layers.crates.get(name) {
            Some(layer) => problems.extend(imports(layers, name, layer, package)),
            None => problems.push(format!("crates/{name} is not in layers.toml")),
        }
    }
    problems
}

/// Arrows within `layers.toml` that point sideways or up.
fn arrows(layers: &Layers) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, layer) in &layers.crates {
        for import in &layer.imports {
            match layers.crates.get(import) {
                Some(below) if below.level < layer.level => {}
                Some(below) => problems.push(format!(
                    "layers.toml lets `{name}` (level {}) import `{import}` (level {}): arrows only point down",
                    layer.level, below.level
                )),
                None => problems.push(format!("layers.toml lets `{name}` import `{import}`, which it does not list")),
            }
        }
    }
    problems
}

fn imports(layers: &Layers, name: &str, layer: &Layer, package: &Package) -> Vec<String> {
    let mut problems = Vec::new();
    for dependency in &package.dependencies {
        let test = dependency.kind.as_deref() == Some("dev");
        if let Some(import) = dependency.name.strip_prefix("dhow-") {
            let tests_only = layers.crates.get(import).is_some_and(|below| below.tests_only);
            if !(layer.imports.iter().any(|allowed| allowed == import) || (test && tests_only)) {
                problems.push(format!("`{name}` imports `{import}`, which layers.toml does not allow"));
            }
        } else if let Some(allowed) = layers.confined.get(&dependency.name)
            && !(test || layer.tests_only || allowed.iter().any(|user| user == name))
        {
            problems.push(format!("`{name}` uses `{}`, which layers.toml confines to {allowed:?}", dependency.name));
        }
    }
    problems
}

/// The name of the folder below `crates/`; `None` for `xtask` and `tests`, which stand outside the layers.
fn folder(package: &Package) -> Option<&str> {
    let folder = package.manifest_path.parent()?;
    let above = folder.parent()?;
    (above.file_name()? == Path::new("crates").as_os_str()).then(|| folder.file_name()?.to_str()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    const LAYERS: &str = "
        [crates.base]
        level = 0
        imports = []
        [crates.store]
        level = 3
        imports = ['base']
        [crates.testkit]
        level = 1
        imports = ['base']
        tests-only = true
        [confined]
        rusqlite = ['store']
    ";

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
        Package {
            name: format!("dhow-{name}"),
            manifest_path: format!("crates/{name}/Cargo.toml").into(),
            dependencies: dependencies
                .iter()
                .map(|(name, kind)| Dependency { name: (*name).to_owned(), kind: kind.map(str::to_owned) })
                .collect(),
        }
    }

    fn check(base: &[(&str, Option<&str>)], store: &[(&str, Option<&str>)]) -> Vec<String> {
        let layers = toml::from_str(LAYERS).expect("layers");
        judge(&layers, &[package("base", base), package("store", store), package("testkit", &[])])
    }

    #[test]
    fn allowed_arrows_pass() {
        let store = [("dhow-base", None), ("dhow-testkit", Some("dev")), ("rusqlite", None)];
        assert_eq!(check(&[], &store), Vec::<String>::new());
    }

    #[test]
    fn an_arrow_up_is_named() {
        assert_eq!(check(&[("dhow-store", None)], &[]), ["`base` imports `store`, which layers.toml does not allow"]);
    }

    #[test]
    fn test_helpers_stay_in_tests() {
        assert_eq!(
            check(&[], &[("dhow-testkit", None)]),
            ["`store` imports `testkit`, which layers.toml does not allow"]
        );
    }

    #[test]
    fn a_confined_library_is_named() {
        assert_eq!(
            check(&[("rusqlite", None)], &[]),
            ["`base` uses `rusqlite`, which layers.toml confines to [\"store\"]"]
        );
    }

    #[test]
    fn sideways_imports_in_the_table_are_named() {
        let table = LAYERS.replace("level = 0", "level = 3");
        let layers: Layers = toml::from_str(&table).expect("layers");
        assert_eq!(arrows(&layers).len(), 2);
    }
}
