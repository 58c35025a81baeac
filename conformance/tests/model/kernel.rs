//! Runs a sequence in a guest.

use crate::predict::{Ended, Fate, Outcome, message_of_group};
use crate::sequence::{Callers, DURATIONS, Program, Sequence, Step};
use agent::proto::{Action, Group, GuestMicros, GuestMillis, JobEnd};
use conformance::check::helper::{Helper, act_then_exit};
use conformance::check::lab::{Lab, LabError, set_path_action, shown_line};

/// What the messages of the kernel about requests contain.
const MESSAGES: [&str; 2] = ["> request_module: ", "module-autoload: "];

/// How long the rate limits of the messages last, in milliseconds.
const RATE_LIMIT: u64 = 5100;

/// How long a sequence can last, in guest time.
const LIMIT: GuestMillis = GuestMillis(600_000);

/// A helper that sleeps this long. Its records are counted, so each sequence has its own.
fn sleeper(lab: &mut Lab<'_>, millis: u64) -> Result<Helper, LabError> {
    let name = format!("sleeps-{millis}");
    lab.observe(Action::RemoveAll(format!("/run/lab/{name}").into_bytes()))?;
    lab.observe(Action::RemoveAll(format!("/run/lab/{name}.log").into_bytes()))?;
    lab.helper(&name, &act_then_exit(vec![Action::Sleep(millis)], 1))
}

/// Runs the sequence and returns what happened.
pub fn observe(lab: &mut Lab<'_>, sequence: &Sequence, run: u64) -> Result<Outcome, LabError> {
    let background = sleeper(lab, sequence.sleep)?;
    let mut helpers = vec![background.clone()];
    for millis in DURATIONS {
        helpers.push(sleeper(lab, millis)?);
    }
    lab.set_path(background.path().as_bytes())?;
    lab.arrange(Action::Sleep(RATE_LIMIT))?;
    lab.mark_kmsg()?;

    let job = |after: u64, action: Action| Group {
        actions: vec![action],
        count: 1,
        after: GuestMillis(after),
        ..Group::default()
    };
    // The first job only marks the beginning.
    let mut groups = vec![job(0, Action::Sleep(0))];
    let mut names = sequence.names(run).into_iter();
    for Callers { at, count, killed_at, .. } in sequence.groups() {
        let signal = killed_at.map(|at| (GuestMillis(at), libc::SIGKILL));
        // getsockopt(IPT_SO_GET_INFO) fails with the errno of request_module(), or with ENOENT if that succeeds.
        let request = |name: String| Group { signal, ..job(at, Action::IptGetInfo(name.into_bytes())) };
        groups.extend(names.by_ref().take(count as usize).map(request));
    }
    let callers = 1..groups.len();
    for step in &sequence.steps {
        if let Step::Path { at, program } = *step {
            let path = match program {
                Program::Sleeps(millis) => format!("/run/lab/sleeps-{millis}"),
                Program::Missing => "/nonexistent".to_owned(),
                Program::Directory => "/run/lab".to_owned(),
                Program::Disabled => "\n".to_owned(),
            };
            groups.push(job(at, set_path_action(path.as_bytes())));
        }
    }
    let mut ends = Vec::new();
    for job in lab.start_all(groups)? {
        let end = lab.wait(job, LIMIT)?;
        ends.push(end.ok_or_else(|| LabError::Unexpected("a caller does not end".to_owned()))?);
    }
    let began = ends[0].results.first().map_or(GuestMicros(0), |result| result.began);
    let ends = ends[callers].iter().map(|end| ended(end, began)).collect();
    // Helpers of killed callers still run, but have left their records.
    let mut started = 0;
    for helper in &helpers {
        started += lab.records(helper)?.len();
    }
    let lines = lab.kmsg()?;
    let mut messages: Vec<String> = lines
        .iter()
        .map(shown_line)
        .filter(|line| MESSAGES.iter().any(|message| line.contains(message)))
        .map(|line| message_of_group(&line))
        .collect();
    messages.sort();
    let longest = sequence.sleep.max(DURATIONS[DURATIONS.len() - 1]);
    lab.arrange(Action::Sleep(longest))?;
    Ok(Outcome { ends, helpers: started, messages })
}

fn ended(end: &JobEnd, began: GuestMicros) -> Ended {
    let fate = match (end.killed_by, end.results.first().map(|result| &result.result)) {
        (Some(_), _) | (_, None) => Fate::Killed,
        (None, Some(Err(errno))) => Fate::Errno(errno.0),
        (None, Some(Ok(_))) => Fate::Errno(0),
    };
    let at = end.results.first().map_or(end.ended, |result| result.ended);
    Ended { fate, at: at.millis_since(began) }
}
