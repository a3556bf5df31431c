//! The functions of templates: Go's own and docker's.

use std::fmt;
use std::rc::Rc;

use crate::compare::{self, Order};
use crate::value::{Item, List, Value};
use crate::{docker, escape, print};

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    And,
    Call,
    Eq,
    Ge,
    Gt,
    Html,
    Index,
    Join,
    Js,
    Json,
    Le,
    Len,
    Lower,
    Lt,
    Ne,
    Not,
    Or,
    Pad,
    Print,
    Printf,
    Println,
    Slice,
    Split,
    Title,
    Truncate,
    Upper,
    Urlquery,
}

const NAMES: [(&str, Function); 27] = [
    ("and", Function::And),
    ("call", Function::Call),
    ("eq", Function::Eq),
    ("ge", Function::Ge),
    ("gt", Function::Gt),
    ("html", Function::Html),
    ("index", Function::Index),
    ("join", Function::Join),
    ("js", Function::Js),
    ("json", Function::Json),
    ("le", Function::Le),
    ("len", Function::Len),
    ("lower", Function::Lower),
    ("lt", Function::Lt),
    ("ne", Function::Ne),
    ("not", Function::Not),
    ("or", Function::Or),
    ("pad", Function::Pad),
    ("print", Function::Print),
    ("printf", Function::Printf),
    ("println", Function::Println),
    ("slice", Function::Slice),
    ("split", Function::Split),
    ("title", Function::Title),
    ("truncate", Function::Truncate),
    ("upper", Function::Upper),
    ("urlquery", Function::Urlquery),
];

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parameter {
    /// Anything; an interface without a value becomes nil.
    Any,
    /// Anything, and whether it is in an interface.
    Reflected,
    Int,
    Text,
    Texts,
}

impl Parameter {
    pub(crate) fn can_be_nil(self) -> bool {
        !matches!(self, Parameter::Int | Parameter::Text)
    }

    /// Whether a value is of this type; `Nil` is an interface without a value.
    pub(crate) fn accepts(self, value: &Value) -> bool {
        match self {
            Parameter::Any | Parameter::Reflected => true,
            Parameter::Int => matches!(value, Value::Int(_)),
            Parameter::Text => matches!(value, Value::Text(_)),
            Parameter::Texts => matches!(value, Value::List(list) if list.element == crate::Type::Text),
        }
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Parameter::Any => "interface {}",
            Parameter::Reflected => "reflect.Value",
            Parameter::Int => "int",
            Parameter::Text => "string",
            Parameter::Texts => "[]string",
        })
    }
}

/// The parameters of a function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signature {
    pub(crate) fixed: &'static [Parameter],
    /// The type of any further arguments.
    pub(crate) rest: Option<Parameter>,
}

impl Signature {
    pub(crate) fn parameter(&self, index: usize) -> Parameter {
        self.fixed.get(index).copied().or(self.rest).unwrap_or(Parameter::Any)
    }
}

/// Whether there is a function of the name.
pub(crate) fn is_known(name: &str) -> bool {
    Function::find(name).is_some()
}

impl Function {
    pub(crate) fn find(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
    }

    /// What the function takes; docker has other functions of the same names for the headers of tables.
    pub(crate) fn signature(self, is_header: bool) -> Signature {
        use Parameter::{Any, Int, Reflected, Text, Texts};
        let (fixed, rest): (&'static [Parameter], Option<Parameter>) = match self {
            Function::And | Function::Or | Function::Call | Function::Index | Function::Slice | Function::Eq => {
                (&[Reflected], Some(Reflected))
            }
            Function::Ne | Function::Lt | Function::Le | Function::Gt | Function::Ge => (&[Reflected, Reflected], None),
            Function::Len | Function::Not => (&[Reflected], None),
            Function::Html | Function::Js | Function::Urlquery | Function::Print | Function::Println => {
                (&[], Some(Any))
            }
            Function::Printf => (&[Text], Some(Any)),
            Function::Json if is_header => (&[Text], None),
            Function::Json => (&[Any], None),
            Function::Join if is_header => (&[Text, Text], None),
            Function::Join => (&[Texts, Text], None),
            Function::Split => (&[Text, Text], None),
            Function::Lower | Function::Title | Function::Upper => (&[Text], None),
            Function::Pad => (&[Text, Int, Int], None),
            Function::Truncate => (&[Text, Int], None),
        };
        Signature { fixed, rest }
    }
}

