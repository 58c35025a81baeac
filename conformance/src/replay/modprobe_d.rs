//! The body of the fuzz target `modprobe_d`. The same text is read as a file of kmod.d too.

mod naive;

use kmod::config::{Config, ConfigWarning, Masks, show};
use kmod::name::{Escaped, ModuleName, fnmatch};
use std::path::Path;

pub(super) use naive::joined;

/// Of the names that a configuration has so many are asked for, from the beginning.
const ASKED: usize = 24;

/// The input is a file of modprobe.d, or of kmod.d.
///
/// # Panics
/// When a promise about the configuration is broken.
pub fn modprobe_d(data: &[u8]) {
    masks(data);
    let (config, warnings) = read(data);
    let expected = naive::read(data);
    assert_eq!(config, expected.config, "another reader reads something else");
    let told: Vec<_> = warnings.iter().map(warning).collect();
    assert_eq!(told, expected.bad, "another reader refuses other lines");
    shown_reads_back(&config);
    for name in names(&config) {
        answers_agree(&config, &name);
    }
    // Where one file ends and the next begins makes no difference, if it is between lines.
    let at = data.iter().enumerate().skip(data.len() / 2).find(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let (first, second) = data.split_at(at.unwrap_or(data.len()));
    if !naive::is_open(first) {
        let mut both = read(first).0;
        both.add_file(Path::new("second"), second, &mut Vec::new());
        assert_eq!(both, config, "two halves are not the whole");
    }
}

fn read(text: &[u8]) -> (Config, Vec<ConfigWarning>) {
    let (mut config, mut warnings) = (Config::default(), Vec::new());
    config.add_file(Path::new("f"), text, &mut warnings);
    (config, warnings)
}

/// What kmod.d masks is what its lines say, and a module has the first that matches.
fn masks(text: &[u8]) {
    let (mut masks, mut warnings) = (Masks::default(), Vec::new());
    masks.add_file(Path::new("f"), text, &mut warnings);
    let (expected, bad) = naive::masks(text);
    let read: Vec<_> = masks.0.iter().map(|mask| (mask.line, mask.pattern.clone())).collect();
    assert_eq!(read, expected, "another reader masks something else");
    let told: Vec<_> = warnings.iter().map(warning).collect();
    assert_eq!(told, bad, "another reader refuses other lines");
    for (line, pattern) in &expected {
        let Ok(name) = ModuleName::new(pattern) else { continue };
        let first = expected.iter().find(|(_, pattern)| fnmatch(pattern, name.as_bytes())).map(|(line, _)| *line);
        assert_eq!(masks.find(&name).map(|mask| mask.line), first, "what masks the name of line {line}");
    }
}

/// The line, its first word, and whether it meant something once.
fn warning(warning: &ConfigWarning) -> (usize, Vec<u8>, bool) {
    match warning {
        ConfigWarning::BadLine { line, word, .. } => (*line, word.clone(), false),
        ConfigWarning::Deprecated { line, word, .. } => (*line, word.clone(), true),
        other => panic!("a text cannot cause: {other}"),
    }
}

/// What `modprobe -c` prints has one line for each directive, and is a configuration file again.
fn shown_reads_back(config: &Config) {
    let (again, warnings) = read(&show::as_file(config));
    assert!(warnings.is_empty(), "what was shown is refused: {}", warnings[0]);
    assert_eq!(&again, config, "what was shown reads back as something else");
    let shown = show::lines(config);
    let directives = config.aliases.len()
        + config.options.len()
        + config.blacklist.len()
        + config.install.len()
        + config.remove.len()
        + config.softdeps.len()
        + config.weakdeps.len();
    assert_eq!(shown.iter().filter(|byte| **byte == b'\n').count(), directives, "{}", Escaped(&shown));
    if !shown.contains(&b'\\') && config.softdeps.iter().all(|softdep| !softdep.pre.is_empty()) {
        assert_eq!(shown, show::as_file(config));
    }
}

/// Every name of the configuration; of a pattern, a name that it matches if it is a simple one.
fn names(config: &Config) -> Vec<ModuleName> {
    let mut names: Vec<&[u8]> = vec![b"a", b"a_b"];
    names.extend(config.options.iter().map(|options| options.name.as_slice()));
    names.extend(config.install.iter().chain(&config.remove).map(|command| command.pattern.as_slice()));
    names.extend(config.softdeps.iter().map(|softdep| softdep.pattern.as_slice()));
    names.extend(config.weakdeps.iter().map(|weakdep| weakdep.pattern.as_slice()));
    names.extend(config.blacklist.iter().map(Vec::as_slice));
    let simple =
        |name: &[u8]| name.iter().filter(|byte| **byte != b'*').map(|b| if *b == b'?' { b'a' } else { *b }).collect();
    let made = |name: &[u8]| [name.to_vec(), simple(name)];
    names.iter().take(ASKED).flat_map(|name| made(name)).filter_map(|name| ModuleName::new(&name).ok()).collect()
}

/// Questions about a module are answered as the lines say, read one by one.
fn answers_agree(config: &Config, module: &ModuleName) {
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
