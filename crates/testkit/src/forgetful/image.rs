//! What is left after a power cut.

use std::collections::HashMap;
use std::ffi::OsStr;

use super::names::Ino;
use super::pages::{Content, Fate};
use super::volume::{Body, Metadata, Names, Node, ROOT, Volume, set};
use super::{Promise, Random, Unsynced};

/// A file system at rest: what a disk holds while no power is on. Copies share their bytes.
#[derive(Clone, Debug)]
pub struct Image {
    nodes: HashMap<Ino, Node>,
    next: Ino,
}

impl Default for Image {
    /// An empty file system, whose root belongs to whoever mounts it.
    fn default() -> Self {
        let mut root = Node::new(Body::Directory(Names::default()), Metadata::new(0o755, 0, 0), OsStr::new(""));
        root.links = 1;
        Self { nodes: HashMap::from([(ROOT, root)]), next: ROOT + 1 }
    }
}

impl Image {
    /// Switches the power on: programs see what the image holds.
    pub(super) fn start(&self, promise: Promise, owner: (u32, u32)) -> Volume {
        let mut nodes = self.nodes.clone();
        if let Some(root) = nodes.get_mut(&ROOT) {
            (root.metadata.user, root.metadata.group) = owner;
        }
        Volume::new(nodes, self.next, promise)
    }
}

impl Volume {
    /// The image that is left when the power fails now, with the given fate of what no sync covered.
    pub(super) fn survivors(&self, unsynced: Unsynced) -> Image {
        let mut random = Random::new(match unsynced {
            Unsynced::Random(seed) => seed,
            _ => 0,
        });
        let directories = self.surviving_names(unsynced, &mut random);
        let mut nodes: HashMap<Ino, Node> = HashMap::new();
        let mut waiting = vec![ROOT];
        while let Some(ino) = waiting.pop() {
            if let Some(node) = nodes.get_mut(&ino) {
                node.links += 1;
                continue;
            }
            let Some(node) = self.nodes.get(&ino) else { continue };
            let mut survivor = surviving_node(node, unsynced, &mut random);
            survivor.links = 1;
            if let Some(names) = directories.get(&ino) {
                waiting.extend(names.synced.values());
                survivor.body = Body::Directory(Names { live: names.synced.clone(), synced: names.synced.clone() });
            }
            nodes.insert(ino, survivor);
        }
        Image { nodes, next: self.next }
    }

    /// Every directory, its surviving names in `synced`.
    fn surviving_names(&self, unsynced: Unsynced, random: &mut Random) -> HashMap<Ino, Names> {
        let mut directories: HashMap<Ino, Names> = self
            .nodes
            .iter()
            .filter_map(|(&ino, node)| match &node.body {
                Body::Directory(names) => Some((ino, names.clone())),
                _ => None,
            })
            .collect();
        let operations = match unsynced {
            Unsynced::Lost => Vec::new(),
            Unsynced::NamesKept | Unsynced::Kept => self.pending.all().iter().collect(),
            Unsynced::Random(_) => self.pending.some(|| random.coin()),
        };
        for change in operations.into_iter().flat_map(|operation| &operation.changes) {
            if let Some(names) = directories.get_mut(&change.directory) {
                set(&mut names.synced, change);
            }
        }
        directories
    }
}

fn surviving_node(node: &Node, unsynced: Unsynced, random: &mut Random) -> Node {
    let survive = |content: &Content, random: &mut Random| match unsynced {
        Unsynced::Lost => content.survivor(Fate::Synced),
        Unsynced::NamesKept => content.survivor(Fate::LengthOnly),
        Unsynced::Kept => content.survivor(Fate::Live),
        Unsynced::Random(_) => content.torn_survivor(|| random.coin()),
    };
    let body = match &node.body {
        Body::File(content) => Body::File(survive(content, random)),
        other => other.clone(),
    };
    let metadata = match unsynced {
        Unsynced::Lost => node.synced_metadata,
        Unsynced::NamesKept | Unsynced::Kept => node.metadata,
        Unsynced::Random(_) => {
            if random.coin() {
                node.metadata
            } else {
                node.synced_metadata
            }
        }
    };
    Node::new(body, metadata, &node.label)
}
