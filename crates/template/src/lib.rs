//! Go's `text/template`, as `--format` has it: the language, the built-in functions and docker's eight, Go's way to print
//! values, and Go's words for every mistake.
//!
//! Templates come from the user's command line or configuration, data from anywhere. Neither can make an execution run
//! on: depth, output and work are limited.

mod compare;
mod docker;
mod escape;
mod evaluate;
mod execute;
mod functions;
mod json;
mod lex;
mod limits;
mod number;
mod parse;
mod print;
mod quote;
mod tree;
mod value;

pub use quote::quoted;
pub use value::{Field, List, Lookup, Map, Opaque, Struct, Type, Value};

/// A parsed template.
#[derive(Debug)]
pub struct Template {
    name: &'static str,
    text: String,
    trees: parse::Trees,
}

/// Why a text is no template, or why one failed: Go's message, `template: ` and the place in front.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// How a template is executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether a key that a map lacks is an error: Go's `missingkey=error`.
    pub missing_key_is_error: bool,
    /// Whether docker's functions leave their argument as it is, except `pad`: what the header of a table is made with.
    pub is_header: bool,
}

impl Template {
    /// Parses a text, which gets no name, as docker does it nearly everywhere.
    ///
    /// # Errors
    /// Go's message about what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::named("", text)
    }

    /// Parses a text under a name, which messages show and by which it can call itself.
    ///
    /// # Errors
    /// As [`Template::parse`].
    pub fn named(name: &'static str, text: &str) -> Result<Self, Error> {
        match parse::parse(name, text) {
            Ok(trees) => Ok(Self { name, text: text.to_owned(), trees }),
            Err(failure) => Err(Error(format!("template: {name}:{}: {}", failure.line, failure.message))),
        }
    }

    /// Executes the template over `data`, appending to `output`. What was written before a failure stays, as with Go.
    ///
    /// The output is bytes: a template can cut a string in the middle of a character.
    ///
    /// # Errors
    /// Go's message about what failed where.
    pub fn execute(&self, data: &Value, options: Options, output: &mut Vec<u8>) -> Result<(), Error> {
        execute::execute(&self.trees, (self.name, &self.text), data, options, output).map_err(Error)
    }
}
