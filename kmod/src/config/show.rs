//! Formats the configuration as `modprobe -c` prints it, ahead of the indexes.

use super::{Config, append_word};

/// Returns all lines, grouped by kind, each kind in the order of the files.
#[must_use]
pub fn lines(config: &Config) -> Vec<u8> {
    let mut out = Vec::new();
    each_line(config, &mut |line| out.extend_from_slice(line));
    out
}

/// Passes each of [`lines`] to a function, with its newline.
pub fn each_line(config: &Config, each: &mut dyn FnMut(&[u8])) {
    let mut line = |fields: &[&[u8]]| each(&[&fields.join(&b' ')[..], b"\n"].concat());
    for name in &config.blacklist {
        line(&[b"blacklist", name]);
    }
    for command in &config.install {
        line(&[b"install", &command.pattern, &command.command]);
    }
    for command in &config.remove {
        line(&[b"remove", &command.pattern, &command.command]);
    }
    for alias in &config.aliases {
        line(&[b"alias", &alias.pattern, &alias.target]);
    }
    for options in &config.options {
        line(&[b"options", &options.name, &options.text]);
    }
    for softdep in &config.softdeps {
        let mut text = Vec::new();
        for (mark, names) in [(&b"pre:"[..], &softdep.pre), (b"post:", &softdep.post)] {
            if !names.is_empty() {
                append_word(&mut text, mark);
                names.iter().for_each(|name| append_word(&mut text, name));
            }
        }
        line(&[b"softdep", &softdep.pattern, &text]);
    }
    for weakdep in &config.weakdeps {
        line(&[b"weakdep", &weakdep.pattern, &weakdep.names.join(&b' ')]);
    }
}

/// Returns the same as a modprobe.d file that parses to the same configuration: backslashes are doubled, and a softdep
/// or weakdep without names, which [`lines`] shows without a value, gets a carriage return as its value: white space
/// among names, but part of the value for the parser of lines.
#[must_use]
pub fn as_file(config: &Config) -> Vec<u8> {
    let mut shown = Vec::new();
    for line in lines(config).split_inclusive(|&b| b == b'\n') {
        for &byte in line {
            if byte == b'\\' {
                shown.push(b'\\');
            }
            shown.push(byte);
        }
        let takes_names = line.starts_with(b"softdep ") || line.starts_with(b"weakdep ");
        if takes_names && line.ends_with(b" \n") {
            shown.truncate(shown.len() - 1);
            shown.extend_from_slice(b"\r\n");
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn soft_and_weak_dependencies_without_names_are_parsed_again() {
        let (mut config, mut again) = (Config::default(), Config::default());
        config.add_file(Path::new("x"), b"weakdep w \r\nsoftdep s \r\n", &mut Vec::new());
        let mut warnings = Vec::new();
        again.add_file(Path::new("x"), &as_file(&config), &mut warnings);
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!((config.weakdeps.len(), config.softdeps.len()), (1, 1));
        assert_eq!(config, again);
    }

    #[test]
    fn the_kinds_are_in_a_fixed_order() {
        let mut config = Config::default();
        let text =
            b"weakdep w a  b\nsoftdep s pre: a b post: c\nsoftdep t post: d\noptions o x=1\talpha\nalias a-l m-od\n\
            remove r rm it\ninstall i echo   hi\nblacklist b-l\nsoftdep u nothing\n";
        config.add_file(Path::new("x"), text, &mut Vec::new());
        insta::assert_snapshot!(String::from_utf8(lines(&config)).unwrap(), @r"
        blacklist b_l
        install i echo   hi
        remove r rm it
        alias a_l m_od
        options o x=1 alpha
        softdep s pre: a b post: c
        softdep t post: d
        softdep u 
        weakdep w a b
        ");
    }
}
