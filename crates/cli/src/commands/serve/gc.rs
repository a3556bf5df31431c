//! `serve gc` and `serve scrub`

use std::path::PathBuf;

use clap::Args;
use dhow_ops::serve;

use crate::console::Console;
use crate::environment;
use crate::errors::{FAILED, Failure, Outcome};
use crate::format::document::{DocumentFormat, Documents};
use crate::format::{schema, units};
use crate::session::Session;
use crate::verb::{Count, Verb};

/// Where the registry is.
#[derive(Args, Debug)]
struct Place {
    /// Configuration file of the server, which says where the content is
    #[arg(long, value_name = "string", env = "DHOW_SERVE_CONFIG_FILE", hide_env = true)]
    config_file: Option<PathBuf>,
    /// Folder that holds the content (default "registry" in the store's directory)
    #[arg(long, value_name = "string", env = "DHOW_SERVE_ROOT_DIR", hide_env = true)]
    root_dir: Option<PathBuf>,
    /// Object store that holds the content instead ("s3://bucket/prefix", "gs://…", "az://…")
    #[arg(long, value_name = "string", env = "DHOW_SERVE_STORAGE", hide_env = true)]
    storage: Option<String>,
    /// Say how to reach the object store ("NAME=VALUE")
    #[arg(long, value_name = "setting", env = "DHOW_SERVE_OBJECT_STORE", hide_env = true, value_delimiter = ' ')]
    object_store: Vec<String>,
}

impl Place {
    fn find(&self, session: &Session<'_>) -> Outcome<serve::Place> {
        let (root_dir, storage) = (self.root_dir.clone(), self.storage.clone());
        let object_store = serve::StoreOptions::parse(&self.object_store)?;
        let overrides = serve::Configuration { root_dir, storage, object_store, ..serve::Configuration::default() };
        let environment = environment::object_stores();
        let source = serve::Source { file: self.config_file.clone(), overrides, environment };
        Ok(serve::place(&session.local_context()?, &source, &source.load()?)?)
    }
}

/// The arguments of `serve gc`.
#[derive(Args, Debug)]
pub(crate) struct Collect {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    documents: DocumentFormat,
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
    const ABOUT: &'static str = "Remove what no manifest of a served registry needs";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let documents = self.documents.open(session.console);
        let done = documents.settle(None, self.collect(session, &documents))?;
        if done.problems.is_empty() { Ok(()) } else { Err(Failure::Quiet(FAILED)) }
    }
}

impl Collect {
    fn collect(&self, session: &Session<'_>, documents: &Documents<'_>) -> Outcome<serve::Collected> {
        let grace = serve::parse_grace(&self.grace)?;
        let place = self.place.find(session)?;
        documents.rehearse(&schema::ServeGc::new(&serve::Collected::default(), self.dry_run))?;
        let done = serve::collect(&place, grace, self.dry_run)?;
        documents.put(&schema::ServeGc::new(&done, self.dry_run))?;
        if !documents.are_wanted() {
            self.tell(session.console, &done);
        }
        Ok(done)
    }

    fn tell(&self, console: &Console, done: &serve::Collected) {
        done.problems.iter().for_each(|problem| console.line(problem));
        console.line(format!("Looked at {} in {}", many(done.manifests, "manifest"), repositories(done.repositories)));
        let verb = if self.dry_run { "Would remove" } else { "Removed" };
        let (links, contents) = (many(done.unlinked, "blob"), many(done.removed, "file"));
        console.line(format!(
            "{verb} {links} from repositories, and {contents} of content ({})",
            units::human_size(done.bytes)
        ));
    }
}

/// The arguments of `serve scrub`.
#[derive(Args, Debug)]
pub(crate) struct Scrub {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    documents: DocumentFormat,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Scrub {
    const ABOUT: &'static str = "Verify every blob and manifest of a served registry";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let documents = self.documents.open(session.console);
        let done = documents.settle(None, self.scrub(session, &documents))?;
        if done.problems.is_empty() { Ok(()) } else { Err(Failure::Quiet(FAILED)) }
    }
}

impl Scrub {
    fn scrub(&self, session: &Session<'_>, documents: &Documents<'_>) -> Outcome<serve::Scrubbed> {
        let place = self.place.find(session)?;
        documents.rehearse(&schema::ServeScrub::from(&serve::Scrubbed::default()))?;
        let done = serve::scrub(&place)?;
        documents.put(&schema::ServeScrub::from(&done))?;
        if !documents.are_wanted() {
            let console = session.console;
            done.problems.iter().for_each(|problem| console.line(problem));
            let result = match done.problems.len() as u64 {
                0 => "no problems".to_owned(),
                problems => many(problems, "problem"),
            };
            let contents = many(done.contents, "file");
            console.line(format!("Checked {contents} ({}): {result}", units::human_size(done.bytes)));
        }
        Ok(done)
    }
}

fn many(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

fn repositories(number: u64) -> String {
    format!("{number} {}", if number == 1 { "repository" } else { "repositories" })
}
