//! From tokens to a tree: actions and what they enclose.

mod pipeline;

use std::collections::HashMap;

use crate::lex::{Keyword, Kind, Lexer, Token};
use crate::limits::PARSE_DEPTH;
use crate::quote;
use crate::tree::{Action, Branch, Invocation};

/// The trees of a text, by name; the text itself has that of the template.
pub(crate) type Trees = HashMap<String, Vec<Action>>;

/// Parses a text, whose actions go by a name.
///
/// # Errors
/// Go's message, without `template: NAME:` and what else is the caller's.
pub(crate) fn parse(name: &str, text: &str) -> Result<Trees, Failure> {
    let mut parser = Parser {
        lexer: Lexer::new(text),
        pushed_back: Vec::new(),
        line: 0,
        trees: Trees::new(),
        scope: Scope::new(),
        depth: 0,
    };
    match parser.definitions_and_actions() {
        Ok(actions) => {
            parser.add(name, actions)?;
            Ok(parser.trees)
        }
        Err(failure) => Err(failure),
    }
}

/// Why a text is no template: the line, counted from 1, and what is wrong there.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) line: usize,
    pub(crate) message: String,
}

type Parsed<T> = Result<T, Failure>;

/// What a definition knows that another does not.
#[derive(Debug)]
struct Scope {
    variables: Vec<String>,
    ranges: usize,
    /// Where the action began that is being read.
    action_line: usize,
}

impl Scope {
    fn new() -> Self {
        Self { variables: vec!["$".to_owned()], ranges: 0, action_line: 0 }
    }
}

/// What ends a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    End,
    Else,
}

impl Stop {
    fn name(self) -> &'static str {
        if self == Stop::End { "{{end}}" } else { "{{else}}" }
    }
}

enum Step {
    Action(Action),
    Stop(Stop),
}

#[derive(Debug)]
struct Parser<'a> {
    lexer: Lexer<'a>,
    pushed_back: Vec<Token>,
    /// The line of the token that was read last, which is the one that Go blames.
    line: usize,
    trees: Trees,
    scope: Scope,
    depth: usize,
}

