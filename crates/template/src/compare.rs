//! `eq`, `lt` and their kin.

use std::cmp::Ordering;

use crate::print;
use crate::value::Value;

/// How two values are asked to be ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Less,
    LessOrEqual,
}

/// Longest text that a message shows of a value.
const SHOWN: usize = 1 << 16;

const BAD_TYPE: &str = "invalid type for comparison";

/// A value as far as comparing goes.
#[derive(Clone, Copy, Debug)]
enum Basic<'a> {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(&'a [u8]),
}

fn basic(value: &Value) -> Option<Basic<'_>> {
    Some(match value {
        Value::Bool(value) => Basic::Bool(*value),
        Value::Int(value) | Value::Int64(value) => Basic::Int(*value),
        Value::Byte(value) => Basic::Uint(u64::from(*value)),
        Value::Float(value) => Basic::Float(*value),
        other => Basic::Text(other.as_bytes()?),
    })
}

/// Whether the first value equals any of the others.
///
/// # Errors
/// Go's words about types that cannot be compared.
pub(crate) fn equals(first: &Value, others: &[Value]) -> Result<bool, String> {
    if others.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    for other in others {
        if equals_one(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equals_one(first: &Value, other: &Value) -> Result<bool, String> {
    match (basic(first), basic(other)) {
        (Some(first_basic), Some(other_basic)) => match order(first_basic, other_basic) {
            Some(order) => Ok(order == Some(Ordering::Equal)),
            None => Err(incompatible(first, other)),
        },
        (None, None) => equals_compound(first, other),
        _ if matches!(first, Value::Nil) || matches!(other, Value::Nil) => Ok(false),
        _ => Err(incompatible(first, other)),
    }
}

/// Values that are not basic equal each other when both are nil; most others cannot be compared at all.
fn equals_compound(first: &Value, other: &Value) -> Result<bool, String> {
    let is_invalid = |value: &Value| matches!(value, Value::Nil);
    if !is_invalid(first) && !is_invalid(other) && kind(first) != kind(other) {
        let (first_type, other_type) = (first.type_name(), other.type_name());
        let message = format!("{}: {first_type}, {other_type}: {}", shown(first, b"%s"), shown(other, b"%v"));
        return Err(format!("non-comparable types {message}"));
    }
    if is_nil(first) || is_nil(other) {
        return Ok(is_nil(first) == is_nil(other));
    }
    match (first, other) {
        (Value::Opaque(first), Value::Opaque(other)) => Ok(first.name == other.name && first.text == other.text),
        (Value::Struct(first), Value::Struct(other)) if first.is_pointer => Ok(std::rc::Rc::ptr_eq(first, other)),
        _ => Err(format!("non-comparable type {}: {}", shown(other, b"%s"), other.type_name())),
    }
}

fn shown(value: &Value, format: &[u8]) -> String {
    String::from_utf8_lossy(&print::sprintf(format, std::slice::from_ref(value), SHOWN)).into_owned()
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::List(_) => 1,
        Value::Map(_) => 2,
        Value::Null { .. } => 3,
        Value::Struct(structure) if structure.is_pointer => 3,
        _ => 4,
    }
}

fn is_nil(value: &Value) -> bool {
    match value {
        Value::Nil | Value::Null { .. } => true,
        Value::List(list) => list.is_nil,
        Value::Map(map) => map.is_nil,
        _ => false,
    }
}

/// Whether two values are in order.
///
/// # Errors
/// Go's words about types that have no order.
pub(crate) fn ordered(first: &Value, other: &Value, asked: Order) -> Result<bool, String> {
    let (Some(first_basic), Some(other_basic)) = (basic(first), basic(other)) else { return Err(BAD_TYPE.to_owned()) };
    if let (Basic::Bool(_), Basic::Bool(_)) = (first_basic, other_basic) {
        return Err(BAD_TYPE.to_owned());
    }
    match order(first_basic, other_basic) {
        None => Err(incompatible(first, other)),
        Some(order) => Ok(match asked {
            Order::Less => order == Some(Ordering::Less),
            Order::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        }),
    }
}

fn incompatible(first: &Value, other: &Value) -> String {
    format!("incompatible types for comparison: {} and {}", first.type_name(), other.type_name())
}

/// The order of two values of one type or of two kinds of integers; `None` for other types, `Some(None)` for numbers that
/// have none.
fn order(first: Basic<'_>, other: Basic<'_>) -> Option<Option<Ordering>> {
    match (first, other) {
        (Basic::Bool(first), Basic::Bool(other)) => Some(Some(first.cmp(&other))),
        (Basic::Int(first), Basic::Int(other)) => Some(Some(first.cmp(&other))),
        (Basic::Uint(first), Basic::Uint(other)) => Some(Some(first.cmp(&other))),
        (Basic::Int(first), Basic::Uint(other)) => Some(Some(i128::from(first).cmp(&i128::from(other)))),
        (Basic::Uint(first), Basic::Int(other)) => Some(Some(i128::from(first).cmp(&i128::from(other)))),
        (Basic::Float(first), Basic::Float(other)) => Some(first.partial_cmp(&other)),
        (Basic::Text(first), Basic::Text(other)) => Some(Some(first.cmp(other))),
        _ => None,
    }
}
