//! The log: warnings only unless more is asked for, because a run that shows no log should not pay for one.

use std::io::Write as _;

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{DefaultFields, FormatFields as _, Writer};

use crate::errors::{FAILED, Failure, Outcome};
use crate::personality::Personality;
use crate::session::Globals;

/// Starts the log. It goes to standard error: in full from the level on that `--log-level` or `--debug` asks for, else
/// warnings in docker's way.
///
/// # Errors
/// Docker's or podman's text for a level that does not exist; to podman `--debug` is a level, and two are one too many.
pub(crate) fn start(globals: &Globals, personality: Personality) -> Outcome {
    let is_podman = personality == Personality::Podman;
    let level = match globals.log_level.as_deref() {
        Some(text) if is_podman && globals.debug && text != "warn" => {
            return refused("Setting --log-level and --debug is not allowed".to_owned());
        }
        Some(text) => match parse(text) {
            Some(level) => level,
            None if is_podman => {
                let levels = "trace, debug, info, warn, warning, error, fatal, panic";
                return refused(format!("Log Level {text:?} is not supported, choose from: {levels}"));
            }
            None => return Err(Failure::Client(format!("Unable to parse logging level: {text}"))),
        },
        None if globals.debug => LevelFilter::DEBUG,
        None => {
            let _ = tracing::subscriber::set_global_default(warnings(std::io::stderr));
            return Ok(());
        }
    };
    let level = if globals.debug { level.max(LevelFilter::DEBUG) } else { level };
    // A second subscriber can only be a test's: the first one stays.
    let _ = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).try_init();
    Ok(())
}

/// A log of what warns the user, each on a line as docker has it: `WARNING: …`.
fn warnings<W>(writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    Warnings { writer }
}

/// Writes events without time, target and level. The library's registry of spans, which nothing here looks at, would cost
/// each run of the program its start.
struct Warnings<W> {
    writer: W,
}

impl<W> Subscriber for Warnings<W>
where
    W: for<'writer> MakeWriter<'writer> + 'static,
{
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // What libraries warn of is for developers.
        *metadata.level() <= Level::WARN && metadata.is_event() && metadata.target().starts_with("dhow")
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = "WARNING: ".to_owned();
        if DefaultFields::new().format_fields(Writer::new(&mut line), event).is_ok() {
            line.push('\n');
            // A log that cannot be written has nowhere to say so.
            let _ = self.writer.make_writer().write_all(line.as_bytes());
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Podman ends with 1 here, and says so without a prefix.
fn refused(message: String) -> Outcome {
    Err(Failure::Usage { message, code: FAILED })
}

fn parse(text: &str) -> Option<LevelFilter> {
    Some(match text.to_ascii_lowercase().as_str() {
        // Nothing here is told at a finer level.
        "trace" | "debug" => LevelFilter::DEBUG,
        "info" => LevelFilter::INFO,
        "warn" | "warning" => LevelFilter::WARN,
        "error" => LevelFilter::ERROR,
        "fatal" | "panic" => LevelFilter::OFF,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn warnings_are_shown_plainly() {
        let captured = Captured::default();
        let writer = captured.clone();
        tracing::subscriber::with_default(warnings(move || writer.clone()), || {
            tracing::warn!("registry.example.com: This registry closes.");
            tracing::warn!(error = "disk full", "cannot update index.json");
            tracing::info!("not shown");
            tracing::warn!(target: "h2", "not shown");
        });
        let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
        let expected = "WARNING: registry.example.com: This registry closes.\n\
                        WARNING: cannot update index.json error=\"disk full\"\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn levels() {
        assert_eq!(parse("WARN"), Some(LevelFilter::WARN));
        assert_eq!(parse("fatal"), Some(LevelFilter::OFF));
        assert!(parse("loud").is_none());
    }
}
