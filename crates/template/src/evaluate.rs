//! Evaluating pipelines, commands and their arguments.

use std::collections::BTreeMap;

use crate::Options;
use crate::execute::Place;
use crate::functions::{self, Function, Parameter};
use crate::limits::{EXECUTION_DEPTH, STEP, WORK};
use crate::parse::Trees;
use crate::print;
use crate::quote;
use crate::tree::{Command, Operand, Pipe, Term};
use crate::value::{Item, Value};

/// An execution under way.
#[derive(Debug)]
pub(crate) struct Evaluator<'a> {
    pub(crate) trees: &'a Trees,
    pub(crate) options: Options,
    /// Variables with their values, innermost last.
    pub(crate) variables: Vec<(String, Item)>,
    /// What Go would blame if something failed now.
    pub(crate) place: Place<'a>,
    /// The name of the template that is being executed.
    pub(crate) name: &'a str,
    pub(crate) depth: usize,
    /// The name and the text of what was parsed.
    source: (&'static str, &'a str),
    output: &'a mut Vec<u8>,
    work: usize,
}

/// The value that the command before hands on, if there is one.
type Final = Option<Item>;

impl<'a> Evaluator<'a> {
    pub(crate) fn new(
        trees: &'a Trees,
        source: (&'static str, &'a str),
        options: Options,
        output: &'a mut Vec<u8>,
    ) -> Self {
        let (variables, place) = (Vec::new(), Place::Nowhere);
        Self { trees, options, variables, place, name: source.0, depth: 0, source, output, work: 0 }
    }

    /// Go's message for a failure at the current place.
    pub(crate) fn fail<T>(&self, message: impl AsRef<str>) -> Result<T, String> {
        let message = message.as_ref();
        let (source, text) = self.source;
        let Some((position, node)) = self.place.describe() else {
            return Err(format!("template: {source}: {message}"));
        };
        let before = &text[..position];
        let line = 1 + before.matches('\n').count();
        let column = before.rfind('\n').map_or(position, |end| position - end - 1);
        let name = quote::quoted(self.name.as_bytes());
        Err(format!("template: {source}:{line}:{column}: executing {name} at <{node}>: {message}"))
    }

    pub(crate) fn enter(&mut self) -> Result<(), String> {
        if self.depth > EXECUTION_DEPTH {
            return self.fail(format!("exceeded maximum template depth ({EXECUTION_DEPTH})"));
        }
        self.depth += 1;
        self.work(STEP)
    }

    pub(crate) fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Counts work against the limit.
    pub(crate) fn work(&mut self, units: usize) -> Result<(), String> {
        self.work = self.work.saturating_add(units);
        if self.work > WORK { self.fail("the template does more work than is allowed") } else { Ok(()) }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.work(bytes.len())?;
        self.output.extend_from_slice(bytes);
        Ok(())
    }

    pub(crate) fn print(&mut self, item: &Item) -> Result<(), String> {
        let shown = print::display(&item.value, WORK - self.work);
        self.write(&shown)
    }

    /// A value as messages show it.
    pub(crate) fn shown(&self, value: &Value) -> String {
        String::from_utf8_lossy(&print::sprint(std::slice::from_ref(value), WORK - self.work)).into_owned()
    }

    pub(crate) fn pipe(&mut self, dot: &Item, pipe: &'a Pipe) -> Result<Item, String> {
        self.enter()?;
        self.place = Place::Pipe(pipe);
        let mut value: Final = None;
        for command in &pipe.commands {
            self.work(STEP)?;
            value = Some(self.command(dot, command, value)?.unboxed());
        }
        let value = value.unwrap_or_else(|| Item::from(Value::Nil));
        for variable in &pipe.variables {
            if pipe.assigns {
                self.assign(variable, value.clone())?;
            } else {
                self.variables.push((variable.clone(), value.clone()));
            }
        }
        self.leave();
        Ok(value)
    }

    /// Gives a variable another value.
    pub(crate) fn assign(&mut self, name: &str, value: Item) -> Result<(), String> {
        match self.variables.iter_mut().rev().find(|(known, _)| known == name) {
            Some((_, held)) => {
                *held = value;
                Ok(())
            }
            None => self.fail(format!("undefined variable: {name}")),
        }
    }

