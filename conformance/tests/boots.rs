//! Boots with a finding on the console: they are repeated and not kept as templates.
//!
//! QEMU is a script that prints a soft lockup on the console of the first boots of a template, as on a busy host.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use conformance::catalogue::entry::Entry;
use conformance::run::event::Row;
use conformance::run::request::Flow;
use conformance::run::verdict::Verdict;
use harness::Templates;
use std::path::{Path, PathBuf};
use support::lab::{Setup, entry, run_with_notes};

static ANSWERS: Entry = entry("tool.answers", "the guest answers", |lab| {
    let answers = lab.path()?.len() > 1;
    lab.expect("the guest answers", answers, true);
    Ok(())
});

const LOCKUP: &str = "watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [swapper/0:1]";

/// A directory for templates, and a QEMU whose first boots of a template have a finding.
struct Machine {
    dir: tempfile::TempDir,
    qemu: PathBuf,
}

/// What a run on such a machine gave.
struct Outcome {
    row: Row,
    notes: Vec<String>,
    /// The number of boots of the template.
    boots: usize,
    /// The number of templates kept.
    kept: usize,
}

impl Machine {
    fn new(damaged_boots: usize) -> Machine {
        let dir = tempfile::tempdir().unwrap();
        let (qemu, log) = (dir.path().join("qemu"), dir.path().join("boots"));
        let log = log.display();
        let script = format!(
            "#!/bin/bash\n\
             if [[ $* = *share=on* ]]; then\n\
                 echo boot >>'{log}'\n\
                 if (($(wc -l <'{log}') <= {damaged_boots})); then\n\
                     echo '[    9.000000] {LOCKUP}'\n\
                 fi\n\
             fi\n\
             exec qemu-system-x86_64 \"$@\"\n"
        );
        std::fs::write(&qemu, script).unwrap();
        std::fs::set_permissions(&qemu, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        Machine { dir, qemu }
    }

    fn templates(&self) -> PathBuf {
        self.dir.path().join("templates")
    }

    fn run(&self, retries: u32) -> Outcome {
        let templates = self.templates();
        let setup = Setup {
            qemu: Some(&self.qemu),
            mark: &format!("kmodlab.test={}", self.dir.path().display()),
            flow: Flow { retries, ..Flow::new(2) },
            templates: Some(&templates),
            ..Setup::default()
        };
        let (mut rows, notes) = run_with_notes(vec![&ANSWERS], &setup);
        assert_eq!(rows.len(), 1);
        Outcome { row: rows.remove(0), notes, boots: lines(&self.dir.path().join("boots")), kept: self.kept() }
    }

    fn kept(&self) -> usize {
        Templates::open(self.templates()).unwrap().stored().len()
    }
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

fn note(text: &str) -> String {
    format!("kernel 6.1 with ours: {}", text.replace("FINDING", &format!("lock-up: {LOCKUP}")))
}

const DISCARDED: &str = "a boot was discarded because of findings on its console (FINDING)";
const NOT_KEPT: &str = "the boot has findings on its console (FINDING); it is used but not kept as a template";

#[test]
fn a_boot_with_a_soft_lockup_is_discarded_and_repeated() {
    if !support::vm_or_skip() {
        return;
    }
    let machine = Machine::new(1);
    let Outcome { row, notes, boots, kept } = machine.run(0);
    assert_eq!((row.verdict, row.findings.len()), (Verdict::Pass, 0), "{row:#?}");
    assert_eq!((boots, kept, notes), (2, 1, vec![note(DISCARDED)]));
    let again = machine.run(0);
    assert_eq!((again.row.verdict, again.boots, again.notes.len()), (Verdict::Pass, 2, 0), "the second boot was kept");
}

#[test]
fn after_three_boots_with_a_soft_lockup_the_finding_is_reported_as_that_of_the_boot() {
    if !support::vm_or_skip() {
        return;
    }
    let Outcome { row, notes, boots, kept } = Machine::new(usize::MAX >> 1).run(0);
    assert_eq!(row.verdict, Verdict::Fail);
    assert_eq!(row.reason, Some(format!("on the console: while booting: lock-up: {LOCKUP}")));
    let [finding] = &row.findings[..] else { panic!("{row:#?}") };
    assert!(finding.boot && !finding.trace.is_empty(), "{finding:#?}");
    assert_eq!((boots, kept), (3, 0));
    assert_eq!(notes, [note(DISCARDED), note(DISCARDED), note(NOT_KEPT)]);
}

#[test]
fn a_retry_after_a_finding_of_the_boot_uses_a_new_boot() {
    if !support::vm_or_skip() {
        return;
    }
    let Outcome { row, notes, boots, kept } = Machine::new(3).run(2);
    let attempts: Vec<Verdict> = row.attempts.iter().map(|attempt| attempt.verdict).collect();
    assert_eq!(
        (row.verdict, row.flaky, attempts),
        (Verdict::Pass, true, vec![Verdict::Fail, Verdict::Pass]),
        "{row:#?}"
    );
    assert_eq!((boots, kept), (4, 1));
    assert_eq!(notes.last(), Some(&note("booted again for a retry")));
}

#[test]
fn a_shell_warns_about_findings_of_the_boot() {
    if !support::vm_or_skip() {
        return;
    }
    let machine = Machine::new(usize::MAX >> 1);
    let mark = format!("kmodlab.test={}", machine.dir.path().display());
    let output = support::run(&["shell", "--qemu", machine.qemu.to_str().unwrap(), "--append", &mark, "-c", "true"]);
    let warning = format!("warning: {}", NOT_KEPT.replace("FINDING", &format!("lock-up: {LOCKUP}")));
    let text = support::stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.lines().any(|line| line == warning), "{text}");
}
