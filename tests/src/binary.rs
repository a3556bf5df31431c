//! Where the program under test is.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The program: what `DHOW_BIN` names, else what cargo builds now, in the profile of this test.
///
/// A test cannot depend on the binary of another package, so a plain `cargo test` would run whatever was built last, or
/// find nothing.
///
/// # Panics
/// When it cannot be built.
#[allow(clippy::disallowed_methods, reason = "a test is told by its environment which program to test")]
pub fn path() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| std::env::var_os("DHOW_BIN").map_or_else(build, PathBuf::from)).clone()
}

fn build() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", "dhow-cli", "--bin", "dhow"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("start cargo");
    assert!(status.success(), "`{cargo:?}` failed: {status}");
    let test = std::env::current_exe().expect("the test's own path");
    let binary = test.ancestors().nth(2).expect("target/<profile>/deps/<test>").join("dhow");
    assert!(binary.is_file(), "cargo built no {binary:?}: name the program in DHOW_BIN");
    binary
}
