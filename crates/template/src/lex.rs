//! From a template's text to tokens.

use std::fmt;

use crate::quote;

const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The token's text says what is wrong.
    Error,
    Bool,
    /// A printable character without a meaning of its own.
    Character,
    CharacterConstant,
    Complex,
    Assign,
    Declare,
    End,
    Field,
    Identifier,
    LeftDelimiter,
    LeftParenthesis,
    Number,
    Pipe,
    RawString,
    RightDelimiter,
    RightParenthesis,
    Space,
    String,
    Text,
    Variable,
    Keyword(Keyword),
}

/// The words with a meaning of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Block,
    Break,
    Continue,
    Dot,
    Define,
    Else,
    End,
    If,
    Nil,
    Range,
    Template,
    With,
}

impl Keyword {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "block" => Keyword::Block,
            "break" => Keyword::Break,
            "continue" => Keyword::Continue,
            "define" => Keyword::Define,
            "else" => Keyword::Else,
            "end" => Keyword::End,
            "if" => Keyword::If,
            "nil" => Keyword::Nil,
            "range" => Keyword::Range,
            "template" => Keyword::Template,
            "with" => Keyword::With,
            _ => return None,
        })
    }
}

/// A piece of a template.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    /// Where it starts, in bytes.
    pub(crate) position: usize,
    /// The line it starts on, counted from 1.
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// A token as Go's messages name it.
impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::End => formatter.write_str("EOF"),
            Kind::Error => formatter.write_str(&self.text),
            Kind::Keyword(_) => write!(formatter, "<{}>", self.text),
            _ if self.text.len() > 10 => {
                let head: String = self.text.chars().take(10).collect();
                write!(formatter, "{}...", quote::quoted(head.as_bytes()))
            }
            _ => formatter.write_str(&quote::quoted(self.text.as_bytes())),
        }
    }
}

