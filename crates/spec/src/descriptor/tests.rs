use super::*;

const EMPTY: &str = r#"{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2"#;

fn read(rest: &str) -> Result<Descriptor, serde_json::Error> {
    serde_json::from_str(&format!("{EMPTY}{rest}}}"))
}

#[test]
fn writes_what_it_read() {
    let rest = r#","urls":["https://example.com/x"],"annotations":{"a":"1","b":"2"},"data":"e30=","platform":{"architecture":"arm64","os":"linux","variant":"v8"},"artifactType":"x/y","org.example.new":{"z":1,"a":[2]}"#;
    let descriptor = read(rest).unwrap();
    assert_eq!(descriptor.platform.as_ref().unwrap().to_string(), "linux/arm64/v8");
    assert_eq!(serde_json::to_string(&descriptor).unwrap(), format!("{EMPTY}{rest}}}"));
}

#[test]
fn null_is_nothing() {
    let descriptor =
        read(r#","urls":null,"annotations":null,"data":null,"platform":null,"artifactType":null"#).unwrap();
    assert_eq!(descriptor, Descriptor::new(MediaType::OciEmpty, Digest::sha256(b"{}"), 2));
}

#[test]
fn sizes_have_limits() {
    let with_size =
        |size: &str| serde_json::from_str::<Descriptor>(&format!("{EMPTY}}}").replace(":2}", &format!(":{size}}}")));
    assert_eq!(with_size(&BLOB_BYTES_MAX.to_string()).unwrap().size, BLOB_BYTES_MAX);
    for size in ["-1", "1.5", "\"2\"", "null", "18446744073709551616", &(BLOB_BYTES_MAX + 1).to_string()] {
        assert!(with_size(size).is_err(), "{size}");
    }
}

#[test]
fn attestations_are_told_by_their_annotation() {
    let descriptor = read("").unwrap();
    assert!(!descriptor.is_attestation());
    assert!(descriptor.with_annotation("vnd.docker.reference.type", "attestation-manifest").is_attestation());
}