    fn command(&mut self, dot: &Item, command: &'a Command, handed: Final) -> Result<Item, String> {
        let operands = &command.operands;
        let first = &operands[0];
        match &first.term {
            Term::Function(name) => self.function(dot, first, Place::Command(command), name, &operands[1..], handed),
            Term::Field(_) | Term::Chain(..) | Term::Variable(_) => {
                self.fields(dot, first, &operands[1..], operands.len() > 1 || handed.is_some(), handed)
            }
            Term::Pipe(pipe) => {
                self.refuse_arguments(command, &handed)?;
                self.pipe(dot, pipe)
            }
            Term::Nil => {
                self.place = Place::Operand(first);
                self.refuse_arguments(command, &handed)?;
                self.fail("nil is not a command")
            }
            _ => {
                self.place = Place::Operand(first);
                self.refuse_arguments(command, &handed)?;
                self.constant(dot, first)
            }
        }
    }

    fn refuse_arguments(&self, command: &Command, handed: &Final) -> Result<(), String> {
        if command.operands.len() > 1 || handed.is_some() {
            let first = unparenthesised(&command.operands[0]);
            return self.fail(format!("can't give argument to non-function {first}"));
        }
        Ok(())
    }

    /// The value of a literal or of the cursor, when nothing asks for a type.
    fn constant(&mut self, dot: &Item, operand: &'a Operand) -> Result<Item, String> {
        self.place = Place::Operand(operand);
        Ok(match &operand.term {
            Term::Bool(value) => Item::from(*value),
            Term::Text(_, text) => Item::from(text.clone()),
            Term::Number(number) => match (number.float, number.int) {
                (Some(value), _) if number.is_float() => Item::from(Value::Float(value)),
                (_, Some(value)) => Item::from(Value::Int(value)),
                _ => return self.fail(format!("{} overflows int", number.text)),
            },
            _ => dot.clone(),
        })
    }

    /// Fields of the cursor, of a variable or of another term. `arguments` are those of a command, without what is handed
    /// on to it.
    fn fields(
        &mut self,
        dot: &Item,
        operand: &'a Operand,
        arguments: &'a [Operand],
        has_arguments: bool,
        handed: Final,
    ) -> Result<Item, String> {
        self.place = Place::Operand(operand);
        let (mut item, names) = match &operand.term {
            Term::Field(names) => (dot.clone(), &names[..]),
            Term::Variable(names) => {
                let item = self.variable(&names[0])?;
                if names.len() == 1 && has_arguments {
                    return self.fail(format!("can't give argument to non-function {operand}"));
                }
                (item, &names[1..])
            }
            Term::Chain(inner, names) if matches!(inner.term, Term::Nil) => {
                let shown = format!("nil.{}", names.join("."));
                return self.fail(format!("indirection through explicit nil in {shown}"));
            }
            Term::Chain(inner, names) => (self.argument(dot, inner, None)?, &names[..]),
            _ => return self.constant(dot, operand),
        };
        for (index, name) in names.iter().enumerate() {
            let is_last = index + 1 == names.len();
            let given = if is_last { arguments.len() + usize::from(handed.is_some()) } else { 0 };
            if let Some(method) = Method::find(&item.value, name, self.options) {
                return self.look_up(dot, name, &method, arguments, handed.filter(|_| is_last));
            }
            item = self.field(&item, name, is_last && has_arguments, given)?;
        }
        Ok(item)
    }

    /// Calls a method with its one argument.
    fn look_up(
        &mut self,
        dot: &Item,
        name: &str,
        method: &Method<'_>,
        arguments: &'a [Operand],
        handed: Final,
    ) -> Result<Item, String> {
        let wanted = match (arguments, handed) {
            ([], Some(handed)) => self.fitting(handed, Some(Parameter::Text))?,
            ([argument], None) => self.argument(dot, argument, Some(Parameter::Text))?,
            (arguments, handed) => {
                let given = arguments.len() + usize::from(handed.is_some());
                return self.fail(format!("wrong number of args for {name}: want 1 got {given}"));
            }
        };
        Ok(Item::from(method.of(wanted.value.as_bytes().unwrap_or_default())))
    }

