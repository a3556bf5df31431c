//! What the layers below tell a layer that does not say everything itself.

use dhow_base::Result;

use super::inode::Attributes;
use super::storage::ReadAt;
use super::union::{Union, UnionNode};

/// The image as it is below a layer.
pub trait Below {
    /// Attributes of the directory at a path; nothing when there is none.
    ///
    /// # Errors
    /// Those of reading.
    fn directory(&self, path: &[u8]) -> Result<Option<Attributes>>;

    /// The root directory; nothing where there are no layers.
    ///
    /// # Errors
    /// Those of reading.
    fn root(&self) -> Result<Option<UnionNode>>;

    /// The file with a name in a directory.
    ///
    /// # Errors
    /// Those of reading.
    fn child(&self, directory: &UnionNode, name: &[u8]) -> Result<Option<UnionNode>>;

    /// Reads a file's data.
    ///
    /// # Errors
    /// Those of reading.
    fn read(&self, node: &UnionNode, buffer: &mut [u8], offset: u64) -> Result<usize>;

    /// The attributes of a file.
    ///
    /// # Errors
    /// Those of reading.
    fn attributes(&self, node: &UnionNode) -> Result<Attributes>;

    /// What a symbolic link says.
    ///
    /// # Errors
    /// Those of reading.
    fn target(&self, node: &UnionNode) -> Result<Vec<u8>>;
}

/// An image without layers: below the lowest one.
impl Below for () {
    fn directory(&self, _: &[u8]) -> Result<Option<Attributes>> {
        Ok(None)
    }

    fn root(&self) -> Result<Option<UnionNode>> {
        Ok(None)
    }

    fn child(&self, _: &UnionNode, _: &[u8]) -> Result<Option<UnionNode>> {
        Ok(None)
    }

    fn read(&self, _: &UnionNode, _: &mut [u8], _: u64) -> Result<usize> {
        Ok(0)
    }

    fn attributes(&self, _: &UnionNode) -> Result<Attributes> {
        Ok(Attributes::default())
    }

    fn target(&self, _: &UnionNode) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }
}

impl<R: ReadAt> Below for Union<R> {
    fn directory(&self, path: &[u8]) -> Result<Option<Attributes>> {
        match self.find_exactly(path)? {
            Some(node) if node.is_directory() => Union::attributes(self, &node).map(Some),
            _ => Ok(None),
        }
    }

    fn root(&self) -> Result<Option<UnionNode>> {
        Union::root(self).map(Some)
    }

    fn child(&self, directory: &UnionNode, name: &[u8]) -> Result<Option<UnionNode>> {
        Union::child(self, directory, name)
    }

    fn read(&self, node: &UnionNode, buffer: &mut [u8], offset: u64) -> Result<usize> {
        Union::read(self, node, buffer, offset)
    }

    fn attributes(&self, node: &UnionNode) -> Result<Attributes> {
        Union::attributes(self, node)
    }

    fn target(&self, node: &UnionNode) -> Result<Vec<u8>> {
        self.read_link(node)
    }
}
