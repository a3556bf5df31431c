//! What `inspect` knows, as the types that docker's client has: templates see fields by Go's names.

use std::rc::Rc;

use dhow_ops::inspect::Inspect;
use dhow_spec::config::{Healthcheck, History, NameSet, RunConfig};
use dhow_template::{Field, List, Opaque, Type, Value};

const CONFIG: &str = "v1.DockerOCIImageConfig";

/// Fields of [`CONFIG`], for images that have none.
const CONFIG_FIELDS: [&str; 13] = [
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "ArgsEscaped",
    "Healthcheck",
    "OnBuild",
    "Shell",
];

/// Docker's `image.InspectResponse`.
pub(crate) fn image(image: &Inspect) -> Value {
    let text = |name, text: &str| Field::new(name, Value::from(text));
    let optional = |name, text: &Option<String>| Field::optional(name, Value::from(text.as_deref().unwrap_or("")));
    let layers: Vec<&str> = image.root_fs.layers.iter().map(|digest| digest.as_str()).collect();
    let driver = vec![Field::new("Data", Value::map::<&str>(Type::Text, None)), text("Name", image.graph_driver.name)];
    let root_fs = vec![text("Type", &image.root_fs.kind), Field::optional("Layers", Value::texts(Some(&layers)))];
    let metadata = vec![Field::new("LastTagTime", time(&image.metadata.last_tag_time))];
    let size = Value::Int64(i64::try_from(image.size).unwrap_or(i64::MAX));
    let fields = vec![
        Field { name: "ID", key: "Id", omits_empty: false, value: Value::from(image.id.as_str()) },
        Field::new("RepoTags", Value::texts(Some(&image.repo_tags))),
        Field::new("RepoDigests", Value::texts(Some(&image.repo_digests))),
        text("Parent", &image.parent),
        text("Comment", &image.comment),
        optional("Created", &image.created),
        text("DockerVersion", &image.docker_version),
        text("Author", &image.author),
        Field::new("Config", config(image.config.as_ref())),
        text("Architecture", &image.architecture),
        optional("Variant", &image.variant),
        text("Os", &image.os),
        optional("OsVersion", &image.os_version),
        Field::new("Size", size),
        Field::new("GraphDriver", Value::structure("storage.DriverData", driver)),
        Field::new("RootFS", Value::structure("image.RootFS", root_fs)),
        Field::new("Metadata", Value::structure("image.Metadata", metadata)),
    ];
    Value::structure("image.InspectResponse", fields)
}

/// How to run an image.
pub(crate) fn config(config: Option<&RunConfig>) -> Value {
    let Some(config) = config else { return Value::Null { name: "*v1.DockerOCIImageConfig", fields: &CONFIG_FIELDS } };
    let texts = |list: &Option<Vec<String>>| Value::texts(list.as_deref());
    let mut fields = oci_config(config);
    let values = [healthcheck(config.healthcheck.as_ref()), texts(&config.on_build), texts(&config.shell)];
    let names = CONFIG_FIELDS.into_iter().skip(fields.len());
    fields.extend(names.zip(values).map(|(name, value)| Field::optional(name, value)));
    Value::pointer(CONFIG, fields)
}

/// The fields of it that OCI's `v1.ImageConfig` has, which come first.
pub(crate) fn oci_config(config: &RunConfig) -> Vec<Field> {
    let texts = |list: &Option<Vec<String>>| Value::texts(list.as_deref());
    let labels = config.labels.as_ref();
    let labels = labels.map(|labels| labels.iter().map(|(name, value)| (name, Value::from(value.as_str()))).collect());
    let values = [
        Value::from(config.user.as_str()),
        names(config.exposed_ports.as_ref()),
        texts(&config.env),
        texts(&config.entrypoint),
        texts(&config.cmd),
        names(config.volumes.as_ref()),
        Value::from(config.working_dir.as_str()),
        Value::map(Type::Text, labels),
        Value::from(config.stop_signal.as_deref().unwrap_or("")),
        Value::from(config.args_escaped),
    ];
    CONFIG_FIELDS.into_iter().zip(values).map(|(name, value)| Field::optional(name, value)).collect()
}

/// OCI's `[]v1.History`.
pub(crate) fn history(steps: &[History]) -> Value {
    let text = |name, key, text: &Option<String>| {
        let value = Value::from(text.as_deref().unwrap_or_default());
        Field { key, ..Field::optional(name, value) }
    };
    let step = |step: &History| {
        let created = step.created.as_deref().map_or(Value::Null { name: "*time.Time", fields: &[] }, time);
        let fields = vec![
            Field { key: "created", ..Field::optional("Created", created) },
            text("CreatedBy", "created_by", &step.created_by),
            text("Author", "author", &step.author),
            text("Comment", "comment", &step.comment),
            Field { key: "empty_layer", ..Field::optional("EmptyLayer", Value::from(step.empty_layer)) },
        ];
        Value::structure("v1.History", fields)
    };
    let items: Vec<Value> = steps.iter().map(step).collect();
    Value::List(Rc::new(List { element: Type::Named("v1.History"), is_nil: items.is_empty(), items }))
}

