//! The body of the fuzz target `modprobe_d`, which reads the same text as a file of kmod.d too.

mod naive;

use crate::pattern;
use kmod::config::{Config, ConfigWarning, Masks, show};
use kmod::name::{Escaped, ModuleName};
use std::path::Path;

pub(super) use naive::joined;

/// How many of a configuration's names are looked up.
const LOOKUPS: usize = 24;

/// The input is a file of modprobe.d, or of kmod.d.
///
/// # Panics
/// Panics if a promise about the configuration is broken.
pub fn modprobe_d(data: &[u8]) {
    check_masks(data);
    let (config, warnings) = read(data);
    let expected = naive::read(data);
    assert_eq!(config, expected.config, "the naive parser differs");
    let bad: Vec<_> = warnings.iter().map(warning).collect();
    assert_eq!(bad, expected.bad, "the naive parser rejects other lines");
    check_dump(&config);
    for name in names(&config) {
        check_lookups(&config, &name);
    }
    // Two files with the same lines give the same configuration as one.
    let at = data.iter().enumerate().skip(data.len() / 2).find(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let (first, second) = data.split_at(at.unwrap_or(data.len()));
    if !naive::is_open(first) {
        let mut both = read(first).0;
        both.add_file(Path::new("second"), second, &mut Vec::new());
        assert_eq!(both, config, "two halves give another configuration than the whole");
    }
}

fn read(text: &[u8]) -> (Config, Vec<ConfigWarning>) {
    let (mut config, mut warnings) = (Config::default(), Vec::new());
    config.add_file(Path::new("f"), text, &mut warnings);
    (config, warnings)
}

/// The masks of kmod.d are those that the naive parser finds, and the first one that matches a module applies.
fn check_masks(text: &[u8]) {
    let (mut masks, mut warnings) = (Masks::default(), Vec::new());
    masks.add_file(Path::new("f"), text, &mut warnings);
    let (expected, bad) = naive::masks(text);
    let read: Vec<_> = masks.lines.iter().map(|mask| (mask.line, mask.pattern.clone())).collect();
    assert_eq!(read, expected, "the naive parser finds other masks");
    let rejected: Vec<_> = warnings.iter().map(warning).collect();
    assert_eq!(rejected, bad, "the naive parser rejects other lines");
    for (line, pattern) in &expected {
        let Ok(name) = ModuleName::new(pattern) else { continue };
        let first =
            expected.iter().find(|(_, pattern)| pattern::matches(pattern, name.as_bytes())).map(|(line, _)| *line);
        assert_eq!(masks.find(&name).map(|mask| mask.line), first, "the mask of the name in line {line}");
    }
}

/// The line, its first word, and whether it is deprecated.
fn warning(warning: &ConfigWarning) -> (usize, Vec<u8>, bool) {
    match warning {
        ConfigWarning::BadLine { line, word, .. } => (*line, word.clone(), false),
        ConfigWarning::Deprecated { line, word, .. } => (*line, word.clone(), true),
        ConfigWarning::SurplusMask { line, .. } => (*line, b"mask".to_vec(), false),
        other => panic!("a file's text cannot cause this warning: {other}"),
    }
}

/// The output of `modprobe -c` has one line for each directive, and is a configuration file.
fn check_dump(config: &Config) {
    let (again, warnings) = read(&show::as_file(config));
    assert!(warnings.is_empty(), "the output is rejected: {}", warnings[0]);
    assert_eq!(&again, config, "the output is another configuration");
    let shown = show::lines(config);
    let directives = config.aliases.len()
        + config.options.len()
        + config.blacklist.len()
        + config.install.len()
        + config.remove.len()
        + config.softdeps.len()
        + config.weakdeps.len();
    assert_eq!(shown.iter().filter(|byte| **byte == b'\n').count(), directives, "{}", Escaped(&shown));
    // A dependency line without names is shown in another form than it is written.
    let has_names = config.softdeps.iter().all(|softdep| !softdep.pre.is_empty())
        && config.weakdeps.iter().all(|weakdep| !weakdep.names.is_empty());
    if !shown.contains(&b'\\') && has_names {
        assert_eq!(shown, show::as_file(config));
    }
}

/// The names of the configuration; for each pattern also a name that matches it, if it is simple.
fn names(config: &Config) -> Vec<ModuleName> {
    let mut names: Vec<&[u8]> = vec![b"a", b"a_b"];
    names.extend(config.options.iter().map(|options| options.name.as_slice()));
    names.extend(config.install.iter().chain(&config.remove).map(|command| command.pattern.as_slice()));
    names.extend(config.softdeps.iter().map(|softdep| softdep.pattern.as_slice()));
    names.extend(config.weakdeps.iter().map(|weakdep| weakdep.pattern.as_slice()));
    names.extend(config.blacklist.iter().map(Vec::as_slice));
    let simple =
        |name: &[u8]| name.iter().filter(|byte| **byte != b'*').map(|b| if *b == b'?' { b'a' } else { *b }).collect();
    let both = |name: &[u8]| [name.to_vec(), simple(name)];
    names.iter().take(LOOKUPS).flat_map(|name| both(name)).filter_map(|name| ModuleName::new(&name).ok()).collect()
}

/// Lookups of a module agree with a search of the lines.
fn check_lookups(config: &Config, module: &ModuleName) {
    for alias in [None, Some(&b"a"[..]), Some(b"al_ias")] {
        assert_eq!(config.options_for(module, alias), naive::options(config, module, alias), "options of {module}");
    }
    let listed = config.blacklist.iter().any(|name| name.as_slice() == module.as_bytes());
    assert_eq!(config.is_blacklisted(module), listed, "whether {module} is on the blacklist");
    assert_eq!(config.install_for(module), naive::command(&config.install, module), "install command of {module}");
    assert_eq!(config.remove_for(module), naive::command(&config.remove, module), "remove command of {module}");
    let weak: Vec<&[u8]> = config.weakdeps_for(module);
    assert_eq!(weak, naive::weakdeps(config, module), "weak dependencies of {module}");
    assert_eq!(config.softdeps_for(module), naive::softdeps(config, module), "soft dependencies of {module}");
}
