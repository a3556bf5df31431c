use super::*;

fn refusal(text: &str) -> JsonError {
    parse_strict(text.as_bytes()).expect_err(text)
}

#[test]
fn takes_what_any_parser_takes() {
    let text = r#" {"z": [1, -2, 3.5, "\u00e9", true, null], "a": {"b": {}, "B": 0}, "": 18446744073709551615} "#;
    let strict = parse_strict(text.as_bytes()).unwrap();
    assert_eq!(strict, serde_json::from_str::<Value>(text).unwrap());
    let keys: Vec<_> = strict.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["z", "a", ""], "the order of keys is kept");
}

#[test]
fn refuses_duplicate_keys_at_any_depth() {
    for text in [r#"{"a":1,"a":1}"#, r#"[{"b":{"a":1,"c":2,"a":3}}]"#, r#"{"a":1,"\u0061":2}"#] {
        assert!(matches!(refusal(text), JsonError::DuplicateKey(key) if key == "a"), "{text}");
    }
    assert!(parse_strict(br#"[{"a":1},{"a":1}]"#).is_ok());
}

#[test]
fn refuses_what_surrounds_the_value() {
    assert!(matches!(refusal("\u{feff}{}"), JsonError::ByteOrderMark));
    for text in ["{} {}", "{}x", "1 2", "{}\u{0}", "{},"] {
        assert!(matches!(refusal(text), JsonError::TrailingData), "{text:?}");
    }
    for text in ["", " ", "{", "{'a':1}", "{\"a\":1,}", "[1,]", "// x\n{}", "NaN", "\"\u{1}\"", "01", "\"\\ud800\""] {
        assert!(matches!(refusal(text), JsonError::Syntax(_)), "{text:?}");
    }
    assert!(matches!(parse_strict(b"\"\xff\""), Err(JsonError::Syntax(_))));
}

#[test]
fn nesting_has_a_limit() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(parse_strict(nested(JSON_DEPTH_MAX).as_bytes()).is_ok());
    assert!(matches!(refusal(&nested(JSON_DEPTH_MAX + 1)), JsonError::TooDeep));
    assert!(matches!(refusal(&"{\"a\":".repeat(100_000)), JsonError::TooDeep));
}

#[test]
fn the_number_of_values_has_a_limit() {
    let array = |values: usize| format!("[{}0]", "0,".repeat(values - 1));
    assert!(parse_strict(array(VALUES_MAX - 1).as_bytes()).is_ok());
    assert!(matches!(refusal(&array(VALUES_MAX)), JsonError::TooManyValues));
}

#[test]
fn keys_fold_as_go_folds_them() {
    let known = ["layers", "diskKind"];
    for variant in ["Layers", "LAYERS", "layer\u{17f}", "dis\u{212a}Kind"] {
        assert!(case_variant_of(variant, &known).is_some(), "{variant:?}");
    }
    for other in ["layers", "layer", "layerz", "läyers", "diskKind"] {
        assert_eq!(case_variant_of(other, &known), None, "{other:?}");
    }
}

#[test]
fn case_variants_are_refused_or_renamed() {
    let object = |text: &str| parse_strict(text.as_bytes()).unwrap().as_object().unwrap().clone();
    let error = refuse_case_variants(&object(r#"{"x":1,"Layers":2}"#), &["layers"]).unwrap_err();
    assert_eq!(error.to_string(), r#"JSON has the key "Layers", which some programs read as "layers""#);

    let mut renamed = object(r#"{"A":1,"Layers":2,"b":3}"#);
    rename_case_variants(&mut renamed, &["layers"]).unwrap();
    assert_eq!(renamed, object(r#"{"A":1,"layers":2,"b":3}"#));
    for twice in [r#"{"Layers":1,"layers":2}"#, r#"{"layers":1,"Layers":2}"#, r#"{"LAYERS":1,"Layers":2}"#] {
        assert!(matches!(
            rename_case_variants(&mut object(twice), &["layers"]),
            Err(JsonError::DuplicateKey(key)) if key == "layers"
        ));
    }
}
