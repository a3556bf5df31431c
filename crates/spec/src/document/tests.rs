use dhow_base::limits::DESCRIPTORS_MAX;
use dhow_base::{Error, Kind};
use serde_json::{Value, json};

use super::*;

fn descriptor(media_type: &MediaType) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::sha256(b"x"), "size": 1 })
}

fn manifest() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciManifest,
        "config": descriptor(&MediaType::OciConfig),
        "layers": [descriptor(&MediaType::OciLayerGzip)],
    })
}

fn index() -> Value {
    json!({ "schemaVersion": 2, "mediaType": MediaType::OciIndex, "manifests": [descriptor(&MediaType::OciManifest)] })
}

/// `base` with the keys of `changes` set, or removed where they are null.
fn changed(mut base: Value, changes: Value) -> Value {
    for (key, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => base.as_object_mut().unwrap().shift_remove(key),
            value => base.as_object_mut().unwrap().insert(key.clone(), value.clone()),
        };
    }
    base
}

fn parse<'a>(value: &Value, declared: impl Into<Option<&'a MediaType>>) -> Result<Document, DocumentError> {
    Document::parse(serde_json::to_vec(value).unwrap(), declared)
}

#[test]
fn a_manifest_keeps_its_bytes() {
    let text = serde_json::to_string_pretty(&manifest()).unwrap() + "\n";
    let document = Document::parse(text.as_bytes(), &MediaType::OciManifest).unwrap();
    assert_eq!(document.bytes(), text.as_bytes());
    assert_eq!(document.digest(Algorithm::Sha256), Digest::sha256(text.as_bytes()));
    let expected = Descriptor::new(MediaType::OciManifest, Digest::sha256(text.as_bytes()), text.len() as u64);
    assert_eq!(document.descriptor(), expected);
    let children: Vec<_> = document.children().into_iter().map(|child| &child.media_type).collect();
    assert_eq!(children, [&MediaType::OciConfig, &MediaType::OciLayerGzip]);
    assert!(document.as_manifest().unwrap().is_image() && document.as_index().is_none());
}

#[test]
fn an_index_lists_its_manifests() {
    let document = parse(&index(), &MediaType::OciIndex).unwrap();
    assert_eq!(document.children().len(), 1);
    assert!(document.as_manifest().is_none() && document.subject().is_none());
}

#[test]
fn the_type_may_come_from_either_side() {
    let silent = changed(manifest(), json!({ "mediaType": null }));
    for declared in [None, Some(MediaType::parse("")), Some(MediaType::parse("application/json; charset=utf-8"))] {
        assert_eq!(parse(&silent, declared.as_ref()).unwrap().media_type(), &MediaType::OciManifest);
        assert_eq!(parse(&index(), declared.as_ref()).unwrap().media_type(), &MediaType::OciIndex);
    }
    assert_eq!(parse(&silent, &MediaType::DockerManifest).unwrap().media_type(), &MediaType::DockerManifest);
    let docker = changed(manifest(), json!({ "mediaType": MediaType::DockerManifest }));
    assert_eq!(parse(&docker, None).unwrap().media_type(), &MediaType::DockerManifest);
    let silent_index = changed(index(), json!({ "mediaType": "" }));
    assert_eq!(parse(&silent_index, None).unwrap().media_type(), &MediaType::OciIndex);
}

#[test]
fn two_readings_are_refused() {
    let both = changed(index(), json!({ "layers": [] }));
    assert!(matches!(parse(&both, None), Err(DocumentError::Ambiguous("layers"))));
    let both = changed(manifest(), json!({ "manifests": [], "layers": null }));
    assert!(matches!(parse(&both, None), Err(DocumentError::Ambiguous("config"))));

    let error = parse(&manifest(), &MediaType::DockerManifest).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid manifest: it was announced as application/vnd.docker.distribution.manifest.v2+json and says it is \
         application/vnd.oci.image.manifest.v1+json"
    );
    assert_eq!(Error::from(error).kind(), Kind::Corrupt);

    let silent = changed(manifest(), json!({ "mediaType": null }));
    assert!(matches!(parse(&silent, &MediaType::OciIndex), Err(DocumentError::WrongPart { part: "config", .. })));
    let silent = changed(index(), json!({ "mediaType": null }));
    assert!(matches!(parse(&silent, &MediaType::OciManifest), Err(DocumentError::WrongPart { part: "manifests", .. })));
}

