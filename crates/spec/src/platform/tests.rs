use super::*;

fn parse(text: &str) -> Platform {
    Platform::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

#[test]
fn spellings() {
    let cases = [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("Linux/X86-64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/i386", "linux/386"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64/v8"),
        ("linux/arm64/8", "linux/arm64/v8"),
        ("linux/arm64/9", "linux/arm64/v9"),
        ("linux/arm64/v8.2", "linux/arm64/v8.2"),
        ("linux/arm", "linux/arm"),
        ("linux/arm/7", "linux/arm/v7"),
        ("linux/armhf", "linux/arm"),
        ("linux/armel", "linux/arm/v6"),
        ("macos/arm64", "darwin/arm64"),
        ("plan10/z80", "plan10/z80"),
        ("windows(10.0.17763)/amd64", "windows/amd64"),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text).to_string(), expected, "{text:?}");
    }
    assert_eq!(parse("windows(10.0.17763)/amd64").os_version.as_deref(), Some("10.0.17763"));
}

#[test]
fn single_words_take_the_other_half_from_the_host() {
    let host = Platform::host();
    assert_eq!(parse("windows"), Platform { variant: None, ..Platform::new("windows", &host.architecture) });
    assert_eq!(parse("s390x"), Platform::new(&host.os, "s390x"));
    assert_eq!(parse("aarch64"), Platform::new(&host.os, "arm64"));
    assert_eq!(parse("armel"), Platform::new(&host.os, "arm").with_variant("v6"));
}

#[test]
fn refusals_have_dockers_words() {
    let cases = [
        ("foo", r#""foo": unknown operating system or architecture: invalid argument"#),
        ("linux/*", r#""linux/*": wildcards not yet supported: invalid argument"#),
        ("a/b/c/d", r#""a/b/c/d": cannot parse platform specifier: invalid argument"#),
        (
            "linux/",
            r#""" is an invalid component of "linux/": platform specifier component must match "^[A-Za-z0-9_.-]+$": invalid argument"#,
        ),
        (
            "/amd64",
            r#""" is an invalid OS component of "/amd64": OSAndVersion specifier component must match "^([A-Za-z0-9_-]+)(?:\\(([A-Za-z0-9_.-]*)\\))?$": invalid argument"#,
        ),
    ];
    for (text, expected) in cases {
        let error = Platform::parse(text).expect_err(text);
        assert_eq!(error.to_string(), expected);
        assert_eq!(Error::from(error).kind(), Kind::Invalid);
    }
    for text in ["", " ", "linux amd64", "linux(", "linux()x/amd64", "lin.ux/amd64", "linux/amd64/v1 ", "linux//v1"] {
        assert!(Platform::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn unknown_parts_are_left_out_of_the_text() {
    assert_eq!(Platform::default().to_string(), "unknown");
    assert_eq!(Platform::new("linux", "").to_string(), "linux");
    assert!(Platform::new("unknown", "unknown").is_unknown());
}

#[test]
fn json_keeps_every_field() {
    let text =
        r#"{"architecture":"amd64","os":"windows","os.version":"10.0.1","os.features":["win32k"],"features":["sse4"]}"#;
    let platform: Platform = serde_json::from_str(text).unwrap();
    assert_eq!(platform.os_version.as_deref(), Some("10.0.1"));
    assert_eq!(serde_json::to_string(&platform).unwrap(), text);

    let sparse: Platform = serde_json::from_str(r#"{"os":null,"variant":"","os.features":null}"#).unwrap();
    assert_eq!(sparse, Platform::default());
}

/// The offered platforms that fit, best first.
fn accepted(matcher: &Matcher, offered: &[&str]) -> Vec<String> {
    let mut ranked: Vec<_> = offered.iter().filter_map(|text| Some((matcher.rank(&parse(text))?, *text))).collect();
    ranked.sort();
    ranked.into_iter().map(|(_, text)| text.to_owned()).collect()
}

#[test]
fn older_platforms_fit_in_order() {
    let offered = [
        "windows/amd64",
        "linux/386",
        "linux/amd64",
        "linux/amd64/v2",
        "linux/amd64/v3",
        "linux/amd64/v4",
        "linux/arm/v5",
        "linux/arm/v6",
        "linux/arm/v7",
        "linux/arm/v8",
        "linux/arm64",
        "linux/arm64/v8.1",
        "linux/arm64/v8.2",
        "linux/arm64/v8.6",
        "linux/arm64/v9",
        "linux/arm64/v9.1",
        "linux/s390x",
    ];
    let cases: &[(&str, &[&str])] = &[
        ("linux/amd64", &["linux/amd64", "linux/386"]),
        ("linux/amd64/v3", &["linux/amd64/v3", "linux/amd64/v2", "linux/amd64", "linux/386"]),
        ("linux/386", &["linux/386"]),
        ("linux/arm/v7", &["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]),
        ("linux/arm", &["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]),
        ("linux/arm/v5", &["linux/arm/v5"]),
        ("linux/arm64", &["linux/arm64", "linux/arm/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]),
        (
            "linux/arm64/v8.2",
            &[
                "linux/arm64/v8.2",
                "linux/arm64/v8.1",
                "linux/arm64",
                "linux/arm/v8",
                "linux/arm/v7",
                "linux/arm/v6",
                "linux/arm/v5",
            ],
        ),
        (
            "linux/arm64/v9.1",
            &[
                "linux/arm64/v9.1",
                "linux/arm64/v9",
                "linux/arm64/v8.6",
                "linux/arm64/v8.2",
                "linux/arm64/v8.1",
                "linux/arm64",
                "linux/arm/v8",
                "linux/arm/v7",
                "linux/arm/v6",
                "linux/arm/v5",
            ],
        ),
        ("linux/s390x", &["linux/s390x"]),
        ("linux/riscv64", &[]),
    ];
    for (wanted, expected) in cases {
        assert_eq!(accepted(&Matcher::ordered(&parse(wanted)), &offered), *expected, "{wanted}");
    }
}

#[test]
fn strict_takes_only_the_same_in_any_spelling() {
    let matcher = Matcher::strict(&parse("linux/arm64"));
    assert_eq!(matcher.rank(&Platform::new("linux", "aarch64").with_variant("v8")), Some(0));
    assert_eq!(matcher.rank(&parse("linux/arm/v7")), None);
    assert!(!Matcher::strict(&parse("linux/amd64")).matches(&parse("linux/386")));
}

#[test]
fn windows_builds_must_agree() {
    let matcher = Matcher::ordered(&parse("windows(10.0.17763)/amd64"));
    assert!(matcher.matches(&parse("windows(10.0.17763.1234)/amd64")));
    assert!(!matcher.matches(&parse("windows(10.0.14393.1)/amd64")));
    assert!(matcher.matches(&parse("windows/amd64")));
}

#[test]
fn the_host_runs_its_own_images() {
    let host = Platform::host();
    assert_eq!(Matcher::ordered(&host).rank(&host), Some(0));
    assert_eq!(host.normalized().normalized(), host.normalized());
}

#[test]
fn absurd_variants_make_short_lists() {
    for text in ["linux/amd64/v200", "linux/arm/v99999999999", "linux/arm64/v9.255", "linux/arm64/v8.-1"] {
        assert!(Matcher::ordered(&parse(text)).matches(&parse(text)), "{text}");
    }
}
