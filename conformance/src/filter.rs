//! Filter expressions: `group(loop) & !id(/kill/)` says which behaviours a run takes.
//!
//! ```text
//!   expression  difference ('|' difference)*
//!   difference  unary (('&' | '-') unary)*          a - b is a & !b
//!   unary       '!'* ( '(' expression ')' | 'all()' | TERM '(' matcher ')' )
//!   TERM        group  id  catalogue  about  needs
//!   matcher     /REGEX/   =EXACT   GLOB             a glob names all of the text; * and ? are its only signs
//! ```
//!
//! An expression is read once, is a tree of bounded depth, and is evaluated over what behaviours say of themselves.

mod parse;

use crate::behaviour::{About, Behaviour, Need};
use crate::filter::parse::Parser;
use regex_lite::Regex;
use std::fmt;

/// Parentheses may stand so deep in each other.
const DEPTH: usize = 64;
/// An expression of so many characters is shown with its error.
const SHOWN: usize = 200;

/// An expression that cannot be read, or that names something which is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("filter, column {}: {what}{}", self.column(), self.pointer())]
pub struct FilterError {
    text: String,
    at: usize,
    what: String,
}

impl FilterError {
    /// The character that it is about, from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        self.text[..self.at].chars().count() + 1
    }

    /// The expression on one line with a sign below the place; of a long one nothing, since lines break.
    fn pointer(&self) -> String {
        let line: String = self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if line.chars().count() > SHOWN {
            String::new()
        } else {
            format!("\n  {line}\n  {}^", " ".repeat(self.column() - 1))
        }
    }
}

/// An expression.
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

/// What a term looks at.
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

    fn word(self) -> &'static str {
        Term::ALL.iter().find(|(_, term)| *term == self).map_or("", |(word, _)| word)
    }

    /// The texts of a behaviour that the term may match.
    fn texts(self, behaviour: &Behaviour) -> Vec<String> {
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
                    Need::Command(name) | Need::Module(name) | Need::Config(name) => (*name).to_owned(),
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
    /// Reads an expression.
    ///
    /// # Errors
    /// [`FilterError`] with the column that cannot be read.
    pub fn parse(text: &str) -> Result<Filter, FilterError> {
        let root = Parser::new(text).whole()?;
        Ok(Filter { text: text.to_owned(), root })
    }

    /// Whether a behaviour is wanted.
    #[must_use]
    pub fn matches(&self, behaviour: &Behaviour) -> bool {
        self.root.matches(behaviour)
    }

    /// Finds the term that no behaviour of `all` has: more likely a wrong word than a wish for nothing.
    ///
    /// # Errors
    /// [`FilterError`] that points to it.
    pub fn check_terms(&self, all: &[&Behaviour]) -> Result<(), FilterError> {
        let mut nodes = vec![&self.root];
        while let Some(node) = nodes.pop() {
            match node {
                Node::Any(parts) | Node::All(parts) => nodes.extend(parts),
                Node::Not(inner) => nodes.push(inner),
                Node::Term { at, .. } if !all.iter().any(|behaviour| node.matches(behaviour)) => {
                    let what =
                        format!("no behaviour has {node}; a plain word stands for the whole text, *word* for a part");
                    return Err(FilterError { text: self.text.clone(), at: *at, what });
                }
                Node::Term { .. } | Node::Everything => {}
            }
        }
        Ok(())
    }
}

impl Node {
    // As deep as parentheses stand: DEPTH.
    fn matches(&self, behaviour: &Behaviour) -> bool {
        match self {
            Node::Any(parts) => parts.iter().any(|part| part.matches(behaviour)),
            Node::All(parts) => parts.iter().all(|part| part.matches(behaviour)),
            Node::Not(inner) => !inner.matches(behaviour),
            Node::Everything => true,
            Node::Term { term, matcher, .. } => term.texts(behaviour).iter().any(|text| matcher.matches(text)),
        }
    }
}

/// Written so that it reads back as the same expression.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (parts, sign) = match self {
            Node::Any(parts) => (parts, " | "),
            Node::All(parts) => (parts, " & "),
            Node::Not(inner) => return write!(f, "!{inner}"),
            Node::Everything => return f.write_str("all()"),
            Node::Term { term, matcher, .. } => return write!(f, "{}({matcher})", term.word()),
        };
        f.write_str("(")?;
        for (number, part) in parts.iter().enumerate() {
            write!(f, "{}{part}", if number == 0 { "" } else { sign })?;
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

/// Whether all of `text` is as the pattern says: `*` any characters, `?` one.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where the last star stood, and how much it has taken so far.
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
