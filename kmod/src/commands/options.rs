//! Option tables. The parser, the help, the man page and the completions of a tool are all generated from its table.
//!
//! Parsing follows getopt_long(3): short options can be bundled, long options abbreviated to a unique prefix, options can
//! follow operands, and `--` ends the options. The error messages are getopt's.

use crate::name::Escaped;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// One option of a tool that collects its arguments in an `A`.
pub struct Flag<A: 'static> {
    /// `-x`
    pub short: Option<char>,
    /// `--long`
    pub long: &'static str,
    /// Alternative long names, which the help omits.
    pub old: &'static [&'static str],
    /// The effect of the option.
    pub apply: Apply<A>,
    /// The description, of one or more lines.
    pub help: &'static str,
}

/// The effect of an option.
pub enum Apply<A: 'static> {
    /// An option without a value.
    Set(fn(&mut A)),
    /// An option with a value, which the help shows under this name.
    Value(&'static str, fn(&mut A, OsString)),
    /// Print the help and exit.
    Help,
    /// Print the version and exit.
    Version,
}

/// The usage and options of a tool.
pub struct About<A: 'static> {
    /// The lines of the usage section.
    pub usage: &'static str,
    /// All options, in the order of the help.
    pub flags: &'static [Flag<A>],
}

/// The result of parsing.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Run with these operands.
    Run(Vec<OsString>),
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// Where options can be placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Anywhere.
    Any,
    /// Only before the first operand: for `POSIXLY_CORRECT`, and for a tool with subcommands.
    OptionsFirst,
}

/// Wrong use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// Unknown long option; with its value, if given.
    #[error("unrecognized option '--{0}'")]
    UnknownLong(Escaped<Vec<u8>>),
    /// Unknown short option.
    #[error("invalid option -- '{0}'")]
    UnknownShort(Escaped<[u8; 1]>),
    /// An ambiguous prefix of long options.
    #[error("option '--{given}' is ambiguous; possibilities:{}", Possibilities(.possible))]
    Ambiguous {
        /// The argument.
        given: Escaped<Vec<u8>>,
        /// The matching options.
        possible: Vec<&'static str>,
    },
    /// A long option without its value.
    #[error("option '--{0}' requires an argument")]
    MissingLongValue(&'static str),
    /// A short option without its value.
    #[error("option requires an argument -- '{0}'")]
    MissingShortValue(char),
    /// A value for a long option that does not accept one.
    #[error("option '--{0}' doesn't allow an argument")]
    UnexpectedValue(&'static str),
}

struct Possibilities<'a>(&'a [&'static str]);

impl fmt::Display for Possibilities<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|name| write!(f, " '--{name}'"))
    }
}

/// Applies options in order, up to the first request for help or the version.
///
/// # Errors
/// The first invalid option.
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
            parse_long(flags, long, &mut arguments, into)?
        } else if let Some(short @ [_, ..]) = bytes.strip_prefix(b"-") {
            parse_short(flags, short, &mut arguments, into)?
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

/// Parses the text after `--`. A value follows a `=`, or is the next argument, whatever that looks like.
fn parse_long<A>(
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
        (Apply::Value(_, set), Some(value)) => set(into, value),
        (Apply::Value(_, set), None) => set(into, rest.next().ok_or(UsageError::MissingLongValue(name))?),
        (_, Some(_)) => return Err(UsageError::UnexpectedValue(name)),
        (_, None) => return Ok(act(flag, into)),
    }
    Ok(None)
}

/// Parses the text after a single `-`: a bundle of options, in which the rest after an option with a value is that value.
fn parse_short<A>(
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
        if let Apply::Value(_, set) = &flag.apply {
            let value = match &bundle[at + 1..] {
                [] => rest.next().ok_or(UsageError::MissingShortValue(char::from(letter)))?,
                value => OsString::from_vec(value.to_vec()),
            };
            set(into, value);
            return Ok(None);
        }
        if let acted @ Some(_) = act(flag, into) {
            return Ok(acted);
        }
    }
    Ok(None)
}

