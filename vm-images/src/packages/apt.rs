//! Runs apt in a separate root: the host's lists, caches and package states are neither read nor changed. Only the Debian
//! archive, the proxies and credentials, and Debian's keyrings are taken from the host's configuration.

use crate::cache::{Cache, CacheError, ContentId};
use crate::child;
use crate::options::{Options, Progress};
use crate::packages::index::{self as packages, Package};
use crate::packages::sources::{Archive, Archives};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

/// Maximum age of an index.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);
/// Maximum age of an index if the newest versions are requested.
const VERY_FRESH: Duration = Duration::from_secs(5 * 60);

/// The keyrings of Debian's archives, where Debian's package installs them.
const KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];

/// A failure of apt or dpkg.
#[derive(Debug, thiserror::Error)]
pub enum AptError {
    /// The archive or the tools are not available: a reason to skip, not to fail.
    #[error("{0}")]
    Unavailable(String),
    /// A signature is invalid. Never a reason to skip.
    #[error("apt does not trust the package index of {suite}: {message}")]
    Untrusted {
        /// The suite.
        suite: String,
        /// apt's message.
        message: String,
    },
    /// A file differs from the one recorded in the index or in the lock file.
    #[error("{package} {version} has SHA-256 {found}, expected {expected}")]
    Changed {
        /// The package.
        package: String,
        /// Its version.
        version: String,
        /// The recorded sum.
        expected: String,
        /// The sum of the downloaded file.
        found: String,
    },
    /// The run is ending: [`Options::stop`] was set.
    #[error("interrupted")]
    Interrupted,
    /// A command cannot be run.
    #[error("cannot run {command}")]
    Run {
        /// The command.
        command: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// A command failed.
    #[error("{command} failed: {message}")]
    Failed {
        /// The command.
        command: &'static str,
        /// The last lines of its output.
        message: String,
    },
    /// A file of the apt root.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// Returns the archives to use: the user's mirror, or those in the machine's apt configuration.
pub(crate) fn archives(mirror: Option<&str>) -> Archives {
    match mirror {
        Some(uri) => Archives::mirror(uri),
        None => {
            let files = configuration_files(Path::new("/etc/apt"));
            Archives::from_configuration(files.iter().map(|(name, text)| (&name[..], &text[..])))
        }
    }
}

fn configuration_files(etc: &Path) -> Vec<(String, String)> {
    let mut paths = vec![etc.join("sources.list")];
    if let Ok(entries) = fs::read_dir(etc.join("sources.list.d")) {
        let mut parts: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        parts.sort();
        paths.extend(
            parts.into_iter().filter(|path| path.extension().is_some_and(|end| end == "list" || end == "sources")),
        );
    }
    paths.into_iter().filter_map(|path| Some((path.display().to_string(), fs::read_to_string(&path).ok()?))).collect()
}

/// An apt root for one suite of one archive.
#[derive(Debug)]
pub(crate) struct Root {
    suite: String,
    dir: PathBuf,
}

impl Root {
    /// Prepares the root. Nothing is downloaded.
    pub fn open(cache: &Cache, archives: &Archives, suite: &str) -> Result<Root, AptError> {
        let Some(archive) = archives.of_suite(suite) else {
            return Err(AptError::Unavailable(
                "the apt configuration of this machine names no Debian archive".to_owned(),
            ));
        };
        let id = ContentId::new().with(&archive.uri).finish();
        let dir = cache.area("apt")?.join(format!("{suite}-{}", &id[..8]));
        for part in ["lists/partial", "cache/archives/partial", "etc"] {
            let path = dir.join(part);
            fs::create_dir_all(&path).map_err(CacheError::new("create", path))?;
        }
        let root = Root { suite: suite.to_owned(), dir };
        root.write("status", "")?;
        root.write("etc/sources.list", &source_line(archive, suite, |path| path.exists()))?;
        root.write("etc/apt.conf", &configuration(&root.dir, rustix::process::geteuid().is_root()))?;
        Ok(root)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), CacheError> {
        let path = self.dir.join(name);
        fs::write(&path, text).map_err(CacheError::new("write", path))
    }

    /// Downloads the suite's index unless the existing one is recent enough.
    pub fn update(&self, options: &Options<'_>) -> Result<(), AptError> {
        let stamp = self.dir.join("updated");
        let limit = if options.refresh { VERY_FRESH } else { FRESH };
        let age = fs::metadata(&stamp)
            .and_then(|meta| meta.modified())
            .ok()
            .and_then(|then| SystemTime::now().duration_since(then).ok());
        if age.is_some_and(|age| age < limit) && self.index_file()?.is_some() {
            return Ok(());
        }
        (options.progress)(Progress::Updating { suite: self.suite.clone() });
        let result = self.apt_get(options, &self.dir, ["update", "-q", "--error-on=any"]);
        let error = match result {
            Ok(()) if self.index_file()?.is_some() => {
                self.write("updated", "")?;
                return Ok(());
            }
            Ok(()) => format!("the archive has no {} for amd64", self.suite),
            Err(AptError::Failed { message, .. }) => message,
            Err(other) => return Err(other),
        };
        if is_untrusted(&error) {
            return Err(AptError::Untrusted { suite: self.suite.clone(), message: error });
        }
        if self.index_file()?.is_some() {
            (options.progress)(Progress::Note(format!("using an old index of {}: {error}", self.suite)));
            return Ok(());
        }
        Err(AptError::Unavailable(format!("{}: {error}", self.suite)))
    }

    /// Returns the packages of the index whose names `keep` accepts.
    pub fn index(&self, keep: impl Fn(&str) -> bool) -> Result<Vec<Package>, AptError> {
        let Some(path) = self.index_file()? else {
            return Ok(Vec::new());
        };
        let text = fs::read(&path).map_err(CacheError::new("read", &path))?;
        Ok(packages::parse_index(&String::from_utf8_lossy(&text), &self.suite, keep))
    }

    fn index_file(&self) -> Result<Option<PathBuf>, CacheError> {
        let lists = self.dir.join("lists");
        let entries = fs::read_dir(&lists).map_err(CacheError::new("read", &lists))?;
        let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        Ok(paths.find(|path| path.as_os_str().as_encoded_bytes().ends_with(b"_Packages")))
    }

    /// Downloads packages of this suite into `dir` and checks them. Returns the files in the order of `wanted`.
    pub fn download(&self, wanted: &[&Package], dir: &Path, options: &Options<'_>) -> Result<Vec<PathBuf>, AptError> {
        let mut arguments = vec!["download".to_owned(), "-q".to_owned()];
        for package in wanted {
            (options.progress)(Progress::Downloading {
                package: package.name.clone(),
                version: package.version.clone(),
                bytes: package.size,
            });
            arguments.push(format!("{}={}", package.name, package.version));
        }
        self.apt_get(options, dir, &arguments)?;
        wanted.iter().map(|package| find_download(dir, package)).collect()
    }

    fn apt_get(
        &self,
        options: &Options<'_>,
        dir: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<(), AptError> {
        let mut command = Command::new("apt-get");
        command.arg("-c").arg(self.dir.join("etc/apt.conf")).args(arguments).current_dir(dir);
        run("apt-get", &mut command, options)
    }
}

/// Unpacks a package file into a directory. Nothing is run or installed.
pub(crate) fn unpack(package: &Path, into: &Path, options: &Options<'_>) -> Result<(), AptError> {
    run("dpkg-deb", Command::new("dpkg-deb").arg("--extract").arg(package).arg(into), options)
}

/// Runs a command quietly; on failure the last lines of its output become the error.
fn run(name: &'static str, command: &mut Command, options: &Options<'_>) -> Result<(), AptError> {
    let output = child::output(command.env("LC_ALL", "C").stdin(Stdio::null()), options.stop);
    let output = match output {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(AptError::Unavailable(format!(
                "{name} not found (packages can be fetched only on Debian and its derivatives)"
            )));
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(AptError::Interrupted),
        Err(source) => return Err(AptError::Run { command: name, source }),
    };
    if output.status.success() {
        return Ok(());
    }
    Err(AptError::Failed {
        command: name,
        message: last_lines(&String::from_utf8_lossy(&output.stderr), &output.status),
    })
}

/// Returns the errors in apt's output, or else its last lines, as one line.
fn last_lines(stderr: &str, status: &std::process::ExitStatus) -> String {
    let mut errors: Vec<&str> = stderr.lines().filter_map(|line| line.strip_prefix("E: ")).collect();
    if errors.len() > 1 {
        errors.retain(|line| !line.starts_with("Some index files failed to download"));
    }
    let lines =
        if errors.is_empty() { stderr.lines().filter(|line| !line.trim().is_empty()).collect() } else { errors };
    let last: Vec<&str> = lines.iter().rev().take(3).rev().map(|line| line.trim()).collect();
    if last.is_empty() { status.to_string() } else { last.join("; ") }
}

fn is_untrusted(message: &str) -> bool {
    [
        "NO_PUBKEY",
        "BADSIG",
        "EXPKEYSIG",
        "REVKEYSIG",
        "is not signed",
        "invalid signature",
        "not signed by",
        "signatures were invalid",
        "signature verification failed",
    ]
    .iter()
    .any(|sign| message.contains(sign))
}

/// Returns the line of sources.list: one suite, binary packages for amd64, nothing else; signatures are always checked.
fn source_line(archive: &Archive, suite: &str, exists: impl Fn(&Path) -> bool) -> String {
    let mut keyrings: Vec<&Path> = archive.keyrings.iter().map(PathBuf::as_path).collect();
    keyrings.extend(KEYRINGS.iter().map(Path::new));
    let mut named: Vec<String> = Vec::new();
    for path in keyrings.into_iter().filter(|path| exists(path)).map(|path| path.display().to_string()) {
        if !named.contains(&path) {
            named.push(path);
        }
    }
    let signed_by = if named.is_empty() { String::new() } else { format!(" signed-by={}", named.join(",")) };
    format!("deb [arch=amd64 lang=none target=Packages{signed_by}] {} {suite} main\n", archive.uri)
}

/// Returns the configuration that apt reads after the host's own: it keeps proxies and credentials and replaces
/// everything else.
fn configuration(dir: &Path, root: bool) -> String {
    let dir = dir.display();
    // As root, apt downloads as another user, who cannot enter a cache in root's home directory.
    let sandbox = if root { "APT::Sandbox::User \"root\";\n" } else { "" };
    format!(
        "#clear APT::Update::Pre-Invoke;\n#clear APT::Update::Post-Invoke;\n#clear APT::Update::Post-Invoke-Success;\n\
         #clear APT::Default-Release;\n\
         APT::Architecture \"amd64\";\n#clear APT::Architectures;\nAPT::Architectures {{ \"amd64\"; }};\n\
         Acquire::Languages \"none\";\nAcquire::GzipIndexes \"false\";\nAcquire::Retries \"2\";\n{sandbox}\
         Dir::State \"{dir}\";\nDir::State::lists \"{dir}/lists\";\nDir::State::status \"{dir}/status\";\n\
         Dir::Cache \"{dir}/cache\";\nDir::Cache::pkgcache \"\";\nDir::Cache::srcpkgcache \"\";\n\
         Dir::Etc::sourcelist \"{dir}/etc/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n\
         Dir::Etc::preferences \"/dev/null\";\nDir::Etc::preferencesparts \"/dev/null\";\n"
    )
}

/// Finds the downloaded file of a package and checks it against the index.
fn find_download(dir: &Path, package: &Package) -> Result<PathBuf, AptError> {
    let prefix = format!("{}_", package.name);
    let entries = fs::read_dir(dir).map_err(CacheError::new("read", dir))?;
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let found = paths.find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&prefix) && name.ends_with(".deb")
    });
    let Some(path) = found else {
        let message = format!("{} {} was not downloaded", package.name, package.version);
        return Err(AptError::Failed { command: "apt-get", message });
    };
    let sum = crate::cache::sha256_file(&path).map_err(CacheError::new("read", &path))?;
    if sum != package.sha256 {
        return Err(AptError::Changed {
            package: package.name.clone(),
            version: package.version.clone(),
            expected: package.sha256.clone(),
            found: sum,
        });
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_line_names_one_suite_and_the_existing_keyrings() {
        let archive = Archive {
            uri: "http://m.example/debian".to_owned(),
            keyrings: vec![PathBuf::from("/k/own.gpg"), PathBuf::from("/k/gone.gpg")],
        };
        assert_eq!(
            source_line(&archive, "bullseye", |path| !path.ends_with("gone.gpg")
                && !path.ends_with("debian-archive-keyring.pgp")),
            "deb [arch=amd64 lang=none target=Packages signed-by=/k/own.gpg,/usr/share/keyrings/debian-archive-keyring.gpg] \
             http://m.example/debian bullseye main\n"
        );
    }

    #[test]
    fn the_configuration_disables_the_hosts_hooks_and_lists() {
        insta::assert_snapshot!(configuration(Path::new("/cache/apt/suite"), false));
    }

    #[test]
    fn a_bad_signature_is_distinguished_from_a_missing_suite() {
        assert!(is_untrusted("the following signatures couldn't be verified: NO_PUBKEY 0123"));
        assert!(is_untrusted("The repository 'http://m.example x InRelease' is not signed."));
        assert!(!is_untrusted("The repository 'http://m.example/debian gone Release' does not have a Release file."));
    }

    #[test]
    fn an_error_consists_of_the_error_lines_or_the_last_lines() {
        use std::os::unix::process::ExitStatusExt;
        let status = std::process::ExitStatus::from_raw(100 << 8);
        let stderr = "W: one\nE: two\nE: three\nE: Some index files failed to download. They have been ignored.\n";
        assert_eq!(last_lines(stderr, &status), "two; three");
        assert_eq!(last_lines("tar: broken\n", &status), "tar: broken");
        assert_eq!(last_lines("", &status), "exit status: 100");
    }
}
