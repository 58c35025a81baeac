//! Package indexes: packages, dependencies, and the packages that make up a kernel. Pure.

use super::version;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// A package of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub name: String,
    pub version: String,
    /// The size of the file in bytes.
    pub size: u64,
    pub sha256: String,
    pub depends: Vec<Vec<Dependency>>,
    /// The suite that offers it.
    pub suite: String,
}

/// An alternative of a dependency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub name: String,
    /// The version required with `=`.
    pub exactly: Option<String>,
}

/// Parses an index (`Packages`) and returns the packages whose names `keep` accepts. Malformed stanzas are skipped: apt has
/// checked the file already.
pub(crate) fn parse_index(text: &str, suite: &str, keep: impl Fn(&str) -> bool) -> Vec<Package> {
    text.split("\n\n").filter_map(|stanza| parse_stanza(stanza, suite, &keep)).collect()
}

fn parse_stanza(stanza: &str, suite: &str, keep: impl Fn(&str) -> bool) -> Option<Package> {
    let stanza = stanza.trim_start_matches('\n');
    let name = stanza.strip_prefix("Package:")?.lines().next()?.trim();
    if !keep(name) {
        return None;
    }
    let fields: BTreeMap<&str, &str> = stanza
        .lines()
        .filter(|line| !line.starts_with([' ', '\t', '#']))
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key, value.trim()))
        .collect();
    let list = |field: &str| fields.get(field).map(|text| parse_depends(text)).unwrap_or_default();
    let mut depends = list("Pre-Depends");
    depends.extend(list("Depends"));
    Some(Package {
        name: name.to_owned(),
        version: (*fields.get("Version")?).to_owned(),
        size: fields.get("Size")?.parse().ok()?,
        sha256: fields.get("SHA256")?.to_ascii_lowercase(),
        depends,
        suite: suite.to_owned(),
    })
}

/// Parses the value of a `Depends` field.
fn parse_depends(text: &str) -> Vec<Vec<Dependency>> {
    text.split(',')
        .map(|group| group.split('|').filter_map(parse_dependency).collect::<Vec<_>>())
        .filter(|group| !group.is_empty())
        .collect()
}

fn parse_dependency(text: &str) -> Option<Dependency> {
    let text = text.trim();
    let name = text.split([' ', '(', '[', ':']).next().filter(|name| !name.is_empty())?;
    let exactly = text.split_once('(').and_then(|(_, rest)| rest.split_once(')')).and_then(|(relation, _)| {
        let version = relation.trim().strip_prefix('=')?;
        Some(version.trim().to_owned())
    });
    Some(Dependency { name: name.to_owned(), exactly })
}

/// The packages of one or more suites.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    packages: Vec<Package>,
}

impl Index {
    pub fn add(&mut self, packages: Vec<Package>) {
        self.packages.extend(packages);
    }

    /// Returns the newest version of a package.
    pub fn newest(&self, name: &str) -> Option<&Package> {
        self.packages.iter().filter(|package| package.name == name).max_by(|a, b| by_version(a, b))
    }

    /// Returns a specific version of a package.
    pub fn exactly(&self, name: &str, version: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name && package.version == version)
    }

    /// Returns all packages that match the pattern (`*` matches anything), newest first.
    pub fn matching(&self, pattern: &str) -> Vec<&Package> {
        let mut found: Vec<&Package> = self.packages.iter().filter(|package| matches(pattern, &package.name)).collect();
        found.sort_by(|a, b| by_version(b, a));
        found
    }

    /// Returns the packages that make up a kernel: the image, and its direct and indirect dependencies called `linux-…` on
    /// an exact version. The error is a part that is not in the index and does not match a pattern in `optional`.
    pub fn kernel_parts<'a>(&'a self, image: &'a Package, optional: &[String]) -> Result<Vec<&'a Package>, String> {
        let mut parts = vec![image];
        let mut at = 0;
        while let Some(part) = parts.get(at).copied() {
            at += 1;
            for dependency in part.depends.iter().filter_map(|group| group.first()) {
                let Some(version) = dependency.exactly.as_ref().filter(|_| dependency.name.starts_with("linux-"))
                else {
                    continue;
                };
                let Some(found) = self.exactly(&dependency.name, version) else {
                    if optional.iter().any(|pattern| matches(pattern, &dependency.name)) {
                        continue;
                    }
                    return Err(format!("{} {version}", dependency.name));
                };
                if !parts.iter().any(|part| part.name == found.name) {
                    parts.push(found);
                }
            }
        }
        Ok(parts)
    }

    /// Returns a package and its direct and indirect dependencies on libraries. Packages that are not in the index are
    /// skipped; the ELF headers decide later whether a library is really missing.
    pub fn with_libraries<'a>(&'a self, program: &'a Package, also: &[String]) -> Vec<&'a Package> {
        let mut parts = vec![program];
        parts.extend(also.iter().filter_map(|name| self.newest(name)));
        let mut at = 0;
        while let Some(part) = parts.get(at).copied() {
            at += 1;
            for dependency in part.depends.iter().filter_map(|group| group.first()) {
                if !is_library(&dependency.name) || parts.iter().any(|part| part.name == dependency.name) {
                    continue;
                }
                let found = match &dependency.exactly {
                    Some(version) => self.exactly(&dependency.name, version),
                    None => self.newest(&dependency.name),
                };
                parts.extend(found);
            }
        }
        parts
    }
}

/// Returns whether a package of this name contains shared libraries.
pub(crate) fn is_library(name: &str) -> bool {
    name.starts_with("lib") || name == "zlib1g"
}

