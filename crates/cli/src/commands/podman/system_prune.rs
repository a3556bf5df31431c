//! `system prune` of podman

use clap::Args;
use dhow_ops::{manifest, summary, system_prune};

use super::filters;
use super::prune::{confirm, refusal};
use crate::errors::{Failure, Outcome};
use crate::format::units;
use crate::session::Session;
use crate::verb::{Count, Verb};

/// The arguments of `system prune`.
#[derive(Args, Debug)]
pub(crate) struct SystemPrune {
    /// Remove every image that no container uses, not only those without a name
    #[arg(short, long)]
    all: bool,
    /// Accepted for old scripts; what builds leave behind is removed anyway
    #[arg(long)]
    #[allow(dead_code, reason = "what builds leave behind is removed anyway")]
    build: bool,
    /// Accepted for old scripts, and removes nothing: nobody else keeps containers here
    #[arg(long)]
    external: bool,
    /// Remove only what fits: "label=KEY=VALUE", "label!=KEY", "until=24h"
    #[arg(long, value_name = "strings")]
    filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Remove volumes too
    #[arg(long)]
    volumes: bool,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for SystemPrune {
    const ABOUT: &'static str = "Remove everything that nothing uses";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        if self.external {
            if self.all || self.volumes || !self.filter.is_empty() {
                let message = "--external cannot be combined with other options";
                return Err(Failure::Client(message.to_owned()));
            }
            session.console.line(format!("Total reclaimed space: {}", units::human_size(0)));
            return Ok(());
        }
        if !self.force && !confirm(session, &self.warning())? {
            return Ok(());
        }
        let context = session.local_context()?;
        // Podman counts what lists show as sizes.
        let sizes = summary::list(&context, &summary::Request::default())?;
        let request = system_prune::Request {
            all: self.all,
            volumes: self.volumes,
            dry_run: false,
            filters: filters(&self.filter, refusal)?,
        };
        let takes_lists = request.all && request.filters.is_empty();
        let gone = system_prune::prune(&context, &request)?;
        let mut images: Vec<&str> =
            gone.images.images.iter().filter(|image| image.chains.is_some()).map(|image| image.id.hex()).collect();
        let bytes: u64 = sizes.iter().filter(|image| images.contains(&image.id.hex())).map(|image| image.size).sum();
        // Lists of manifests are images to podman; these have no ID, and no size.
        let lists = if takes_lists { manifest::rm_all(&context)? } else { Vec::new() };
        let lists: Vec<String> = lists.iter().map(ToString::to_string).collect();
        images.extend(lists.iter().map(String::as_str));
        let others = gone.reclaimed_bytes.saturating_sub(gone.images.reclaimed_bytes);
        let containers: Vec<&str> = gone.containers.iter().map(String::as_str).collect();
        let volumes: Vec<&str> = gone.volumes.iter().map(String::as_str).collect();
        let console = session.console;
        for (title, names) in
            [("Deleted Containers", containers), ("Deleted Volumes", volumes), ("Deleted Images", images)]
        {
            if !names.is_empty() {
                console.line(title);
                names.iter().for_each(|name| console.line(name));
            }
        }
        console.line(format!("Total reclaimed space: {}", units::human_size(bytes + others)));
        Failure::of(gone.failures)
    }
}

impl SystemPrune {
    fn warning(&self) -> String {
        let mut lines = vec!["WARNING! This command removes:", "\t- all stopped containers"];
        lines.push("\t- all networks not used by at least one container");
        if self.volumes {
            lines.push("\t- all volumes not used by at least one container");
        }
        lines.push(match self.all {
            true => "\t- all images without at least one container associated with them",
            false => "\t- all dangling images",
        });
        lines.push(if self.all { "\t- all build cache" } else { "\t- all dangling build cache" });
        lines.push("");
        lines.join("\n")
    }
}
