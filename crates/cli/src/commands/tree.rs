//! `image tree`

use std::collections::HashMap;

use clap::Args;
use dhow_ops::tree;
use dhow_spec::Digest;

use crate::errors::Outcome;
use crate::format::document::DocumentFormat;
use crate::format::{schema, units};
use crate::session::Session;
use crate::verb::{Count, Operands, Verb, miscounted};

/// The arguments of `image tree`.
#[derive(Args, Debug)]
pub(crate) struct Tree {
    #[command(flatten)]
    documents: DocumentFormat,
    /// Show all layers of all images that are built upon this one
    #[arg(long)]
    whatrequires: bool,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for Tree {
    const ABOUT: &'static str = "Show the layers of an image, their sizes and the images that end with them";
    const OPERANDS: &'static str = "IMAGE";
    const COUNT: Count = Count::Exactly(1);
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [name] = self.names.as_slice() else { return miscounted() };
        let documents = self.documents.open(session.console);
        let draw = if self.whatrequires { tree::required_by } else { tree::tree };
        let tree = session.local_context().and_then(|context| Ok(draw(&context, name)?));
        let tree = documents.settle(Some(name), tree)?;
        if documents.are_wanted() {
            return documents.put(&schema::Tree::from(&tree));
        }
        let branches = if self.whatrequires { grown(&tree.layers, shown) } else { straight(&tree.layers, shown) };
        session.console.text(render(&tree, branches));
        Ok(())
    }
}

/// As podman draws it.
fn render(tree: &tree::Tree, branches: Vec<String>) -> String {
    let title = if tree.layers.is_empty() { "No Image Layers" } else { "Image Layers" };
    let mut lines = vec![
        format!("Image ID: {}", tree.id.short()),
        format!("Tags:     [{}]", tree.names.join(" ")),
        format!("Size:     {}", units::human_size(tree.size)),
        title.to_owned(),
    ];
    lines.extend(branches);
    lines.join("\n") + "\n"
}

/// One layer upon the other.
pub(super) fn straight(layers: &[tree::Layer], shown: impl Fn(&tree::Layer) -> String) -> Vec<String> {
    let lines = layers.iter().enumerate().map(|(place, layer)| branch(place + 1 == layers.len()) + &shown(layer));
    lines.collect()
}

/// Layers that branch. As podman does it, one that is alone on its layer stands beside it, not below.
pub(super) fn grown(layers: &[tree::Layer], shown: impl Fn(&tree::Layer) -> String) -> Vec<String> {
    // What stands on the same level: layers by their place in the list, each with the level below it, if there is one.
    let mut levels: Vec<Vec<(usize, Option<usize>)>> = vec![Vec::new()];
    let mut level_upon: HashMap<&Digest, usize> = HashMap::new();
    for (place, layer) in layers.iter().enumerate() {
        let level = layer.parent.as_ref().and_then(|parent| level_upon.get(parent)).copied().unwrap_or(0);
        let below = layer.has_siblings.then_some(levels.len());
        levels[level].push((place, below));
        if below.is_some() {
            levels.push(Vec::new());
        }
        level_upon.insert(&layer.chain_id, below.unwrap_or(level));
    }
    let mut lines = Vec::with_capacity(layers.len());
    let mut open: Vec<(usize, usize, String)> = vec![(0, 0, String::new())];
    while let Some((level, next, indent)) = open.pop() {
        let Some((place, below)) = levels[level].get(next).copied() else { continue };
        let is_last = next + 1 == levels[level].len();
        lines.push(format!("{indent}{}{}", branch(is_last), shown(&layers[place])));
        open.push((level, next + 1, indent.clone()));
        if let Some(below) = below {
            open.push((below, 0, indent + if is_last { "    " } else { "│   " }));
        }
    }
    lines
}

fn branch(is_last: bool) -> String {
    if is_last { "└── " } else { "├── " }.to_owned()
}

fn shown(layer: &tree::Layer) -> String {
    described(layer, &layer.chain_id)
}

/// A layer under one of its IDs.
pub(super) fn described(layer: &tree::Layer, id: &Digest) -> String {
    let top = match layer.top_of.as_slice() {
        [] => String::new(),
        names => format!(" Top Layer of: [{}]", names.join(" ")),
    };
    format!("ID: {} Size: {:>7}{top}", id.short(), units::human_size(layer.size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(letter: char) -> Digest {
        Digest::parse(&format!("sha256:{}", letter.to_string().repeat(64))).unwrap()
    }

    fn layer(chain: &str, size: u64, top_of: &[&str]) -> tree::Layer {
        let mut letters = chain.chars();
        tree::Layer {
            chain_id: digest(chain.chars().next().unwrap()),
            podman_id: digest(letters.next().unwrap()),
            parent: letters.next().map(digest),
            has_siblings: letters.next().is_some(),
            size,
            top_of: top_of.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    /// What podman 4.3.1 says of images with the layers X, XA, XB, XAC, XACD and XBE.
    #[test]
    fn branches_are_podman_s() {
        let layers = ["f", "af+", "ca", "dc", "bf+", "eb"].map(|chain| layer(chain, 10_240, &[&chain[..1]]));
        let drawn = grown(&layers, shown).join("\n");
        let expected = "\
├── ID: ffffffffffff Size: 10.24kB Top Layer of: [f]
├── ID: aaaaaaaaaaaa Size: 10.24kB Top Layer of: [a]
│   ├── ID: cccccccccccc Size: 10.24kB Top Layer of: [c]
│   └── ID: dddddddddddd Size: 10.24kB Top Layer of: [d]
└── ID: bbbbbbbbbbbb Size: 10.24kB Top Layer of: [b]
    └── ID: eeeeeeeeeeee Size: 10.24kB Top Layer of: [e]";
        assert_eq!(drawn, expected);
        let expected = "\
└── ID: aaaaaaaaaaaa Size: 10.24kB Top Layer of: [a]
    ├── ID: cccccccccccc Size: 10.24kB Top Layer of: [c]
    └── ID: dddddddddddd Size: 10.24kB Top Layer of: [d]";
        assert_eq!(grown(&layers[1..4], shown).join("\n"), expected);
        let expected = "\
├── ID: cccccccccccc Size: 10.24kB Top Layer of: [c]
└── ID: dddddddddddd Size: 10.24kB Top Layer of: [d]";
        assert_eq!(grown(&layers[2..4], shown).join("\n"), expected);
    }

    #[test]
    fn the_tree_is_podman_s() {
        let name = "docker.io/library/web:latest";
        let tree = tree::Tree {
            id: digest('a'),
            names: vec![name.to_owned()],
            size: 5_848_000,
            documents: 0,
            layers: vec![layer("b", 5_840_000, &["docker.io/library/base:1"]), layer("cb", 8000, &[name])],
        };
        assert_eq!(
            render(&tree, straight(&tree.layers, shown)),
            "Image ID: aaaaaaaaaaaa\nTags:     [docker.io/library/web:latest]\nSize:     5.848MB\nImage Layers\n\
             ├── ID: bbbbbbbbbbbb Size:  5.84MB Top Layer of: [docker.io/library/base:1]\n\
             └── ID: cccccccccccc Size:     8kB Top Layer of: [docker.io/library/web:latest]\n"
        );
    }
}
