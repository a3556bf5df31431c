//! `printf`: flags, verbs and what is said when they do not fit.

use super::{Buffer, float};
use crate::quote;
use crate::value::{Struct, Value};

/// Largest width and precision; Go takes more for a mistake.
const LARGEST: i64 = 1_000_000;

/// What stands between `%` and the verb.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spec {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
    /// `%+v`
    names_fields: bool,
    /// `%#v`
    is_syntax: bool,
}

impl Spec {
    /// With `v`, `+` and `#` have a meaning of their own.
    fn for_verb(self, verb: char) -> Self {
        if verb != 'v' {
            return self;
        }
        Self { names_fields: self.plus, is_syntax: self.sharp, plus: false, sharp: false, ..self }
    }
}

/// Writes values.
#[derive(Debug)]
pub(crate) struct Printer {
    pub(crate) buffer: Buffer,
}

impl Printer {
    pub(crate) fn new(limit: usize) -> Self {
        Self { buffer: Buffer::new(limit) }
    }

    /// Writes `values` as `format` says.
    pub(crate) fn format(&mut self, format: &[u8], values: &[Value]) {
        let mut reader = Reader { format, at: 0, argument: 0, values, is_reordered: false, is_good: true };
        while reader.at < format.len() && !self.buffer.is_full() {
            let text = format[reader.at..].split(|byte| *byte == b'%').next().unwrap_or_default();
            self.buffer.bytes(text);
            reader.at += text.len();
            if reader.at == format.len() {
                break;
            }
            reader.at += 1;
            self.directive(&mut reader);
        }
        if !reader.is_reordered && reader.argument < values.len() {
            self.extra(&values[reader.argument..]);
        }
    }

    fn directive(&mut self, reader: &mut Reader<'_>) {
        reader.is_good = true;
        let spec = reader.spec(&mut self.buffer);
        let Some(verb) = reader.verb() else { return self.buffer.text("%!(NOVERB)") };
        match reader.values.get(reader.argument) {
            _ if verb == '%' => self.buffer.text("%"),
            _ if !reader.is_good => self.buffer.text(&format!("%!{verb}(BADINDEX)")),
            None => self.buffer.text(&format!("%!{verb}(MISSING)")),
            Some(value) => {
                self.argument(value, verb, spec.for_verb(verb));
                reader.argument += 1;
            }
        }
    }

    fn extra(&mut self, values: &[Value]) {
        self.buffer.text("%!(EXTRA ");
        for (index, value) in values.iter().enumerate() {
            self.buffer.text(if index > 0 { ", " } else { "" });
            if !matches!(value, Value::Nil) {
                self.buffer.text(&format!("{}=", value.type_name()));
            }
            self.argument(value, 'v', Spec::default());
        }
        self.buffer.text(")");
    }

    /// Writes one value on its own.
    pub(crate) fn argument(&mut self, value: &Value, verb: char, spec: Spec) {
        match (value, verb) {
            (Value::Nil, 'T' | 'v') => self.padded(b"<nil>", spec),
            (_, 'T') => self.string(value.type_name().as_bytes(), 's', spec),
            _ => self.value(value, verb, spec, 0),
        }
    }

    fn value(&mut self, value: &Value, verb: char, spec: Spec, depth: usize) {
        match value {
            Value::Nil if depth == 0 => self.bad_verb(value, verb, spec),
            Value::Nil => self.buffer.text(if spec.is_syntax { "interface {}(nil)" } else { "<nil>" }),
            Value::Null { name, .. } if spec.is_syntax => self.buffer.text(&format!("({name})(nil)")),
            Value::Null { .. } if verb == 'v' => self.padded(b"<nil>", spec),
            Value::Bool(truth) if matches!(verb, 't' | 'v') => {
                self.padded(if *truth { b"true" } else { b"false" }, spec);
            }
            Value::Int(number) | Value::Int64(number) => self.integer(value, i128::from(*number), verb, spec),
            Value::Byte(number) => self.integer(value, i128::from(*number), verb, spec),
            Value::Float(number) => self.float(value, *number, verb, spec),
            Value::Opaque(opaque) if matches!(verb, 'v' | 's' | 'q' | 'x' | 'X') => {
                self.string(opaque.text.as_bytes(), if verb == 'v' { 's' } else { verb }, spec);
            }
            Value::Text(_) | Value::Number(_) if matches!(verb, 'v' | 's' | 'q' | 'x' | 'X') => {
                let verb = if verb == 'v' && spec.is_syntax { 'q' } else { verb };
                self.string(value.as_bytes().unwrap_or_default(), verb, spec);
            }
            Value::List(list) => {
                let (open, close) = self.brackets(value, spec, list.is_nil, ["[", "]"]);
                self.buffer.text(&open);
                for (index, item) in list.items.iter().enumerate() {
                    self.separate(index, spec);
                    self.value(item, verb, spec, depth + 1);
                }
                self.buffer.text(close);
            }
            Value::Map(map) => {
                let (open, close) = self.brackets(value, spec, map.is_nil, ["map[", "]"]);
                self.buffer.text(&open);
                for (index, (key, item)) in map.entries.iter().enumerate() {
                    self.separate(index, spec);
                    self.value(&Value::from(&**key), verb, spec, depth + 1);
                    self.buffer.text(":");
                    self.value(item, verb, spec, depth + 1);
                }
                self.buffer.text(close);
            }
            Value::Struct(structure) => self.structure(structure, verb, spec, depth),
            _ => self.bad_verb(value, verb, spec),
        }
    }

