use super::*;

#[test]
fn the_marker_that_is_written_is_read() {
    assert!(check_marker(OCI_LAYOUT_CONTENT.as_bytes()).is_ok());
    assert!(check_marker(b"{\"imageLayoutVersion\": \"1.0.0\"}\n").is_ok());
}

#[test]
fn other_markers_are_refused() {
    let kind = |text: &str| Error::from(check_marker(text.as_bytes()).expect_err(text)).kind();
    assert_eq!(kind(r#"{"imageLayoutVersion":"2.0.0"}"#), Kind::Unsupported);
    for text in ["", "{}", "[]", r#"{"imageLayoutVersion":1}"#, r#"{"imageLayoutVersion":"1.0.0"}{}"#] {
        assert_eq!(kind(text), Kind::Corrupt, "{text:?}");
    }
}

#[test]
fn blobs_lie_below_their_algorithm() {
    let digest = Digest::sha256(b"");
    assert_eq!(blob_path(&digest), format!("blobs/sha256/{}", digest.hex()));
}
