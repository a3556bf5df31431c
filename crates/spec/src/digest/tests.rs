use super::*;

const EMPTY_SHA256: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn parses_what_it_prints() {
    for algorithm in Algorithm::ALL {
        let digest = Digest::of(algorithm, b"content");
        assert_eq!(Digest::parse(digest.as_str()), Ok(digest.clone()));
        assert_eq!(digest.hex().len(), algorithm.hex_len());
        assert_eq!(digest.to_string(), format!("{algorithm}:{}", digest.hex()));
    }
}

#[test]
fn known_hashes() {
    assert_eq!(Digest::sha256(b"").as_str(), EMPTY_SHA256);
    assert_eq!(Digest::sha256(b"").short(), "e3b0c44298fc");
    assert_eq!(
        Digest::sha256(b"{}").as_str(),
        "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    );
    assert!(Digest::of(Algorithm::Sha512, b"abc").hex().starts_with("ddaf35a193617abacc417349ae204131"));
}

#[test]
fn a_cloned_hasher_goes_its_own_way() {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(b"ab");
    let mut other = hasher.clone();
    hasher.update(b"c");
    other.update(b"d");
    assert_eq!(hasher.finish(), Digest::sha256(b"abc"));
    assert_eq!(other.finish(), Digest::sha256(b"abd"));
}

#[test]
fn refusals_have_dockers_words() {
    let hex = "a".repeat(64);
    let cases = [
        (String::new(), "invalid checksum digest format"),
        ("sha256".to_owned(), "invalid checksum digest format"),
        ("sha256:".to_owned(), "invalid checksum digest format"),
        (format!(":{hex}"), "invalid checksum digest format"),
        (format!("sha256:{}", hex.to_uppercase()), "invalid checksum digest format"),
        (format!("sha256:{}/", &hex[1..]), "invalid checksum digest format"),
        (format!("SHA256:{hex}"), "invalid checksum digest format"),
        (format!(" sha256:{hex}"), "invalid checksum digest format"),
        (format!("../sha256:{hex}"), "invalid checksum digest format"),
        ("sha256:../../etc/passwd".to_owned(), "invalid checksum digest length"),
        (format!("sha256:{}", &hex[1..]), "invalid checksum digest length"),
        (format!("sha256:{hex}\n"), "invalid checksum digest length"),
        (format!("sha512:{hex}"), "invalid checksum digest length"),
        ("md5:d41d8cd98f00b204e9800998ecf8427e".to_owned(), "unsupported digest algorithm: \"md5\""),
        (format!("blake3:{hex}"), "unsupported digest algorithm: \"blake3\""),
        (
            "sha256+b64:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564=".to_owned(),
            "unsupported digest algorithm: \"sha256+b64\"",
        ),
    ];
    for (text, expected) in cases {
        let error = Digest::parse(&text).expect_err(&text);
        assert_eq!(error.to_string(), expected, "{text:?}");
    }
}

#[test]
fn kinds() {
    assert_eq!(Error::from(DigestError::InvalidLength).kind(), Kind::Invalid);
    assert_eq!(Error::from(DigestError::UnsupportedAlgorithm("md5".to_owned())).kind(), Kind::Unsupported);
}

#[test]
fn json_is_a_string_and_is_checked() {
    let digest: Digest = serde_json::from_str(&format!("{EMPTY_SHA256:?}")).unwrap();
    assert_eq!(serde_json::to_string(&digest).unwrap(), format!("{EMPTY_SHA256:?}"));
    assert!(serde_json::from_str::<Digest>("\"sha256:x\"").is_err());
}

#[test]
fn a_saved_hasher_goes_on_where_it_stood() {
    let bytes: Vec<u8> = (0..1000_u32).map(|number| (number % 251) as u8).collect();
    for algorithm in Algorithm::ALL {
        for split in [0, 1, 63, 64, 127, 128, 129, 999, 1000] {
            let mut first = Hasher::new(algorithm);
            first.update(&bytes[..split]);
            let mut second = Hasher::restore(algorithm, &first.save()).expect("a state");
            second.update(&bytes[split..]);
            assert_eq!(second.finish(), Digest::of(algorithm, &bytes), "{algorithm} at {split}");
        }
        assert!(Hasher::restore(algorithm, b"").is_none() && Hasher::restore(algorithm, &[255; 500]).is_none());
    }
}
