use super::*;

#[test]
fn known_types_parse_to_themselves() {
    for media_type in KNOWN {
        assert_eq!(&MediaType::parse(media_type.as_str()), media_type);
        assert_eq!(&MediaType::parse(&media_type.as_str().to_uppercase()), media_type);
        let json = serde_json::to_string(media_type).unwrap();
        assert_eq!(&serde_json::from_str::<MediaType>(&json).unwrap(), media_type);
    }
}

#[test]
fn header_parameters_are_dropped_and_document_text_is_kept() {
    let text = "application/vnd.oci.image.index.v1+json; charset=utf-8";
    assert_eq!(MediaType::from(text), MediaType::OciIndex);
    assert_eq!(MediaType::parse("text/html; charset=utf-8"), MediaType::Other("text/html".into()));
    let stated: MediaType = serde_json::from_str(&format!("{text:?}")).unwrap();
    assert_eq!(stated, MediaType::Other(text.into()));
}

#[test]
fn what_is_asked_for_is_what_is_understood() {
    for text in MANIFEST_ACCEPT {
        let media_type = MediaType::parse(text);
        assert!(media_type.is_index() || media_type.is_manifest(), "{text}");
    }
    let documents = KNOWN.iter().filter(|known| known.is_index() || known.is_manifest());
    assert_eq!(documents.count(), MANIFEST_ACCEPT.len());
}

#[test]
fn classes_do_not_overlap() {
    for media_type in KNOWN {
        let classes = [
            media_type.is_index(),
            media_type.is_manifest(),
            media_type.is_image_config(),
            media_type.is_layer(),
            media_type.is_schema1(),
            *media_type == MediaType::OciEmpty,
        ];
        assert_eq!(classes.iter().filter(|is| **is).count(), 1, "{media_type}");
        assert!(!media_type.is_foreign() || media_type.is_layer());
    }
}

#[test]
fn compression_is_what_the_name_ends_in() {
    for media_type in KNOWN.iter().filter(|known| known.is_layer()) {
        let text = media_type.as_str();
        let expected = if text.ends_with("gzip") {
            Compression::Gzip
        } else if text.ends_with("zstd") {
            Compression::Zstd
        } else {
            Compression::None
        };
        assert_eq!(media_type.compression(), Some(expected), "{text}");
    }
    assert_eq!(MediaType::OciConfig.compression(), None);
}
