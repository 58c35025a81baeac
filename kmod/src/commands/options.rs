//! Option tables: one entry a flag, from which parser and help text come.
//!
//! Options are taken as getopt_long(3) takes them: short ones in bundles, long ones by any unique prefix, options after
//! operands, `--` ends them. The texts of wrong use are getopt's.

use lexopt::{Arg, Parser};
use std::ffi::OsString;
use std::fmt;

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

/// Wrong use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// No such long option.
    #[error("unrecognized option '--{0}'")]
    UnknownLong(String),
    /// No such short option.
    #[error("invalid option -- '{0}'")]
    UnknownShort(char),
    /// A prefix of several long options.
    #[error("option '--{given}' is ambiguous; possibilities:{}", Possibilities(.possible))]
    Ambiguous {
        /// As it was given.
        given: String,
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
    /// Anything else.
    #[error("{0}")]
    Other(String),
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
pub fn parse<A>(flags: &'static [Flag<A>], arguments: Vec<OsString>, into: &mut A) -> Result<Parsed, UsageError> {
    enum Found {
        Short(char),
        Long(String),
    }
    let mut parser = Parser::from_args(arguments);
    parser.set_short_equals(false);
    let mut operands = Vec::new();
    loop {
        let found = match parser.next() {
            Ok(None) => return Ok(Parsed::Run(operands)),
            Ok(Some(Arg::Value(value))) => {
                operands.push(value);
                continue;
            }
            Ok(Some(Arg::Short(short))) => Found::Short(short),
            Ok(Some(Arg::Long(long))) => Found::Long(long.to_owned()),
            // Only a value left over from a long option could make this fail, and those are taken below.
            Err(error) => return Err(UsageError::Other(error.to_string())),
        };
        let (flag, name) = match &found {
            Found::Short(short) => {
                let flag =
                    flags.iter().find(|flag| flag.short == Some(*short)).ok_or(UsageError::UnknownShort(*short))?;
                (flag, flag.long)
            }
            Found::Long(given) => long(flags, given)?,
        };
        if !matches!(flag.apply, Apply::Take(..))
            && matches!(found, Found::Long(_))
            && parser.optional_value().is_some()
        {
            return Err(UsageError::Unwanted(name));
        }
        match &flag.apply {
            Apply::Set(set) => set(into),
            Apply::Take(_, take) => match (parser.value(), found) {
                (Ok(value), _) => take(into, value),
                (Err(_), Found::Short(short)) => return Err(UsageError::MissingShort(short)),
                (Err(_), Found::Long(_)) => return Err(UsageError::MissingLong(name)),
            },
            Apply::Help => return Ok(Parsed::Help),
            Apply::Version => return Ok(Parsed::Version),
        }
    }
}

/// The flag of a long name: the exact one, or the only one that starts so.
fn long<A>(flags: &'static [Flag<A>], given: &str) -> Result<(&'static Flag<A>, &'static str), UsageError> {
    let names =
        || flags.iter().flat_map(|flag| std::iter::once(&flag.long).chain(flag.old).map(move |name| (flag, *name)));
    if let Some(exact) = names().find(|(_, name)| *name == given) {
        return Ok(exact);
    }
    let possible: Vec<_> = names().filter(|(_, name)| name.starts_with(given)).collect();
    let Some(first) = possible.first() else { return Err(UsageError::UnknownLong(given.to_owned())) };
    if possible.iter().all(|(flag, _)| std::ptr::eq(*flag, first.0)) {
        return Ok(*first);
    }
    let possible = possible.into_iter().map(|(_, name)| name).collect();
    Err(UsageError::Ambiguous { given: given.to_owned(), possible })
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

    fn parsed(arguments: &str) -> (Result<Vec<String>, String>, Args) {
        let mut args = Args::default();
        let result = match parse(FLAGS, arguments.split_whitespace().map(OsString::from).collect(), &mut args) {
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
        assert_eq!(error("--nosuch=1"), "unrecognized option '--nosuch'");
        assert_eq!(error("-ax"), "invalid option -- 'x'");
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
        let error = parse(TWO, vec!["--fo".into()], &mut Args::default()).unwrap_err();
        assert_eq!(error.to_string(), "option '--fo' is ambiguous; possibilities: '--force' '--form' '--fore'");
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
