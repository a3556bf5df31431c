//! `image tree` of podman

use clap::Args;
use dhow_ops::tree::{self, Layer, Tree};

use super::super::tree::{described, grown, straight};
use crate::errors::Outcome;
use crate::format::units;
use crate::session::Session;
use crate::verb::{Count, Operands, Verb, miscounted};

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
    const NAMES: Operands = Operands::Images;

    fn operands(&self) -> &[String] {
        &self.names
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let [name] = self.names.as_slice() else { return miscounted() };
        let context = session.local_context()?;
        let (tree, branches) = if self.whatrequires {
            let tree = tree::required_by(&context, name)?;
            let branches = grown(&tree.layers, shown);
            (tree, branches)
        } else {
            let tree = tree::tree(&context, name)?;
            let branches = straight(&tree.layers, shown);
            (tree, branches)
        };
        session.console.text(render(&tree, &branches));
        Ok(())
    }
}

fn render(tree: &Tree, branches: &[String]) -> String {
    let title = if tree.layers.is_empty() { "No Image Layers" } else { "Image Layers" };
    let names = tree.names.join(" ");
    let (id, size) = (tree.id.short(), units::human_size(tree.size + tree.documents));
    let drawn: String = branches.iter().map(|line| format!("{line}\n")).collect();
    format!("Image ID: {id}\nTags:     [{names}]\nSize:     {size}\n{title}\n{drawn}\n")
}

fn shown(layer: &Layer) -> String {
    described(layer, &layer.podman_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_spec::Digest;

    #[test]
    fn sizes_count_documents_and_layers_have_podman_s_ids() {
        let digest = |letter: char| Digest::parse(&format!("sha256:{}", letter.to_string().repeat(64))).unwrap();
        let layer = |letter, parent: Option<char>, top_of: &[&str]| Layer {
            chain_id: digest('0'),
            podman_id: digest(letter),
            parent: parent.map(digest),
            has_siblings: parent.is_some(),
            size: 10_240,
            top_of: top_of.iter().map(|name| (*name).to_owned()).collect(),
        };
        let tree = Tree {
            id: digest('f'),
            names: vec!["localhost/a:1".to_owned()],
            size: 10_240,
            documents: 1000,
            layers: vec![layer('a', None, &["localhost/a:1"]), layer('d', Some('0'), &["y:1", "z:1"])],
        };
        let expected = "Image ID: ffffffffffff\nTags:     [localhost/a:1]\nSize:     11.24kB\nImage Layers\n\
            ├── ID: aaaaaaaaaaaa Size: 10.24kB Top Layer of: [localhost/a:1]\n\
            └── ID: dddddddddddd Size: 10.24kB Top Layer of: [y:1 z:1]\n\n";
        assert_eq!(render(&tree, &straight(&tree.layers, shown)), expected);
        assert_eq!(render(&tree, &grown(&tree.layers, shown)), expected);
    }
}
