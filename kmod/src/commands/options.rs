//! Option tables: one entry a flag, from which parser, help text, manual page and completions come.
//!
//! Options are taken as getopt_long(3) takes them: short ones in bundles, long ones by any unique prefix, options after
//! operands, `--` ends them. The texts of wrong use are getopt's.

use crate::name::Escaped;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// One flag of a command that collects its arguments in an `A`.
pub struct Flag<A: 'static> {
    /// `-x`
    pub short: Option<char>,
    /// `--long`
    pub long: &'static str,
    /// Names that are accepted and not shown.
    pub old: &'static [&'static str],
    /// What it does.
    pub apply: Apply<A>,
    /// One or more lines.
    pub help: &'static str,
}

/// What a flag does.
pub enum Apply<A: 'static> {
    /// Without a value.
    Set(fn(&mut A)),
    /// With a value, of this name in the help.
    Take(&'static str, fn(&mut A, OsString)),
    /// Help is printed at once.
    Help,
    /// The version is printed at once.
    Version,
}

/// A command as its help shows it.
pub struct About<A: 'static> {
    /// Lines behind "Usage:".
    pub usage: &'static str,
    /// All flags.
    pub flags: &'static [Flag<A>],
}

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// To run, with these operands.
    Run(Vec<OsString>),
    /// Help.
    Help,
    /// The version.
    Version,
}

/// Where options may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Anywhere.
    Any,
    /// Before the first operand only: what `POSIXLY_CORRECT` asks for, and what a command with subcommands needs.
    OptionsFirst,
}

/// Wrong use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// No such long option; with the value that was given.
    #[error("unrecognized option '--{0}'")]
    UnknownLong(Escaped<Vec<u8>>),
    /// No such short option.
    #[error("invalid option -- '{0}'")]
    UnknownShort(Escaped<[u8; 1]>),
    /// A prefix of several long options.
    #[error("option '--{given}' is ambiguous; possibilities:{}", Possibilities(.possible))]
    Ambiguous {
        /// As it was given.
        given: Escaped<Vec<u8>>,
        /// What it could be.
        possible: Vec<&'static str>,
    },
    /// A long option without its value.
    #[error("option '--{0}' requires an argument")]
    MissingLong(&'static str),
    /// A short option without its value.
    #[error("option requires an argument -- '{0}'")]
    MissingShort(char),
    /// A long option with a value that it does not take.
    #[error("option '--{0}' doesn't allow an argument")]
    Unwanted(&'static str),
}

struct Possibilities<'a>(&'a [&'static str]);

impl fmt::Display for Possibilities<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|name| write!(f, " '--{name}'"))
    }
}

/// Applies options in their order, up to help or version.
///
/// # Errors
/// [`UsageError`] at the first wrong one.
pub fn parse<A>(
    flags: &'static [Flag<A>],
    arguments: Vec<OsString>,
    order: Order,
    into: &mut A,
) -> Result<Parsed, UsageError> {
    let mut operands = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let bytes = argument.as_bytes();
        let acted = if bytes == b"--" {
            break;
        } else if let Some(long) = bytes.strip_prefix(b"--") {
            take_long(flags, long, &mut arguments, into)?
        } else if let Some(short @ [_, ..]) = bytes.strip_prefix(b"-") {
            take_short(flags, short, &mut arguments, into)?
        } else {
            operands.push(argument);
            if order == Order::OptionsFirst {
                break;
            }
            None
        };
        if let Some(acted) = acted {
            return Ok(acted);
        }
    }
    operands.extend(arguments);
    Ok(Parsed::Run(operands))
}

/// What stands behind `--`. A value stands behind a `=`, or is the next argument, whatever that looks like.
fn take_long<A>(
    flags: &'static [Flag<A>],
    given: &[u8],
    rest: &mut impl Iterator<Item = OsString>,
    into: &mut A,
) -> Result<Option<Parsed>, UsageError> {
    let (prefix, value) = match given.iter().position(|&byte| byte == b'=') {
        Some(at) => (&given[..at], Some(OsStr::from_bytes(&given[at + 1..]).to_owned())),
        None => (given, None),
    };
    let (flag, name) = long(flags, prefix, given)?;
    match (&flag.apply, value) {
        (Apply::Take(_, take), Some(value)) => take(into, value),
        (Apply::Take(_, take), None) => take(into, rest.next().ok_or(UsageError::MissingLong(name))?),
        (_, Some(_)) => return Err(UsageError::Unwanted(name)),
        (_, None) => return Ok(act(flag, into)),
    }
    Ok(None)
}

