//! The body of the fuzz target `depmod_d`.

mod naive;

use kmod::config::ConfigWarning;
use kmod::depmod::DepmodConfig;
use kmod::depmod::config::Search;
use kmod::name::ModuleName;
use std::path::Path;

/// The kernel that the configuration is read for.
const RELEASE: &[u8] = b"6.1.0-9-cloud-amd64";
/// Of the directories that a configuration has so many are tried, from the beginning.
const TRIED: usize = 16;

/// The input is a file of depmod.d.
///
/// # Panics
/// When a promise about the configuration of depmod is broken.
pub fn depmod_d(data: &[u8]) {
    let (config, bad) = read(data);
    let expected = naive::read(data, RELEASE, &is_for);
    assert_eq!(config, expected.config, "another reader reads something else");
    assert_eq!(bad, expected.bad, "another reader refuses other lines");

    for name in [&b"build"[..], b"source"] {
        assert!(config.is_excluded(name));
    }
    for name in config.excludes.iter().map(Vec::as_slice).chain([&b"kernel"[..], b"a.ko", b""]) {
        let named = matches!(name, b"build" | b"source") || config.excludes.iter().any(|excluded| excluded == name);
        assert_eq!(config.is_excluded(name), named);
    }
    let candidates = candidates(&config);
    candidates.iter().for_each(|(name, path)| ranks_hold(&config, name, path));
    an_override_wins(&config, &candidates);
}

/// The configuration, and of each line that is left out its number and first word.
fn read(text: &[u8]) -> (DepmodConfig, Vec<(usize, Vec<u8>)>) {
    let (mut config, mut warnings) = (DepmodConfig::default(), Vec::new());
    config.add_file(Path::new("f"), text, RELEASE, &mut warnings);
    let bad = |warning: ConfigWarning| match warning {
        ConfigWarning::BadLine { line, word, .. } => (line, word),
        other => panic!("a text cannot cause: {other}"),
    };
    (config, warnings.into_iter().map(bad).collect())
}

/// Whether a kernel expression is for our release, by a line of its own; none when it is no expression.
fn is_for(kernel: &[u8]) -> Option<bool> {
    let (config, bad) = read(&[b"external ", &escaped(kernel)[..], b" /probe"].concat());
    bad.is_empty().then_some(!config.externals.is_empty())
}

/// Backslashes doubled, since those of a file are taken away when its lines are joined.
fn escaped(text: &[u8]) -> Vec<u8> {
    text.iter().flat_map(|byte| if *byte == b'\\' { vec![b'\\'; 2] } else { vec![*byte] }).collect()
}

/// Modules and where they lie, the places of the configuration and others.
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
        let Ok(name) = ModuleName::new(&stem) else { panic!("an override has a name that is none") };
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

/// A rank is what the lines say, and one that `search` can give.
fn ranks_hold(config: &DepmodConfig, name: &ModuleName, path: &[u8]) {
    let rank = rank(config, name, path);
    assert_eq!(rank, naive::rank(config, name, path, path.starts_with(b"/")), "{path:?}");
    let words = if config.searches.is_empty() { 2 } else { config.searches.len() };
    assert!(rank <= words + 1);
    let overridden = config.overrides.iter().any(|line| line.name == *name);
    assert!(rank > 0 || overridden, "{path:?} is overridden by nothing");
}

/// One `override` line more puts its file before all others of the module, and changes nothing else.
fn an_override_wins(config: &DepmodConfig, candidates: &[(ModuleName, Vec<u8>)]) {
    let Ok(chosen) = ModuleName::new(b"a") else { return };
    let mut more = config.clone();
    more.add_file(Path::new("more"), b"override a * /chosen/dir/", RELEASE, &mut Vec::new());
    assert_eq!(rank(&more, &chosen, b"chosen/dir/a.ko"), 0);
    for (name, path) in candidates.iter().filter(|(_, path)| !path.starts_with(b"chosen/dir")) {
        assert_eq!(rank(&more, name, path), rank(config, name, path), "{path:?}");
    }
}
