//! Runs a sequence in a guest.

use crate::predict::{Ended, Fate, Outcome};
use crate::sequence::{DURATIONS, Program, Sequence, Step};
use agent::proto::{Action, Group, GuestMicros, GuestMillis, JobEnd};
use conformance::check::helper::{Helper, act_then_exit};
use conformance::check::lab::{Lab, LabError, set_path_action, shown_line};

/// How long the rate limits of the messages last, in milliseconds.
const RATE_LIMIT: u64 = 5100;

/// `getsockopt(IPT_SO_GET_INFO)`: returns the errno of `request_module()`, or ENOENT if a helper ran.
fn request() -> Action {
    Action::IptGetInfo(b"zz".to_vec())
}

/// A helper that sleeps this long. Its records are counted, so each sequence has its own.
fn sleeper(lab: &mut Lab<'_>, millis: u64) -> Result<Helper, LabError> {
    let name = format!("sleeps-{millis}");
    lab.observe(Action::RemoveAll(format!("/run/lab/{name}").into_bytes()))?;
    lab.observe(Action::RemoveAll(format!("/run/lab/{name}.log").into_bytes()))?;
    lab.helper(&name, &act_then_exit(vec![Action::Sleep(millis)], 1))
}

/// Runs the sequence and returns what happened.
pub fn observe(lab: &mut Lab<'_>, sequence: &Sequence) -> Result<Outcome, LabError> {
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
    let signal = |after: u64| Some((GuestMillis(after), libc::SIGKILL));
    // The first job only marks the beginning.
    let mut groups = vec![job(0, Action::Sleep(0))];
    let (killed, after) = (sequence.killed.0.min(sequence.background), sequence.killed.1);
    groups.extend((killed > 0).then(|| Group { count: killed, signal: signal(after), ..job(0, request()) }));
    let others = sequence.background - killed;
    groups.extend((others > 0).then(|| Group { count: others, ..job(0, request()) }));
    let mut switches = Vec::new();
    for step in &sequence.steps {
        groups.push(match *step {
            Step::Request { at, callers, killed_after } => {
                let signal = killed_after.and_then(|after| signal(at + after));
                Group { count: callers, signal, ..job(at, request()) }
            }
            Step::Path { at, program } => {
                switches.push(groups.iter().map(|group| group.count as usize).sum::<usize>());
                let path = match program {
                    Program::Sleeps(millis) => format!("/run/lab/sleeps-{millis}"),
                    Program::Missing => "/nonexistent".to_owned(),
                    Program::Disabled => "\n".to_owned(),
                };
                job(at, set_path_action(path.as_bytes()))
            }
        });
    }
    let ends = lab.run_all(groups)?;
    let began = ends[0].results.first().map_or(GuestMicros(0), |result| result.began);
    let callers = ends.iter().enumerate().filter(|(at, _)| *at > 0 && !switches.contains(at));
    let ends = callers.map(|(_, end)| ended(end, began)).collect();
    // Helpers of killed callers still run, but have left their records.
    let mut started = 0;
    for helper in &helpers {
        started += lab.records(helper)?.len();
    }
    let lines = lab.kmsg()?;
    let mut messages: Vec<String> =
        lines.iter().map(shown_line).filter(|line| line.contains("> request_module: ")).collect();
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