    /// What a list or map is enclosed in.
    fn brackets(&self, value: &Value, spec: Spec, is_nil: bool, plain: [&'static str; 2]) -> (String, &'static str) {
        match (spec.is_syntax, is_nil) {
            (false, _) => (plain[0].to_owned(), plain[1]),
            (true, true) => (format!("{}(nil)", value.type_name()), ""),
            (true, false) => (format!("{}{{", value.type_name()), "}"),
        }
    }

    fn separate(&mut self, index: usize, spec: Spec) {
        if index > 0 {
            self.buffer.text(if spec.is_syntax { ", " } else { " " });
        }
    }

    fn structure(&mut self, structure: &Struct, verb: char, spec: Spec, depth: usize) {
        self.buffer.text(if structure.is_pointer && depth == 0 { "&" } else { "" });
        self.buffer.text(if spec.is_syntax { structure.name } else { "" });
        self.buffer.text("{");
        for (index, field) in structure.fields.iter().enumerate() {
            self.separate(index, spec);
            if spec.names_fields || spec.is_syntax {
                self.buffer.text(&format!("{}:", field.name));
            }
            self.value(&field.value, verb, spec, depth + 1);
        }
        self.buffer.text("}");
    }

    fn bad_verb(&mut self, value: &Value, verb: char, spec: Spec) {
        self.buffer.text(&format!("%!{verb}("));
        if !matches!(value, Value::Nil) {
            self.buffer.text(&format!("{}=", value.type_name()));
            self.value(value, 'v', spec, 1);
        } else {
            self.buffer.text("<nil>");
        }
        self.buffer.text(")");
    }

    fn padded(&mut self, text: &[u8], spec: Spec) {
        if spec.width.is_none() {
            return self.buffer.bytes(text);
        }
        let width = quote::characters(text).count();
        let padding = spec.width.unwrap_or(0).saturating_sub(width);
        if spec.minus {
            self.buffer.bytes(text);
            self.buffer.repeat(b' ', padding);
        } else {
            self.buffer.repeat(if spec.zero { b'0' } else { b' ' }, padding);
            self.buffer.bytes(text);
        }
    }

    fn string(&mut self, text: &[u8], verb: char, spec: Spec) {
        if matches!(verb, 'x' | 'X') {
            return self.hexadecimal(text, verb == 'X', spec);
        }
        let cut = match spec.precision {
            Some(precision) => {
                let length = quote::characters(text).take(precision).map(|(_, raw)| raw.len()).sum();
                &text[..length]
            }
            None => text,
        };
        if verb != 'q' {
            return self.padded(cut, spec);
        }
        if spec.sharp && quote::can_backquote(cut) {
            return self.padded(&[b"`", cut, b"`"].concat(), spec);
        }
        self.padded(quote::literal(cut, '"', spec.plus).as_bytes(), spec);
    }

    /// The bytes of a string in hexadecimal; `#` puts `0x` in front, space separates the bytes.
    fn hexadecimal(&mut self, text: &[u8], is_upper: bool, spec: Spec) {
        let bytes = &text[..spec.precision.unwrap_or(text.len()).min(text.len())];
        let prefix = match (spec.sharp, is_upper) {
            (false, _) => "",
            (true, false) => "0x",
            (true, true) => "0X",
        };
        let mut shown = String::with_capacity(bytes.len() * 2);
        for (index, byte) in bytes.iter().enumerate() {
            if index > 0 && spec.space {
                shown.push(' ');
            }
            if index == 0 || spec.space {
                shown.push_str(prefix);
            }
            shown.extend([if is_upper { format!("{byte:02X}") } else { format!("{byte:02x}") }]);
        }
        self.padded(shown.as_bytes(), spec);
    }

    fn integer(&mut self, value: &Value, number: i128, verb: char, spec: Spec) {
        let size = number.unsigned_abs();
        let (digits, prefix) = match verb {
            'v' if spec.is_syntax && matches!(value, Value::Byte(_)) => (format!("{size:x}"), "0x"),
            'v' | 'd' => (size.to_string(), ""),
            'b' => (format!("{size:b}"), if spec.sharp { "0b" } else { "" }),
            'o' => (format!("{size:o}"), if spec.sharp { "0" } else { "" }),
            'O' => (format!("{size:o}"), "0o"),
            'x' => (format!("{size:x}"), if spec.sharp { "0x" } else { "" }),
            'X' => (format!("{size:X}"), if spec.sharp { "0X" } else { "" }),
            'c' => return self.padded(character(number).to_string().as_bytes(), spec),
            'q' => {
                let character = character(number).to_string();
                return self.padded(quote::literal(character.as_bytes(), '\'', spec.plus).as_bytes(), spec);
            }
            'U' => return self.code_point(number, spec),
            _ => return self.bad_verb(value, verb, spec),
        };
        if spec.precision == Some(0) && number == 0 {
            return self.padded(b"", Spec { zero: false, ..spec });
        }
        let has_sign = number < 0 || spec.plus || spec.space;
        let zeros = match (spec.precision, spec.width) {
            (Some(precision), _) => precision,
            (None, Some(width)) if spec.zero && !spec.minus => width.saturating_sub(usize::from(has_sign)),
            _ => 0,
        };
        let sign = match () {
            () if number < 0 => "-",
            () if spec.plus => "+",
            () if spec.space => " ",
            () => "",
        };
        let digits = format!("{}{digits}", "0".repeat(zeros.saturating_sub(digits.len())));
        let prefix = if verb == 'o' && digits.starts_with('0') { "" } else { prefix };
        self.padded(format!("{sign}{prefix}{digits}").as_bytes(), Spec { zero: false, ..spec });
    }

    fn code_point(&mut self, number: i128, spec: Spec) {
        // Go takes the number's 64 bits as unsigned.
        let code = number.rem_euclid(1 << 64);
        let digits = format!("{code:X}");
        let width = spec.precision.unwrap_or(4).max(4);
        let mut shown = format!("U+{}{digits}", "0".repeat(width.saturating_sub(digits.len())));
        let known = u32::try_from(code).ok().and_then(char::from_u32);
        if let Some(character) = known.filter(|character| spec.sharp && quote::is_printable(*character)) {
            shown.extend([format!(" '{character}'")]);
        }
        self.padded(shown.as_bytes(), Spec { zero: false, ..spec });
    }

    fn float(&mut self, value: &Value, number: f64, verb: char, spec: Spec) {
        let (shape, precision) = match verb {
            'v' => ('g', spec.precision),
            'b' | 'g' | 'G' | 'x' | 'X' => (verb, spec.precision),
            'e' | 'E' => (verb, Some(spec.precision.unwrap_or(6))),
            'f' | 'F' => ('f', Some(spec.precision.unwrap_or(6))),
            _ => return self.bad_verb(value, verb, spec),
        };
        let mut text = float::format(number, shape, precision);
        if spec.sharp && number.is_finite() {
            text = match shape {
                'b' => text,
                'x' => hexadecimal_with_point(&text, precision.unwrap_or(6)),
                'X' => hexadecimal_with_point(&text, 0),
                _ => with_point(&text, matches!(shape, 'g' | 'G').then(|| precision.unwrap_or(6))),
            };
        }
        let is_negative = text.starts_with('-');
        let sign = match () {
            () if is_negative => "-",
            () if spec.plus => "+",
            () if spec.space => " ",
            () => "",
        };
        let digits = &text[1..];
        if spec.zero && !spec.minus && number.is_finite() {
            let width = spec.width.unwrap_or(0).saturating_sub(sign.len());
            let zeros = "0".repeat(width.saturating_sub(digits.len()));
            return self.buffer.text(&format!("{sign}{zeros}{digits}"));
        }
        self.padded(format!("{sign}{digits}").as_bytes(), Spec { zero: false, ..spec });
    }
}

/// `%#g` keeps zeros up to its number of digits, and everything with `#` has a point.
fn with_point(text: &str, digits: Option<usize>) -> String {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let mut mantissa = mantissa.to_owned();
    let significant = mantissa[1..].trim_start_matches(['0', '.']).chars().filter(char::is_ascii_digit).count();
    let significant = if significant == 0 { 1 } else { significant };
    if !mantissa.contains('.') {
        mantissa.push('.');
    }
    mantissa.push_str(&"0".repeat(digits.unwrap_or(0).saturating_sub(significant)));
    mantissa + exponent
}

/// `%#x` counts the `x` among its digits, as Go does, and `%#X` only has the point.
fn hexadecimal_with_point(text: &str, digits: usize) -> String {
    let (mantissa, exponent) = text.split_at(text.find(['p', 'P']).unwrap_or(text.len()));
    let counted = mantissa[1..].trim_start_matches('0').chars().filter(|&character| character != '.').count();
    let point = if mantissa.contains('.') { "" } else { "." };
    format!("{mantissa}{point}{}{exponent}", "0".repeat(digits.saturating_sub(counted)))
}

fn character(number: i128) -> char {
    u32::try_from(number).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Reads a format.
#[derive(Debug)]
struct Reader<'a> {
    format: &'a [u8],
    at: usize,
    /// The value whose turn it is.
    argument: usize,
    values: &'a [Value],
    /// Whether any directive chose its value itself: then none is too many.
    is_reordered: bool,
    /// Whether the directive's choice of values makes sense.
    is_good: bool,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.format.get(self.at).copied()
    }