/// Calls a function with arguments of the right types. `limit` is how many bytes the result may have; a result that would
/// be longer is cut, and the caller's account of work refuses it.
///
/// # Errors
/// What Go's function would return or panic with.
pub(crate) fn call(
    function: Function,
    is_header: bool,
    callee: Option<String>,
    items: Vec<Item>,
    limit: usize,
) -> Result<Item, String> {
    let value = |index: usize| &items[index].value;
    match function {
        Function::And | Function::Or => return Ok(items.into_iter().next_back().unwrap_or_else(|| Value::Nil.into())),
        Function::Index => return index(&items),
        Function::Slice => return slice(&items),
        Function::Call => return not_callable(value(0), callee),
        _ => {}
    }
    let values: Vec<Value> = items.iter().map(|item| item.value.clone()).collect();
    let result = match function {
        Function::Eq => Value::Bool(compare::equals(value(0), &values[1..])?),
        Function::Ne => Value::Bool(!compare::equals(value(0), &values[1..])?),
        Function::Lt => Value::Bool(compare::ordered(value(0), value(1), Order::Less)?),
        Function::Le => Value::Bool(compare::ordered(value(0), value(1), Order::LessOrEqual)?),
        Function::Gt => Value::Bool(!compare::ordered(value(0), value(1), Order::LessOrEqual)?),
        Function::Ge => Value::Bool(!compare::ordered(value(0), value(1), Order::Less)?),
        Function::Len => Value::Int(length(&items[0])?),
        Function::Not => Value::Bool(!value(0).is_true()),
        Function::Html => escape::html(&print::escaped(&values, limit)).into(),
        Function::Js => escape::js(&print::escaped(&values, limit)).into(),
        Function::Urlquery => escape::url_query(&print::escaped(&values, limit)).into(),
        Function::Print => print::sprint(&values, limit).into(),
        Function::Println => print::sprintln(&values, limit).into(),
        Function::Printf => print::sprintf(value(0).as_bytes().unwrap_or_default(), &values[1..], limit).into(),
        docker_s if is_header && docker_s != Function::Pad => value(0).clone(),
        docker_s => docker::call(docker_s, &values, limit)?,
    };
    Ok(Item::from(result))
}

/// There are no functions among the data.
fn not_callable(value: &Value, callee: Option<String>) -> Result<Item, String> {
    let kind = value.type_name();
    let name = callee.or_else(|| value.as_bytes().map(|text| String::from_utf8_lossy(text).into_owned()));
    Err(match value {
        Value::Nil => "call of nil".to_owned(),
        _ => format!("non-function {} of type {kind}", name.unwrap_or_else(|| format!("<{kind} Value>"))),
    })
}

fn index(items: &[Item]) -> Result<Item, String> {
    if matches!(items[0].value, Value::Nil) {
        return Err("index of untyped nil".to_owned());
    }
    let mut item = items[0].clone();
    for key in &items[1..] {
        item = match &item.value {
            Value::Nil | Value::Null { .. } => return Err("index of nil pointer".to_owned()),
            Value::List(list) => {
                let index = position(&key.clone().unboxed(), list.items.len())?;
                let value = list.items.get(index).ok_or("reflect: slice index out of range")?;
                Item::of(value.clone(), list.element)
            }
            Value::Map(map) => {
                let key = match &key.value {
                    Value::Text(key) if map.key == "string" => key,
                    other => return Err(bad_key(other, map.key)),
                };
                let found = std::str::from_utf8(key).ok().and_then(|key| map.entries.get(key));
                Item::of(found.cloned().unwrap_or_else(|| map.element.zero()), map.element)
            }
            other => match other.as_bytes() {
                Some(bytes) => {
                    let index = position(&key.clone().unboxed(), bytes.len())?;
                    Item::from(Value::Byte(*bytes.get(index).ok_or("reflect: string index out of range")?))
                }
                None => return Err(format!("can't index item of type {}", other.type_name())),
            },
        };
    }
    Ok(item)
}

