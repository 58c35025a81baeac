//! Filter expressions such as `group(loop) & !id(/unix/)`, which select behaviours.
//!
//! ```text
//!   expression  difference ('|' difference)*
//!   difference  unary (('&' | '-') unary)*          a - b is a & !b
//!   unary       '!'* ( '(' expression ')' | 'all()' | TERM '(' matcher ')' )
//!   TERM        group  id  catalogue  about  needs
//!   matcher     /REGEX/   =EXACT   GLOB             a glob matches the whole text; only * and ? are special
//! ```
//!
//! An expression is parsed once into a tree of bounded depth, and evaluated on the properties of behaviours.

mod parse;

use crate::catalogue::entry::{About, Entry, Need};
use crate::catalogue::filter::parse::Parser;
use regex_lite::Regex;
use std::fmt;

/// The maximal nesting of parentheses.
const MAX_DEPTH: usize = 64;
/// The maximal length of an expression that is printed with its error, in characters.
const MAX_PRINTED: usize = 200;

/// An expression that cannot be parsed, or that has a term which no behaviour matches.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid filter expression, column {}: {what}{}", self.column(), self.pointer())]
pub struct FilterError {
    text: String,
    at: usize,
    what: String,
}

impl FilterError {
    /// Returns the column of the error in characters, from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        self.text[..self.at].chars().count() + 1
    }

    /// Returns the expression on one line, and a caret below the column. Empty for a long expression, which a terminal
    /// would wrap.
    fn pointer(&self) -> String {
        let line: String = self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if line.chars().count() > MAX_PRINTED {
            String::new()
        } else {
            format!("\n  {line}\n  {}^", " ".repeat(self.column() - 1))
        }
    }
}

/// A filter expression.
#[derive(Clone, Debug)]
pub struct Filter {
    text: String,
    root: Node,
}

#[derive(Clone, Debug)]
enum Node {
    Any(Vec<Node>),
    All(Vec<Node>),
    Not(Box<Node>),
    Everything,
    Term { term: Term, matcher: Matcher, at: usize },
}

/// The property that a term matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Term {
    Group,
    Id,
    Catalogue,
    About,
    Needs,
}

impl Term {
    const ALL: [(&'static str, Term); 5] = [
        ("group", Term::Group),
        ("id", Term::Id),
        ("catalogue", Term::Catalogue),
        ("about", Term::About),
        ("needs", Term::Needs),
    ];

    fn name(self) -> &'static str {
        Term::ALL.iter().find(|(_, term)| *term == self).map_or("", |(name, _)| name)
    }

    /// Returns the texts of a behaviour that the term can match.
    fn texts(self, behaviour: &Entry) -> Vec<String> {
        match self {
            Term::Group => vec![behaviour.group.to_string()],
            Term::Id => vec![behaviour.id.to_owned()],
            Term::Catalogue => vec![behaviour.catalogue.to_owned()],
            Term::About => vec![
                match behaviour.about {
                    About::Kernel => "kernel",
                    About::Both => "both",
                }
                .to_owned(),
            ],
            Term::Needs => {
                let text = |need: &Need| match need {
                    Need::Command(name) | Need::Trait(name) | Need::Module(name) | Need::Config(name) => {
                        (*name).to_owned()
                    }
                };
                behaviour.needs.iter().map(text).collect()
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Matcher {
    Regex(Regex),
    Exact(String),
    Glob(String),
}

impl Matcher {
    fn matches(&self, text: &str) -> bool {
        match self {
            Matcher::Regex(regex) => regex.is_match(text),
            Matcher::Exact(exact) => exact == text,
            Matcher::Glob(pattern) => glob(pattern, text),
        }
    }
}

impl Filter {
    /// Parses an expression.
    ///
    /// # Errors
    /// [`FilterError`] with the column of the error.
    pub fn parse(text: &str) -> Result<Filter, FilterError> {
        let root = Parser::new(text).whole()?;
        Ok(Filter { text: text.to_owned(), root })
    }

    /// Returns whether the expression matches a behaviour.
    #[must_use]
    pub fn matches(&self, behaviour: &Entry) -> bool {
        self.root.matches(behaviour)
    }

    /// Rejects a term that no behaviour of `all` matches: it is probably a mistake.
    ///
    /// # Errors
    /// [`FilterError`] with the column of the term.
    pub fn check_terms(&self, all: &[&Entry]) -> Result<(), FilterError> {
        let mut nodes = vec![&self.root];
        while let Some(node) = nodes.pop() {
            match node {
                Node::Any(parts) | Node::All(parts) => nodes.extend(parts),
                Node::Not(inner) => nodes.push(inner),
                Node::Term { at, .. } if !all.iter().any(|behaviour| node.matches(behaviour)) => {
                    let what = format!("{node} matches no behaviour (a glob must match the whole text)");
                    return Err(FilterError { text: self.text.clone(), at: *at, what });
                }
                Node::Term { .. } | Node::Everything => {}
            }
        }
        Ok(())
    }
}

impl Node {
    // The recursion is bounded by MAX_DEPTH.
    fn matches(&self, behaviour: &Entry) -> bool {
        match self {
            Node::Any(parts) => parts.iter().any(|part| part.matches(behaviour)),
            Node::All(parts) => parts.iter().all(|part| part.matches(behaviour)),
            Node::Not(inner) => !inner.matches(behaviour),
            Node::Everything => true,
            Node::Term { term, matcher, .. } => term.texts(behaviour).iter().any(|text| matcher.matches(text)),
        }
    }
}

/// Prints an equivalent expression that can be parsed again.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parts, operator) = match self {
            Node::Any(parts) => (parts, " | "),
            Node::All(parts) => (parts, " & "),
            Node::Not(inner) => return write!(f, "!{inner}"),
            Node::Everything => return f.write_str("all()"),
            Node::Term { term, matcher, .. } => return write!(f, "{}({matcher})", term.name()),
        };
        f.write_str("(")?;
        for (number, part) in parts.iter().enumerate() {
            write!(f, "{}{part}", if number == 0 { "" } else { operator })?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Matcher::Regex(regex) => write!(f, "/{}/", regex.as_str().replace('/', "\\/")),
            Matcher::Exact(exact) => write!(f, "={exact}"),
            Matcher::Glob(glob) => f.write_str(glob),
        }
    }
}

/// Returns whether the pattern matches the whole text; `*` matches any characters, `?` one.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // The position of the last star, and of the end of what it matches so far.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == '?' || c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, t) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests;
