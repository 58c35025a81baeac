//! The program in the guest of a bundle: checks one behaviour after the other, and tells each verdict as it is known.

use super::baseline::Baseline;
use super::connection::AgentConnection;
use super::{MANIFEST, Manifest, output};
use crate::allowed_findings::AllowedFindings;
use crate::engine::check::run_check;
use crate::lab::{Guest, Lab, Pair};
use crate::select::select;
use crate::verdict::{CheckEnd, Verdict, judge};
use agent::proto::{Reply, Request};
use harness::monitor::Monitor;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long one behaviour may take.
const LIMIT: Duration = Duration::from_secs(300);

/// Checks the machine over the line to its agent.
///
/// # Errors
/// Text for the console: nothing could be checked, or told.
pub fn run(port: OwnedFd, out: &mut dyn Write) -> Result<(), String> {
    let text = std::fs::read(MANIFEST).map_err(|error| format!("{MANIFEST}: {error}"))?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| format!("{MANIFEST}: {error}"))?;
    let mut line = AgentConnection::open(port).map_err(|error| error.to_string())?;
    let mut tidy = Baseline::capture().map_err(|error| format!("looking at this machine: {error}"))?;
    let name = format!("{} {}", manifest.kernel, manifest.subject);
    let pair = Pair {
        release: manifest.release.clone(),
        eras: manifest.eras,
        modules: Some(Path::new("/lib/modules").join(&manifest.release)).filter(|dir| dir.is_dir()),
        subject: manifest.subject.clone(),
        commands: manifest.commands.clone(),
    };
    let allowed = AllowedFindings::builtin().map_err(|error| error.to_string())?;
    let judge = Judge { release: &manifest.release, allowed };
    let mut tell = |text: String| out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| e.to_string());
    tell(output::begin(&name, manifest.entries.len()))?;
    // Up to where the kernel's log has been read.
    let mut read = kernel_log(&mut line, 0)?.1;
    let (mut bad, mut untidy) = (0, None);
    for (number, entry) in manifest.entries.iter().enumerate() {
        let (verdict, reason) = match (&entry.unmet, &untidy) {
            (Some(need), _) => (Verdict::Skip, Some(format!("needs {need}"))),
            (None, Some(why)) => (Verdict::Skip, Some(format!("{why}; boot a bundle of this one"))),
            (None, None) => check(&entry.id, &mut line, &pair, &tidy, &mut read, &judge),
        };
        if entry.unmet.is_none() && untidy.is_none() && number + 1 < manifest.entries.len() {
            let put_back = tidy.restore(&mut line).and_then(|()| still_well(&mut line, &mut read, &judge));
            untidy = put_back.err().map(|what| format!("the machine is not as it was before {}: {what}", entry.id));
        }
        bad += usize::from(matches!(verdict, Verdict::Fail | Verdict::Error));
        tell(output::row(number + 1, &entry.id, verdict, reason.as_deref()))?;
    }
    tell(output::end(&name, bad))
}

/// Nothing broke when the machine was put back: a module that was forced out while it was used breaks it then.
fn still_well(line: &mut AgentConnection, from: &mut u64, judge: &Judge<'_>) -> Result<(), String> {
    match findings(line, from, judge)?.first() {
        Some(finding) => Err(format!("on the console: {finding}")),
        None => Ok(()),
    }
}

fn check(
    id: &str,
    line: &mut AgentConnection,
    pair: &Pair,
    tidy: &Baseline,
    from: &mut u64,
    judged_by: &Judge<'_>,
) -> (Verdict, Option<String>) {
    let behaviour = match select(&[id.to_owned()]).as_deref() {
        Ok([behaviour]) => *behaviour,
        _ => return (Verdict::Error, Some("this program does not know it".to_owned())),
    };
    let (end, facts, known) = {
        let mut lab = Lab::new(line, pair, Instant::now() + LIMIT);
        let end = run_check(behaviour, &mut lab);
        let (facts, known) = lab.into_facts();
        (end, facts, known)
    };
    // Without /dev there is no log to read.
    let (findings, end) = match tidy.restore_mounts(line).and_then(|()| findings(line, from, judged_by)) {
        Ok(findings) => (findings, end),
        Err(reason) => (Vec::new(), CheckEnd::LabFailed(reason)),
    };
    judge(end, &facts, known.as_deref(), &findings)
}

/// Which kernel this is, and what on its console does not count.
struct Judge<'a> {
    release: &'a str,
    allowed: AllowedFindings,
}

/// There is no console to read: what it would show is in the kernel's log.
fn findings(
    line: &mut AgentConnection,
    from: &mut u64,
    Judge { release, allowed }: &Judge<'_>,
) -> Result<Vec<String>, String> {
    let (log, next) = kernel_log(line, *from)?;
    *from = next;
    let mut monitor = Monitor::new(false);
    monitor.push(&log);
    let found = monitor.findings().into_iter().map(|finding| (finding.kind.to_string(), finding.title));
    let counting = found.filter(|(kind, title)| allowed.reason(release, kind, title).is_none());
    Ok(counting.map(|(kind, title)| format!("{kind}: {title}")).collect())
}

/// The kernel's own lines from a record on, and where its log ends.
fn kernel_log(line: &mut AgentConnection, since: u64) -> Result<(Vec<u8>, u64), String> {
    match line.call(&Request::Kmsg { since, flush: true }, LIMIT).map_err(|error| error.to_string())? {
        Reply::Kmsg { records, next, .. } => {
            let own = records.into_iter().filter(|record| record.facility == 0);
            Ok((own.flat_map(|record| [record.text, b"\n".to_vec()].concat()).collect(), next))
        }
        other => Err(format!("the kernel's log: {other:?}")),
    }
}