fn names(names: Option<&NameSet>) -> Value {
    Value::map(Type::Empty, names.map(|names| names.0.iter().map(|name| (name, Value::empty())).collect()))
}

/// How to tell whether a container is well.
pub(crate) fn healthcheck(check: Option<&Healthcheck>) -> Value {
    const FIELDS: [&str; 6] = ["Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"];
    let Some(check) = check else { return Value::Null { name: "*v1.HealthcheckConfig", fields: &FIELDS } };
    let values = [
        Value::texts(check.test.as_deref()),
        duration(check.interval),
        duration(check.timeout),
        duration(check.start_period),
        duration(check.start_interval),
        Value::Int(check.retries),
    ];
    let fields = FIELDS.into_iter().zip(values).map(|(name, value)| Field::optional(name, value)).collect();
    Value::pointer("v1.HealthcheckConfig", fields)
}

/// Go's `time.Duration`, from nanoseconds.
fn duration(nanoseconds: i64) -> Value {
    let text = duration_text(nanoseconds);
    Value::Opaque(Rc::new(Opaque {
        name: "time.Duration",
        text,
        json: nanoseconds.to_string(),
        is_zero: nanoseconds == 0,
    }))
}

fn duration_text(nanoseconds: i64) -> String {
    const SECOND: u64 = 1_000_000_000;
    let size = nanoseconds.unsigned_abs();
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let fraction = |size: u64, unit: u64| {
        let digits = unit.ilog10() as usize;
        let text = format!("{}.{:0digits$}", size / unit, size % unit);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let text = match size {
        0 => "0s".to_owned(),
        1..1_000 => format!("{size}ns"),
        1_000..1_000_000 => format!("{}µs", fraction(size, 1_000)),
        1_000_000..SECOND => format!("{}ms", fraction(size, 1_000_000)),
        _ => {
            let (minutes, seconds) = (size / SECOND / 60, fraction(size % (60 * SECOND), SECOND));
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    };
    format!("{sign}{text}")
}

/// Go's `time.Time`, from RFC 3339.
pub(crate) fn time(rfc3339: &str) -> Value {
    let (date, rest) = rfc3339.split_once('T').unwrap_or((rfc3339, ""));
    let text = match rest.strip_suffix('Z') {
        Some(time) => format!("{date} {time} +0000 UTC"),
        None => {
            let (time, zone) = rest.split_at(rest.rfind(['+', '-']).unwrap_or(rest.len()));
            let zone = zone.replace(':', "");
            format!("{date} {time} {zone} {zone}")
        }
    };
    let json = format!("\"{rfc3339}\"");
    Value::Opaque(Rc::new(Opaque { name: "time.Time", text, json, is_zero: false }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_template::{Options, Template};

    fn shown(value: Value) -> String {
        let mut output = Vec::new();
        let template = Template::parse("{{.}} {{json .}}").unwrap();
        template.execute(&value, Options::default(), &mut output).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn durations_and_times_read_as_go_s() {
        let cases: [(i64, &str); 8] = [
            (0, "0s"),
            (999, "999ns"),
            (1_500, "1.5µs"),
            (100_000_000, "100ms"),
            (30_000_000_000, "30s"),
            (90_500_000_000, "1m30.5s"),
            (3_600_000_000_000, "1h0m0s"),
            (-1_000_000_000, "-1s"),
        ];
        for (nanoseconds, expected) in cases {
            assert_eq!(shown(duration(nanoseconds)), format!("{expected} {nanoseconds}"));
        }
        let utc = "2026-11-22T17:06:24.5Z";
        assert_eq!(shown(time(utc)), format!("2026-11-22 17:06:24.5 +0000 UTC \"{utc}\""));
        let local = "2026-11-22T17:06:24+01:00";
        assert_eq!(shown(time(local)), format!("2026-11-22 17:06:24 +0100 +0100 \"{local}\""));
    }

    #[test]
    fn a_config_leaves_out_what_is_empty() {
        let config = RunConfig {
            env: Some(vec!["A=1".to_owned()]),
            healthcheck: Some(Healthcheck { interval: 1_000_000_000, ..Healthcheck::default() }),
            ..RunConfig::default()
        };
        let expected = r#"{"Env":["A=1"],"Healthcheck":{"Interval":1000000000}}"#;
        let text = shown(super::config(Some(&config)));
        assert!(text.ends_with(expected), "{text}");
        assert_eq!(shown(super::config(None)), "<nil> null");
    }
}