fn by_version(a: &Package, b: &Package) -> Ordering {
    version::compare(&a.version, &b.version)
}

/// Matches a name against a pattern, in which `*` matches any sequence of characters.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else {
        return rest.is_empty();
    };
    for piece in middle {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(text: &str) -> Index {
        let mut index = Index::default();
        index.add(parse_index(text, "suite", |_| true));
        index
    }

    fn stanza(name: &str, version: &str, depends: &str) -> String {
        format!(
            "Package: {name}\nVersion: {version}\nDescription: text\n more: text\nDepends: {depends}\nSize: 7\nSHA256: AB\n\n"
        )
    }

    fn names(packages: &[&Package]) -> Vec<String> {
        packages.iter().map(|package| format!("{} {}", package.name, package.version)).collect()
    }

    #[test]
    fn a_stanza_is_parsed() {
        let found = parse_index(
            &stanza("linux-image-6.1.0-1-cloud-amd64", "6.1.4-1", "kmod, linux-base (>= 4.3~), a | b (= 1)"),
            "bookworm",
            |_| true,
        );
        assert_eq!(found.len(), 1);
        assert_eq!((&found[0].version[..], found[0].size, &found[0].sha256[..]), ("6.1.4-1", 7, "ab"));
        let depends: Vec<Vec<&str>> =
            found[0].depends.iter().map(|group| group.iter().map(|one| &one.name[..]).collect()).collect();
        assert_eq!(depends, [vec!["kmod"], vec!["linux-base"], vec!["a", "b"]]);
        assert_eq!(found[0].depends[2][1].exactly.as_deref(), Some("1"));
        assert_eq!(found[0].depends[1][0].exactly, None);
    }

    #[test]
    fn a_kernel_in_one_package_has_one_part() {
        let index = index(&stanza("linux-image-6.1", "6.1.4-1", "kmod, linux-base (>= 4.3~)"));
        let image = index.newest("linux-image-6.1").unwrap();
        assert_eq!(names(&index.kernel_parts(image, &[]).unwrap()), ["linux-image-6.1 6.1.4-1"]);
    }

    #[test]
    fn a_split_kernel_has_all_its_parts() {
        let index = index(
            &[
                stanza("linux-image-7.3", "7.3-1", "linux-binary-7.3 (= 7.3-1), linux-modules-7.3 (= 7.3-1)"),
                stanza("linux-binary-7.3", "7.3-1", "linux-base-7.3 (= 7.3-1)"),
                stanza("linux-modules-7.3", "7.3-1", "kmod, linux-base-7.3 (= 7.3-1)"),
                stanza("linux-base-7.3", "7.3-1", ""),
                stanza("linux-base-7.3", "7.3-2", ""),
            ]
            .concat(),
        );
        let image = index.newest("linux-image-7.3").unwrap();
        assert_eq!(
            names(&index.kernel_parts(image, &[]).unwrap()),
            ["linux-image-7.3 7.3-1", "linux-binary-7.3 7.3-1", "linux-modules-7.3 7.3-1", "linux-base-7.3 7.3-1"]
        );
    }

    #[test]
    fn a_missing_part_of_a_split_kernel_is_an_error_unless_it_is_optional() {
        let index = index(
            &[
                stanza("linux-image-7.1", "7.1-1", "linux-binary-7.1 (= 7.1-1), linux-modules-7.1 (= 7.1-1)"),
                stanza("linux-binary-7.1", "7.1-1", ""),
            ]
            .concat(),
        );
        let image = index.newest("linux-image-7.1").unwrap();
        assert_eq!(index.kernel_parts(image, &[]), Err("linux-modules-7.1 7.1-1".to_owned()));
        let optional = ["linux-modules-7.*".to_owned()];
        assert_eq!(
            names(&index.kernel_parts(image, &optional).unwrap()),
            ["linux-image-7.1 7.1-1", "linux-binary-7.1 7.1-1"]
        );
    }

    #[test]
    fn a_program_is_fetched_with_its_libraries_only() {
        let index = index(
            &[
                stanza("kmod", "34-1", "libc6 (>= 2.38), libkmod2 (= 34-1), lsb-base"),
                stanza("libkmod2", "34-1", "libc6"),
                stanza("libkmod2", "35-1", "libc6"),
                stanza("libc6", "2.41-1", "libgcc-s1, libcrypt1"),
                stanza("lsb-base", "1", ""),
                stanza("zlib1g", "1", ""),
            ]
            .concat(),
        );
        let program = index.newest("kmod").unwrap();
        assert_eq!(
            names(&index.with_libraries(program, &["zlib1g".to_owned()])),
            ["kmod 34-1", "zlib1g 1", "libc6 2.41-1", "libkmod2 34-1"]
        );
    }

    #[test]
    fn the_newest_match_comes_first() {
        let index = index(
            &[
                stanza("linux-image-6.1-cloud-amd64", "6.1.192-2", ""),
                stanza("linux-image-6.1.0-9-cloud-amd64", "6.1.27-1", ""),
                stanza("linux-image-6.1.0-50-cloud-amd64", "6.1.176-1", ""),
                stanza("linux-image-6.1.0-50-cloud-amd64-unsigned", "6.1.176-1", ""),
            ]
            .concat(),
        );
        assert_eq!(
            names(&index.matching("linux-image-6.1.*-cloud-amd64")),
            ["linux-image-6.1.0-50-cloud-amd64 6.1.176-1", "linux-image-6.1.0-9-cloud-amd64 6.1.27-1"]
        );
    }

    #[test]
    fn a_star_matches_anything() {
        for (pattern, name, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "a", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("*b*", "abc", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("", "", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
