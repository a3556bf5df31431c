//! `cargo xtask check`: everything that can be said about the code without running it.

use anyhow::{Result, bail};

use crate::{docs, layers, pages, shell, tidy};

/// How much to check.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Also what `cargo test` would find by itself.
    Everything,
    /// What `cargo test` does not find.
    BesideTests,
}

/// Checks formatting, lints, layers, house rules, links and paths of pages, rustdoc and generated pages.
pub(crate) fn run(extent: Extent) -> Result<()> {
    shell::step("formatting", || shell::run(&mut shell::cargo(&["fmt", "--all", "--check"])))?;
    shell::step("layers", || none(layers::problems()?))?;
    shell::step("house rules", || none(tidy::problems()?))?;
    shell::step("pages", || none(pages::problems()?))?;
    shell::step("clippy", || {
        shell::run(&mut shell::cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    })?;
    shell::step("rustdoc", || {
        let mut command = shell::cargo(&["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"]);
        shell::run(command.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    if extent == Extent::Everything {
        shell::step("generated pages", docs::check)?;
    }
    Ok(())
}

fn none(problems: Vec<String>) -> Result<()> {
    for problem in &problems {
        eprintln!("   {problem}");
    }
    match problems.len() {
        0 => Ok(()),
        1 => bail!("one problem"),
        count => bail!("{count} problems"),
    }
}