/// What stands behind one `-`: a bundle, where what follows a letter that takes a value is that value.
fn take_short<A>(
    flags: &'static [Flag<A>],
    bundle: &[u8],
    rest: &mut impl Iterator<Item = OsString>,
    into: &mut A,
) -> Result<Option<Parsed>, UsageError> {
    for (at, &letter) in bundle.iter().enumerate() {
        let flag = flags
            .iter()
            .find(|flag| flag.short == Some(char::from(letter)))
            .ok_or(UsageError::UnknownShort(Escaped([letter])))?;
        if let Apply::Take(_, take) = &flag.apply {
            let value = match &bundle[at + 1..] {
                [] => rest.next().ok_or(UsageError::MissingShort(char::from(letter)))?,
                value => OsString::from_vec(value.to_vec()),
            };
            take(into, value);
            return Ok(None);
        }
        if let acted @ Some(_) = act(flag, into) {
            return Ok(acted);
        }
    }
    Ok(None)
}

/// Applies a flag without a value; help and version end the parsing.
fn act<A>(flag: &Flag<A>, into: &mut A) -> Option<Parsed> {
    match flag.apply {
        Apply::Set(set) => set(into),
        Apply::Take(..) => {}
        Apply::Help => return Some(Parsed::Help),
        Apply::Version => return Some(Parsed::Version),
    }
    None
}

/// The flag of a long name: the exact one, or the only one that starts so.
fn long<A>(
    flags: &'static [Flag<A>],
    prefix: &[u8],
    given: &[u8],
) -> Result<(&'static Flag<A>, &'static str), UsageError> {
    let names =
        || flags.iter().flat_map(|flag| std::iter::once(&flag.long).chain(flag.old).map(move |name| (flag, *name)));
    if let Some(exact) = names().find(|(_, name)| name.as_bytes() == prefix) {
        return Ok(exact);
    }
    let mut possible = names().filter(|(_, name)| name.as_bytes().starts_with(prefix));
    let first = possible.next().ok_or_else(|| UsageError::UnknownLong(Escaped(given.to_vec())))?;
    // Another name of the first one makes no difference.
    let others: Vec<_> = possible.filter(|(flag, _)| !std::ptr::eq(*flag, first.0)).map(|(_, name)| name).collect();
    if others.is_empty() {
        return Ok(first);
    }
    let possible = std::iter::once(first.1).chain(others).collect();
    Err(UsageError::Ambiguous { given: Escaped(given.to_vec()), possible })
}

