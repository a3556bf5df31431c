//! Running other programs, with their output passed through.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::workspace;

/// `cargo` in the workspace's root.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    // Cargo sets this for what it runs; a newer one by another name must not be mixed in.
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(workspace::root()).args(arguments);
    command
}

/// Runs a command to its end, its output going where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("cannot run {program}"))?;
    if !status.success() {
        bail!("`{program} {}` ended with {status}", arguments_of(command));
    }
    Ok(())
}

/// What a command that must succeed wrote to its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    Ok(dhow_testkit::peers::stdout_of(command)?)
}

/// Does one step under a heading and says how long it took.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("── {name}");
    let start = Instant::now();
    let done = work().with_context(|| name.to_owned())?;
    println!("   {name}: ok in {:.1} s", start.elapsed().as_secs_f64());
    Ok(done)
}

fn arguments_of(command: &Command) -> String {
    command.get_args().map(|argument| argument.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