/// Applies an option without a value. Help and version end the parsing.
fn act<A>(flag: &Flag<A>, into: &mut A) -> Option<Parsed> {
    match flag.apply {
        Apply::Set(set) => set(into),
        Apply::Value(..) => {}
        Apply::Help => return Some(Parsed::Help),
        Apply::Version => return Some(Parsed::Version),
    }
    None
}

/// Finds the option of a long name: an exact match or a unique prefix.
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
    // Several names of one option are not ambiguous.
    let others: Vec<_> = possible.filter(|(flag, _)| !std::ptr::eq(*flag, first.0)).map(|(_, name)| name).collect();
    if others.is_empty() {
        return Ok(first);
    }
    let possible = std::iter::once(first.1).chain(others).collect();
    Err(UsageError::Ambiguous { given: Escaped(given.to_vec()), possible })
}

impl<A> About<A> {
    /// Returns the help text.
    #[must_use]
    pub fn help(&self) -> String {
        let mut help = String::from("Usage:\n");
        self.usage.lines().for_each(|line| help += &format!("\t{line}\n"));
        help += "Options:\n";
        for flag in self.flags {
            let short = flag.short.map_or_else(|| "   ".to_owned(), |short| format!("-{short},"));
            let value = if let Apply::Value(value, _) = flag.apply { format!(" {value}") } else { String::new() };
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
            apply: Apply::Value("FILE", |args, value| {
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

    fn arguments(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    fn parsed(line: &str) -> (Result<Vec<String>, String>, Args) {
        let mut args = Args::default();
        let result = match parse(FLAGS, arguments(line), Order::Any, &mut args) {
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
    fn options_can_follow_operands_and_two_dashes_end_them() {
        assert_eq!(ok("x -a y -C z -- -a --all"), ("x,y,-a,--all".into(), 1, "z".into()));
        assert_eq!(ok("- -"), ("-,-".into(), 0, String::new()));
    }

    #[test]
    fn short_options_can_be_bundled() {
        assert_eq!(ok("-aaCx -C=y"), (String::new(), 2, "x,=y".into()));
    }

    #[test]
    fn long_options_can_be_abbreviated_to_a_unique_prefix() {
        assert_eq!(ok("--al --conf x --config=y --show"), (String::new(), 11, "x,y".into()));
        // Two names of one option are not ambiguous.
        assert_eq!(ok("--a --showc"), (String::new(), 11, String::new()));
    }

    #[test]
    fn errors_are_worded_as_getopt_does() {
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
    fn an_ambiguous_prefix_lists_the_matching_options() {
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
    fn a_value_can_look_like_an_option() {
        assert_eq!(ok("-C -a --config -- x"), ("x".into(), 0, "-a,--".into()));
        assert_eq!(ok("--config= -a"), (String::new(), 1, String::new()));
        assert_eq!(ok("--config=a=b"), (String::new(), 0, "a=b".into()));
    }

    #[test]
    fn with_options_first_the_first_operand_ends_the_options() {
        let mut args = Args::default();
        let parsed = parse(FLAGS, arguments("-a x -a -- --nosuch"), Order::OptionsFirst, &mut args);
        assert_eq!((parsed, args.all), (Ok(Parsed::Run(arguments("x -a -- --nosuch"))), 1));
        let parsed = parse(FLAGS, arguments("-a -- -a"), Order::OptionsFirst, &mut args);
        assert_eq!((parsed, args.all), (Ok(Parsed::Run(arguments("-a"))), 2));
    }

    #[test]
    fn help_and_version_end_the_parsing() {
        assert_eq!(parsed("-a -h --nosuch").0, Err("Help".to_owned()));
        assert_eq!(parsed("-V -h").0, Err("Version".to_owned()));
        assert_eq!(parsed("--nosuch -h").0, Err("unrecognized option '--nosuch'".to_owned()));
    }

    #[test]
    fn the_help_is_generated_from_the_table() {
        insta::assert_snapshot!(About { usage: "x [options]\nx -a", flags: FLAGS }.help());
    }
}
