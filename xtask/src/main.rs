//! The project's own commands: `cargo xtask check`, `test`, `docs`, `demo`, `bench` and `fuzz`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks to its user")]
#![allow(clippy::disallowed_methods, reason = "works on scratch files and on the checkout, never on a store")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod check;
mod demo;
mod docs;
mod fuzz;
mod layers;
mod pages;
mod provision;
mod shell;
mod test;
mod tidy;
mod workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Checks, tests, shows and measures dhow")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Formatting, lints, layers, house rules, pages, rustdoc and generated pages
    Check,
    /// Install what the tests need (as root), check, then run every test
    Test,
    /// Write the generated pages anew
    Docs,
    /// Move real images through every verb, without outside network
    Demo(demo::Options),
    /// Measure dhow beside docker, podman and skopeo (root)
    Bench(bench::Options),
    /// Run the fuzz targets for a while each
    Fuzz(fuzz::Options),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Check => check::run(check::Extent::Everything),
        Command::Test => test::run(),
        Command::Docs => docs::write(),
        Command::Demo(options) => demo::run(&options),
        Command::Bench(options) => bench::run(options),
        Command::Fuzz(options) => fuzz::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
