//! Whether the pages are true to the tree: links, paths of files and the table of dependencies.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

use crate::workspace::{self, Package};

/// Tells of the past, in the names that things had then.
const HISTORY: &str = "CHANGELOG.md";

/// The page that says why each dependency is there.
const DEPENDENCIES: &str = "docs/design/dependencies.md";

/// Everything that is wrong, one sentence each.
pub(crate) fn problems() -> Result<Vec<String>> {
    let files = workspace::tracked_files()?;
    let tree = Tree::of(&files);
    let mut problems = Vec::new();
    for file in
        files.iter().filter(|file| file.extension().is_some_and(|kind| kind == "md") && !file.ends_with(HISTORY))
    {
        let text = std::fs::read_to_string(workspace::root().join(file))
            .with_context(|| format!("cannot read {}", file.display()))?;
        let headings = |page: &Path| std::fs::read_to_string(workspace::root().join(page)).map(|text| slugs(&text));
        problems.extend(lost(&tree, file, &text, |page| headings(page).unwrap_or_default()));
    }
    let table =
        std::fs::read_to_string(workspace::root().join(DEPENDENCIES)).context("cannot read the dependencies")?;
    problems.extend(dependencies(&table, &workspace::packages()?));
    Ok(problems)
}

/// The names that there are: files, and the directories that they are in.
struct Tree {
    paths: BTreeSet<PathBuf>,
    /// The outermost directories, by which a path of this tree is known.
    tops: BTreeSet<PathBuf>,
}

impl Tree {
    fn of(files: &[PathBuf]) -> Self {
        let paths: BTreeSet<PathBuf> = files
            .iter()
            .flat_map(|file| file.ancestors())
            .filter(|path| *path != Path::new(""))
            .map(Path::to_owned)
            .collect();
        let first = |file: &PathBuf| file.parent()?.components().next().map(|top| PathBuf::from(top.as_os_str()));
        Self { tops: files.iter().filter_map(first).collect(), paths }
    }

    fn has(&self, path: &Path) -> bool {
        self.paths.contains(path)
    }

    /// Whether some path ends so: pages name a file of the crate that they are about by what tells it from others.
    fn has_ending(&self, path: &Path) -> bool {
        self.paths.iter().any(|known| known.ends_with(path))
    }
}

/// Links and paths of a page that lead nowhere. `headings` gives the anchors of a page of this tree.
fn lost(tree: &Tree, file: &Path, text: &str, headings: impl Fn(&Path) -> BTreeSet<String>) -> Vec<String> {
    let mut problems = Vec::new();
    for (index, line) in prose(text) {
        let mut complain = |what: String| problems.push(format!("{}:{}: {what}", file.display(), index + 1));
        for link in links(line) {
            let (target, anchor) = link.split_once('#').map_or((link, None), |(target, anchor)| (target, Some(anchor)));
            let page = match target {
                "" => file.to_owned(),
                target => resolved(file.parent().unwrap_or(Path::new("")), target),
            };
            if page != Path::new("") && !tree.has(&page) {
                complain(format!("the link to {link} leads nowhere"));
            } else if anchor.is_some_and(|anchor| !headings(&page).contains(anchor)) {
                complain(format!("no heading is meant by the link to {link}"));
            }
        }
        for code in line.split('`').skip(1).step_by(2) {
            let path = Path::new(code.trim_end_matches('/'));
            let is_of_tree = code.contains('/') && tree.tops.iter().any(|top| path.starts_with(top));
            let is_source = path.extension().is_some_and(|kind| kind == "rs");
            // Patterns such as `<verb>.rs`, `interop_*.rs`, and commands.
            let is_plain = !code.contains(|letter: char| letter.is_whitespace() || "<>*{}:$…".contains(letter));
            if is_plain && (is_of_tree || is_source) && !tree.has_ending(path) {
                complain(format!("there is no {code}"));
            }
        }
    }
    problems
}

/// The lines outside of blocks of code, with their index.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    text.lines().enumerate().filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// The targets of links, but for those on the web.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|target| !target.contains("://"))
}

/// A link relative to a folder, as a path from the root of the tree.
fn resolved(folder: &Path, target: &str) -> PathBuf {
    let mut path = folder.to_owned();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    path
}

/// The anchors of a page's headings, as the usual renderers make them.
fn slugs(text: &str) -> BTreeSet<String> {
    let slug = |heading: &str| -> String {
        let kept = heading.to_lowercase().replace(' ', "-");
        kept.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_')).collect()
    };
    prose(text)
        .filter(|(_, line)| line.starts_with('#'))
        .map(|(_, line)| slug(line.trim_start_matches('#').trim()))
        .collect()
}

