//! Module options on the kernel command line: `MODULE.PARAMETER[=VALUE]` and `modprobe.blacklist=A,B`. Pure.
//!
//! Items are separated by white space outside double quotes. A value may contain quotes, and quotes may surround the whole
//! item with a value (boot loaders write `"foo.bar=a b"`); an item with quotes anywhere else is ignored. `--` does not end
//! the list.
//! `module_blacklist=` is evaluated by the kernel itself and ignored here.

use crate::name::normalise_alias;

/// An item about modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// An option of a module.
    Option {
        /// The module, normalised.
        module: Vec<u8>,
        /// `PARAMETER` or `PARAMETER=VALUE`.
        text: Vec<u8>,
    },
    /// A module that is not loaded by alias, normalised.
    Blacklist(Vec<u8>),
}

/// Returns the items of a command line. An error is a module name with an unmatched bracket.
pub fn items(line: &[u8]) -> Vec<Result<Item, Vec<u8>>> {
    let mut items = Vec::new();
    for token in tokens(line) {
        parse(token, &mut items);
    }
    items
}

/// Splits at white space outside quotes. An item whose quote is not closed is dropped.
fn tokens(line: &[u8]) -> Vec<&[u8]> {
    let mut tokens = Vec::new();
    let (mut start, mut quoted) = (0, false);
    for (at, &byte) in line.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b' ' | b'\t'..=b'\r' | 0 if !quoted => {
                tokens.push(&line[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !quoted {
        tokens.push(&line[start..]);
    }
    tokens
}

fn parse(token: &[u8], items: &mut Vec<Result<Item, Vec<u8>>>) {
    // `"foo.bar=a b"`: the quotes move to the value.
    let (token, requote) = match token {
        [b'"', inner @ .., b'"'] if !inner.contains(&b'"') => (inner, true),
        _ => (token, false),
    };
    let Some(dot) = token.iter().position(|&b| b == b'.') else { return };
    let (module, text) = (&token[..dot], &token[dot + 1..]);
    let equals = text.iter().position(|&b| b == b'=');
    let (parameter, value) = match equals {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    if !is_name(module) || !is_name(parameter) || parameter.contains(&b'.') || value.is_some_and(|v| v.contains(&0)) {
        return;
    }
    if requote && value.is_none() {
        return;
    }
    match (module, parameter, value) {
        (b"modprobe", b"blacklist", Some(names)) => blacklist(names, items),
        _ => items.push(match normalise_alias(module) {
            Ok(module) => Ok(Item::Option { module, text: option(parameter, value, requote) }),
            Err(_) => Err(module.to_vec()),
        }),
    }
}

/// Whether this can be a name: no quote, white space, `=` or NUL.
fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && !name.iter().any(|b| matches!(b, b'"' | b'=' | b' ' | b'\t'..=b'\r' | 0))
}

fn option(parameter: &[u8], value: Option<&[u8]>, requote: bool) -> Vec<u8> {
    let Some(value) = value else { return parameter.to_vec() };
    let quote: &[u8] = if requote { b"\"" } else { b"" };
    let text = [parameter, b"=", quote, value, quote].concat();
    // As in options of configuration files.
    text.into_iter().map(|b| if b == b'\t' { b' ' } else { b }).collect()
}

fn blacklist(names: &[u8], items: &mut Vec<Result<Item, Vec<u8>>>) {
    let names = match names {
        [b'"', inner @ .., b'"'] => inner,
        _ => names,
    };
    for name in names.split(|&b| b == b',').filter(|name| is_name(name)) {
        items.push(normalise_alias(name).map(Item::Blacklist).map_err(|_| name.to_vec()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let shown = |item: Result<Item, Vec<u8>>| match item {
            Ok(Item::Option { module, text: option }) => format!("options {} {}", text(&module), text(&option)),
            Ok(Item::Blacklist(name)) => format!("blacklist {}", text(&name)),
            Err(module) => format!("bad {}", text(&module)),
        };
        items(line.as_bytes()).into_iter().map(shown).collect()
    }

    #[test]
    fn options_of_modules_are_found_among_other_items() {
        let line = "BOOT_IMAGE=/vmlinuz root=/dev/sda1 ro snd-hda-intel.power_save=1\tloop.max_loop quiet -- usb.x=y\n";
        assert_eq!(shown(line), ["options snd_hda_intel power_save=1", "options loop max_loop", "options usb x=y"]);
    }

    #[test]
    fn quotes_in_a_value_are_kept_and_quotes_around_an_item_move_to_the_value() {
        assert_eq!(shown(r#"foo.bar="a b" x"#), [r#"options foo bar="a b""#]);
        assert_eq!(shown("foo.bar=\"a\tb\""), [r#"options foo bar="a b""#]);
        assert_eq!(shown(r#"foo.bar=a" "b"#), [r#"options foo bar=a" "b"#]);
        assert_eq!(shown(r#""foo.bar=a b""#), [r#"options foo bar="a b""#]);
    }

    #[test]
    fn items_of_another_form_are_ignored() {
        for line in [
            "foo",
            "foo=a.b",
            "foo.a.b=1",
            ".x=1",
            "foo.=1",
            "foo.",
            r#"foo.bar="a b"#,
            r#""foo.bar""#,
            r#"fo"o.bar=1"#,
            r#"fo"o.bar"=1"#,
            r#"foo."bar"=1"#,
            r#""foo .bar=1""#,
            r#""foo.bar="a" b""#,
            "",
            "  ",
        ] {
            assert_eq!(shown(line), [""; 0], "{line}");
        }
    }

    #[test]
    fn a_value_may_contain_any_bytes() {
        assert_eq!(shown("foo.bar=a.b=c,[d"), ["options foo bar=a.b=c,[d"]);
    }

    #[test]
    fn an_unmatched_bracket_in_a_module_name_is_an_error() {
        assert_eq!(shown("ivrs_acpihid[00:14.5]=HID:0"), ["bad ivrs_acpihid[00:14"]);
    }

    #[test]
    fn blacklisted_names_are_normalised_and_empty_ones_dropped() {
        assert_eq!(shown("modprobe.blacklist=snd-hda-intel,,b"), ["blacklist snd_hda_intel", "blacklist b"]);
        assert_eq!(shown(r#""modprobe.blacklist=a,b""#), ["blacklist a", "blacklist b"]);
        assert_eq!(shown(r#"modprobe.blacklist="a,b""#), ["blacklist a", "blacklist b"]);
        assert_eq!(shown("mod-probe.blacklist=a module_blacklist=c"), ["options mod_probe blacklist=a"]);
    }

    #[test]
    fn invalid_names_are_not_blacklisted() {
        assert_eq!(
            shown(r#"modprobe.blacklist=a"b c"d,e,f=g "modprobe.blacklist=h i,j""#),
            ["blacklist e", "blacklist j"]
        );
    }

    #[test]
    fn items_of_any_bytes_have_names_and_values_without_nul() {
        const PARTS: &[&[u8]] =
            &[b"foo", b".", b"=", b"\"", b" ", b"\n", b"\0", b"modprobe.blacklist=", b",", b"[", b"]", b"-"];
        arbtest::arbtest(|u| {
            let mut line = Vec::new();
            for _ in 0..u.int_in_range(0..=12)? {
                line.extend_from_slice(u.choose(PARTS)?);
            }
            for item in items(&line).into_iter().flatten() {
                let (name, text) = match item {
                    Item::Option { module, text } => (module, text),
                    Item::Blacklist(name) => (name, b"blacklist".to_vec()),
                };
                assert!(!name.is_empty() && !name.contains(&0));
                // Dashes are kept inside brackets only.
                assert_eq!(normalise_alias(&name).as_ref(), Ok(&name));
                assert!(!text.is_empty() && !text.contains(&0));
            }
            Ok(())
        });
    }
}
