//! Which command made which layer.

use dhow_spec::config::{History, ImageConfig};

/// What is told of one layer, or of one step that made none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// The command as somebody would have written it; empty when the config does not say.
    pub(super) command: String,
    /// The day on which it ran.
    pub(super) day: Option<String>,
}

/// The steps of an image: those of its `layers` layers in order, and those that changed no file.
///
/// A history that does not fit (it is optional, and tools write it wrong) leaves the layers behind it without a command.
pub(super) fn steps(config: Option<&ImageConfig>, layers: usize) -> (Vec<Step>, Vec<Step>) {
    let history = config.map(|config| config.history.as_slice()).unwrap_or_default();
    let (empty, full): (Vec<&History>, Vec<&History>) = history.iter().partition(|entry| entry.empty_layer);
    let mut made: Vec<Step> = full.into_iter().take(layers).map(step).collect();
    made.resize(layers, Step::default());
    (made, empty.into_iter().map(step).collect())
}

fn step(entry: &History) -> Step {
    let command = entry.created_by.as_deref().filter(|command| !command.is_empty()).or(entry.comment.as_deref());
    let day = entry.created_at().map(|time| time.strftime("%Y-%m-%d").to_string());
    Step { command: command.map(written).unwrap_or_default(), day }
}

/// Undoes what the builders make of a line of a Dockerfile: docker's classic one puts the shell before it and marks what
/// runs nothing, BuildKit says who it is behind it, both put build arguments first.
fn written(recorded: &str) -> String {
    let text = recorded.trim();
    let text = text.strip_suffix("# buildkit").unwrap_or(text).trim_end();
    let (is_run, text) = match text.strip_prefix("RUN ") {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text),
    };
    let is_given_arguments =
        text.strip_prefix('|').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
    let shell = match is_given_arguments {
        true => text.split_once("/bin/sh -c ").map(|(_, command)| command),
        false => text.strip_prefix("/bin/sh -c "),
    };
    match shell.map(str::trim_start) {
        Some(command) => match command.strip_prefix("#(nop)") {
            Some(instruction) => spaced(instruction),
            None => format!("RUN {}", spaced(command)),
        },
        None if is_run => format!("RUN {}", spaced(text)),
        None => spaced(text),
    }
}

/// Several spaces are what is left of a line's continuation.
fn spaced(text: &str) -> String {
    text.split([' ', '\t']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use dhow_spec::config::RootFs;

    use super::*;

    #[test]
    fn commands_read_as_in_the_dockerfile() {
        for (recorded, expected) in [
            ("/bin/sh -c #(nop) ADD file:abc in / ", "ADD file:abc in /"),
            ("/bin/sh -c #(nop)  CMD [\"bash\"]", "CMD [\"bash\"]"),
            ("/bin/sh -c apt-get update     && apt-get install -y x", "RUN apt-get update && apt-get install -y x"),
            ("RUN /bin/sh -c make install # buildkit", "RUN make install"),
            ("RUN |2 A=1 B=2 /bin/sh -c make $A # buildkit", "RUN make $A"),
            ("|1 A=1 /bin/sh -c make $A", "RUN make $A"),
            ("COPY /a /b # buildkit", "COPY /a /b"),
            ("RUN powershell x", "RUN powershell x"),
            ("|not arguments", "|not arguments"),
            ("", ""),
        ] {
            assert_eq!(written(recorded), expected, "{recorded}");
        }
    }

    fn config(history: &[(&str, bool)]) -> ImageConfig {
        let entry = |&(command, empty_layer): &(&str, bool)| History {
            created: Some("2024-03-01T10:20:30.5Z".to_owned()),
            created_by: Some(command.to_owned()),
            empty_layer,
            ..History::default()
        };
        ImageConfig {
            rootfs: RootFs::default(),
            history: history.iter().map(entry).collect(),
            ..ImageConfig::default()
        }
    }

    fn commands(steps: &[Step]) -> Vec<&str> {
        steps.iter().map(|step| step.command.as_str()).collect()
    }

    #[test]
    fn steps_without_files_stand_apart() {
        let config = config(&[("ADD a", false), ("ENV b", true), ("RUN c", false), ("CMD d", true)]);
        let (made, empty) = steps(Some(&config), 2);
        assert_eq!((commands(&made), commands(&empty)), (vec!["ADD a", "RUN c"], vec!["ENV b", "CMD d"]));
        assert_eq!(made[0].day.as_deref(), Some("2024-03-01"));
    }

    #[test]
    fn a_history_that_does_not_fit_is_shown_as_far_as_it_goes() {
        let config = config(&[("ADD a", false), ("RUN b", false)]);
        assert_eq!(commands(&steps(Some(&config), 3).0), ["ADD a", "RUN b", ""]);
        assert_eq!(commands(&steps(Some(&config), 1).0), ["ADD a"]);
        assert_eq!(commands(&steps(None, 2).0), ["", ""]);
    }
}