/// Dependencies without a row, rows that no crate needs any more, and rows that name others than those who need them.
fn dependencies(table: &str, packages: &[Package]) -> Vec<String> {
    let used: BTreeSet<&str> = packages
        .iter()
        .flat_map(|package| &package.dependencies)
        .map(|dependency| dependency.name.as_str())
        .filter(|name| !name.starts_with("dhow-"))
        .collect();
    let rows: Vec<_> = table.lines().filter_map(row).collect();
    let named: BTreeSet<&str> = rows.iter().flat_map(|(names, _)| names).copied().collect();
    let missing = used.difference(&named).map(|name| format!("{DEPENDENCIES} does not say why there is `{name}`"));
    let unused = named.difference(&used).map(|name| format!("{DEPENDENCIES} names `{name}`, which nothing needs"));
    let mistaken = rows.iter().filter_map(|(names, told)| {
        let users = users(names, packages);
        let is_told = *told == users.join(", ") || (*told == "most" && 2 * users.len() > packages.len());
        let name = names.first()?;
        (!is_told)
            .then(|| format!("{DEPENDENCIES} says that `{name}` is used by {told}, but it is by {}", users.join(", ")))
    });
    missing.chain(unused).chain(mistaken).collect()
}

/// The crates that a row of the table is about, and who is said to use them.
fn row(line: &str) -> Option<(Vec<&str>, &str)> {
    let mut cells = line.strip_prefix("| `")?.split('|');
    let (names, users) = (cells.next()?, cells.next()?);
    // What comes behind "with" are features.
    let names = names.split(" with ").next()?.split('`').step_by(2).map(str::trim).filter(|name| !name.is_empty());
    Some((names.collect(), users.trim()))
}

/// Who needs one of these crates outside of tests; if nobody does, they are what tests need.
fn users<'a>(names: &[&str], packages: &'a [Package]) -> Vec<&'a str> {
    let needs = |package: &Package| {
        let mut dependencies =
            package.dependencies.iter().filter(|dependency| dependency.kind.as_deref() != Some("dev"));
        dependencies.any(|dependency| names.contains(&dependency.name.as_str()))
    };
    let folders = packages.iter().filter(|package| needs(package));
    let folders = folders.map(|package| package.name.strip_prefix("dhow-").unwrap_or(&package.name));
    let users: BTreeSet<&str> = folders.filter(|folder| *folder != "tests").collect();
    if users.is_empty() { vec!["tests"] } else { users.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let files = ["docs/a.md", "docs/design/b.md", "crates/store/src/db/mod.rs"].map(PathBuf::from);
        let headings = |_: &Path| slugs("# A page\n\n## What is `kept`?\n");
        assert_eq!(lost(&Tree::of(&files), Path::new("docs/design/b.md"), text, headings), expected, "{text}");
    }

    #[test]
    fn links_lead_somewhere() {
        check("[a](../a.md), [b](b.md#what-is-kept), [c](#a-page), [d](https://example.org/x.md)", &[]);
        check("\n[a](a.md)", &["docs/design/b.md:2: the link to a.md leads nowhere"]);
        check("[a](../a.md#gone)", &["docs/design/b.md:1: no heading is meant by the link to ../a.md#gone"]);
    }

    #[test]
    fn paths_of_the_tree_are_there() {
        check("`crates/store/`, `db/mod.rs`, `docs/<page>.md`, `blobs/`, `a/b.rs:12`, `docs pull`", &[]);
        check("`crates/stove`", &["docs/design/b.md:1: there is no crates/stove"]);
        check("`index.rs`", &["docs/design/b.md:1: there is no index.rs"]);
        check("```\n`index.rs`\n```\n", &[]);
    }

    #[test]
    fn dependencies_and_their_rows_fit() {
        let package = |name: &str, dependencies: &[(&str, Option<&str>)]| Package {
            name: format!("dhow-{name}"),
            manifest_path: format!("crates/{name}/Cargo.toml").into(),
            dependencies: dependencies
                .iter()
                .map(|(name, kind)| workspace::Dependency { name: (*name).to_owned(), kind: kind.map(str::to_owned) })
                .collect(),
        };
        let packages = [
            package("store", &[("dhow-base", None), ("rusqlite", None), ("zstd", None), ("boon", Some("dev"))]),
            package("layer", &[("tar", None), ("rusqlite", Some("dev"))]),
            package("tests", &[("tar", None)]),
        ];
        let table =
            "| crate | used by |\n|---|---|\n| `rusqlite`, `sled` with `bundled` | store |\n| `boon` | tests |\n";
        let expected = [
            format!("{DEPENDENCIES} does not say why there is `zstd`"),
            format!("{DEPENDENCIES} names `sled`, which nothing needs"),
            format!("{DEPENDENCIES} says that `tar` is used by most, but it is by layer"),
        ];
        assert_eq!(dependencies(&format!("{table}| `tar` | most |\n"), &packages), expected);
    }
}
