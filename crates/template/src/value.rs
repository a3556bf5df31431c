//! What templates work on: values with the types that Go's would have, because its messages name them.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use crate::json;

/// A value of a template.
#[derive(Clone, Debug)]
pub enum Value {
    /// No value at all: what Go prints as `<no value>`.
    Nil,
    /// A truth value.
    Bool(bool),
    /// Go's `int`.
    Int(i64),
    /// Go's `int64`.
    Int64(i64),
    /// Go's `uint8`: what indexing a string gives.
    Byte(u8),
    /// Go's `float64`.
    Float(f64),
    /// A string: bytes that are mostly UTF-8, but may be cut anywhere.
    Text(Rc<[u8]>),
    /// A number as JSON spells it: Go's `json.Number`, a string as far as templates are concerned.
    Number(Rc<str>),
    /// A slice.
    List(Rc<List>),
    /// A map from strings.
    Map(Rc<Map>),
    /// A struct, or a pointer to one.
    Struct(Rc<Struct>),
    /// A pointer that points nowhere.
    Null {
        /// The type's name with its asterisk.
        name: &'static str,
        /// The fields that the struct would have.
        fields: &'static [&'static str],
    },
    /// Something that only has a text, such as a time.
    Opaque(Rc<Opaque>),
}

/// A slice of equally typed elements.
#[derive(Clone, Debug)]
pub struct List {
    /// The elements' type.
    pub element: Type,
    /// The elements.
    pub items: Vec<Value>,
    /// Whether the slice is Go's nil, which JSON has as `null`.
    pub is_nil: bool,
}

/// A map from strings to equally typed values.
#[derive(Clone, Debug)]
pub struct Map {
    /// The name of the map's own type, when it has one.
    pub name: Option<&'static str>,
    /// The keys' type. Where it is not `string` itself, Go takes no string of a template for one.
    pub key: &'static str,
    /// The values' type.
    pub element: Type,
    /// The entries, sorted as Go prints them.
    pub entries: BTreeMap<Rc<str>, Value>,
    /// Whether the map is Go's nil, which JSON has as `null`.
    pub is_nil: bool,
}

/// Named values in their order.
#[derive(Clone, Debug)]
pub struct Struct {
    /// The type's name: `image.InspectResponse`.
    pub name: &'static str,
    /// Whether this is a pointer to the struct.
    pub is_pointer: bool,
    /// Whether the values are results of methods rather than fields.
    pub has_methods: bool,
    /// The values.
    pub fields: Vec<Field>,
    /// A method that takes the name of a value and gives that value.
    pub lookup: Option<Lookup>,
}

/// A method of a [`Struct`] that gives one of several texts, as docker's `.Label "name"` does.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// The method's name.
    pub name: &'static str,
    /// The texts by their names; any other name gives an empty one.
    pub texts: BTreeMap<String, String>,
}

/// A named value of a [`Struct`].
#[derive(Clone, Debug)]
pub struct Field {
    /// The name in templates.
    pub name: &'static str,
    /// The name in JSON.
    pub key: &'static str,
    /// Whether JSON leaves it out when it is empty.
    pub omits_empty: bool,
    /// The value.
    pub value: Value,
}

/// Something that only has a text.
#[derive(Clone, Debug)]
pub struct Opaque {
    /// The type's name: `time.Time`.
    pub name: &'static str,
    /// The value as Go prints it.
    pub text: String,
    /// The value as JSON has it, quotes included.
    pub json: String,
    /// Whether it is a zero that is false and that JSON leaves out where it may: a duration can be, a time cannot.
    pub is_zero: bool,
}

