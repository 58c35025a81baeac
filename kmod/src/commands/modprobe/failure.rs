//! The messages about a module that was not loaded.

use crate::execute::LoadError;
use crate::log::{Log, Priority};
use crate::name::ModuleName;

/// Reports why a module was not loaded. Where C kmod prints two lines, the kernel's log of a request gets the first, which has
/// the reason.
pub(super) fn report(log: &mut Log, module: &ModuleName, error: &LoadError) {
    let text = format!("could not insert '{module}': {error}");
    if error.is_usual() {
        error.detail().iter().for_each(|detail| log.write_if_shown(Priority::Error, detail));
        log.write_if_shown(Priority::Error, text);
    } else if let LoadError::AllMasked(_) = error {
        // That nothing can be loaded must not go unnoticed.
        log.error_even_if_silent(text);
    } else if let Some(detail) = error.detail() {
        log.error(detail);
        log.write_if_shown(Priority::Error, text);
    } else {
        log.error(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MaskProblem;
    use crate::execute::{CommandFailure, Reason};
    use crate::log::Destination;
    use rustix::io::Errno;

    /// Returns the lines with messages shown, and those that are hidden by `-q` with their own destination.
    fn lines(error: &LoadError) -> [Vec<String>; 3] {
        let memory = || Destination::Memory(Vec::new());
        let module = ModuleName::new(b"m").unwrap();
        let mut shown = Log::new("modprobe", Priority::Warning, memory()).with_hidden_errors(Some(memory()));
        report(&mut shown, &module, error);
        let mut quiet = Log::new("modprobe", Priority::Warning, memory()).with_hidden_errors(Some(memory()));
        quiet.set_level(0);
        report(&mut quiet, &module, error);
        [shown.lines().to_vec(), quiet.lines().to_vec(), quiet.hidden_lines().to_vec()]
    }

    #[test]
    fn a_request_logs_one_line_for_an_error_and_none_for_a_missing_module() {
        let module = || ModuleName::new(b"d").unwrap();
        let refused = |errno, reason| LoadError::Refused { module: module(), errno, reason };
        let command =
            LoadError::Command { module: module(), command: b"false".to_vec(), failure: CommandFailure::Exited(1) };
        let problem = MaskProblem { file: "/etc/kmod.d/x.conf".into(), reason: "is unreadable".into() };
        let mut text = String::new();
        for error in [
            refused(Errno::NOEXEC, None),
            refused(Errno::PERM, Some(Reason::Blacklisted)),
            LoadError::NoFile(module()),
            command,
            LoadError::AllMasked(problem),
        ] {
            let [shown, quiet, hidden] = lines(&error);
            text.push_str(&format!("{shown:?}\n  quiet: {quiet:?}\n  kernel log: {hidden:?}\n"));
        }
        insta::assert_snapshot!(text);
    }
}