    fn variable(&self, name: &str) -> Result<Item, String> {
        match self.variables.iter().rev().find(|(known, _)| known == name) {
            Some((_, item)) => Ok(item.clone()),
            None => self.fail(format!("undefined variable: {name}")),
        }
    }

    /// One field of a value. `given` counts the arguments that a method would get.
    fn field(&self, receiver: &Item, name: &str, has_arguments: bool, given: usize) -> Result<Item, String> {
        let kind = receiver.type_name();
        match &receiver.value {
            Value::Nil if receiver.is_boxed => self.fail(format!("nil pointer evaluating {kind}.{name}")),
            Value::Nil if self.options.missing_key_is_error => {
                self.fail(format!("nil data; no entry for key {}", quote::quoted(name.as_bytes())))
            }
            Value::Nil => Ok(Item::from(Value::Nil)),
            Value::Null { fields, .. } if fields.contains(&name) => {
                self.fail(format!("nil pointer evaluating {kind}.{name}"))
            }
            Value::Struct(structure) => match structure.fields.iter().find(|field| field.name == name) {
                Some(field) if structure.has_methods && given > 0 => {
                    self.fail(format!("wrong number of args for {}: want 0 got {given}", field.name))
                }
                Some(_) if has_arguments => {
                    self.fail(format!("{name} has arguments but cannot be invoked as function"))
                }
                Some(field) => Ok(Item::from(field.value.clone())),
                None => self.fail(format!("can't evaluate field {name} in type {kind}")),
            },
            Value::Map(_) if has_arguments => self.fail(format!("{name} is not a method but has arguments")),
            Value::Map(map) if map.key != "string" => self.fail(format!("can't evaluate field {name} in type {kind}")),
            Value::Map(map) => match map.entries.get(name) {
                Some(value) => Ok(Item::of(value.clone(), map.element)),
                None if self.options.missing_key_is_error => {
                    self.fail(format!("map has no entry for key {}", quote::quoted(name.as_bytes())))
                }
                None => Ok(Item::from(Value::Nil)),
            },
            _ => self.fail(format!("can't evaluate field {name} in type {kind}")),
        }
    }

    fn function(
        &mut self,
        dot: &Item,
        operand: &'a Operand,
        blamed: Place<'a>,
        name: &str,
        arguments: &'a [Operand],
        handed: Final,
    ) -> Result<Item, String> {
        self.place = Place::Operand(operand);
        let Some(function) = Function::find(name) else {
            return self.fail(format!("{} is not a defined function", quote::quoted(name.as_bytes())));
        };
        let signature = function.signature(self.options.is_header);
        let given = arguments.len() + usize::from(handed.is_some());
        match signature.rest {
            Some(_) if given < signature.fixed.len() => {
                let (wanted, got) = (signature.fixed.len(), arguments.len());
                return self.fail(format!("wrong number of args for {name}: want at least {wanted} got {got}"));
            }
            None if given != signature.fixed.len() => {
                let wanted = signature.fixed.len();
                return self.fail(format!("wrong number of args for {name}: want {wanted} got {given}"));
            }
            _ => {}
        }
        if matches!(function, Function::And | Function::Or) {
            return self.and_or(dot, function == Function::Or, arguments, handed);
        }
        let mut values = Vec::with_capacity(given);
        for (index, argument) in arguments.iter().enumerate() {
            let parameter = signature.parameter(index);
            let value = self.argument(dot, argument, Some(parameter))?;
            values.push(value);
        }
        if let Some(handed) = handed {
            values.push(self.fitting(handed, Some(signature.parameter(given - 1)))?);
        }
        let callee = arguments.first().map(unparenthesised);
        self.work(values.iter().map(|value| value.value.weight()).sum())?;
        let limit = WORK - self.work;
        match functions::call(function, self.options.is_header, callee, values, limit) {
            Ok(result) => {
                self.work(result.value.weight())?;
                Ok(result)
            }
            Err(message) => {
                self.place = blamed;
                self.fail(format!("error calling {name}: {message}"))
            }
        }
    }

    /// Evaluates only as many arguments as decide.
    fn and_or(&mut self, dot: &Item, is_or: bool, arguments: &'a [Operand], handed: Final) -> Result<Item, String> {
        let mut last = Item::from(Value::Nil);
        for argument in arguments {
            last = self.argument(dot, argument, Some(Parameter::Reflected))?;
            if last.value.is_true() == is_or {
                return Ok(last);
            }
        }
        Ok(handed.unwrap_or(last))
    }

