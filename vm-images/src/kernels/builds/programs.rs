//! The programs that a build needs.

use super::BuildError;

/// Package and program.
const NEEDS: [(&str, &str); 8] = [
    ("make", "make"),
    ("gcc", "gcc"),
    ("binutils", "ld"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
    ("tar", "tar"),
    ("xz-utils", "xz"),
];

/// Checks that all programs are installed.
///
/// # Errors
/// [`BuildError::Unavailable`] for the build of `name`, with the packages to install.
pub(super) fn check(name: &str) -> Result<(), BuildError> {
    let missing = missing_tools(|tool| found_in_path(tool, std::env::var_os("PATH").as_deref()));
    if missing.is_empty() {
        return Ok(());
    }
    let reason = format!("missing packages: {}", missing.join(" "));
    Err(BuildError::Unavailable { name: name.to_owned(), reason })
}

/// Returns the packages of [`NEEDS`] whose program is missing.
fn missing_tools(found: impl Fn(&str) -> bool) -> Vec<&'static str> {
    NEEDS.iter().filter(|(_, tool)| !found(tool)).map(|(package, _)| *package).collect()
}

fn found_in_path(tool: &str, path: Option<&std::ffi::OsStr>) -> bool {
    path.is_some_and(|path| std::env::split_paths(path).any(|dir| dir.join(tool).is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_programs_are_reported_by_package() {
        assert_eq!(missing_tools(|tool| tool != "ld" && tool != "xz"), ["binutils", "xz-utils"]);
        assert!(missing_tools(|_| true).is_empty());
        assert!(!found_in_path("make", None));
    }
}
