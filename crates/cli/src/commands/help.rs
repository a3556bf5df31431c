//! `help`

use clap::Args;

use crate::errors::{Failure, Outcome};
use crate::session::Session;
use crate::tree::{self, Located};
use crate::verb::{Count, Verb};

/// The arguments of `help`.
#[derive(Args, Debug)]
pub(crate) struct Help {
    #[arg(value_name = "COMMAND")]
    words: Vec<String>,
}

impl Verb for Help {
    const ABOUT: &'static str = "Show help about a command";
    const OPERANDS: &'static str = "[COMMAND]";
    const COUNT: Count = Count::AtLeast(0);

    fn operands(&self) -> &[String] {
        &self.words
    }

    fn run(self, session: &Session<'_>) -> Outcome {
        let personality = session.personality;
        let located = Located::follow(personality, self.words.iter().map(String::as_str));
        if located.nodes.len() < self.words.len() {
            return Err(Failure::Client(format!("unknown help topic: {}", self.words.join(" "))));
        }
        session.console.text(crate::help::render(personality, &tree::root(personality), &located));
        Ok(())
    }
}
