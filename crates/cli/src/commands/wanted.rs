//! What a user means by a name without a registry, where the configuration leaves a choice.

use dhow_ops::Context;
use dhow_ops::short_names::{self, Reason};
use dhow_spec::Reference;

use crate::errors::Outcome;
use crate::session::Session;
use crate::terminal;

/// A name, and the images that it may mean.
#[derive(Debug)]
pub(super) struct Wanted {
    /// As the user typed it.
    pub(super) text: String,
    /// In the order they are tried.
    pub(super) candidates: Vec<Reference>,
    /// Whether the user chose it among others, so that it is to be remembered.
    pub(super) is_chosen: bool,
}

/// What a name means, asking where it is to be asked and somebody is there. What is not the name itself is told, in
/// podman's words.
///
/// # Errors
/// Those of [`short_names::resolve`]; that nothing was chosen.
pub(super) fn wanted(session: &Session<'_>, context: &Context, text: &str, quiet: bool) -> Outcome<Wanted> {
    let console = session.console;
    let found = short_names::resolve(context, text)?;
    let can_ask = terminal::input_is_terminal() && console.shows_asides();
    let is_question = matches!(found.reason, Reason::Ask(..)) && can_ask;
    if is_question {
        let chosen = terminal::choose(console, "Please select an image:", &found.candidates)?.clone();
        return Ok(Wanted { text: text.to_owned(), candidates: vec![chosen], is_chosen: true });
    }
    let found = found.unasked(text)?;
    let told = match &found.reason {
        Reason::Alias(file) => Some(format!("Resolved {text:?} as an alias ({})", file.display())),
        Reason::Search(file) | Reason::Ask(file, _) => {
            Some(format!("Resolving {text:?} using unqualified-search registries ({})", file.display()))
        }
        Reason::Itself => None,
    };
    if let Some(told) = told.filter(|_| !quiet) {
        console.notice(told);
    }
    Ok(Wanted { text: text.to_owned(), candidates: found.candidates, is_chosen: false })
}
