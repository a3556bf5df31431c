use super::*;

/// As BuildKit writes it: keys in alphabetical order.
const BUILDKIT: &str = r##"{"architecture":"amd64","config":{"Env":["PATH=/usr/bin"],"Entrypoint":["/app"],"Cmd":null,"Labels":{"a":"b<c>"},"ExposedPorts":{"80/tcp":{},"443/tcp":{}},"Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":30000000000},"OnBuild":[],"ArgsEscaped":true},"created":"2024-09-06T22:20:07.972381771Z","history":[{"created":"2024-09-06T22:20:07Z","created_by":"/bin/sh -c #(nop) ADD file","empty_layer":false},{"created_by":"CMD [\"/bin/sh\"]","empty_layer":true}],"moby.buildkit.buildinfo.v1":"e30=","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:63ca1fbb43ae5034640e5e6cb3e083e05c290072c5366fcaa9d62435a4cced85"]}}"##;

fn parse(text: &str) -> ImageConfig {
    ImageConfig::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn with_config(run: &str) -> String {
    format!(r#"{{"config":{run},"rootfs":{{"type":"layers"}}}}"#)
}

fn run_config(run: &str) -> RunConfig {
    parse(&with_config(run)).config.unwrap()
}

#[test]
fn reads_buildkits_config() {
    let config = parse(BUILDKIT);
    assert_eq!(config.platform().to_string(), "linux/amd64");
    assert_eq!(config.created_at().unwrap().to_string(), "2024-09-06T22:20:07.972381771Z");
    assert_eq!(config.rootfs.diff_ids[0].short(), "63ca1fbb43ae");
    assert_eq!(config.history.iter().map(|step| step.empty_layer).collect::<Vec<_>>(), [false, true]);
    assert_eq!(config.history[0].created_at().unwrap().as_second(), 1_725_661_207);
    assert_eq!(config.extra["moby.buildkit.buildinfo.v1"], "e30=");

    let run = config.config.unwrap();
    assert_eq!(run.env.as_deref(), Some(["PATH=/usr/bin".to_owned()].as_slice()));
    assert_eq!((run.cmd, run.on_build), (None, Some(vec![])), "null and empty are not the same");
    assert_eq!(run.exposed_ports.unwrap().0.into_iter().collect::<Vec<_>>(), ["443/tcp", "80/tcp"]);
    assert_eq!(run.healthcheck.unwrap().interval, 30_000_000_000);
    assert!(run.args_escaped);
}

#[test]
fn writes_a_config_that_reads_the_same() {
    let config = parse(BUILDKIT);
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(parse(&text), config);
    assert!(text.contains(r#""ExposedPorts":{"443/tcp":{},"80/tcp":{}}"#), "{text}");
    assert!(text.ends_with(r#""moby.buildkit.buildinfo.v1":"e30="}"#), "{text}");
}

#[test]
fn run_config_is_written_in_dockers_order() {
    let text = r#"{"Hostname":"h","Domainname":"d","User":"u","AttachStdin":true,"AttachStdout":true,"AttachStderr":true,"ExposedPorts":{},"Tty":true,"OpenStdin":true,"StdinOnce":true,"Env":[],"Cmd":[],"Healthcheck":{"Test":["NONE"],"Interval":1,"Timeout":2,"StartPeriod":3,"StartInterval":4,"Retries":5},"ArgsEscaped":true,"Image":"i","Volumes":{"/data":{}},"WorkingDir":"/","Entrypoint":[],"NetworkDisabled":true,"MacAddress":"m","OnBuild":[],"Labels":{},"StopSignal":"SIGTERM","StopTimeout":10,"Shell":["/bin/sh"],"Memory":0,"CpuShares":1}"#;
    assert_eq!(serde_json::to_string(&run_config(text)).unwrap(), text);
}

#[test]
fn null_is_accepted_everywhere() {
    let fields = [
        "Hostname",
        "Domainname",
        "User",
        "AttachStdin",
        "ExposedPorts",
        "Tty",
        "Env",
        "Cmd",
        "Healthcheck",
        "Image",
        "Volumes",
        "WorkingDir",
        "Entrypoint",
        "NetworkDisabled",
        "OnBuild",
        "Labels",
        "StopSignal",
        "StopTimeout",
        "Shell",
    ];
    let nulls: Vec<_> = fields.iter().map(|field| format!("{field:?}:null")).collect();
    assert_eq!(run_config(&format!("{{{}}}", nulls.join(","))), RunConfig::default());

    let config = parse(
        r#"{"created":null,"author":null,"architecture":null,"os":null,"config":null,"history":null,"rootfs":{"type":"layers","diff_ids":null}}"#,
    );
    assert_eq!(config, ImageConfig::default());
    assert_eq!(run_config(r#"{"Labels":{"a":null}}"#).labels.unwrap()["a"], "");
}

#[test]
fn a_single_word_is_a_list_of_one() {
    let run = run_config(r#"{"Cmd":"ls","Entrypoint":["a","b"]}"#);
    assert_eq!(run.cmd, Some(vec!["ls".to_owned()]));
    assert_eq!(run.entrypoint, Some(vec!["a".to_owned(), "b".to_owned()]));
}

#[test]
fn keys_in_other_case_count_as_go_counts_them() {
    let config = parse(r#"{"OS":"linux","Config":{"entrypoint":["/app"],"env":["A=1"]},"rootFS":{"Type":"layers"}}"#);
    assert_eq!(config.os, "linux");
    assert_eq!(config.config.unwrap().entrypoint, Some(vec!["/app".to_owned()]));
    for twice in [
        r#"{"os":"linux","OS":"windows","rootfs":{"type":"layers"}}"#.to_owned(),
        with_config(r#"{"Cmd":[],"cmd":["rm"]}"#),
        with_config(r#"{"Healthcheck":{"Test":[],"test":[]}}"#),
        r#"{"rootfs":{"diff_ids":[],"Diff_IDs":[]}}"#.to_owned(),
        r#"{"rootfs":{},"history":[{"author":"a","Author":"b"}]}"#.to_owned(),
    ] {
        assert!(
            matches!(ImageConfig::parse(twice.as_bytes()), Err(ConfigError::Json(JsonError::DuplicateKey(_)))),
            "{twice}"
        );
    }
}

#[test]
fn what_is_no_image_config() {
    for text in ["{}", r#"{"rootfs":null}"#, r#"{"architecture":"amd64"}"#] {
        let error = ImageConfig::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "invalid image JSON, no RootFS key", "{text}");
    }
    let kind = |text: &str| Error::from(ImageConfig::parse(text.as_bytes()).expect_err(text)).kind();
    assert_eq!(kind(r#"{"rootfs":{"type":"layers+base"}}"#), Kind::Unsupported);
    for text in ["", "[]", "\u{feff}{}", r#"{"rootfs":{}}x"#, r#"{"rootfs":{"diff_ids":["sha256:../x"]}}"#] {
        assert_eq!(kind(text), Kind::Corrupt, "{text:?}");
    }
    let padded = BUILDKIT.to_owned() + &" ".repeat(CONFIG_BYTES_MAX as usize);
    assert_eq!(kind(&padded), Kind::LimitExceeded);
}

#[test]
fn times_that_are_none() {
    for text in ["yesterday", "", "2024-13-01T00:00:00Z"] {
        let config = ImageConfig { created: Some(text.to_owned()), ..ImageConfig::default() };
        assert_eq!(config.created_at(), None, "{text:?}");
    }
    let zero = parse(r#"{"created":"0001-01-01T00:00:00Z","rootfs":{}}"#);
    assert_eq!(zero.created_at().unwrap().as_second(), -62_135_596_800);
}