    fn accept(&mut self, byte: u8) -> bool {
        let fits = self.peek() == Some(byte);
        self.at += usize::from(fits);
        fits
    }

    fn spec(&mut self, buffer: &mut Buffer) -> Spec {
        let mut spec = Spec::default();
        while let Some(flag) = self.peek() {
            match flag {
                b'#' => spec.sharp = true,
                b'0' => spec.zero = true,
                b'+' => spec.plus = true,
                b'-' => spec.minus = true,
                b' ' => spec.space = true,
                _ => break,
            }
            self.at += 1;
        }
        let mut is_behind_index = self.index();
        if self.accept(b'*') {
            match self.number_from_value() {
                Some(width) => {
                    spec.minus |= width < 0;
                    spec.zero &= width >= 0;
                    spec.width = usize::try_from(width.unsigned_abs()).ok();
                }
                None => buffer.text("%!(BADWIDTH)"),
            }
            is_behind_index = false;
        } else {
            spec.width = self.digits();
            self.is_good &= !(is_behind_index && spec.width.is_some());
        }
        if self.peek() == Some(b'.') && self.at + 1 < self.format.len() {
            self.at += 1;
            self.is_good &= !is_behind_index;
            is_behind_index = self.index();
            if self.accept(b'*') {
                let given = self.number_from_value();
                spec.precision = given.and_then(|precision| usize::try_from(precision).ok());
                if spec.precision.is_none() {
                    buffer.text("%!(BADPREC)");
                }
                is_behind_index = false;
            } else {
                spec.precision = Some(self.digits().unwrap_or(0));
            }
        }
        if !is_behind_index {
            self.index();
        }
        spec
    }

