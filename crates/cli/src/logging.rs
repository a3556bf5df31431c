//! The log: off unless asked for, because a run that shows no log should not pay for one.

use tracing_subscriber::filter::LevelFilter;

use crate::errors::{Failure, Outcome};
use crate::session::Globals;

/// Starts the log when `--log-level` or `--debug` asks for it. It goes to standard error.
///
/// # Errors
/// Docker's text for a level that does not exist.
pub(crate) fn start(globals: &Globals) -> Outcome {
    let level = match globals.log_level.as_deref() {
        Some(text) => parse(text)?,
        None if globals.debug => LevelFilter::DEBUG,
        None => return Ok(()),
    };
    let level = if globals.debug { level.max(LevelFilter::DEBUG) } else { level };
    // A second subscriber can only be a test's: the first one stays.
    let _ = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).try_init();
    Ok(())
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
    use super::*;

    #[test]
    fn levels() {
        assert_eq!(parse("WARN").ok(), Some(LevelFilter::WARN));
        assert_eq!(parse("fatal").ok(), Some(LevelFilter::OFF));
        assert!(parse("loud").is_err());
    }
}
