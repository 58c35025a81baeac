//! Finds the Debian archive in a machine's apt configuration. Pure.
//!
//! The configuration may contain archives of other vendors, some with a suite called `stable` and a component called
//! `main`. The most likely entry is selected; apt's signature check against Debian's keys decides in the end.

use std::path::PathBuf;

/// An archive that apt can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Archive {
    pub uri: String,
    /// The keyrings named in the entry.
    pub keyrings: Vec<PathBuf>,
}

/// Debian's two archives, if known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Archives {
    pub main: Option<Archive>,
    pub security: Option<Archive>,
}

impl Archives {
    /// Returns the archives of a mirror; the security archive is beside it.
    pub fn mirror(uri: &str) -> Archives {
        let uri = uri.trim_end_matches('/');
        let archive = |uri: String| Some(Archive { uri, keyrings: Vec::new() });
        Archives { main: archive(uri.to_owned()), security: archive(format!("{uri}-security")) }
    }

    /// Finds the archives in an apt configuration, given as pairs of file name and text.
    pub fn from_configuration<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Archives {
        let mut entries: Vec<(u32, Entry)> = Vec::new();
        for (name, text) in files {
            let found = if name.ends_with(".sources") { deb822(text) } else { one_line(text) };
            entries.extend(found.into_iter().filter_map(|entry| Some((likelihood(name, &entry)?, entry))));
        }
        let best = |security: bool| {
            let mut best: Option<&(u32, Entry)> = None;
            for candidate in entries.iter().filter(|(_, entry)| is_security(&entry.suite) == security) {
                // Of equally likely entries, use the first.
                if best.is_none_or(|(score, _)| candidate.0 > *score) {
                    best = Some(candidate);
                }
            }
            best.map(|(_, entry)| Archive { uri: entry.uri.clone(), keyrings: entry.keyrings.clone() })
        };
        let main = best(false);
        let security = best(true).or_else(|| {
            let main = main.as_ref().filter(|main| !main.uri.starts_with("mirror"))?;
            Some(Archive {
                uri: format!("{}-security", main.uri.trim_end_matches('/')),
                keyrings: main.keyrings.clone(),
            })
        });
        Archives { main, security }
    }