    fn verb(&mut self) -> Option<char> {
        let (character, raw) = quote::characters(&self.format[self.at..]).next()?;
        self.at += raw.len();
        Some(character.unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// A number; one that is too large swallows the rest of the format, as it does in Go.
    fn digits(&mut self) -> Option<usize> {
        let mut number = None;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            if number.is_some_and(|number| number > LARGEST) {
                self.at = self.format.len();
                return None;
            }
            number = Some(number.unwrap_or(0) * 10 + i64::from(digit - b'0'));
            self.at += 1;
        }
        number.and_then(|number| usize::try_from(number).ok())
    }

    fn number_from_value(&mut self) -> Option<i64> {
        let number = match self.values.get(self.argument)? {
            Value::Int(number) | Value::Int64(number) => Some(*number),
            Value::Byte(number) => Some(i64::from(*number)),
            _ => None,
        };
        self.argument += 1;
        number.filter(|number| (-LARGEST..=LARGEST).contains(number))
    }

    /// `[3]`: the number of the value to take, counted from 1. Tells whether there was one.
    fn index(&mut self) -> bool {
        if self.peek() != Some(b'[') {
            return false;
        }
        self.is_reordered = true;
        let rest = &self.format[self.at..];
        let Some(end) = rest.iter().position(|byte| *byte == b']').filter(|_| rest.len() >= 3) else {
            self.is_good = false;
            self.at += 1;
            return false;
        };
        self.at += end + 1;
        let number = std::str::from_utf8(&rest[1..end]).ok().and_then(|digits| {
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| digits.parse::<usize>().ok()).flatten()
        });
        match number {
            Some(number) if (1..=self.values.len()).contains(&number) => {
                self.argument = number - 1;
                true
            }
            _ => {
                self.is_good = false;
                number.is_some()
            }
        }
    }
}
