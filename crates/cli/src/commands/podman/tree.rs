//! `image tree` of podman

use clap::Args;
use dhow_ops::tree::{self, Branch, Layer, Tree};

use crate::errors::Outcome;
use crate::format::units;
use crate::session::Session;
use crate::verb::{Count, Verb};

/// The arguments of `image tree`.
#[derive(Args, Debug)]
pub(crate) struct ImageTree {
    /// Show what lies on top of the image instead
    #[arg(long)]
    whatrequires: bool,
    #[arg(value_name = "IMAGE")]
    names: Vec<String>,
}

impl Verb for ImageTree {
    const ABOUT: &'static str = "Draw the layers of an image";
    const OPERANDS: &'static str = "IMAGE";
    const COUNT: Count = Count::Exactly(1);

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [name] = self.names.as_slice() else { return Ok(()) };
        let context = session.local_context()?;
        let tree = tree::tree(&context, name)?;
        let branches: Vec<Branch> = match self.whatrequires {
            true => tree::whatrequires(&context, name)?.into_iter().collect(),
            false => tree.layers.iter().map(|layer| Branch { layer: layer.clone(), above: Vec::new() }).collect(),
        };
        session.console.text(render(&tree, &branches));
        Ok(())
    }
}

fn render(tree: &Tree, branches: &[Branch]) -> String {
    let title = if tree.layers.is_empty() { "No Image Layers" } else { "Image Layers" };
    let names = tree.names.join(" ");
    let (id, size) = (tree.id.short(), units::human_size(tree.size + tree.documents));
    let drawn = draw(branches, "");
    format!("Image ID: {id}\nTags:     [{names}]\nSize:     {size}\n{title}\n{drawn}\n")
}

fn draw(branches: &[Branch], before: &str) -> String {
    let mut text = String::new();
    for (place, branch) in branches.iter().enumerate() {
        let is_last = place + 1 == branches.len();
        let arm = if is_last { "└──" } else { "├──" };
        text.extend([before, arm, " ", &shown(&branch.layer), "\n"]);
        text += &draw(&branch.above, &format!("{before}{}", if is_last { "    " } else { "│   " }));
    }
    text
}

fn shown(layer: &Layer) -> String {
    let top = match layer.top_of.as_slice() {
        [] => String::new(),
        names => format!(" Top Layer of: [{}]", names.join(" ")),
    };
    format!("ID: {} Size: {:>7}{top}", layer.podman_id.short(), units::human_size(layer.size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_spec::Digest;

    #[test]
    fn branches_are_podman_s() {
        let digest = |letter: char| Digest::parse(&format!("sha256:{}", letter.to_string().repeat(64))).unwrap();
        let layer = |letter, top_of: &[&str]| Layer {
            chain_id: digest('0'),
            podman_id: digest(letter),
            size: 10_240,
            top_of: top_of.iter().map(|name| (*name).to_owned()).collect(),
        };
        let leaf = |letter, top_of: &[&str]| Branch { layer: layer(letter, top_of), above: Vec::new() };
        let tree = Tree {
            id: digest('f'),
            names: vec!["localhost/a:1".to_owned()],
            size: 10_240,
            documents: 1000,
            layers: vec![layer('a', &[])],
        };
        let branches = [Branch {
            above: vec![Branch { above: vec![leaf('c', &[])], ..leaf('b', &["x:1"]) }, leaf('d', &["y:1", "z:1"])],
            ..leaf('a', &["localhost/a:1"])
        }];
        let expected = "Image ID: ffffffffffff\nTags:     [localhost/a:1]\nSize:     11.24kB\nImage Layers\n\
            └── ID: aaaaaaaaaaaa Size: 10.24kB Top Layer of: [localhost/a:1]\n    \
                ├── ID: bbbbbbbbbbbb Size: 10.24kB Top Layer of: [x:1]\n    \
                │   └── ID: cccccccccccc Size: 10.24kB\n    \
                └── ID: dddddddddddd Size: 10.24kB Top Layer of: [y:1 z:1]\n\n";
        assert_eq!(render(&tree, &branches), expected);
    }
}
