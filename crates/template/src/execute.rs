//! Walking through a tree.

use crate::Options;
use crate::evaluate::Evaluator;
use crate::limits::EXECUTION_DEPTH;
use crate::parse::Trees;
use crate::quote;
use crate::tree::{Action, Branch, Command, Invocation, Operand, Pipe};
use crate::value::{Item, Value};

/// Executes over `data` what was parsed of `source`, a name and its text.
///
/// # Errors
/// Go's message.
pub(crate) fn execute(
    trees: &Trees,
    source: (&'static str, &str),
    data: &Value,
    options: Options,
    output: &mut Vec<u8>,
) -> Result<(), String> {
    let mut evaluator = Evaluator::new(trees, source, options, output);
    let data = Item::from(data.clone());
    let actions = trees.get(source.0).map_or(&[][..], Vec::as_slice);
    evaluator.variables.push(("$".to_owned(), data.clone()));
    evaluator.walk(&data, actions).map(|_| ())
}

/// Where an execution is, for messages.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'a> {
    Nowhere,
    Operand(&'a Operand),
    Command(&'a Command),
    Pipe(&'a Pipe),
    Invocation(&'a Invocation),
}

impl Place<'_> {
    /// The position in the text and the node as it reads.
    pub(crate) fn describe(&self) -> Option<(usize, String)> {
        match self {
            Place::Nowhere => None,
            Place::Operand(operand) => Some((operand.position, pipe_or(operand))),
            Place::Command(command) => Some((command.position, command.to_string())),
            Place::Pipe(pipe) => Some((pipe.position, pipe.to_string())),
            Place::Invocation(invocation) => Some((invocation.position, invocation.to_string())),
        }
    }
}

/// A pipeline has its parentheses only as part of something larger.
fn pipe_or(operand: &Operand) -> String {
    match &operand.term {
        crate::tree::Term::Pipe(pipe) => pipe.to_string(),
        _ => operand.to_string(),
    }
}

/// How a list ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Next,
    Break,
    Continue,
}

impl<'a> Evaluator<'a> {
    /// Executes actions one after the other.
    pub(crate) fn walk(&mut self, dot: &Item, actions: &'a [Action]) -> Result<Flow, String> {
        self.enter()?;
        for action in actions {
            let flow = self.step(dot, action)?;
            if flow != Flow::Next {
                self.leave();
                return Ok(flow);
            }
        }
        self.leave();
        Ok(Flow::Next)
    }

    fn step(&mut self, dot: &Item, action: &'a Action) -> Result<Flow, String> {
        match action {
            Action::Text(text) => self.write(text.as_bytes())?,
            Action::Print(pipe) => {
                let item = self.pipe(dot, pipe)?;
                if pipe.variables.is_empty() {
                    self.print(&item)?;
                }
            }
            Action::If(branch) => return self.decide(dot, branch, false),
            Action::With(branch) => return self.decide(dot, branch, true),
            Action::Range(branch) => return self.range(dot, branch),
            Action::Template(invocation) => self.invoke(dot, invocation)?,
            Action::Break => return Ok(Flow::Break),
            Action::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn decide(&mut self, dot: &Item, branch: &'a Branch, moves_dot: bool) -> Result<Flow, String> {
        let mark = self.variables.len();
        let item = self.pipe(dot, &branch.pipe)?;
        let flow = if item.value.is_true() {
            self.walk(if moves_dot { &item } else { dot }, &branch.then)?
        } else if let Some(otherwise) = &branch.otherwise {
            self.walk(dot, otherwise)?
        } else {
            Flow::Next
        };
        self.variables.truncate(mark);
        Ok(flow)
    }

    fn range(&mut self, dot: &Item, branch: &'a Branch) -> Result<Flow, String> {
        let outer = self.variables.len();
        let item = self.pipe(dot, &branch.pipe)?;
        let (has_run, flow) = match &item.value {
            Value::Int(count) => self.count(branch, *count, Value::Int)?,
            Value::Int64(count) => self.count(branch, *count, Value::Int64)?,
            Value::Byte(count) => {
                self.count(branch, i64::from(*count), |turn| Value::Byte(u8::try_from(turn).unwrap_or(u8::MAX)))?
            }
            Value::List(list) => {
                let turns = list.items.iter().enumerate().map(|(index, value)| {
                    let index = i64::try_from(index).unwrap_or(i64::MAX);
                    (Item::from(Value::Int(index)), Item::of(value.clone(), list.element))
                });
                self.turns(branch, turns)?
            }
            Value::Map(map) => {
                let turns = map
                    .entries
                    .iter()
                    .map(|(key, value)| (Item::from(Value::from(&**key)), Item::of(value.clone(), map.element)));
                self.turns(branch, turns)?
            }
            Value::Nil => (false, Flow::Next),
            other => {
                let shown = self.shown(other);
                return self.fail(format!("range can't iterate over {shown}"));
            }
        };
        let flow = match &branch.otherwise {
            // Go lets this loop take a `break` in here, and the one outside a `continue`.
            Some(otherwise) if !has_run => match self.walk(dot, otherwise)? {
                Flow::Break => Flow::Next,
                flow => flow,
            },
            _ => flow,
        };
        self.variables.truncate(outer);
        Ok(flow)
    }

    fn count(&mut self, branch: &'a Branch, count: i64, number: impl Fn(i64) -> Value) -> Result<(bool, Flow), String> {
        if branch.pipe.variables.len() > 1 {
            return self.fail(format!("can't use {count} to iterate over more than one variable"));
        }
        let nothing = Item::from(Value::Nil);
        self.turns(branch, (0..count).map(|turn| (nothing.clone(), Item::from(number(turn)))))
    }

    /// Walks the branch once for each index and element; tells whether there was any.
    fn turns(&mut self, branch: &'a Branch, turns: impl Iterator<Item = (Item, Item)>) -> Result<(bool, Flow), String> {
        let mark = self.variables.len();
        let mut has_run = false;
        for (index, element) in turns {
            has_run = true;
            self.work(crate::limits::STEP)?;
            self.set_loop_variables(&branch.pipe, index, &element)?;
            let flow = self.walk(&element, &branch.then)?;
            self.variables.truncate(mark);
            if flow == Flow::Break {
                break;
            }
        }
        Ok((has_run, Flow::Next))
    }

    fn set_loop_variables(&mut self, pipe: &Pipe, index: Item, element: &Item) -> Result<(), String> {
        let values = match pipe.variables.len() {
            0 => return Ok(()),
            1 => vec![element.clone()],
            _ => vec![index, element.clone()],
        };
        let first = self.variables.len() - if pipe.assigns { 0 } else { values.len() };
        for (offset, value) in values.into_iter().enumerate() {
            if pipe.assigns {
                self.assign(&pipe.variables[offset], value)?;
            } else {
                self.variables[first + offset].1 = value;
            }
        }
        Ok(())
    }

    fn invoke(&mut self, dot: &Item, invocation: &'a Invocation) -> Result<(), String> {
        self.place = Place::Invocation(invocation);
        let Some((name, actions)) = self.trees.get_key_value(&invocation.name) else {
            let name = quote::quoted(invocation.name.as_bytes());
            return self.fail(format!("template {name} not defined"));
        };
        if self.depth >= EXECUTION_DEPTH {
            return self.fail(format!("exceeded maximum template depth ({EXECUTION_DEPTH})"));
        }
        let dot = match &invocation.pipe {
            Some(pipe) => self.pipe(dot, pipe)?,
            None => Item::from(Value::Nil),
        };
        let place = self.place;
        let outer_name = std::mem::replace(&mut self.name, name);
        let outer = std::mem::replace(&mut self.variables, vec![("$".to_owned(), dot.clone())]);
        self.walk(&dot, actions)?;
        self.variables = outer;
        self.name = outer_name;
        self.place = place;
        Ok(())
    }
}