    /// The value of an argument, of the type that the function asks for; none asks for no type.
    fn argument(&mut self, dot: &Item, operand: &'a Operand, parameter: Option<Parameter>) -> Result<Item, String> {
        self.place = Place::Operand(operand);
        match (&operand.term, parameter) {
            (Term::Dot, _) => self.fitting(dot.clone(), parameter),
            (Term::Nil, Some(parameter)) if !parameter.can_be_nil() => {
                self.fail(format!("cannot assign nil to {parameter}"))
            }
            (Term::Nil, Some(Parameter::Any)) => Ok(Item { value: Value::Nil, is_boxed: true }),
            (Term::Nil, _) => Ok(Item::from(Value::Nil)),
            (Term::Field(_) | Term::Variable(_) | Term::Chain(..), _) => {
                let item = self.fields(dot, operand, &[], false, None)?;
                self.fitting(item, parameter)
            }
            (Term::Pipe(pipe), _) => {
                let item = self.pipe(dot, pipe)?;
                self.fitting(item, parameter)
            }
            (Term::Function(name), _) => {
                let item = self.function(dot, operand, Place::Operand(operand), name, &[], None)?;
                self.fitting(item, parameter)
            }
            (Term::Number(number), Some(Parameter::Int)) => match number.int {
                Some(value) => Ok(Item::from(Value::Int(value))),
                None => self.fail(format!("expected integer; found {operand}")),
            },
            (Term::Text(_, text), Some(Parameter::Text)) => Ok(Item::from(text.clone())),
            (_, Some(Parameter::Int)) => self.fail(format!("expected integer; found {operand}")),
            (_, Some(Parameter::Text)) => self.fail(format!("expected string; found {operand}")),
            (_, Some(Parameter::Texts)) => self.fail(format!("can't handle {operand} for arg of type []string")),
            _ => self.constant(dot, operand),
        }
    }

    /// Checks a value against the type that a function asks for.
    fn fitting(&self, item: Item, parameter: Option<Parameter>) -> Result<Item, String> {
        let Some(parameter) = parameter else { return Ok(item) };
        if item.is_invalid() {
            return match parameter {
                Parameter::Any => Ok(Item { value: Value::Nil, is_boxed: true }),
                Parameter::Texts => Ok(Item::from(Value::texts::<&str>(None))),
                Parameter::Reflected => Ok(item),
                _ => self.fail(format!("invalid value; expected {parameter}")),
            };
        }
        if parameter.accepts(&item.value) {
            return Ok(item);
        }
        let got = if matches!(item.value, Value::Nil) { item.type_name() } else { item.value.type_name() };
        self.fail(format!("wrong type for value; expected {parameter}; got {got}"))
    }
}

/// A method that takes a name.
enum Method<'v> {
    /// Gives one of these, or an empty text.
    Texts(&'v BTreeMap<String, String>),
    /// Gives the header of a column of labels (docker `formatter.SubHeaderContext.Label`).
    LabelHeader,
}

impl<'v> Method<'v> {
    fn find(receiver: &'v Value, name: &str, options: Options) -> Option<Self> {
        match receiver {
            Value::Struct(structure) => {
                structure.lookup.as_ref().filter(|lookup| lookup.name == name).map(|lookup| Self::Texts(&lookup.texts))
            }
            Value::Map(_) if options.is_header && name == "Label" => Some(Self::LabelHeader),
            _ => None,
        }
    }

    fn of(&self, name: &[u8]) -> Value {
        match self {
            Self::Texts(texts) => Value::from(texts.get(&*String::from_utf8_lossy(name)).map_or("", String::as_str)),
            Self::LabelHeader => {
                let last = name.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
                let words = last.iter().map(|byte| if matches!(byte, b'-' | b'_') { b' ' } else { *byte });
                Value::from(words.collect::<Vec<u8>>())
            }
        }
    }
}

/// An operand as Go's messages about functions show it.
fn unparenthesised(operand: &Operand) -> String {
    match &operand.term {
        Term::Pipe(pipe) => pipe.to_string(),
        _ => operand.to_string(),
    }
}
