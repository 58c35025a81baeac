//! The body of the fuzz target `depmod_d`.

mod naive;

use kmod::config::ConfigWarning;
use kmod::depmod::DepmodConfig;
use kmod::depmod::config::Search;
use kmod::name::ModuleName;
use std::path::Path;

/// The kernel that the configuration is read for.
const RELEASE: &[u8] = b"6.1.0-9-cloud-amd64";
/// How many of a configuration's directories are tried.
const TRIED: usize = 16;

/// The input is a file of depmod.d.
///
/// # Panics
/// Panics if a promise about depmod's configuration is broken.
pub fn depmod_d(data: &[u8]) {
    let (config, bad) = read(data);
    let expected = naive::read(data, RELEASE, &is_for);
    assert_eq!(config, expected.config, "the naive parser differs");
    assert_eq!(bad, expected.bad, "the naive parser rejects other lines");

    for name in [&b"build"[..], b"source"] {
        assert!(config.is_excluded(name));
    }
    for name in config.excludes.iter().map(Vec::as_slice).chain([&b"kernel"[..], b"a.ko", b""]) {
        let named = matches!(name, b"build" | b"source") || config.excludes.iter().any(|excluded| excluded == name);
        assert_eq!(config.is_excluded(name), named);
    }
    let candidates = candidates(&config);
    candidates.iter().for_each(|(name, path)| check_rank(&config, name, path));
    check_override(&config, &candidates);
}

/// The configuration, and the number and first word of each rejected line.
fn read(text: &[u8]) -> (DepmodConfig, Vec<(usize, Vec<u8>)>) {
    let (mut config, mut warnings) = (DepmodConfig::default(), Vec::new());
    config.add_file(Path::new("f"), text, RELEASE, &mut warnings);
    let bad = |warning: ConfigWarning| match warning {
        ConfigWarning::BadLine { line, word, .. } => (line, word),
        other => panic!("a file's text cannot cause this warning: {other}"),
    };
    (config, warnings.into_iter().map(bad).collect())
}

/// Whether a kernel expression matches our release, found out with a separate line; `None` for an invalid expression.
fn is_for(kernel: &[u8]) -> Option<bool> {
    let (config, bad) = read(&[b"external ", &escaped(kernel)[..], b" /probe"].concat());
    bad.is_empty().then_some(!config.externals.is_empty())
}

/// Doubles backslashes, since joining the lines of a file removes one.
fn escaped(text: &[u8]) -> Vec<u8> {
    text.iter().flat_map(|byte| if *byte == b'\\' { vec![b'\\'; 2] } else { vec![*byte] }).collect()
}

/// Modules with paths in the directories of the configuration and in others.
fn candidates(config: &DepmodConfig) -> Vec<(ModuleName, Vec<u8>)> {
    let mut dirs: Vec<&[u8]> = vec![b"kernel", b"updates", b"updates/x", b"updatesx", b"", b"/opt"];
    let below = |search: &'_ Search| match search {
        Search::Below(dir) => Some(dir.clone()),
        Search::BuiltIn | Search::External => None,
    };
    let searched: Vec<Vec<u8>> = config.searches.iter().filter_map(below).collect();
    let named = searched.iter().chain(config.overrides.iter().map(|line| &line.dir));
    dirs.extend(named.take(TRIED).map(Vec::as_slice));
    let mut stems: Vec<Vec<u8>> = vec![b"a".to_vec()];
    stems.extend(config.overrides.iter().take(4).map(|line| line.name.as_bytes().to_vec()));
    let mut candidates = Vec::new();
    for stem in stems {
        let Ok(name) = ModuleName::new(&stem) else { panic!("an override has an invalid name") };
        for dir in &dirs {
            for suffix in [&b"/"[..], b"/sub/", b"x/"] {
                candidates.push((name.clone(), [*dir, suffix, &stem, b".ko"].concat()));
            }
        }
    }
    candidates
}

fn rank(config: &DepmodConfig, name: &ModuleName, path: &[u8]) -> usize {
    config.rank(name, path, path.starts_with(b"/"))
}

/// The rank is what the naive parser says, and within the range that `search` allows.
fn check_rank(config: &DepmodConfig, name: &ModuleName, path: &[u8]) {
    let rank = rank(config, name, path);
    assert_eq!(rank, naive::rank(config, name, path, path.starts_with(b"/")), "{path:?}");
    let words = if config.searches.is_empty() { 2 } else { config.searches.len() };
    assert!(rank <= config.overrides.len() + words);
    let overridden = config.overrides.iter().any(|line| line.name == *name);
    assert!(rank >= config.overrides.len() || overridden, "{path:?} has the rank of an override without one");
}

/// Another `override` line puts its file first and moves all others back by one.
fn check_override(config: &DepmodConfig, candidates: &[(ModuleName, Vec<u8>)]) {
    let Ok(chosen) = ModuleName::new(b"a") else { return };
    let mut more = config.clone();
    more.add_file(Path::new("more"), b"override a * /chosen/dir/", RELEASE, &mut Vec::new());
    assert_eq!(rank(&more, &chosen, b"chosen/dir/a.ko"), 0);
    for (name, path) in candidates.iter().filter(|(_, path)| !path.starts_with(b"chosen/dir")) {
        assert_eq!(rank(&more, name, path), rank(config, name, path) + 1, "{path:?}");
    }
}