#[test]
fn keys_in_other_case_are_refused() {
    let odd_descriptor = changed(descriptor(&MediaType::OciLayer), json!({ "Digest": "x" }));
    let odd_platform = changed(descriptor(&MediaType::OciManifest), json!({ "platform": { "OS": "linux" } }));
    let cases = [
        changed(manifest(), json!({ "Layers": [] })),
        changed(manifest(), json!({ "MANIFESTS": [] })),
        changed(manifest(), json!({ "config": odd_descriptor })),
        changed(manifest(), json!({ "layers": [odd_descriptor] })),
        changed(manifest(), json!({ "subject": odd_descriptor })),
        changed(index(), json!({ "manifests": [odd_platform] })),
        changed(index(), json!({ "mediatype": MediaType::OciManifest })),
    ];
    for case in cases {
        assert!(matches!(parse(&case, None), Err(DocumentError::Json(_))), "{case}");
    }
    let labels = changed(manifest(), json!({ "annotations": { "Layers": "1", "layers": "2" } }));
    assert!(parse(&labels, None).is_ok(), "annotations are free");
}

#[test]
fn not_strict_json() {
    let text = manifest().to_string();
    let twice = text.replacen("\"size\":1", "\"size\":1,\"size\":2", 1);
    for bad in [format!("\u{feff}{text}"), format!("{text}{{}}"), twice, text[1..].to_owned()] {
        let error = Document::parse(bad.into_bytes(), None).unwrap_err();
        assert!(matches!(error, DocumentError::Json(_)), "{error}");
    }
    for bad in ["[]", "null", "2", "\"x\""] {
        assert!(matches!(Document::parse(bad.as_bytes(), None), Err(DocumentError::Malformed(_))), "{bad}");
    }
}

#[test]
fn schemas() {
    let schema1 = json!({ "schemaVersion": 1, "name": "x", "tag": "y", "fsLayers": [], "history": [] });
    for (document, declared) in [
        (schema1.clone(), None),
        (schema1, Some(MediaType::DockerSchema1Signed)),
        (changed(manifest(), json!({ "mediaType": MediaType::DockerSchema1 })), None),
        (changed(manifest(), json!({ "fsLayers": [] })), None),
    ] {
        let error = parse(&document, declared.as_ref()).unwrap_err();
        assert!(matches!(error, DocumentError::Schema1), "{error}");
        assert!(error.to_string().contains("schema 1 support has been removed"));
    }
    for (version, shown) in [(Value::Null, "none"), (json!(3), "3"), (json!("2"), "\"2\""), (json!(2.0), "2.0")] {
        let error = parse(&changed(manifest(), json!({ "schemaVersion": version })), None).unwrap_err();
        assert_eq!(error.to_string(), format!("unsupported manifest schema version {shown} (must be 2)"));
        assert_eq!(Error::from(error).kind(), Kind::Unsupported);
    }
}

#[test]
fn what_is_no_document() {
    let other = MediaType::parse("application/vnd.example.thing+json");
    let error = parse(&changed(manifest(), json!({ "mediaType": other })), None).unwrap_err();
    assert_eq!(error.to_string(), "unsupported media type application/vnd.example.thing+json");
    assert!(matches!(parse(&json!({ "schemaVersion": 2 }), None), Err(DocumentError::Unrecognized)));
    assert!(matches!(parse(&changed(manifest(), json!({ "mediaType": 1 })), None), Err(DocumentError::Malformed(_))));
    assert!(matches!(
        parse(&changed(manifest(), json!({ "config": null })), &MediaType::OciManifest),
        Err(DocumentError::Malformed(_))
    ));
}

#[test]
fn bad_digests_never_get_in() {
    for digest in ["sha256:../../etc/passwd", "", "sha256:ABC", "md5:d41d8cd98f00b204e9800998ecf8427e"] {
        let bad = changed(descriptor(&MediaType::OciLayer), json!({ "digest": digest }));
        let error = parse(&changed(manifest(), json!({ "layers": [bad] })), None).unwrap_err();
        assert!(matches!(error, DocumentError::Malformed(_)), "{digest:?}");
    }
}

#[test]
fn limits() {
    let many = |count| json!(vec![descriptor(&MediaType::OciManifest); count]);
    assert!(parse(&changed(index(), json!({ "manifests": many(DESCRIPTORS_MAX) })), None).is_ok());
    let error = parse(&changed(index(), json!({ "manifests": many(DESCRIPTORS_MAX + 1) })), None).unwrap_err();
    assert_eq!(Error::from(error).kind(), Kind::LimitExceeded);

    let padded = manifest().to_string() + &" ".repeat(dhow_base::limits::MANIFEST_BYTES_MAX as usize);
    let error = Document::parse(padded.into_bytes(), None).unwrap_err();
    assert_eq!(Error::from(error).kind(), Kind::LimitExceeded);
}