/// Cuts a template into tokens, one at a time.
#[derive(Debug)]
pub(crate) struct Lexer<'a> {
    text: &'a str,
    position: usize,
    start: usize,
    is_inside_action: bool,
    parentheses: usize,
    is_finished: bool,
    /// How many lines end before this position.
    lines_before: (usize, usize),
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            position: 0,
            start: 0,
            is_inside_action: false,
            parentheses: 0,
            is_finished: false,
            lines_before: (0, 0),
        }
    }

    /// The next token; behind the last and behind an error there is only [`Kind::End`].
    pub(crate) fn token(&mut self) -> Token {
        if self.is_finished {
            self.start = self.position;
            return self.emit(Kind::End);
        }
        if self.is_inside_action { self.inside_action() } else { self.outside() }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.position..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.position += character.len_utf8();
        Some(character)
    }

    fn accept(&mut self, valid: &str) -> bool {
        let fits = self.peek().is_some_and(|character| valid.contains(character));
        if fits {
            self.next();
        }
        fits
    }

    fn skip_while(&mut self, fits: impl Fn(char) -> bool) {
        self.position = self.rest().find(|character| !fits(character)).map_or(self.text.len(), |at| self.position + at);
    }

    fn emit(&mut self, kind: Kind) -> Token {
        let text = if kind == Kind::End { "" } else { &self.text[self.start..self.position] };
        let token = Token { kind, position: self.start, line: self.line(), text: text.to_owned() };
        self.start = self.position;
        token
    }

    fn fail(&mut self, message: impl Into<String>) -> Token {
        let token = Token { kind: Kind::Error, position: self.start, line: self.line(), text: message.into() };
        self.is_finished = true;
        token
    }

    /// The line of the token that begins at `start`, which only moves on.
    fn line(&mut self) -> usize {
        let (lines, counted) = self.lines_before;
        let lines = lines + self.text.as_bytes()[counted..self.start].iter().filter(|byte| **byte == b'\n').count();
        self.lines_before = (lines, self.start);
        1 + lines
    }

    /// Plain text up to the next action.
    fn outside(&mut self) -> Token {
        loop {
            let Some(offset) = self.rest().find("{{") else {
                self.position = self.text.len();
                self.is_finished = true;
                return self.emit(if self.position > self.start { Kind::Text } else { Kind::End });
            };
            let action = self.position + offset;
            let text = &self.text[self.position..action];
            let kept = if trims_before(&self.text[action + 2..]) { text.trim_end_matches(SPACES) } else { text };
            if !kept.is_empty() {
                self.position += kept.len();
                let token = self.emit(Kind::Text);
                self.position = action;
                self.start = action;
                return token;
            }
            self.position = action;
            self.start = action;
            match self.left_delimiter() {
                Ok(token) => return token,
                Err(None) => {}
                Err(Some(failure)) => return failure,
            }
        }
    }

    /// The start of an action; a comment gives no token, or its failure.
    fn left_delimiter(&mut self) -> Result<Token, Option<Token>> {
        self.position += 2;
        let marker = if trims_before(self.rest()) { 2 } else { 0 };
        if self.rest()[marker..].starts_with("/*") {
            self.position += marker;
            self.start = self.position;
            return Err(self.comment());
        }
        let token = self.emit(Kind::LeftDelimiter);
        self.is_inside_action = true;
        self.parentheses = 0;
        self.position += marker;
        self.start = self.position;
        Ok(token)
    }

    fn comment(&mut self) -> Option<Token> {
        let Some(end) = self.rest()[2..].find("*/") else { return Some(self.fail("unclosed comment")) };
        self.position += 2 + end + 2;
        let Some(trims) = self.right_delimiter_ahead() else {
            return Some(self.fail("comment ends before closing delimiter"));
        };
        self.skip_right_delimiter(trims);
        self.start = self.position;
        None
    }

    /// Whether the action ends here, and if so, whether it trims the text behind.
    fn right_delimiter_ahead(&self) -> Option<bool> {
        let rest = self.rest();
        if rest.starts_with(SPACES) && rest[1..].starts_with("-}}") {
            return Some(true);
        }
        rest.starts_with("}}").then_some(false)
    }

    fn skip_right_delimiter(&mut self, trims: bool) {
        self.position += if trims { 4 } else { 2 };
        if trims {
            self.skip_while(|character| SPACES.contains(&character));
        }
    }

    fn right_delimiter(&mut self, trims: bool) -> Token {
        if trims {
            self.position += 2;
            self.start = self.position;
        }
        self.position += 2;
        let token = self.emit(Kind::RightDelimiter);
        if trims {
            self.skip_while(|character| SPACES.contains(&character));
            self.start = self.position;
        }
        self.is_inside_action = false;
        token
    }

    fn inside_action(&mut self) -> Token {
        if let Some(trims) = self.right_delimiter_ahead() {
            if self.parentheses == 0 {
                return self.right_delimiter(trims);
            }
            return self.fail("unclosed left paren");
        }
        let Some(character) = self.next() else { return self.fail("unclosed action") };
        match character {
            _ if SPACES.contains(&character) => self.spaces(),
            '=' => self.emit(Kind::Assign),
            ':' if self.accept("=") => self.emit(Kind::Declare),
            ':' => self.fail("expected :="),
            '|' => self.emit(Kind::Pipe),
            '"' => self.quoted('"', Kind::String, "unterminated quoted string"),
            '\'' => self.quoted('\'', Kind::CharacterConstant, "unterminated character constant"),
            '`' => self.raw(),
            '$' => self.name(Kind::Variable),
            '.' if self.peek().is_some_and(|next| !next.is_ascii_digit()) => self.name(Kind::Field),
            '.' | '+' | '-' | '0'..='9' => {
                self.position -= 1;
                self.number()
            }
            _ if is_alphanumeric(character) => self.word(),
            '(' => {
                self.parentheses += 1;
                self.emit(Kind::LeftParenthesis)
            }
            ')' if self.parentheses == 0 => self.fail("unexpected right paren"),
            ')' => {
                self.parentheses -= 1;
                self.emit(Kind::RightParenthesis)
            }
            ' '..='~' => self.emit(Kind::Character),
            other => self.fail(format!("unrecognized character in action: {}", quote::code_point(other))),
        }
    }

    /// A run of spaces, but not the one that belongs to a trimming delimiter.
    fn spaces(&mut self) -> Token {
        self.skip_while(|character| SPACES.contains(&character));
        if self.text[self.position - 1..].starts_with(SPACES) && self.rest().starts_with("-}}") {
            self.position -= 1;
            if self.position == self.start {
                return self.right_delimiter(true);
            }
        }
        self.emit(Kind::Space)
    }

    fn quoted(&mut self, quote: char, kind: Kind, unterminated: &str) -> Token {
        loop {
            match self.next() {
                Some('\\') if self.peek().is_some_and(|next| next != '\n') => {
                    self.next();
                }
                None | Some('\n' | '\\') => return self.fail(unterminated),
                Some(end) if end == quote => return self.emit(kind),
                Some(_) => {}
            }
        }
    }

    fn raw(&mut self) -> Token {
        match self.rest().find('`') {
            Some(end) => {
                self.position += end + 1;
                self.emit(Kind::RawString)
            }
            None => self.fail("unterminated raw quoted string"),
        }
    }

    /// A field or a variable, whose first character is behind.
    fn name(&mut self, kind: Kind) -> Token {
        if self.is_at_terminator() {
            return self.emit(if kind == Kind::Variable { kind } else { Kind::Keyword(Keyword::Dot) });
        }
        self.skip_while(is_alphanumeric);
        if self.is_at_terminator() { self.emit(kind) } else { self.bad_character() }
    }

    fn word(&mut self) -> Token {
        self.skip_while(is_alphanumeric);
        if !self.is_at_terminator() {
            return self.bad_character();
        }
        match &self.text[self.start..self.position] {
            "true" | "false" => self.emit(Kind::Bool),
            word => self.emit(Keyword::parse(word).map_or(Kind::Identifier, Kind::Keyword)),
        }
    }

    fn bad_character(&mut self) -> Token {
        let character = self.peek().map(quote::code_point).unwrap_or_default();
        self.fail(format!("bad character {character}"))
    }

    fn is_at_terminator(&self) -> bool {
        match self.peek() {
            None | Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(character) => SPACES.contains(&character) || self.rest().starts_with("}}"),
        }
    }

    /// Anything that looks like a number; whether it is one is for who reads its value.
    fn number(&mut self) -> Token {
        let fits = self.scan_number();
        if fits && self.peek().is_some_and(|sign| matches!(sign, '+' | '-')) {
            if self.scan_number() && self.text[..self.position].ends_with('i') {
                return self.emit(Kind::Complex);
            }
        } else if fits {
            return self.emit(Kind::Number);
        }
        let text = quote::quoted(&self.text.as_bytes()[self.start..self.position]);
        self.fail(format!("bad number syntax: {text}"))
    }

    fn scan_number(&mut self) -> bool {
        self.accept("+-");
        let (mut digits, mut exponent) = ("0123456789_", "eE");
        if self.accept("0") {
            if self.accept("xX") {
                (digits, exponent) = ("0123456789abcdefABCDEF_", "pP");
            } else if self.accept("oO") {
                (digits, exponent) = ("01234567_", "");
            } else if self.accept("bB") {
                (digits, exponent) = ("01_", "");
            }
        }
        self.skip_while(|character| digits.contains(character));
        if self.accept(".") {
            self.skip_while(|character| digits.contains(character));
        }
        if self.accept(exponent) {
            self.accept("+-");
            self.skip_while(|character| "0123456789_".contains(character));
        }
        self.accept("i");
        if self.peek().is_some_and(is_alphanumeric) {
            self.next();
            return false;
        }
        true
    }
}

fn is_alphanumeric(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

fn trims_before(text: &str) -> bool {
    text.strip_prefix('-').is_some_and(|rest| rest.starts_with(SPACES))
}
