//! Pages that are written by the program itself. A test of the `tests` package compares them, or writes them when asked.

use std::process::Command;

use anyhow::Result;

use crate::shell;

/// Tells the test to write instead of to compare.
const UPDATE_VARIABLE: &str = "DHOW_UPDATE_DOCS";

/// Fails when a generated page is not what the program would write.
pub(crate) fn check() -> Result<()> {
    shell::run(&mut test())
}

/// Writes the generated pages.
pub(crate) fn write() -> Result<()> {
    shell::run(test().env(UPDATE_VARIABLE, "1"))
}

fn test() -> Command {
    shell::cargo(&["test", "--quiet", "--package", "dhow-tests", "--test", "reference"])
}