fn bad_key(key: &Value, wanted: &str) -> String {
    match key {
        Value::Nil => format!("value is nil; should be of type {wanted}"),
        other => format!("value has type {}; should be {wanted}", other.type_name()),
    }
}

/// An index into something of `length`; one behind the end is still let through, as Go does.
/// `slice` does not look into interfaces, `index` does.
fn position(index: &Item, length: usize) -> Result<usize, String> {
    let index = match &index.value {
        _ if index.is_boxed => return Err(format!("cannot index slice/array with type {}", index.type_name())),
        Value::Int(value) | Value::Int64(value) => *value,
        Value::Byte(value) => i64::from(*value),
        Value::Nil => return Err("cannot index slice/array with nil".to_owned()),
        other => return Err(format!("cannot index slice/array with type {}", other.type_name())),
    };
    let fitting = usize::try_from(index).ok().filter(|index| *index <= length);
    fitting.ok_or_else(|| format!("index out of range: {index}"))
}

fn slice(items: &[Item]) -> Result<Item, String> {
    let item = &items[0].value;
    let indexes = &items[1..];
    let length = match item {
        Value::Nil => return Err("slice of untyped nil".to_owned()),
        Value::Null { .. } => return Err("slice of nil pointer".to_owned()),
        _ if indexes.len() > 3 => return Err(format!("too many slice indexes: {}", indexes.len())),
        Value::Text(_) | Value::Number(_) if indexes.len() == 3 => {
            return Err("cannot 3-index slice a string".to_owned());
        }
        Value::List(list) => list.items.len(),
        other => match other.as_bytes() {
            Some(bytes) => bytes.len(),
            None => return Err(format!("can't slice item of type {}", other.type_name())),
        },
    };
    let mut bounds = [0, length, length];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(index, length)?;
    }
    for pair in bounds[..indexes.len().max(2)].windows(2) {
        if pair[0] > pair[1] {
            return Err(format!("invalid slice index: {} > {}", pair[0], pair[1]));
        }
    }
    Ok(Item::from(match item {
        Value::List(list) => {
            let items = list.items[bounds[0]..bounds[1]].to_vec();
            Value::List(Rc::new(List { element: list.element, items, is_nil: list.is_nil }))
        }
        Value::Number(text) => {
            let cut = &text.as_bytes()[bounds[0]..bounds[1]];
            Value::Number(Rc::from(String::from_utf8_lossy(cut)))
        }
        other => Value::from(other.as_bytes().unwrap_or_default()[bounds[0]..bounds[1]].to_vec()),
    }))
}

fn length(item: &Item) -> Result<i64, String> {
    let length = match &item.value {
        Value::List(list) => list.items.len(),
        Value::Map(map) => map.entries.len(),
        Value::Null { .. } => return Err("len of nil pointer".to_owned()),
        Value::Nil if item.is_boxed => return Err("len of nil pointer".to_owned()),
        Value::Nil => return Err("reflect: call of reflect.Value.Type on zero Value".to_owned()),
        Value::Struct(structure) => return Err(format!("len of type {}", structure.name)),
        other => match other.as_bytes() {
            Some(bytes) => bytes.len(),
            None => return Err(format!("len of type {}", other.type_name())),
        },
    };
    Ok(i64::try_from(length).unwrap_or(i64::MAX))
}