    /// Returns the archive that offers a suite.
    pub fn of_suite(&self, suite: &str) -> Option<&Archive> {
        if is_security(suite) { self.security.as_ref() } else { self.main.as_ref() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    uri: String,
    suite: String,
    components: Vec<String>,
    keyrings: Vec<PathBuf>,
}

const CODENAMES: [&str; 8] = ["buster", "bullseye", "bookworm", "trixie", "forky", "duke", "sid", "unstable"];
const MOVING: [&str; 5] = ["stable", "oldstable", "oldoldstable", "testing", "experimental"];

fn is_security(suite: &str) -> bool {
    suite.ends_with("-security") || suite.ends_with("/updates")
}

/// Rates how likely an entry is Debian's archive; `None` if it cannot be.
fn likelihood(file: &str, entry: &Entry) -> Option<u32> {
    let base = entry.suite.split(['-', '/']).next().unwrap_or_default();
    let codename = CODENAMES.contains(&base);
    let usable = entry.components.iter().any(|component| component == "main") && !entry.uri.starts_with("cdrom:");
    if !usable || !(codename || MOVING.contains(&base)) {
        return None;
    }
    let file = file.rsplit('/').next().unwrap_or(file);
    let keys = entry.keyrings.iter().any(|path| path.to_string_lossy().contains("debian-archive"));
    let path = entry.uri.trim_end_matches('/');
    let place =
        ["/debian", "/debian-security", "/debian.list", "/debian-security.list"].iter().any(|end| path.ends_with(end));
    let own_file = ["sources.list", "debian.sources", "debian.list"].contains(&file);
    Some(u32::from(keys) * 4 + u32::from(place) * 4 + u32::from(own_file) * 2 + u32::from(codename))
}

/// Parses lines `deb [option=value …] URI suite component…`.
fn one_line(text: &str) -> Vec<Entry> {
    text.lines()
        .filter_map(|line| {
            let line = line.split('#').next().unwrap_or_default().trim();
            let rest = line.strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t']))?.trim_start();
            let (options, rest) = match rest.strip_prefix('[') {
                Some(rest) => rest.split_once(']')?,
                None => ("", rest),
            };
            let mut words = rest.split_whitespace();
            let keyrings = options
                .split_whitespace()
                .filter_map(|option| option.strip_prefix("signed-by="))
                .flat_map(|value| value.split(','))
                .filter_map(keyring)
                .collect();
            Some(Entry {
                uri: words.next()?.to_owned(),
                suite: words.next()?.to_owned(),
                components: words.map(str::to_owned).collect(),
                keyrings,
            })
        })
        .collect()
}

/// Parses stanzas of `Types`, `URIs`, `Suites`, `Components`, `Signed-By` and `Enabled`.
fn deb822(text: &str) -> Vec<Entry> {
    let mut stanzas: Vec<Vec<(String, String)>> = vec![Vec::new()];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some(stanza) = stanzas.last_mut() else { continue };
        if line.trim().is_empty() {
            stanzas.push(Vec::new());
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = stanza.last_mut() {
                value.push('\n');
                value.push_str(line.trim());
            }
        } else if let Some((key, value)) = line.split_once(':') {
            stanza.push((key.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    let mut entries = Vec::new();
    for stanza in stanzas {
        let field = |key: &str| stanza.iter().find(|(name, _)| name == key).map_or("", |(_, value)| &value[..]);
        let words = |key: &str| field(key).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        if !words("types").iter().any(|kind| kind == "deb") || ["no", "false", "0"].contains(&field("enabled")) {
            continue;
        }
        // The key may be embedded in the entry; then there is no keyring file.
        let signed_by = field("signed-by");
        let keyrings: Vec<PathBuf> = if signed_by.contains("BEGIN PGP") {
            Vec::new()
        } else {
            signed_by.split([' ', ',', '\n']).filter_map(keyring).collect()
        };
        for uri in words("uris") {
            for suite in words("suites") {
                entries.push(Entry {
                    uri: uri.clone(),
                    suite,
                    components: words("components"),
                    keyrings: keyrings.clone(),
                });
            }
        }
    }
    entries
}

/// Returns a keyring file. Anything else is a fingerprint that selects a key of apt's own keyrings; it is ignored.
fn keyring(text: &str) -> Option<PathBuf> {
    text.starts_with('/').then(|| PathBuf::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "\
Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
";

    fn uris(files: &[(&str, &str)]) -> (Option<String>, Option<String>) {
        let archives = Archives::from_configuration(files.iter().copied());
        (archives.main.map(|archive| archive.uri), archives.security.map(|archive| archive.uri))
    }

    fn some(main: &str, security: &str) -> (Option<String>, Option<String>) {
        (Some(main.to_owned()), Some(security.to_owned()))
    }

    #[test]
    fn both_archives_are_found_in_a_sources_file() {
        let archives = Archives::from_configuration([("/etc/apt/sources.list.d/debian.sources", DEB822)]);
        assert_eq!(
            archives.of_suite("trixie-backports"),
            Some(&Archive {
                uri: "http://mirror.example/debian".to_owned(),
                keyrings: vec![PathBuf::from("/usr/share/keyrings/debian-archive-keyring.gpg")],
            })
        );
        assert_eq!(
            archives.of_suite("bullseye-security").map(|archive| &archive.uri[..]),
            Some("http://mirror.example/debian-security")
        );
    }

    #[test]
    fn both_archives_are_found_in_a_one_line_style_file() {
        let text = "# deb http://old.example/debian bookworm main\n\
                    deb-src http://mirror.example/debian bookworm main\n\
                    deb [arch=amd64 signed-by=/k/a.gpg,/k/b.gpg] http://mirror.example/debian/ bookworm main # x\n\
                    deb\thttp://security.example/debian-security bookworm-security main\n";
        assert_eq!(
            uris(&[("/etc/apt/sources.list", text)]),
            some("http://mirror.example/debian/", "http://security.example/debian-security")
        );
        let archives = Archives::from_configuration([("sources.list", text)]);
        assert_eq!(archives.main.unwrap().keyrings, [PathBuf::from("/k/a.gpg"), PathBuf::from("/k/b.gpg")]);
    }

    #[test]
    fn a_stable_suite_of_another_vendor_is_not_used() {
        let vendor = "deb [signed-by=/k/vendor.gpg] http://vendor.example/apt stable main\n";
        assert_eq!(
            uris(&[("a-vendor.list", vendor), ("debian.sources", DEB822)]),
            some("http://mirror.example/debian", "http://mirror.example/debian-security")
        );
    }

    #[test]
    fn disabled_entries_and_other_distributions_are_not_used() {
        let off = format!("Enabled: no\n{}", DEB822.split("\n\n").next().unwrap());
        assert_eq!(uris(&[("debian.sources", &off)]), (None, None));
        let other = "deb http://archive.example/other noble main universe\ndeb cdrom:[x]/ bookworm main\n";
        assert_eq!(uris(&[("sources.list", other)]), (None, None));
        let key = "Types: deb\nURIs: http://m.example/debian\nSuites: trixie\nComponents: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n";
        let archives = Archives::from_configuration([("debian.sources", key)]);
        assert_eq!(archives.main.unwrap().keyrings, Vec::<PathBuf>::new());
    }

    #[test]
    fn the_security_archive_defaults_to_the_one_beside_the_main_archive() {
        let text = "deb http://m.example/debian trixie main\n";
        assert_eq!(
            uris(&[("sources.list", text)]),
            some("http://m.example/debian", "http://m.example/debian-security")
        );
        let list = "deb mirror+file:/etc/apt/mirrors/debian.list trixie main\n";
        assert_eq!(
            uris(&[("sources.list", list)]),
            (Some("mirror+file:/etc/apt/mirrors/debian.list".to_owned()), None)
        );
        let archives = Archives::mirror("http://m.example/debian/");
        assert_eq!(archives.security.unwrap().uri, "http://m.example/debian-security");
    }
}
