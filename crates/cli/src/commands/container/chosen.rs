//! Which containers `ps` lists, and podman's `rm --filter` removes.

use clap::Args;
use dhow_base::{Error, Kind};
use dhow_ops::container::{self, NamespaceKind, Network, Other, Record, State};
use dhow_ops::df::Configuration;
use dhow_ops::filter::NamePattern;
use dhow_ops::strconv::parse_int;
use dhow_ops::{Context, Naming, filter};

use super::super::filters;
use crate::errors::{FLAG_ERROR, Failure, Outcome};
use crate::format::ago;
use crate::personality::Personality;
use crate::session::Session;

/// The options by which containers are chosen.
#[derive(Args, Debug)]
pub(in crate::commands) struct Selection {
    /// Show all containers, not only those that run
    #[arg(short, long)]
    all: bool,
    /// Show only what fits: "id", "name", "label", "status", "exited", "ancestor", "volume", "before", "since"
    #[arg(short, long, value_name = "filter")]
    filter: Vec<String>,
    /// Show so many of the containers that were made last, whatever they do
    #[arg(short = 'n', long, value_name = "int", default_value = "-1", value_parser = parse_int::<i64>)]
    pub(in crate::commands) last: i64,
    /// Show the container that was made last, whatever it does
    #[arg(short, long)]
    pub(in crate::commands) latest: bool,
}

impl Selection {
    /// The containers that are asked for, the newest first.
    ///
    /// # Errors
    /// Each engine's words for what is no filter; those of the store.
    pub(in crate::commands) fn records(&self, session: &Session<'_>, context: &Context) -> Outcome<Vec<Record>> {
        // What was made last is listed whatever it does.
        let newest = if self.latest { 1 } else { usize::try_from(self.last).unwrap_or(0) };
        let terms = self.terms(session)?;
        let mut records = container::list(context)?;
        let asks_state = terms.iter().any(|(name, _)| matches!(name.as_str(), "status" | "exited"));
        if !self.all && newest == 0 && !asks_state {
            records.retain(|record| record.container.is_running());
        }
        retain(context, &mut records, &terms)?;
        if newest > 0 {
            records.truncate(newest);
        }
        Ok(records)
    }

    /// The filters. Docker's client tells while it reads its options what is none, podman's when it asks for the list.
    fn terms(&self, session: &Session<'_>) -> Outcome<Vec<(String, String)>> {
        let parse = |text: &String| {
            filters::parse(text).map_err(|why| match session.personality {
                Personality::Podman => Failure::Client(format!("invalid filter {text:?}")),
                personality => {
                    let what = format!("invalid argument {text:?} for \"-f, --filter\" flag: {why}");
                    let usage = format!("{} [OPTIONS]", session.path);
                    Failure::Usage { message: personality.about_flag(&what, &usage, &session.path), code: FLAG_ERROR }
                }
            })
        };
        let given: Vec<filters::Given> = self.filter.iter().map(parse).collect::<Outcome<_>>()?;
        Ok(filters::given(&given))
    }
}

/// Keeps the containers that fit all filters.
///
/// # Errors
/// Each engine's words for what is no filter.
pub(in crate::commands) fn retain(context: &Context, records: &mut Vec<Record>, terms: &[(String, String)]) -> Outcome {
    for (name, values) in filters::by_name(terms) {
        // Of several values of one name, any will do; labels must all be there.
        let tests: Vec<Test> = values.iter().map(|value| test(context, name, value)).collect::<Outcome<_>>()?;
        records.retain(|record| match name {
            "label" => tests.iter().all(|test| test(record)),
            _ => tests.iter().any(|test| test(record)),
        });
    }
    Ok(())
}

type Test = Box<dyn Fn(&Record) -> bool>;

/// What one filter asks of a container.
fn test(context: &Context, name: &str, value: &str) -> Outcome<Test> {
    let own = match context.naming() {
        Naming::Podman => podman_test(context, name, value)?,
        Naming::Docker => docker_test(name, value)?,
    };
    if let Some(test) = own {
        return Ok(test);
    }
    let value = value.to_owned();
    Ok(match name {
        "id" => Box::new(move |record| record.container.id.starts_with(&value)),
        "name" => {
            let pattern = NamePattern::parse(&value);
            Box::new(move |record| pattern.fits_container(record.container.name.as_deref().unwrap_or_default()))
        }
        "label" => {
            Box::new(move |record| filters::has_label(&Configuration::parse(&record.configuration).labels, &value))
        }
        "status" => status_test(context, value)?,
        "exited" => exit_code_test(context, &value)?,
        "ancestor" => {
            let id = container::image_of(context, &value).ok();
            Box::new(move |record| Some(&record.image_id) == id.as_ref())
        }
        "volume" => Box::new(move |record| container::has_mounted(record, &value)),
        "before" | "since" => {
            let other = find_other(context, &value)?;
            let is_before = name == "before";
            Box::new(move |record| if is_before { record.created < other } else { record.created > other })
        }
        _ if context.naming() == Naming::Podman => {
            return Err(Error::new(Kind::Invalid, format!("{name} is an invalid filter")).into());
        }
        _ => return Err(Error::new(Kind::Invalid, format!("invalid filter '{name}'")).into()),
    })
}

