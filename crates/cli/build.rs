//! Links what unwinds a panic into the program, where the C compiler has that: one library less to find, map and relocate at every
//! start, which for a verb of a few milliseconds shows.

#![expect(clippy::disallowed_methods, reason = "the environment is where a build script is told what it builds")]

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    let is_cross = env::var("HOST") != env::var("TARGET");
    if target("OS") == "linux" && target("ENV") == "gnu" && !is_cross && has_unwinder() {
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}

/// Whether the C compiler, which links, finds it; it repeats the name of what it does not find.
fn has_unwinder() -> bool {
    let found = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output();
    found.is_ok_and(|found| Path::new(String::from_utf8_lossy(&found.stdout).trim()).is_absolute())
}
