//! Go's `fmt`: how values read.

mod float;
mod verbs;

use crate::value::Value;
use verbs::{Printer, Spec};

/// Bytes that are written, up to a limit; what is beyond it is dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    limit: usize,
}

impl Buffer {
    /// An empty one. One byte more than `limit` is kept, so that an account of work notices.
    pub(crate) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit: limit.saturating_add(1) }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let room = self.limit.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    pub(crate) fn repeat(&mut self, byte: u8, count: usize) {
        let room = self.limit.saturating_sub(self.bytes.len());
        self.bytes.extend(std::iter::repeat_n(byte, count.min(room)));
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= self.limit
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// What an action prints.
pub(crate) fn display(value: &Value, limit: usize) -> Vec<u8> {
    sprint(&[printable(value)], limit)
}

/// `fmt.Sprint`: spaces only between values that are both no strings.
pub(crate) fn sprint(values: &[Value], limit: usize) -> Vec<u8> {
    let mut printer = Printer::new(limit);
    let is_string = |value: &Value| value.as_bytes().is_some();
    for (index, value) in values.iter().enumerate() {
        if index > 0 && !is_string(value) && !is_string(&values[index - 1]) {
            printer.buffer.text(" ");
        }
        printer.argument(value, 'v', Spec::default());
    }
    printer.buffer.into_bytes()
}

/// `fmt.Sprintln`: spaces between all values, and a line break.
pub(crate) fn sprintln(values: &[Value], limit: usize) -> Vec<u8> {
    let mut printer = Printer::new(limit);
    for (index, value) in values.iter().enumerate() {
        printer.buffer.text(if index > 0 { " " } else { "" });
        printer.argument(value, 'v', Spec::default());
    }
    printer.buffer.text("\n");
    printer.buffer.into_bytes()
}

/// `fmt.Sprintf`
pub(crate) fn sprintf(format: &[u8], values: &[Value], limit: usize) -> Vec<u8> {
    let mut printer = Printer::new(limit);
    printer.format(format, values);
    printer.buffer.into_bytes()
}

/// What `html`, `js` and `urlquery` escape: a string as it is, anything else as an action prints it.
pub(crate) fn escaped(values: &[Value], limit: usize) -> Vec<u8> {
    if let [Value::Text(text)] = values {
        return text.to_vec();
    }
    let values: Vec<Value> = values.iter().map(printable).collect();
    sprint(&values, limit)
}

/// A pointer is printed as what it points to.
fn printable(value: &Value) -> Value {
    match value {
        Value::Nil => Value::from("<no value>"),
        Value::Struct(structure) if structure.is_pointer => {
            let target = crate::Struct { is_pointer: false, ..(**structure).clone() };
            Value::Struct(std::rc::Rc::new(target))
        }
        other => other.clone(),
    }
}