impl Parser<'_> {
    fn next(&mut self) -> Token {
        self.pushed_back.pop().unwrap_or_else(|| {
            let token = self.lexer.token();
            self.line = token.line;
            token
        })
    }

    fn push_back(&mut self, token: Token) {
        self.pushed_back.push(token);
    }

    fn peek(&mut self) -> Token {
        let token = self.next();
        self.push_back(token.clone());
        token
    }

    fn next_word(&mut self) -> Token {
        loop {
            let token = self.next();
            if token.kind != Kind::Space {
                return token;
            }
        }
    }

    fn peek_word(&mut self) -> Token {
        let token = self.next_word();
        self.push_back(token.clone());
        token
    }

    fn fail<T>(&self, message: impl Into<String>) -> Parsed<T> {
        Err(Failure { line: self.line, message: message.into() })
    }

    fn unexpected<T>(&self, token: &Token, context: &str) -> Parsed<T> {
        if token.kind != Kind::Error {
            return self.fail(format!("unexpected {token} in {context}"));
        }
        let begun = self.scope.action_line;
        if begun == 0 || begun == token.line {
            return self.fail(token.text.clone());
        }
        let action = if token.text.ends_with(" action") { "" } else { " in action" };
        self.fail(format!("{token}{action} started at :{begun}"))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Parsed<Token> {
        let token = self.next_word();
        if token.kind == kind { Ok(token) } else { self.unexpected(&token, context) }
    }

    /// Runs `read` one level deeper, unless that is too deep.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth == PARSE_DEPTH {
            return self.fail("max expression depth exceeded");
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// Files a tree under its name. Only a blank one may be replaced.
    fn add(&mut self, name: &str, actions: Vec<Action>) -> Parsed<()> {
        let is_blank = |actions: &[Action]| actions.iter().all(Action::is_blank);
        match self.trees.get(name) {
            Some(before) if !is_blank(before) && is_blank(&actions) => Ok(()),
            Some(before) if !is_blank(before) => {
                let name = quote::quoted(name.as_bytes());
                self.fail(format!("template: multiple definition of template {name}"))
            }
            _ => {
                self.trees.insert(name.to_owned(), actions);
                Ok(())
            }
        }
    }

    /// The whole text: definitions may stand only at this level.
    fn definitions_and_actions(&mut self) -> Parsed<Vec<Action>> {
        let mut actions = Vec::new();
        while self.peek().kind != Kind::End {
            let token = self.next();
            if token.kind == Kind::LeftDelimiter {
                let word = self.next_word();
                if word.kind == Kind::Keyword(Keyword::Define) {
                    self.definition()?;
                    continue;
                }
                self.push_back(word);
            }
            self.push_back(token);
            match self.step()? {
                Step::Action(action) => actions.push(action),
                Step::Stop(stop) => return self.fail(format!("unexpected {}", stop.name())),
            }
        }
        Ok(actions)
    }

    fn definition(&mut self) -> Parsed<()> {
        let outer = std::mem::replace(&mut self.scope, Scope::new());
        let token = self.next_word();
        let name = self.template_name(&token, "define clause")?;
        self.expect(Kind::RightDelimiter, "define clause")?;
        let (actions, stop) = self.list()?;
        if stop != Stop::End {
            return self.fail(format!("unexpected {} in define clause", stop.name()));
        }
        self.add(&name, actions)?;
        self.scope = outer;
        Ok(())
    }

    fn template_name(&mut self, token: &Token, context: &str) -> Parsed<String> {
        match token.kind {
            Kind::String | Kind::RawString => {
                let name = self.unquoted(token)?;
                Ok(String::from_utf8_lossy(&name).into_owned())
            }
            _ => self.unexpected(token, context),
        }
    }

    fn unquoted(&self, token: &Token) -> Parsed<Vec<u8>> {
        quote::unquoted(&token.text).map_or_else(|| self.fail("invalid syntax"), Ok)
    }

    /// Actions up to an `end` or `else`.
    fn list(&mut self) -> Parsed<(Vec<Action>, Stop)> {
        self.nested(|parser| {
            let mut actions = Vec::new();
            while parser.peek_word().kind != Kind::End {
                match parser.step()? {
                    Step::Action(action) => actions.push(action),
                    Step::Stop(stop) => return Ok((actions, stop)),
                }
            }
            parser.fail("unexpected EOF")
        })
    }

    fn step(&mut self) -> Parsed<Step> {
        let token = self.next_word();
        match token.kind {
            Kind::Text => Ok(Step::Action(Action::Text(token.text))),
            Kind::LeftDelimiter => {
                self.scope.action_line = token.line;
                let step = self.action();
                self.scope.action_line = 0;
                step
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Parsed<Step> {
        let token = self.next_word();
        let action = match token.kind {
            Kind::Keyword(Keyword::Block) => self.block()?,
            Kind::Keyword(Keyword::Break) => self.jump("{{break}}", Action::Break)?,
            Kind::Keyword(Keyword::Continue) => self.jump("{{continue}}", Action::Continue)?,
            Kind::Keyword(Keyword::Else) => return self.otherwise(),
            Kind::Keyword(Keyword::End) => {
                self.expect(Kind::RightDelimiter, "end")?;
                return Ok(Step::Stop(Stop::End));
            }
            Kind::Keyword(Keyword::If) => Action::If(self.branch("if")?),
            Kind::Keyword(Keyword::Range) => Action::Range(self.branch("range")?),
            Kind::Keyword(Keyword::With) => Action::With(self.branch("with")?),
            Kind::Keyword(Keyword::Template) => self.invocation()?,
            _ => {
                self.push_back(token);
                Action::Print(self.pipe("command", Kind::RightDelimiter)?)
            }
        };
        Ok(Step::Action(action))
    }

    fn jump(&mut self, name: &str, action: Action) -> Parsed<Action> {
        self.expect(Kind::RightDelimiter, name)?;
        if self.scope.ranges == 0 { self.fail(format!("{name} outside {{{{range}}}}")) } else { Ok(action) }
    }

    /// `else`; of `else if` and `else with` the second word is left for whoever reads the branch.
    fn otherwise(&mut self) -> Parsed<Step> {
        let next = self.peek_word().kind;
        if !matches!(next, Kind::Keyword(Keyword::If | Keyword::With)) {
            self.expect(Kind::RightDelimiter, "else")?;
        }
        Ok(Step::Stop(Stop::Else))
    }

    fn branch(&mut self, context: &str) -> Parsed<Branch> {
        let variables = self.scope.variables.len();
        let pipe = self.pipe(context, Kind::RightDelimiter)?;
        self.scope.ranges += usize::from(context == "range");
        let (then, stop) = self.list()?;
        self.scope.ranges -= usize::from(context == "range");
        let otherwise = match stop {
            Stop::End => None,
            Stop::Else => Some(self.else_branch(context)?),
        };
        self.scope.variables.truncate(variables);
        Ok(Branch { pipe, then, otherwise })
    }

    /// What follows an `else`. `else if` is an `if` inside of it that shares the `end`.
    fn else_branch(&mut self, context: &str) -> Parsed<Vec<Action>> {
        match (context, self.peek().kind) {
            ("if", Kind::Keyword(Keyword::If)) => {
                self.next();
                let branch = self.nested(|parser| parser.branch("if"))?;
                Ok(vec![Action::If(branch)])
            }
            ("with", Kind::Keyword(Keyword::With)) => {
                self.next();
                let branch = self.nested(|parser| parser.branch("with"))?;
                Ok(vec![Action::With(branch)])
            }
            _ => match self.list()? {
                (actions, Stop::End) => Ok(actions),
                (_, stop) => self.fail(format!("expected end; found {}", stop.name())),
            },
        }
    }

    fn invocation(&mut self) -> Parsed<Action> {
        let token = self.next_word();
        let name = self.template_name(&token, "template clause")?;
        let next = self.next_word();
        let mut pipe = None;
        if next.kind != Kind::RightDelimiter {
            self.push_back(next);
            pipe = Some(self.pipe("template clause", Kind::RightDelimiter)?);
        }
        Ok(Action::Template(Invocation { position: token.position, name, pipe }))
    }

    /// A definition and its invocation in one.
    fn block(&mut self) -> Parsed<Action> {
        let token = self.next_word();
        let name = self.template_name(&token, "block clause")?;
        let pipe = self.pipe("block clause", Kind::RightDelimiter)?;
        let line = self.line;
        let outer = std::mem::replace(&mut self.scope, Scope::new());
        let (actions, stop) = self.list()?;
        if stop != Stop::End {
            let message = format!("unexpected {} in block clause", stop.name());
            return Err(Failure { line, message });
        }
        self.add(&name, actions)?;
        self.scope = outer;
        Ok(Action::Template(Invocation { position: token.position, name, pipe: Some(pipe) }))
    }
}
