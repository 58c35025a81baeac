//! A second parser for depmod.d, written from its description.

use crate::modprobe_d::joined;
use kmod::depmod::DepmodConfig;
use kmod::depmod::config::{Override, Search};
use kmod::name::ModuleName;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

/// A configuration, and the number and first word of each rejected line.
pub(super) struct Reading {
    pub(super) config: DepmodConfig,
    pub(super) bad: Vec<(usize, Vec<u8>)>,
}

/// `is_for` says whether a kernel expression matches the release; expressions that need no regex are decided here.
pub(super) fn read(text: &[u8], release: &[u8], is_for: &dyn Fn(&[u8]) -> Option<bool>) -> Reading {
    let mut reading = Reading { config: DepmodConfig::default(), bad: Vec::new() };
    let known = |kernel: &[u8]| match kernel {
        b"*" => Some(true),
        _ if kernel.iter().all(u8::is_ascii_alphanumeric) => {
            Some(release.windows(kernel.len()).any(|part| part == kernel))
        }
        _ => is_for(kernel),
    };
    for (number, line) in joined(text) {
        let words: Vec<&[u8]> = line.split(|byte| b" \t".contains(byte)).filter(|word| !word.is_empty()).collect();
        let Some((first, rest)) = words.split_first() else { continue };
        if line.starts_with(b"#") {
            continue;
        }
        if line.contains(&0) || take(&mut reading.config, first, rest, &known).is_none() {
            reading.bad.push((number, first.to_vec()));
        }
    }
    reading
}

fn take(
    config: &mut DepmodConfig,
    keyword: &[u8],
    words: &[&[u8]],
    is_for: &dyn Fn(&[u8]) -> Option<bool>,
) -> Option<()> {
    match (keyword, words) {
        (b"search", words) => {
            for word in words {
                config.searches.push(match *word {
                    b"built-in" => Search::BuiltIn,
                    b"external" => Search::External,
                    dir => Search::Below(path(dir)),
                });
            }
        }
        (b"override", [name, kernel, dir, ..]) => {
            let name = ModuleName::new(name).ok()?;
            if is_for(kernel)? {
                config.overrides.push(Override { name, dir: path(dir) });
            }
        }
        (b"external", [kernel, dir, ..]) if dir.starts_with(b"/") => {
            if is_for(kernel)? {
                config.externals.push(OsStr::from_bytes(dir).into());
            }
        }
        (b"exclude", words) => config.excludes.extend(words.iter().map(|word| word.to_vec())),
        (b"include" | b"make_map_files", _) => {}
        _ => return None,
    }
    Some(())
}

/// The path without leading and trailing slashes.
fn path(dir: &[u8]) -> Vec<u8> {
    let start = dir.iter().position(|byte| *byte != b'/').unwrap_or(dir.len());
    let end = dir.iter().rposition(|byte| *byte != b'/').map_or(start, |last| last + 1);
    dir[start..end].to_vec()
}

/// For an `override`, its position counted from the last line. Otherwise the number of `override` lines plus the position of the
/// first word of `search` that names the file's directory or a parent of it. If there is none, the position of `built-in`; if
/// that is missing too, the number of words.
pub(super) fn rank(config: &DepmodConfig, name: &ModuleName, path: &[u8], external: bool) -> usize {
    let mut components: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
    components.pop();
    let mut overrides = config.overrides.iter().rev();
    if let Some(at) = overrides.position(|line| line.name == *name && line.dir == components.join(&b'/')) {
        return at;
    }
    let mut searches = config.searches.clone();
    if searches.is_empty() {
        searches = vec![Search::Below(b"updates".to_vec()), Search::BuiltIn];
    }
    let names = |search: &Search| match search {
        Search::External => external,
        Search::Below(dir) => {
            let dir: Vec<&[u8]> = dir.split(|byte| *byte == b'/').collect();
            !external && components.starts_with(&dir)
        }
        Search::BuiltIn => false,
    };
    let built_in = || searches.iter().position(|search| *search == Search::BuiltIn);
    config.overrides.len() + searches.iter().position(names).or_else(built_in).unwrap_or(searches.len())
}
