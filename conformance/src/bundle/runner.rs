//! The program in the guest of a bundle: checks one behaviour after the other, and prints each verdict immediately.

use super::baseline::Baseline;
use super::connection::AgentConnection;
use super::{MANIFEST, Manifest, output};
use crate::catalogue::select::select;
use crate::check::lab::{Guest, Lab, Pair};
use crate::run::engine::row::run_check;
use crate::run::judge::{CheckEnd, Evidence, Judging, judge};
use crate::run::verdict::Verdict;
use crate::text::error_chain;
use agent::proto::{Reply, Request};
use harness::monitor::Monitor;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};
use vm_images::Catalogue;

/// The limit of one behaviour.
const LIMIT: Duration = Duration::from_secs(300);

/// Checks the machine over a connection to its agent.
///
/// # Errors
/// A message for the console if nothing can be checked or printed.
pub fn run(port: OwnedFd, out: &mut dyn Write) -> Result<(), String> {
    let text = std::fs::read(MANIFEST).map_err(|error| format!("cannot read {MANIFEST}: {}", error_chain(&error)))?;
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|error| format!("cannot parse {MANIFEST}: {}", error_chain(&error)))?;
    let mut agent = AgentConnection::open(port).map_err(|error| error_chain(&error))?;
    let mut baseline = Baseline::capture()
        .map_err(|error| format!("cannot record the state of the machine: {}", error_chain(&error)))?;
    let name = format!("{} {}", manifest.kernel, manifest.subject);
    let mut pair = Pair {
        release: manifest.release.clone(),
        probes: manifest.probes.clone(),
        modules: Some(Path::new("/lib/modules").join(&manifest.release)).filter(|dir| dir.is_dir()),
        subject: manifest.subject.clone(),
        commands: manifest.commands.clone(),
        traits: manifest.traits.clone().unwrap_or_default(),
    };
    if manifest.traits.is_none() {
        pair.traits = Lab::new(&mut agent, &pair, Instant::now() + LIMIT)
            .probe_traits()
            .map_err(|error| format!("cannot determine the traits of the subject: {}", error_chain(&error)))?;
        baseline.restore(&mut agent)?;
    }
    let catalogue = Catalogue::builtin().map_err(|error| error_chain(&error))?;
    let judging = Judging::builtin(&catalogue).map_err(|error| error_chain(&error))?;
    let exceptions = Exceptions { release: &manifest.release, judging };
    let mut print =
        |text: String| out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| error_chain(&error));
    print(output::begin(&name, manifest.entries.len()))?;
    // The end of what has been read of the kernel log.
    let mut log_end = kernel_log(&mut agent, 0)?.1;
    let (mut bad, mut not_restored) = (0, None);
    for (number, entry) in manifest.entries.iter().enumerate() {
        let spoiled = not_restored.clone().or_else(|| baseline.spoiled_for(&entry.id).map(str::to_owned));
        let (verdict, reason) = match (&entry.unmet, spoiled) {
            (Some(need), _) => (Verdict::Skip, Some(format!("needs {need}"))),
            (None, Some(why)) => (Verdict::Skip, Some(format!("{why}; boot a bundle with only this behaviour"))),
            (None, None) => check(&entry.id, &mut agent, &pair, &baseline, &mut log_end, &exceptions),
        };
        if entry.unmet.is_none() && not_restored.is_none() && number + 1 < manifest.entries.len() {
            let restored =
                baseline.restore(&mut agent).and_then(|()| no_new_findings(&mut agent, &mut log_end, &exceptions));
            not_restored = restored.err().map(|what| format!("cannot restore the machine after {}: {what}", entry.id));
        }
        bad += usize::from(matches!(verdict, Verdict::Fail | Verdict::Error));
        print(output::row(number + 1, &entry.id, verdict, reason.as_deref()))?;
    }
    print(output::end(&name, bad))
}

/// Fails if the kernel log has findings from restoring the machine. A module that was removed while in use breaks it then.
fn no_new_findings(agent: &mut AgentConnection, from: &mut u64, exceptions: &Exceptions<'_>) -> Result<(), String> {
    match findings(agent, from, exceptions)?.first() {
        Some(finding) => Err(format!("on the console: {finding}")),
        None => Ok(()),
    }
}

fn check(
    id: &str,
    agent: &mut AgentConnection,
    pair: &Pair,
    baseline: &Baseline,
    from: &mut u64,
    exceptions: &Exceptions<'_>,
) -> (Verdict, Option<String>) {
    let behaviour = match select(&[id.to_owned()]).as_deref() {
        Ok([behaviour]) => *behaviour,
        _ => return (Verdict::Error, Some("unknown behaviour".to_owned())),
    };
    let (end, mut facts) = {
        let mut lab = Lab::new(agent, pair, Instant::now() + LIMIT);
        let end = run_check(behaviour, &mut lab);
        (end, lab.into_facts())
    };
    // The kernel log is read from /dev, which the behaviour may have unmounted, or which may not be in the root of PID 1.
    let (findings, end) = match baseline.restore_log(agent).and_then(|()| findings(agent, from, exceptions)) {
        Ok(findings) => (findings, end),
        Err(reason) => (Vec::new(), CheckEnd::LabFailed(reason)),
    };
    let evidence = Evidence { end, facts: &mut facts, findings: &findings };
    judge(evidence, &exceptions.judging.deviations_of(id, pair))
}

/// The findings to ignore on this kernel, and the known deviations.
struct Exceptions<'a> {
    release: &'a str,
    judging: Judging,
}

/// Returns the findings in the kernel log, which replaces the console of a lab.
fn findings(
    agent: &mut AgentConnection,
    from: &mut u64,
    Exceptions { release, judging }: &Exceptions<'_>,
) -> Result<Vec<String>, String> {
    let (log, next) = kernel_log(agent, *from)?;
    *from = next;
    let mut monitor = Monitor::new(false);
    monitor.push(&log);
    let found = monitor.findings().into_iter().map(|finding| (finding.kind, finding.title));
    let counting = found.filter(|(kind, title)| judging.allowed.reason(release, *kind, title).is_none());
    Ok(counting.map(|(kind, title)| format!("{kind}: {title}")).collect())
}

/// Returns the messages of the kernel itself since a record of its log, and the end of the log.
fn kernel_log(agent: &mut AgentConnection, since: u64) -> Result<(Vec<u8>, u64), String> {
    let request = Request::Kmsg { since, flush: true };
    match agent.call(&request, LIMIT).map_err(|error| error_chain(&error))? {
        Reply::Kmsg { records, next, .. } => {
            let own = records.into_iter().filter(|record| record.facility == 0);
            Ok((own.flat_map(|record| [record.text, b"\n".to_vec()].concat()).collect(), next))
        }
        _ => Err("cannot read the kernel log: unexpected reply of the agent".to_owned()),
    }
}
