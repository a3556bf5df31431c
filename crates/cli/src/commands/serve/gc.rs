//! `serve gc` and `serve scrub`

use std::path::PathBuf;

use clap::Args;
use dhow_ops::serve;

use crate::errors::{FAILED, Failure, Outcome};
use crate::format::units;
use crate::session::Session;
use crate::verb::{Count, Verb};

/// The registry's folder.
#[derive(Args, Debug)]
struct Place {
    /// Configuration file of the server, for its "root-dir"
    #[arg(long, value_name = "string", env = "DHOW_SERVE_CONFIG_FILE", hide_env = true)]
    config_file: Option<PathBuf>,
    /// Folder that holds the content (default "registry" in the store's directory)
    #[arg(long, value_name = "string", env = "DHOW_SERVE_ROOT_DIR", hide_env = true)]
    root_dir: Option<PathBuf>,
}

impl Place {
    fn folder(self, session: &Session<'_>) -> Result<PathBuf, Failure> {
        let overrides = serve::Configuration { root_dir: self.root_dir, ..serve::Configuration::default() };
        let source = serve::Source { file: self.config_file, overrides };
        Ok(serve::folder(&session.local_context()?, &source.load()?)?)
    }
}

/// The arguments of `serve gc`.
#[derive(Args, Debug)]
pub(crate) struct Collect {
    #[command(flatten)]
    place: Place,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Keep what came within this time, such as "90m" or "7d" (default "24h")
    #[arg(long, value_name = "duration", default_value = "24h", hide_default_value = true)]
    grace: String,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Collect {
    const ABOUT: &'static str = "Remove what no manifest of a served folder needs";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let grace = serve::parse_grace(&self.grace)?;
        let root = self.place.folder(session)?;
        let done = serve::collect(&serve::CollectOptions { root, grace, dry_run: self.dry_run })?;
        let console = session.console;
        done.problems.iter().for_each(|problem| console.line(problem));
        console.line(format!("Looked at {} in {}", many(done.manifests, "manifest"), repositories(done.repositories)));
        let verb = if self.dry_run { "Would remove" } else { "Removed" };
        let (links, contents) = (many(done.unlinked, "blob"), many(done.removed, "file"));
        console.line(format!(
            "{verb} {links} from repositories, and {contents} of content ({})",
            units::human_size(done.bytes)
        ));
        if done.problems.is_empty() { Ok(()) } else { Err(Failure::Quiet(FAILED)) }
    }
}

/// The arguments of `serve scrub`.
#[derive(Args, Debug)]
pub(crate) struct Scrub {
    #[command(flatten)]
    place: Place,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Scrub {
    const ABOUT: &'static str = "Verify every blob and manifest of a served folder";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let done = serve::scrub(&self.place.folder(session)?)?;
        let console = session.console;
        done.problems.iter().for_each(|problem| console.line(problem));
        let result = match done.problems.len() as u64 {
            0 => "no problems".to_owned(),
            problems => many(problems, "problem"),
        };
        console.line(format!("Checked {} ({}): {result}", many(done.contents, "file"), units::human_size(done.bytes)));
        if done.problems.is_empty() { Ok(()) } else { Err(Failure::Quiet(FAILED)) }
    }
}

fn many(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

fn repositories(number: u64) -> String {
    format!("{number} {}", if number == 1 { "repository" } else { "repositories" })
}