/// What docker's engine alone can be asked (moby `daemon/list.go`).
fn docker_test(name: &str, value: &str) -> Outcome<Option<Test>> {
    let (invalid, value) = (invalid(name, value), value.to_owned());
    Ok(Some(match name {
        "network" => Box::new(move |record| match Configuration::parse(&record.configuration).settings.network {
            Network::Host => value == "host",
            Network::None => value == "none",
        }),
        // Nobody looks after the health of a container here.
        "health" => match value.as_str() {
            "none" => Box::new(|_| true),
            "starting" | "healthy" | "unhealthy" => Box::new(|_| false),
            _ => {
                let message = format!("unrecognized filter value for health: {value}");
                return Err(Error::new(Kind::Invalid, message).into());
            }
        },
        "is-task" => match value.as_str() {
            "false" | "0" => Box::new(|_| true),
            "true" | "1" => Box::new(|_| false),
            _ => return Err(invalid),
        },
        "isolation" => Box::new(move |_| value == "default"),
        "publish" | "expose" if value.contains(':') => {
            let message = format!("filter for '{name}' should not contain ':': {value}");
            return Err(Error::new(Kind::Invalid, message).into());
        }
        // No container has a port of the machine.
        "publish" | "expose" => Box::new(|_| false),
        _ => return Ok(None),
    }))
}

/// What podman alone can be asked.
fn podman_test(context: &Context, name: &str, value: &str) -> Outcome<Option<Test>> {
    Ok(Some(match name {
        // Of an image that is called by a part of its name or ID, too.
        "ancestor" => {
            let (pattern, value) = (NamePattern::parse(value), value.to_owned());
            let id = container::image_of(context, &value).ok();
            Box::new(move |record| {
                let image = Configuration::parse(&record.configuration).image;
                let latest = image.strip_suffix(":latest").is_some_and(|name| pattern.fits(name));
                let is_it = Some(&record.image_id) == id.as_ref() || record.image_id.hex().contains(&value);
                is_it || latest || pattern.fits(&image)
            })
        }
        // By how it begins, or by an expression.
        "id" => {
            let is_hex = value.bytes().all(|byte| byte.is_ascii_hexdigit());
            let (pattern, start) = (NamePattern::parse(value), value.to_ascii_lowercase());
            Box::new(move |record| match is_hex {
                true => record.container.id.starts_with(&start),
                false => pattern.fits(&record.container.id),
            })
        }
        "command" => {
            let pattern = NamePattern::parse(value);
            let program = |record: &Record| Configuration::parse(&record.configuration).command.into_iter().next();
            Box::new(move |record| program(record).is_some_and(|program| pattern.fits(&program)))
        }
        "label" | "label!" => {
            let (value, is_wanted) = (value.to_owned(), name == "label");
            let has = move |record: &Record| {
                filters::has_podman_s_label(&Configuration::parse(&record.configuration).labels, &value)
            };
            Box::new(move |record| has(record) == is_wanted)
        }
        "network" if value.starts_with("container:") => {
            let other =
                container::find(context, value.trim_start_matches("container:")).map(|other| other.container.id);
            let other = other.ok().map(Other::Container);
            Box::new(move |record| {
                let joins = Configuration::parse(&record.configuration).settings.joins;
                other.is_some() && joins.get(&NamespaceKind::Network) == other.as_ref()
            })
        }
        // There is nothing that any of these would take.
        "network" | "health" | "pod" => Box::new(|_| false),
        "restart-policy" => match value.split(':').next().unwrap_or_default() {
            "no" | "always" | "on-failure" | "unless-stopped" => Box::new(|_| false),
            _ => return Err(Failure::Client(format!("{value} invalid restart policy"))),
        },
        "until" => {
            let until = until(value)?;
            Box::new(move |record| record.created < until)
        }
        _ => return Ok(None),
    }))
}

fn status_test(context: &Context, value: String) -> Outcome<Test> {
    const STATES: [State; 5] = [State::Created, State::Running, State::Paused, State::Exited, State::Removing];
    let value = match context.naming() {
        // Podman's word for a container that ended, too.
        Naming::Podman if value == "stopped" => State::Exited.as_str().to_owned(),
        _ => value,
    };
    let known = STATES.iter().any(|state| state.as_str() == value);
    let others = match context.naming() {
        Naming::Podman => ["unknown", "initialized"],
        Naming::Docker => ["restarting", "dead"],
    };
    if !known && !others.contains(&value.as_str()) {
        return Err(match context.naming() {
            Naming::Podman => Failure::Client(format!("unknown container state: {value}: invalid argument")),
            Naming::Docker => invalid("status", &value),
        });
    }
    Ok(Box::new(move |record| record.container.state.as_str() == value))
}

fn exit_code_test(context: &Context, value: &str) -> Outcome<Test> {
    let code: i64 = parse_int(value).map_err(|why| match context.naming() {
        Naming::Podman => Failure::Client(format!("exited code out of range '\\x00': {why}")),
        Naming::Docker => invalid("exited", value),
    })?;
    Ok(Box::new(move |record| record.container.state == State::Exited && record.exit_code == Some(code)))
}

fn invalid(name: &str, value: &str) -> Failure {
    Error::new(Kind::Invalid, format!("invalid filter '{name}={value}'")).into()
}

/// When the container was made that another is to be older or younger than.
fn find_other(context: &Context, name: &str) -> Outcome<i64> {
    match container::find(context, name) {
        Ok(record) => Ok(record.created),
        Err(error) if error.kind() == Kind::NotFound && context.naming() == Naming::Podman => {
            let message = format!("no container with name or ID {name:?} found: no such container");
            Err(Error::new(Kind::NotFound, message).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// A moment that containers are to be older than, in nanoseconds since 1970.
pub(in crate::commands) fn until(value: &str) -> Outcome<i64> {
    let now = i64::try_from(ago::now()).unwrap_or(i64::MAX);
    Ok(filter::parse_past(value, now)?)
}
