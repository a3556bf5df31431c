//! `image tree`

use clap::Args;
use dhow_ops::tree;

use crate::errors::Outcome;
use crate::format::document::DocumentFormat;
use crate::format::{schema, units};
use crate::session::Session;
use crate::verb::{Count, Verb};

/// The arguments of `image tree`.
#[derive(Args, Debug)]
pub(crate) struct Tree {
    #[command(flatten)]
    documents: DocumentFormat,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for Tree {
    const ABOUT: &'static str = "Show the layers of an image, their sizes and the images that end with them";
    const OPERANDS: &'static str = "IMAGE";
    const COUNT: Count = Count::Exactly(1);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [name] = self.names.as_slice() else { return Ok(()) };
        let documents = self.documents.open(session.console);
        let tree = session.local_context().and_then(|context| Ok(tree::tree(&context, name)?));
        let tree = documents.settle(Some(name), tree)?;
        if documents.are_wanted() {
            return documents.put(&schema::Tree::from(&tree));
        }
        session.console.text(render(&tree));
        Ok(())
    }
}

/// As podman draws it.
fn render(tree: &tree::Tree) -> String {
    let title = if tree.layers.is_empty() { "No Image Layers" } else { "Image Layers" };
    let mut lines = vec![
        format!("Image ID: {}", tree.id.short()),
        format!("Tags:     [{}]", tree.names.join(" ")),
        format!("Size:     {}", units::human_size(tree.size)),
        title.to_owned(),
    ];
    for (place, layer) in tree.layers.iter().enumerate() {
        let branch = if place + 1 == tree.layers.len() { "└──" } else { "├──" };
        let top = match layer.top_of.as_slice() {
            [] => String::new(),
            names => format!(" Top Layer of: [{}]", names.join(" ")),
        };
        lines.push(format!("{branch} ID: {} Size: {:>7}{top}", layer.chain_id.short(), units::human_size(layer.size)));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_spec::Digest;

    #[test]
    fn the_tree_is_podman_s() {
        let digest = |letter: char| Digest::parse(&format!("sha256:{}", letter.to_string().repeat(64))).unwrap();
        let layer = |letter, size, top_of: &[&str]| tree::Layer {
            chain_id: digest(letter),
            podman_id: digest(letter),
            size,
            top_of: top_of.iter().map(|name| (*name).to_owned()).collect(),
        };
        let name = "docker.io/library/web:latest";
        let tree = tree::Tree {
            id: digest('a'),
            names: vec![name.to_owned()],
            size: 5_848_000,
            documents: 0,
            layers: vec![layer('b', 5_840_000, &["docker.io/library/base:1"]), layer('c', 8000, &[name])],
        };
        assert_eq!(
            render(&tree),
            "Image ID: aaaaaaaaaaaa\nTags:     [docker.io/library/web:latest]\nSize:     5.848MB\nImage Layers\n\
             ├── ID: bbbbbbbbbbbb Size:  5.84MB Top Layer of: [docker.io/library/base:1]\n\
             └── ID: cccccccccccc Size:     8kB Top Layer of: [docker.io/library/web:latest]\n"
        );
    }
}
