//! `image prune`

use clap::Args;
use dhow_ops::prune;

use crate::errors::{Failure, Outcome};
use crate::format::units;
use crate::session::Session;
use crate::terminal;
use crate::verb::{Count, Verb};

/// The arguments of `image prune`.
#[derive(Args, Debug)]
pub(crate) struct Prune {
    /// Remove every image that no container uses, not only those without a name
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Not supported yet
    #[arg(long, value_name = "filter", hide = true)]
    filter: Vec<String>,
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
        if !self.filter.is_empty() {
            // Ignoring it would remove what the user means to keep.
            return Err(Failure::Client("image prune does not support --filter yet; nothing was removed".to_owned()));
        }
        let warning = if self.all {
            "WARNING! This will remove all images without at least one container associated to them."
        } else {
            "WARNING! This will remove all dangling images."
        };
        if !self.force && !terminal::confirm(session.console, warning)? {
            return Ok(());
        }
        let pruned = prune::prune(&session.local_context()?, prune::Request { all: self.all })?;
        session.console.text(render(&pruned));
        Ok(())
    }
}

fn render(pruned: &prune::Pruned) -> String {
    let mut lines = Vec::new();
    if !pruned.images.is_empty() {
        lines.push("Deleted Images:".to_owned());
        for image in &pruned.images {
            lines.extend(image.names.iter().map(|name| format!("untagged: {name}")));
            lines.push(format!("deleted: {}", image.id));
            lines.extend(image.chains.iter().map(|chain| format!("deleted: {chain}")));
        }
        lines.push(String::new());
    }
    // Docker 28 counts nothing when it lists nothing.
    let reclaimed = if pruned.images.is_empty() { 0 } else { pruned.reclaimed_bytes };
    lines.push(format!("Total reclaimed space: {}\n", units::human_size(reclaimed)));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_spec::Digest;

    #[test]
    fn the_answer_is_docker_s() {
        let id = Digest::parse(&format!("sha256:{}", "1".repeat(64))).unwrap();
        let image = prune::PrunedImage { names: vec!["alpine:3.20".to_owned()], id: id.clone(), chains: Vec::new() };
        let pruned = prune::Pruned { images: vec![image], reclaimed_bytes: 7_806_463 };
        let expected =
            format!("Deleted Images:\nuntagged: alpine:3.20\ndeleted: {id}\n\nTotal reclaimed space: 7.806MB\n");
        assert_eq!(render(&pruned), expected);
        let nothing = prune::Pruned { images: Vec::new(), reclaimed_bytes: 12 };
        assert_eq!(render(&nothing), "Total reclaimed space: 0B\n");
    }
}