/// The type of a list's or map's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Anything: `interface {}`.
    Any,
    /// `bool`
    Bool,
    /// `int`
    Int,
    /// `int64`
    Int64,
    /// `float64`
    Float,
    /// `string`
    Text,
    /// `struct {}`
    Empty,
    /// A struct by its name.
    Named(&'static str),
    /// A pointer to a struct, by its name with the asterisk.
    Pointer(&'static str),
    /// A slice of structs, by their name.
    Slice(&'static str),
}

impl Type {
    /// The value that a map gives for a key it lacks.
    pub(crate) fn zero(self) -> Value {
        match self {
            Type::Any => Value::Nil,
            Type::Bool => Value::Bool(false),
            Type::Int => Value::Int(0),
            Type::Int64 => Value::Int64(0),
            Type::Float => Value::Float(0.0),
            Type::Text => Value::from(""),
            Type::Empty => Value::empty(),
            Type::Named(name) => Value::structure(name, Vec::new()),
            Type::Pointer(name) => Value::Null { name, fields: &[] },
            Type::Slice(name) => Value::list(Type::Named(name), None),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Type::Any => "interface {}",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Int64 => "int64",
            Type::Float => "float64",
            Type::Text => "string",
            Type::Empty => "struct {}",
            Type::Named(name) | Type::Pointer(name) => name,
            Type::Slice(name) => return write!(formatter, "[]{name}"),
        })
    }
}

impl Value {
    /// A slice of strings; `None` is Go's nil slice.
    pub fn texts<S: AsRef<str>>(items: Option<&[S]>) -> Self {
        let is_nil = items.is_none();
        let items = items.unwrap_or_default().iter().map(|item| Value::from(item.as_ref())).collect();
        Value::List(Rc::new(List { element: Type::Text, items, is_nil }))
    }

    /// A slice; `None` is Go's nil slice.
    pub fn list(element: Type, items: Option<Vec<Value>>) -> Self {
        let is_nil = items.is_none();
        Value::List(Rc::new(List { element, items: items.unwrap_or_default(), is_nil }))
    }

    /// What docker's `json` function makes of it: Go's JSON, compact.
    pub fn to_json(&self) -> Vec<u8> {
        json::encode(self, usize::MAX)
    }

    /// A map from strings to `element`s; `None` is Go's nil map.
    pub fn map<K: AsRef<str>>(element: Type, entries: Option<Vec<(K, Value)>>) -> Self {
        Self::map_by("string", element, entries)
    }

    /// As [`Value::map`], with keys of a type of their own.
    pub fn map_by<K: AsRef<str>>(key: &'static str, element: Type, entries: Option<Vec<(K, Value)>>) -> Self {
        let is_nil = entries.is_none();
        let entries = entries.unwrap_or_default();
        let entries = entries.into_iter().map(|(key, value)| (Rc::from(key.as_ref()), value)).collect();
        Value::Map(Rc::new(Map { name: None, key, element, entries, is_nil }))
    }

    /// A struct.
    pub fn structure(name: &'static str, fields: Vec<Field>) -> Self {
        Value::Struct(Rc::new(Struct { name, is_pointer: false, has_methods: false, fields, lookup: None }))
    }

    /// A pointer to a struct.
    pub fn pointer(name: &'static str, fields: Vec<Field>) -> Self {
        Value::Struct(Rc::new(Struct { name, is_pointer: true, has_methods: false, fields, lookup: None }))
    }

    /// A pointer to a struct whose values are results of methods: what docker's lists run their templates over.
    pub fn context(name: &'static str, values: Vec<(&'static str, Value)>) -> Self {
        Self::context_with(name, values, None)
    }

    /// As [`Value::context`], with a method that takes an argument.
    pub fn context_with(name: &'static str, values: Vec<(&'static str, Value)>, lookup: Option<Lookup>) -> Self {
        let fields = values.into_iter().map(|(name, value)| Field::new(name, value)).collect();
        Value::Struct(Rc::new(Struct { name, is_pointer: true, has_methods: true, fields, lookup }))
    }

    /// `struct{}{}`, what sets keep in maps.
    pub fn empty() -> Self {
        Value::structure("struct {}", Vec::new())
    }

    /// The name of the type, as Go's messages have it.
    pub(crate) fn type_name(&self) -> String {
        match self {
            Value::Nil => "<nil>".to_owned(),
            Value::Bool(_) => "bool".to_owned(),
            Value::Int(_) => "int".to_owned(),
            Value::Int64(_) => "int64".to_owned(),
            Value::Byte(_) => "uint8".to_owned(),
            Value::Float(_) => "float64".to_owned(),
            Value::Text(_) => "string".to_owned(),
            Value::Number(_) => "json.Number".to_owned(),
            Value::List(list) => format!("[]{}", list.element),
            Value::Map(map) => map.name.map_or_else(|| format!("map[{}]{}", map.key, map.element), str::to_owned),
            Value::Struct(structure) if structure.is_pointer => format!("*{}", structure.name),
            Value::Struct(structure) => structure.name.to_owned(),
            Value::Null { name, .. } => (*name).to_owned(),
            Value::Opaque(opaque) => opaque.name.to_owned(),
        }
    }

    /// Whether Go's templates take it for true.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Value::Nil | Value::Null { .. } => false,
            Value::Bool(value) => *value,
            Value::Int(value) | Value::Int64(value) => *value != 0,
            Value::Byte(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::Number(text) => !text.is_empty(),
            Value::List(list) => !list.items.is_empty(),
            Value::Map(map) => !map.entries.is_empty(),
            Value::Struct(_) => true,
            Value::Opaque(opaque) => !opaque.is_zero,
        }
    }

    /// The bytes of what is a string to Go.
    pub(crate) fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Text(text) => Some(text),
            Value::Number(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// Whether JSON's `omitempty` leaves it out.
    pub(crate) fn is_empty(&self) -> bool {
        !self.is_true()
    }

    /// Bytes that working on it may take, roughly; shared parts are not looked into.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Value::Text(text) => text.len(),
            Value::List(list) => 16 * list.items.len(),
            _ => 0,
        }
    }
}

