//! Chain IDs: what identifies a stack of layers (OCI image spec, config.md, "Layer ChainID").

use dhow_spec::digest::Digest;

/// The chain ID of each layer in order: the first is its diff ID, every other `sha256("<chain below> <diff ID>")`.
pub fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let next = match chain.last() {
            None => diff_id.clone(),
            Some(below) => Digest::sha256(format!("{below} {diff_id}").as_bytes()),
        };
        chain.push(next);
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_is_the_diff_id_and_the_next_hashes_both() {
        let [a, b] = [b"a", b"b"].map(|text| Digest::sha256(text));
        let chain = chain_ids(&[a.clone(), b.clone()]);
        assert_eq!(chain[0], a);
        assert_eq!(chain[1], Digest::sha256(format!("{a} {b}").as_bytes()));
        assert!(chain_ids(&[]).is_empty());
    }
}