impl<A> About<A> {
    /// The help text.
    #[must_use]
    pub fn help(&self) -> String {
        let mut help = String::from("Usage:\n");
        self.usage.lines().for_each(|line| help += &format!("\t{line}\n"));
        help += "Options:\n";
        for flag in self.flags {
            let short = flag.short.map_or_else(|| "   ".to_owned(), |short| format!("-{short},"));
            let value = if let Apply::Take(value, _) = flag.apply { format!(" {value}") } else { String::new() };
            let mut left = format!("{short} --{}{value}", flag.long);
            for line in flag.help.lines() {
                help += &format!("\t{left:<28}{line}\n");
                left.clear();
            }
        }
        help
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Args {
        all: u8,
        config: Vec<String>,
    }

    static FLAGS: &[Flag<Args>] = &[
        Flag {
            short: Some('a'),
            long: "all",
            old: &["any"],
            apply: Apply::Set(|args| args.all += 1),
            help: "each\nof them",
        },
        Flag {
            short: Some('C'),
            long: "config",
            old: &[],
            apply: Apply::Take("FILE", |args, value| {
                args.config.push(value.to_string_lossy().into_owned());
            }),
            help: "from there",
        },
        Flag {
            short: None,
            long: "show-config",
            old: &["showconfig"],
            apply: Apply::Set(|args| args.all += 10),
            help: "show",
        },
        Flag { short: Some('h'), long: "help", old: &[], apply: Apply::Help, help: "help" },
        Flag { short: Some('V'), long: "version", old: &[], apply: Apply::Version, help: "version" },
    ];

    fn words(arguments: &str) -> Vec<OsString> {
        arguments.split_whitespace().map(OsString::from).collect()
    }

    fn parsed(arguments: &str) -> (Result<Vec<String>, String>, Args) {
        let mut args = Args::default();
        let result = match parse(FLAGS, words(arguments), Order::Any, &mut args) {
            Ok(Parsed::Run(operands)) => Ok(operands.into_iter().map(|o| o.into_string().unwrap()).collect()),
            Ok(other) => Err(format!("{other:?}")),
            Err(error) => Err(error.to_string()),
        };
        (result, args)
    }

    fn ok(arguments: &str) -> (String, u8, String) {
        let (operands, args) = parsed(arguments);
        (operands.unwrap().join(","), args.all, args.config.join(","))
    }

    #[test]
    fn options_may_follow_operands_and_two_dashes_end_them() {
        assert_eq!(ok("x -a y -C z -- -a --all"), ("x,y,-a,--all".into(), 1, "z".into()));
        assert_eq!(ok("- -"), ("-,-".into(), 0, String::new()));
    }

    #[test]
    fn short_options_are_bundled_with_a_value_at_the_end() {
        assert_eq!(ok("-aaCx -C=y"), (String::new(), 2, "x,=y".into()));
    }

    #[test]
    fn long_options_may_be_cut_as_long_as_they_are_unique() {
        assert_eq!(ok("--al --conf x --config=y --show"), (String::new(), 11, "x,y".into()));
        // Two names of one flag are no ambiguity.
        assert_eq!(ok("--a --showc"), (String::new(), 11, String::new()));
    }

    #[test]
    fn wrong_use_is_told_in_the_words_of_getopt() {
        let error = |arguments: &str| parsed(arguments).0.unwrap_err();
        assert_eq!(error("--nosuch"), "unrecognized option '--nosuch'");
        assert_eq!(error("--nosuch=1"), "unrecognized option '--nosuch=1'");
        assert_eq!(error("-ax"), "invalid option -- 'x'");
        assert_eq!(error("-\u{e9}"), r"invalid option -- '\xc3'");
        assert_eq!(error("-C"), "option requires an argument -- 'C'");
        assert_eq!(error("--config"), "option '--config' requires an argument");
        assert_eq!(error("--all=1"), "option '--all' doesn't allow an argument");
    }

    #[test]
    fn an_ambiguous_prefix_is_told_with_what_it_could_be() {
        static TWO: &[Flag<Args>] = &[
            Flag { short: None, long: "force", old: &[], apply: Apply::Set(|_| ()), help: "" },
            Flag { short: None, long: "form", old: &["fore"], apply: Apply::Set(|_| ()), help: "" },
        ];
        let error =
            |given: &str| parse(TWO, vec![given.into()], Order::Any, &mut Args::default()).unwrap_err().to_string();
        assert_eq!(error("--fo"), "option '--fo' is ambiguous; possibilities: '--force' '--form' '--fore'");
        assert_eq!(error("--=x"), "option '--=x' is ambiguous; possibilities: '--force' '--form' '--fore'");
    }

    #[test]
    fn a_value_may_look_like_an_option() {
        assert_eq!(ok("-C -a --config -- x"), ("x".into(), 0, "-a,--".into()));
        assert_eq!(ok("--config= -a"), (String::new(), 1, String::new()));
        assert_eq!(ok("--config=a=b"), (String::new(), 0, "a=b".into()));
    }

    #[test]
    fn options_first_means_that_the_first_operand_ends_them() {
        let mut args = Args::default();
        let parsed = parse(FLAGS, words("-a x -a -- --nosuch"), Order::OptionsFirst, &mut args);
        assert_eq!((parsed, args.all), (Ok(Parsed::Run(words("x -a -- --nosuch"))), 1));
        let parsed = parse(FLAGS, words("-a -- -a"), Order::OptionsFirst, &mut args);
        assert_eq!((parsed, args.all), (Ok(Parsed::Run(words("-a"))), 2));
    }

    #[test]
    fn help_and_version_act_at_once() {
        assert_eq!(parsed("-a -h --nosuch").0, Err("Help".to_owned()));
        assert_eq!(parsed("-V -h").0, Err("Version".to_owned()));
        assert_eq!(parsed("--nosuch -h").0, Err("unrecognized option '--nosuch'".to_owned()));
    }

    #[test]
    fn the_help_comes_from_the_table() {
        insta::assert_snapshot!(About { usage: "x [options]\nx -a", flags: FLAGS }.help());
    }
}
