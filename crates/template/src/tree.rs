//! A parsed template. `Display` writes a node as Go's messages quote it.

use std::fmt;

use crate::number::Number;
use crate::quote;

/// What a list of a template consists of.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Text(String),
    /// A pipeline whose value is printed, unless it only sets variables.
    Print(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Template(Invocation),
    Break,
    Continue,
}

impl Action {
    /// Whether it is nothing but space.
    pub(crate) fn is_blank(&self) -> bool {
        matches!(self, Action::Text(text) if text.trim().is_empty())
    }
}

/// A pipeline that decides, what happens then, and what else.
#[derive(Clone, Debug)]
pub(crate) struct Branch {
    pub(crate) pipe: Pipe,
    pub(crate) then: Vec<Action>,
    pub(crate) otherwise: Option<Vec<Action>>,
}

/// `{{template "name" pipeline}}`
#[derive(Clone, Debug)]
pub(crate) struct Invocation {
    pub(crate) position: usize,
    pub(crate) name: String,
    pub(crate) pipe: Option<Pipe>,
}

/// Commands, each given the value of the one before, and the variables that take the last value.
#[derive(Clone, Debug)]
pub(crate) struct Pipe {
    pub(crate) position: usize,
    pub(crate) variables: Vec<String>,
    /// Whether the variables are there already and only get another value.
    pub(crate) assigns: bool,
    pub(crate) commands: Vec<Command>,
}

/// An operand, or a function or method with its arguments. Never empty.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) position: usize,
    pub(crate) operands: Vec<Operand>,
}

/// A term of a command.
#[derive(Clone, Debug)]
pub(crate) struct Operand {
    pub(crate) position: usize,
    pub(crate) term: Term,
}

/// What an operand is.
#[derive(Clone, Debug)]
pub(crate) enum Term {
    Bool(bool),
    Dot,
    Nil,
    Number(Number),
    /// A string as it is spelled, and what it says.
    Text(String, Vec<u8>),
    /// Fields of the cursor.
    Field(Vec<String>),
    /// A variable and fields of it.
    Variable(Vec<String>),
    Function(String),
    /// Fields of another term.
    Chain(Box<Operand>, Vec<String>),
    Pipe(Box<Pipe>),
}

impl Term {
    /// Whether it can only be a value, never something to call.
    pub(crate) fn is_constant(&self) -> bool {
        matches!(self, Term::Bool(_) | Term::Dot | Term::Nil | Term::Number(_) | Term::Text(..))
    }
}

impl fmt::Display for Invocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{{{{template {}", quote::quoted(self.name.as_bytes()))?;
        if let Some(pipe) = &self.pipe {
            write!(formatter, " {pipe}")?;
        }
        formatter.write_str("}}")
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            write!(formatter, "{} {} ", self.variables.join(", "), if self.assigns { "=" } else { ":=" })?;
        }
        separated(formatter, &self.commands, " | ")
    }
}

impl fmt::Display for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        separated(formatter, &self.operands, " ")
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.term {
            Term::Bool(value) => write!(formatter, "{value}"),
            Term::Dot => formatter.write_str("."),
            Term::Nil => formatter.write_str("nil"),
            Term::Number(number) => formatter.write_str(&number.text),
            Term::Text(spelled, _) => formatter.write_str(spelled),
            Term::Field(names) => names.iter().try_for_each(|name| write!(formatter, ".{name}")),
            Term::Variable(names) => formatter.write_str(&names.join(".")),
            Term::Function(name) => formatter.write_str(name),
            Term::Chain(operand, names) => {
                write!(formatter, "{operand}")?;
                names.iter().try_for_each(|name| write!(formatter, ".{name}"))
            }
            Term::Pipe(pipe) => write!(formatter, "({pipe})"),
        }
    }
}

fn separated<T: fmt::Display>(formatter: &mut fmt::Formatter<'_>, items: &[T], separator: &str) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            formatter.write_str(separator)?;
        }
        write!(formatter, "{item}")?;
    }
    Ok(())
}