impl Field {
    /// A field of the same name in JSON, always there.
    pub fn new(name: &'static str, value: Value) -> Self {
        Self { name, key: name, omits_empty: false, value }
    }

    /// The field under another name in JSON, left out when it is empty.
    pub fn optional(name: &'static str, value: Value) -> Self {
        Self { name, key: name, omits_empty: true, value }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(Rc::from(text.as_bytes()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(Rc::from(text.into_bytes()))
    }
}

impl From<Vec<u8>> for Value {
    fn from(text: Vec<u8>) -> Self {
        Value::Text(Rc::from(text))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

/// What Go's decoder makes of JSON when it is told to keep numbers as they are spelled.
impl From<&serde_json::Value> for Value {
    fn from(json: &serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Value::Nil,
            serde_json::Value::Bool(value) => Value::Bool(*value),
            serde_json::Value::Number(number) => Value::Number(Rc::from(number.to_string())),
            serde_json::Value::String(text) => Value::from(text.as_str()),
            serde_json::Value::Array(items) => {
                let items = items.iter().map(Value::from).collect();
                Value::List(Rc::new(List { element: Type::Any, items, is_nil: false }))
            }
            serde_json::Value::Object(entries) => {
                Value::map(Type::Any, Some(entries.iter().map(|(key, value)| (key, Value::from(value))).collect()))
            }
        }
    }
}

/// A value on its way through a template, and whether Go would have it inside an interface: `.X.Y` looks into `.X` before
/// anything unpacks it, and names the interface's type in its messages.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) value: Value,
    pub(crate) is_boxed: bool,
}

impl Item {
    /// What the element of a list or map of `element`s is.
    pub(crate) fn of(value: Value, element: Type) -> Self {
        Self { value, is_boxed: element == Type::Any }
    }

    /// What is in the interface.
    pub(crate) fn unboxed(self) -> Self {
        Self { is_boxed: false, ..self }
    }

    /// Whether Go has no value here at all, not even an interface without one.
    pub(crate) fn is_invalid(&self) -> bool {
        matches!(self.value, Value::Nil) && !self.is_boxed
    }

    pub(crate) fn type_name(&self) -> String {
        if self.is_boxed { Type::Any.to_string() } else { self.value.type_name() }
    }
}

impl<V: Into<Value>> From<V> for Item {
    fn from(value: V) -> Self {
        Self { value: value.into(), is_boxed: false }
    }
}
