//! What stands in an action: pipelines of commands, and what commands work on.

use super::{Failure, Parsed, Parser};
use crate::functions;
use crate::lex::{Keyword, Kind};
use crate::number::Number;
use crate::quote;
use crate::tree::{Command, Operand, Pipe, Term};

impl Parser<'_> {
    pub(super) fn pipe(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
        let position = self.peek_word().position;
        let (variables, assigns) = self.variables(context)?;
        let mut commands = Vec::new();
        loop {
            let token = self.next_word();
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::CharacterConstant
                | Kind::Complex
                | Kind::Keyword(Keyword::Dot | Keyword::Nil)
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParenthesis => {
                    self.push_back(token);
                    commands.push(self.command()?);
                }
                _ => return self.unexpected(&token, context),
            }
        }
        if commands.is_empty() {
            return self.fail(format!("missing value for {context}"));
        }
        for (index, command) in commands.iter().enumerate().skip(1) {
            if command.operands[0].term.is_constant() {
                return self.fail(format!("non executable command in pipeline stage {}", index + 1));
            }
        }
        Ok(Pipe { position, variables, assigns, commands })
    }

    /// The variables that a pipeline sets, if it begins with any.
    fn variables(&mut self, context: &str) -> Parsed<(Vec<String>, bool)> {
        let mut variables: Vec<String> = Vec::new();
        loop {
            if self.peek_word().kind != Kind::Variable {
                return Ok((variables, false));
            }
            let variable = self.next_word();
            let behind = self.peek();
            let next = self.peek_word();
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    self.next_word();
                    self.scope.variables.push(variable.text.clone());
                    variables.push(variable.text);
                    return Ok((variables, next.kind == Kind::Assign));
                }
                Kind::Character if next.text == "," => {
                    self.next_word();
                    self.scope.variables.push(variable.text.clone());
                    variables.push(variable.text);
                    if context != "range" || variables.len() > 1 {
                        return self.fail(format!("too many declarations in {context}"));
                    }
                    let follows = self.peek_word().kind;
                    if !matches!(follows, Kind::Variable | Kind::RightDelimiter | Kind::RightParenthesis) {
                        return self.fail("range can only initialize variables");
                    }
                }
                _ => {
                    if behind.kind == Kind::Space {
                        self.push_back(behind);
                    }
                    self.push_back(variable);
                    return Ok((variables, false));
                }
            }
        }
    }

    fn command(&mut self) -> Parsed<Command> {
        let position = self.peek_word().position;
        let mut operands = Vec::new();
        loop {
            self.peek_word();
            operands.extend(self.operand()?);
            let token = self.next();
            match token.kind {
                Kind::Space => {}
                Kind::RightDelimiter | Kind::RightParenthesis => {
                    self.push_back(token);
                    break;
                }
                Kind::Pipe => break,
                _ => return self.unexpected(&token, "operand"),
            }
        }
        if operands.is_empty() { self.fail("empty command") } else { Ok(Command { position, operands }) }
    }

    /// A term and the fields that follow it; none when the next token begins no term.
    fn operand(&mut self) -> Parsed<Option<Operand>> {
        let Some(operand) = self.term()? else { return Ok(None) };
        let next = self.peek();
        if next.kind != Kind::Field {
            return Ok(Some(operand));
        }
        let mut names = Vec::new();
        while self.peek().kind == Kind::Field {
            names.push(self.next().text[1..].to_owned());
        }
        let position = next.position;
        let term = match operand.term {
            Term::Field(mut first) => {
                first.append(&mut names);
                Term::Field(first)
            }
            Term::Variable(mut first) => {
                first.append(&mut names);
                Term::Variable(first)
            }
            ref term if term.is_constant() => {
                let shown = quote::quoted(operand.to_string().as_bytes());
                return self.fail(format!("unexpected . after term {shown}"));
            }
            _ => Term::Chain(Box::new(operand), names),
        };
        Ok(Some(Operand { position, term }))
    }

    fn term(&mut self) -> Parsed<Option<Operand>> {
        let token = self.next_word();
        let term = match token.kind {
            Kind::Identifier if !functions::is_known(&token.text) => {
                let name = quote::quoted(token.text.as_bytes());
                return self.fail(format!("function {name} not defined"));
            }
            Kind::Identifier => Term::Function(token.text),
            Kind::Keyword(Keyword::Dot) => Term::Dot,
            Kind::Keyword(Keyword::Nil) => Term::Nil,
            Kind::Variable if !self.scope.variables.contains(&token.text) => {
                let name = quote::quoted(token.text.as_bytes());
                return self.fail(format!("undefined variable {name}"));
            }
            Kind::Variable => Term::Variable(vec![token.text]),
            Kind::Field => Term::Field(vec![token.text[1..].to_owned()]),
            Kind::Bool => Term::Bool(token.text == "true"),
            Kind::CharacterConstant => Term::Number(self.checked(Number::character(&token.text))?),
            Kind::Complex | Kind::Number => Term::Number(self.checked(Number::parse(&token.text))?),
            Kind::LeftParenthesis => {
                let pipe = self.nested(|parser| parser.pipe("parenthesized pipeline", Kind::RightParenthesis))?;
                return Ok(Some(Operand { position: pipe.position, term: Term::Pipe(Box::new(pipe)) }));
            }
            Kind::String | Kind::RawString => {
                let text = self.unquoted(&token)?;
                Term::Text(token.text, text)
            }
            _ => {
                self.push_back(token);
                return Ok(None);
            }
        };
        Ok(Some(Operand { position: token.position, term }))
    }

    fn checked<T>(&self, result: Result<T, String>) -> Parsed<T> {
        result.map_err(|message| Failure { line: self.line, message })
    }
}
