//! The log: warnings only unless more is asked for, because a run that shows no log should not pay for one.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::errors::{Failure, Outcome};
use crate::session::Globals;

/// Starts the log. It goes to standard error: in full from the level on that `--log-level` or `--debug` asks for, else
/// warnings in docker's way.
///
/// # Errors
/// Docker's text for a level that does not exist.
pub(crate) fn start(globals: &Globals) -> Outcome {
    let level = match globals.log_level.as_deref() {
        Some(text) => parse(text)?,
        None if globals.debug => LevelFilter::DEBUG,
        None => {
            let _ = warnings(std::io::stderr).try_init();
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
    // What libraries warn of is for developers.
    let ours = Targets::new().with_target("dhow", LevelFilter::WARN);
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).event_format(Plain).with_writer(writer);
    tracing_subscriber::registry().with(lines.with_filter(ours))
}

/// Writes an event without time, target and level.
struct Plain;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        writer.write_str("WARNING: ")?;
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

fn parse(text: &str) -> Outcome<LevelFilter> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "trace" => LevelFilter::TRACE,
        "debug" => LevelFilter::DEBUG,
        "info" => LevelFilter::INFO,
        "warn" | "warning" => LevelFilter::WARN,
        "error" => LevelFilter::ERROR,
        "fatal" | "panic" => LevelFilter::OFF,
        _ => return Err(Failure::Client(format!("Unable to parse logging level: {text}"))),
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
        assert_eq!(parse("WARN").ok(), Some(LevelFilter::WARN));
        assert_eq!(parse("fatal").ok(), Some(LevelFilter::OFF));
        assert!(parse("loud").is_err());
    }
}
