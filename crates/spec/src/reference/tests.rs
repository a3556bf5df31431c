use super::*;

fn parse(text: &str) -> Reference {
    Reference::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn hex() -> String {
    "ab".repeat(32)
}

#[test]
fn familiar_and_canonical_names() {
    // What the user types, what it means, and how it is shown.
    let cases = [
        ("alpine", "docker.io/library/alpine", "alpine"),
        ("alpine:3.20", "docker.io/library/alpine:3.20", "alpine:3.20"),
        ("library/alpine", "docker.io/library/alpine", "alpine"),
        ("docker.io/alpine", "docker.io/library/alpine", "alpine"),
        ("docker.io/library/alpine:x", "docker.io/library/alpine:x", "alpine:x"),
        ("index.docker.io/alpine", "docker.io/library/alpine", "alpine"),
        ("index.docker.io/acme/web", "docker.io/acme/web", "acme/web"),
        ("acme/web", "docker.io/acme/web", "acme/web"),
        ("acme/team/web:v1", "docker.io/acme/team/web:v1", "acme/team/web:v1"),
        ("docker.io/library/distros/ubuntu", "docker.io/library/distros/ubuntu", "library/distros/ubuntu"),
        ("localhost", "docker.io/library/localhost", "localhost"),
        ("example.com", "docker.io/library/example.com", "example.com"),
        ("localhost/web", "localhost/web", "localhost/web"),
        ("localhost:5000/web:v1", "localhost:5000/web:v1", "localhost:5000/web:v1"),
        ("ghcr.io/acme/web", "ghcr.io/acme/web", "ghcr.io/acme/web"),
        ("127.0.0.1:5000/web", "127.0.0.1:5000/web", "127.0.0.1:5000/web"),
        ("[2001:db8::1]/web", "[2001:db8::1]/web", "[2001:db8::1]/web"),
        ("[2001:DB8::1]:5000/web:v", "[2001:DB8::1]:5000/web:v", "[2001:DB8::1]:5000/web:v"),
        ("Acme/web", "Acme/web", "Acme/web"),
        ("EXAMPLE.com/web", "EXAMPLE.com/web", "EXAMPLE.com/web"),
        ("xn--n3h.com/web", "xn--n3h.com/web", "xn--n3h.com/web"),
        ("a__b/c--d.e_f", "docker.io/a__b/c--d.e_f", "a__b/c--d.e_f"),
        ("alpine:5000", "docker.io/library/alpine:5000", "alpine:5000"),
        ("alpine:_X.y-Z", "docker.io/library/alpine:_X.y-Z", "alpine:_X.y-Z"),
        ("docker.io/foo.io/bar", "docker.io/foo.io/bar", "docker.io/foo.io/bar"),
        ("docker.io/localhost/bar", "docker.io/localhost/bar", "docker.io/localhost/bar"),
    ];
    for (typed, canonical, familiar) in cases {
        let reference = parse(typed);
        assert_eq!(reference.to_string(), canonical, "canonical form of {typed:?}");
        assert_eq!(reference.familiar(), familiar, "familiar form of {typed:?}");
        assert_eq!(parse(canonical), reference);
        assert_eq!(parse(familiar), reference);
    }
}

#[test]
fn tag_and_digest() {
    let reference = parse(&format!("acme/web:v1@sha256:{}", hex()));
    assert_eq!(reference.tag().map(Tag::as_str), Some("v1"));
    assert_eq!(reference.digest().map(Digest::hex), Some(hex().as_str()));
    assert_eq!(reference.repository().domain(), "docker.io");
    assert_eq!(reference.repository().path(), "acme/web");
    assert_eq!(reference.to_string(), format!("docker.io/acme/web:v1@sha256:{}", hex()));
}

#[test]
fn latest_is_added_only_where_nothing_is_said() {
    let digest = format!("alpine@sha256:{}", hex());
    assert_eq!(parse("alpine").with_default_tag().familiar(), "alpine:latest");
    assert_eq!(parse("alpine:3").with_default_tag().familiar(), "alpine:3");
    assert_eq!(parse(&digest).with_default_tag().familiar(), digest);
    assert_eq!(parse("alpine").tag(), None);
}

#[test]
fn refusals_have_dockers_words() {
    let long = "a".repeat(256);
    let cases = [
        ("", "invalid reference format"),
        ("alpine:!!", "invalid reference format"),
        ("alpine:", "invalid reference format"),
        ("alpine@", "invalid reference format"),
        ("alpine@sha256:abc", "invalid reference format"),
        (":tag", "invalid reference format"),
        ("/alpine", "invalid reference format"),
        ("alpine/", "invalid reference format"),
        ("acme//web", "invalid reference format"),
        ("-alpine", "invalid reference format"),
        ("alpine-", "invalid reference format"),
        ("al..pine", "invalid reference format"),
        ("al___pine", "invalid reference format"),
        ("al._pine", "invalid reference format"),
        ("a:b/c", "invalid reference format"),
        ("localhost:/web", "invalid reference format"),
        ("[::1/web", "invalid reference format"),
        ("[]/web", "invalid reference format"),
        ("[fe80::1%eth0]/web", "invalid reference format"),
        ("-bad.com/web", "invalid reference format"),
        ("a_b.c/web", "invalid reference format"),
        ("../../etc/passwd", "invalid reference format"),
        ("https://ghcr.io/acme/web", "invalid reference format"),
        (" alpine", "invalid reference format"),
        ("alpine\n", "invalid reference format"),
        ("docker.io/é/web", "invalid reference format"),
        ("Alpine", "invalid reference format: repository name (library/Alpine) must be lowercase"),
        ("Acme/Web", "invalid reference format: repository name (Web) must be lowercase"),
        ("acme/Web:v1", "invalid reference format: repository name (acme/Web) must be lowercase"),
        ("acme/É", "invalid reference format: repository name (acme/É) must be lowercase"),
        (long.as_str(), "repository name must not be more than 255 characters"),
    ];
    for (text, expected) in cases {
        let error = Reference::parse(text).expect_err(text);
        assert_eq!(error.to_string(), expected, "{text:?}");
        assert_eq!(Error::from(error).kind(), Kind::Invalid);
    }
}

#[test]
fn identifiers_are_no_names() {
    let error = Reference::parse(&hex()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("invalid repository name ({}), cannot specify 64-byte hexadecimal strings", hex())
    );
    // Spelt with its path it is a name, and it is shown so that it can be read back.
    let reference = parse(&format!("library/{}", hex()));
    assert_eq!(parse(&reference.familiar()), reference);
}

#[test]
fn wrong_digests() {
    let cases = [
        (format!("alpine@sha256:{}", "a".repeat(40)), "invalid checksum digest length"),
        (format!("alpine@sha256:{}", "A".repeat(64)), "invalid checksum digest format"),
        (format!("alpine@md5:{}", "a".repeat(32)), "unsupported digest algorithm: \"md5\""),
    ];
    for (text, expected) in cases {
        assert_eq!(Reference::parse(&text).unwrap_err().to_string(), expected, "{text:?}");
    }
}

#[test]
fn limits_of_length() {
    let path = format!("acme/{}", "a".repeat(250));
    assert_eq!(parse(&path).repository().path().len(), REPOSITORY_PATH_MAX);
    assert_eq!(Reference::parse(&format!("{path}a")), Err(ReferenceError::NameTooLong));
    assert!(Tag::parse(&"t".repeat(128)).is_ok());
    assert_eq!(Tag::parse(&"t".repeat(129)), Err(ReferenceError::InvalidTag));
    assert_eq!(Reference::parse(&format!("alpine:{}", "t".repeat(129))), Err(ReferenceError::InvalidFormat));
}

#[test]
fn repositories_have_neither_tag_nor_digest() {
    let repository = Repository::parse("alpine").unwrap();
    assert_eq!((repository.name(), repository.familiar()), ("docker.io/library/alpine", "alpine"));
    let error = Repository::parse("alpine:3").unwrap_err();
    assert_eq!(error.to_string(), "invalid repository name (alpine:3), cannot specify a tag or digest");
}

#[test]
fn tags_alone() {
    for tag in ["latest", "3.20", "_", "v1-rc.1_x", "0"] {
        assert_eq!(Tag::parse(tag).unwrap().as_str(), tag);
    }
    for tag in ["", ".x", "-x", "a b", "a/b", "a:b", "é"] {
        assert_eq!(Tag::parse(tag).unwrap_err().to_string(), "invalid tag format", "{tag:?}");
    }
}