#[test]
fn docker_s_old_manifests_are_images_whatever_they_call_their_config() {
    let is_image = |family: MediaType, config: &str| {
        let config = descriptor(&MediaType::Other(config.to_owned()));
        let value = changed(manifest(), json!({ "mediaType": family.as_str(), "config": config }));
        parse(&value, None).unwrap().as_manifest().unwrap().is_image()
    };
    for vague in ["", "application/octet-stream", "application/json", "text/html"] {
        assert!(is_image(MediaType::DockerManifest, vague), "{vague}");
        assert!(!is_image(MediaType::OciManifest, vague), "{vague}: an artifact");
    }
    assert!(!is_image(MediaType::DockerManifest, "application/vnd.docker.plugin.v1+json"));
}

#[test]
fn a_config_or_layer_without_a_type_has_one_that_says_nothing() {
    let bare = |value: Value| {
        let mut descriptor = descriptor(&MediaType::DockerLayerGzip);
        descriptor["mediaType"] = value;
        descriptor
    };
    let mut missing = bare(Value::Null);
    missing.as_object_mut().unwrap().remove("mediaType");
    let docker = json!({ "mediaType": MediaType::DockerManifest, "config": missing, "layers": [bare(Value::Null)] });
    let document = parse(&changed(manifest(), docker), None).unwrap();
    let manifest = document.as_manifest().unwrap();
    assert!(manifest.is_image());
    assert_eq!((manifest.config.media_type.as_str(), manifest.layers[0].media_type.as_str()), ("", ""));
    let error = parse(&changed(index(), json!({ "manifests": [missing] })), None).unwrap_err();
    assert!(error.to_string().contains("missing field `mediaType`"), "{error}");
}

#[test]
fn artifacts_are_documents_too() {
    let artifact = changed(
        manifest(),
        json!({ "artifactType": "application/vnd.example", "config": descriptor(&MediaType::OciEmpty), "subject": descriptor(&MediaType::OciManifest) }),
    );
    let document = parse(&artifact, None).unwrap();
    assert!(!document.as_manifest().unwrap().is_image());
    assert_eq!(document.subject().unwrap().media_type, MediaType::OciManifest);
    assert_eq!(document.children().len(), 2, "the subject is no child");
}

#[test]
fn new_documents_are_compact_and_in_order() {
    let config = Descriptor::new(MediaType::OciConfig, Digest::sha256(b"x"), 1);
    let document = Document::from_manifest(ImageManifest::new(config.clone(), vec![])).unwrap();
    let config_text = serde_json::to_string(&config).unwrap();
    assert_eq!(
        std::str::from_utf8(document.bytes()).unwrap(),
        format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{config_text},"layers":[]}}"#
        )
    );
    let mut list = ImageIndex::new(vec![document.descriptor().with_platform(crate::Platform::new("linux", "amd64"))]);
    list.media_type = MediaType::DockerList;
    let index = Document::from_index(list.clone()).unwrap();
    assert!(
        index
            .bytes()
            .starts_with(br#"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list"#)
    );
    assert_eq!(index.as_index(), Some(&list));
}

#[test]
fn new_documents_obey_the_rules() {
    let config = Descriptor::new(MediaType::OciConfig, Digest::sha256(b"x"), 1);
    let mut manifest = ImageManifest::new(config, vec![]);
    manifest.extra.insert("manifests".to_owned(), json!([]));
    assert!(matches!(Document::from_manifest(manifest.clone()), Err(DocumentError::Ambiguous(_))));
    manifest.extra.clear();
    manifest.media_type = MediaType::OciIndex;
    assert!(matches!(Document::from_manifest(manifest), Err(DocumentError::WrongPart { .. })));
}

#[test]
fn unknown_fields_survive_an_edit() {
    let extra = json!({ "org.example.b": 6.666666666666667e83, "org.example.a": { "z": 1, "y": -2.5 } });
    let original = changed(index(), extra);
    let document = parse(&original, None).unwrap();
    let rewritten = Document::from_index(document.as_index().unwrap().clone()).unwrap();
    assert_eq!(rewritten.bytes(), original.to_string().as_bytes());
}
