//! Parses a filter expression into a tree. Depth and time are bounded.

use super::{FilterError, MAX_DEPTH, Matcher, Node, Term};
use regex_lite::RegexBuilder;

/// The maximal size of a compiled regular expression in bytes.
const REGEX_SIZE: usize = 1 << 20;

pub(super) struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Parser { text, at: 0, depth: 0 }
    }

    /// Parses the whole text as one expression.
    pub(super) fn whole(mut self) -> Result<Node, FilterError> {
        let node = self.any()?;
        match self.peek() {
            None => Ok(node),
            Some(')') => Err(self.error("unmatched closing parenthesis")),
            Some(_) => Err(self.error("expected &, |, - or the end of the expression")),
        }
    }

    fn any(&mut self) -> Result<Node, FilterError> {
        let mut parts = vec![self.all()?];
        while self.take('|') {
            parts.push(self.all()?);
        }
        Ok(one_or(parts, Node::Any))
    }

    fn all(&mut self) -> Result<Node, FilterError> {
        let mut parts = vec![self.unary()?];
        loop {
            if self.take('&') {
                parts.push(self.unary()?);
            } else if self.take('-') {
                parts.push(not(self.unary()?));
            } else {
                return Ok(one_or(parts, Node::All));
            }
        }
    }

    fn unary(&mut self) -> Result<Node, FilterError> {
        let mut negated = false;
        while self.take('!') {
            negated = !negated;
        }
        let node = self.atom()?;
        Ok(if negated { not(node) } else { node })
    }

    fn atom(&mut self) -> Result<Node, FilterError> {
        match self.peek() {
            Some('(') => {
                let open = self.at;
                if self.depth == MAX_DEPTH {
                    return Err(self.error(format!("parentheses are nested more than {MAX_DEPTH} levels deep")));
                }
                self.at += 1;
                self.depth += 1;
                let node = self.any()?;
                self.depth -= 1;
                if !self.take(')') {
                    return Err(match self.peek() {
                        None => self.error_at(open, "unmatched opening parenthesis"),
                        Some(_) => self.error("expected &, |, - or a closing parenthesis"),
                    });
                }
                Ok(node)
            }
            Some(c) if c.is_ascii_alphabetic() => self.term(),
            _ => Err(self.error("expected a term such as group(loop), or a parenthesis")),
        }
    }

    fn term(&mut self) -> Result<Node, FilterError> {
        let at = self.at;
        let length = self.rest().find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest().len());
        let name = &self.text[at..at + length];
        let term = Term::ALL.iter().find(|(known, _)| *known == name).map(|(_, term)| *term);
        if term.is_none() && name != "all" {
            let known = Term::ALL.map(|(name, _)| name).join(", ");
            return Err(self.error(format!("unknown term '{name}' (expected {known} or all)")));
        }
        self.at += length;
        if !self.take('(') {
            return Err(self.error(format!("expected an opening parenthesis after {name}")));
        }
        let Some(term) = term else {
            return if self.take(')') {
                Ok(Node::Everything)
            } else {
                Err(self.error("all() does not accept an argument"))
            };
        };
        let matcher = self.matcher()?;
        if !self.take(')') {
            return Err(self.error("expected a closing parenthesis"));
        }
        Ok(Node::Term { term, matcher, at })
    }

    fn matcher(&mut self) -> Result<Matcher, FilterError> {
        match self.peek() {
            Some('/') => self.regex(),
            Some('=') => {
                self.at += 1;
                Ok(Matcher::Exact(self.argument()?.to_owned()))
            }
            _ => Ok(Matcher::Glob(self.argument()?.to_owned())),
        }
    }

    /// Parses an argument up to the closing parenthesis. It contains no operators: no id has any, so that one here means
    /// that a parenthesis is missing.
    fn argument(&mut self) -> Result<&'a str, FilterError> {
        self.peek();
        let start = self.at;
        let end = self.rest().find(['(', ')', '&', '|', '!', '/']).map_or(self.text.len(), |end| start + end);
        let argument = self.text[start..end].trim_end();
        if argument.is_empty() {
            return Err(self.error("expected a glob, =text or /regex/"));
        }
        self.at = start + argument.len();
        Ok(argument)
    }

    fn regex(&mut self) -> Result<Matcher, FilterError> {
        let open = self.at;
        self.at += 1;
        let mut pattern = String::new();
        let mut chars = self.rest().char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            match c {
                '/' => {
                    self.at += at + 1;
                    let regex = RegexBuilder::new(&pattern).size_limit(REGEX_SIZE).build();
                    return regex.map(Matcher::Regex).map_err(|error| {
                        self.error_at(open, format!("the regular expression /{pattern}/ is invalid: {error}"))
                    });
                }
                '\\' => match chars.next() {
                    Some((_, '/')) => pattern.push('/'),
                    Some((_, escaped)) => pattern.extend(['\\', escaped]),
                    None => break,
                },
                c => pattern.push(c),
            }
        }
        Err(self.error_at(open, "unterminated regular expression"))
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Skips whitespace and returns the next character without consuming it.
    fn peek(&mut self) -> Option<char> {
        self.at = self.text.len() - self.rest().trim_start().len();
        self.rest().chars().next()
    }

    fn take(&mut self, expected: char) -> bool {
        let taken = self.peek() == Some(expected);
        self.at += if taken { expected.len_utf8() } else { 0 };
        taken
    }

    fn error(&mut self, what: impl Into<String>) -> FilterError {
        self.peek();
        self.error_at(self.at, what)
    }

    fn error_at(&self, at: usize, what: impl Into<String>) -> FilterError {
        FilterError { text: self.text.to_owned(), at, what: what.into() }
    }
}

fn one_or(mut parts: Vec<Node>, many: fn(Vec<Node>) -> Node) -> Node {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            many(parts)
        }
        None => many(parts),
    }
}

/// Negates a node. A double negation is removed, so that repeated negation does not deepen the tree.
fn not(node: Node) -> Node {
    match node {
        Node::Not(inner) => *inner,
        node => Node::Not(Box::new(node)),
    }
}
