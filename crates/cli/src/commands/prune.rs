//! `image prune`

use clap::Args;
use dhow_ops::prune;
use dhow_ops::size::parse_size;

use super::filters;
use crate::background;
use crate::errors::{Failure, Outcome};
use crate::format::document::{DocumentFormat, Documents};
use crate::format::{schema, units};
use crate::personality::Personality;
use crate::session::Session;
use crate::terminal;
use crate::verb::{Count, Verb};

/// The arguments of `image prune`.
#[derive(Args, Debug)]
pub(crate) struct Prune {
    /// Remove every image that no container uses, not only those without a tag
    #[arg(short, long)]
    all: bool,
    /// Show what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Remove only images that fit, as "images --filter" shows them: "until=24h", "label!=keep", "last-used=7d"
    #[arg(long, value_name = "filter", value_parser = filters::parse)]
    filter: Vec<filters::Given>,
    #[command(flatten)]
    documents: DocumentFormat,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Keep the newest so many images of each repository
    #[arg(long, value_name = "number")]
    keep: Option<usize>,
    /// Remove the longest unused images only, until all others take at most so much ("500m", "20g")
    #[arg(long, value_name = "bytes", value_parser = parse_size)]
    max_size: Option<u64>,
    #[arg(hide = true)]
    operands: Vec<String>,
}

impl Verb for Prune {
    const ABOUT: &'static str = "Remove images that nothing uses";
    const OPERANDS: &'static str = "";
    const COUNT: Count = Count::Exactly(0);

    fn operands(&self) -> &[String] {
        &self.operands
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let documents = self.documents.open(session.console);
        documents.settle(None, self.prune(session, &documents))
    }
}

impl Prune {
    fn prune(&self, session: &Session<'_>, documents: &Documents<'_>) -> Outcome {
        if !self.force && !self.dry_run && !terminal::confirm(session.console, &self.warning())? {
            return Ok(());
        }
        let request = prune::Request {
            all: self.all,
            filters: filters::given(&self.filter),
            keep: self.keep,
            bytes_max: self.max_size,
            dry_run: self.dry_run,
        };
        let context = session.local_context()?;
        let pruned = prune::prune(&context, &request)?;
        background::empty_trash(&context);
        if documents.are_wanted() {
            documents.put(&schema::Prune::new(&pruned, self.dry_run))?;
        } else {
            let tense = if self.dry_run { Tense::Would } else { Tense::Done };
            session.console.text(format!("{}{}", images(&pruned, tense), total(&pruned, tense, session.personality)));
        }
        if pruned.excess_bytes > 0 {
            let size = units::human_size(pruned.excess_bytes);
            session.console.notice(format!("{size} more than --max-size stay: what takes them is not to be removed"));
        }
        Failure::of(pruned.failures)
    }

    fn warning(&self) -> String {
        let mut lines = vec![if self.all {
            "WARNING! This will remove all images without at least one container associated to them.".to_owned()
        } else {
            "WARNING! This will remove all dangling images.".to_owned()
        }];
        lines.extend(self.keep.map(|keep| format!("The newest {keep} of each repository stay.")));
        let limit = self.max_size.map(units::human_size);
        lines.extend(limit.map(|size| format!("The longest unused go first, until the others take at most {size}.")));
        lines.join("\n")
    }
}

/// Whether it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tense {
    Done,
    Would,
}

/// The images that are gone, and an empty line; nothing when none is.
pub(super) fn images(pruned: &prune::Pruned, tense: Tense) -> String {
    if pruned.images.is_empty() {
        return String::new();
    }
    let (title, untagged, deleted) = match tense {
        Tense::Done => ("Deleted Images:", "untagged", "deleted"),
        Tense::Would => ("Would delete images:", "would untag", "would delete"),
    };
    let mut lines = vec![title.to_owned()];
    for image in &pruned.images {
        lines.extend(image.names.iter().map(|name| format!("{untagged}: {}", name.familiar())));
        if let Some(chains) = &image.chains {
            lines.push(format!("{deleted}: {}", image.id));
            lines.extend(chains.iter().map(|chain| format!("{deleted}: {chain}")));
        }
    }
    lines.join("\n") + "\n\n"
}

fn total(pruned: &prune::Pruned, tense: Tense, personality: Personality) -> String {
    // Docker 28 counts nothing when it lists nothing.
    let counts = !pruned.images.is_empty() || personality == Personality::Docker29;
    let bytes = if counts { pruned.reclaimed_bytes } else { 0 };
    let reclaimed = units::human_size(bytes + pruned.transfer_bytes);
    match tense {
        Tense::Done => format!("Total reclaimed space: {reclaimed}\n"),
        Tense::Would => format!("Total space that would be reclaimed: {reclaimed}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_spec::{Digest, Reference};

    #[test]
    fn the_answer_is_docker_s() {
        let id = Digest::parse(&format!("sha256:{}", "1".repeat(64))).unwrap();
        let names = vec![Reference::parse("alpine:3.20").unwrap()];
        let image = prune::PrunedImage { names, id: id.clone(), chains: Some(Vec::new()) };
        let pruned = prune::Pruned { images: vec![image], reclaimed_bytes: 7_806_463, ..prune::Pruned::default() };
        let rendered = |pruned, tense| images(pruned, tense) + &total(pruned, tense, Personality::Docker);
        let expected =
            format!("Deleted Images:\nuntagged: alpine:3.20\ndeleted: {id}\n\nTotal reclaimed space: 7.806MB\n");
        assert_eq!(rendered(&pruned, Tense::Done), expected);
        let would = format!(
            "Would delete images:\nwould untag: alpine:3.20\nwould delete: {id}\n\n\
             Total space that would be reclaimed: 7.806MB\n"
        );
        assert_eq!(rendered(&pruned, Tense::Would), would);
        let nothing = prune::Pruned { reclaimed_bytes: 12, ..prune::Pruned::default() };
        assert_eq!(rendered(&nothing, Tense::Done), "Total reclaimed space: 0B\n");
        assert_eq!(total(&nothing, Tense::Done, Personality::Docker29), "Total reclaimed space: 12B\n");
    }
}
