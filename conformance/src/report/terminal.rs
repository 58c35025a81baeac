//! The terminal report: one line per row as it is judged, then the failures with their facts, then a summary. A quiet one
//! has no lines for rows that are as expected.

use super::differences::Differences;
use super::document::Report;
use super::format::{Format, InRuns, LiveReporter, Style};
use super::overview::{self, Overview};
use super::{Reporter, stored};
use crate::check::fact::Fact;
use crate::run::event::{ConsoleFinding, Event, Row, RunEnd};
use crate::run::verdict::Counts;
use crate::run::verdict::Verdict;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::time::Duration;

/// The format.
pub(super) const TERMINAL: Text = Text;

/// Text for people.
pub(super) struct Text;

impl Format for Text {
    fn name(&self) -> &'static str {
        "terminal"
    }

    fn in_runs(&self) -> InRuns {
        InRuns::Stdout("Text for people")
    }

    fn conversion(&self) -> Option<&'static str> {
        Some("Convert a report to the text that `run` prints")
    }

    fn render(&self, report: &Report, _parameter: Option<&str>) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        let mut terminal = Terminal::new(&mut text, Style::default());
        stored::printable(report)?.events().iter().try_for_each(|event| terminal.event(event))?;
        drop(terminal);
        Ok(text)
    }

    fn live(&self) -> Option<LiveReporter> {
        Some(|out, style| Box::new(Terminal::new(out, style)))
    }
}

/// Writes the terminal report.
pub struct Terminal<W> {
    out: W,
    style: Style,
    bar: Option<ProgressBar>,
    counts: Counts,
    unsuccessful: Vec<Row>,
    flaky: Vec<Row>,
    behaviours: BTreeSet<String>,
    skipped_kernels: usize,
    differences: Differences,
    overview: Overview,
}

impl<W: Write> Terminal<W> {
    /// Returns a reporter for this stream, with colours and a progress line if it is interactive.
    pub fn new(out: W, style: Style) -> Self {
        let bar = style.interactive.then(progress_bar);
        Terminal {
            out,
            style,
            bar,
            counts: Counts::default(),
            unsuccessful: Vec::new(),
            flaky: Vec::new(),
            behaviours: BTreeSet::new(),
            skipped_kernels: 0,
            differences: Differences::default(),
            overview: Overview::default(),
        }
    }

    fn line(&mut self, text: &str) -> io::Result<()> {
        let out = &mut self.out;
        match &self.bar {
            Some(bar) => bar.suspend(|| writeln!(out, "{text}")),
            None => writeln!(out, "{text}"),
        }
    }

    fn paint(&self, verdict: Verdict, text: &str) -> String {
        let code = match verdict {
            Verdict::Pass => "32",
            Verdict::Fail => "31;1",
            Verdict::Error => "35;1",
            Verdict::Known => "36",
            Verdict::Skip => "33",
        };
        if self.style.interactive { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn judged(&mut self, row: &Row) -> io::Result<()> {
        self.counts.add(row.verdict);
        self.counts.flaky += usize::from(row.flaky);
        self.behaviours.insert(row.id.clone());
        self.overview.add(row);
        self.differences.add(row, short_name(row));
        let unsuccessful = matches!(row.verdict, Verdict::Fail | Verdict::Error);
        if unsuccessful || !self.style.quiet {
            self.row(row)?;
        }
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
        if unsuccessful {
            self.unsuccessful.push(row.clone());
        } else if row.flaky {
            self.flaky.push(row.clone());
        }
        Ok(())
    }

    /// Prints the line of a row, and the findings that the user has allowed.
    fn row(&mut self, row: &Row) -> io::Result<()> {
        let start = self.start_of_line(row);
        let text = match (&row.reason, row.verdict) {
            (Some(reason), Verdict::Known | Verdict::Skip) => format!("{start} {reason}"),
            _ => format!("{start} {:.2} s{}", seconds(row.wall_ms), attempts(row)),
        };
        self.line(&text)?;
        for finding in &row.findings {
            if let Some(reason) = &finding.allowed {
                self.line(&format!("       allowed finding: {finding} ({reason})"))?;
            }
        }
        Ok(())
    }

    /// Returns the verdict, the id, the kernel and the subject of a row, in columns.
    fn start_of_line(&self, row: &Row) -> String {
        let word = self.paint(row.verdict, &format!("{:>5}", row.verdict.as_str()));
        format!("{word}  {:<26} {:<8} {:<8}", row.id, short_name(row), row.subject)
    }

    /// Prints the attempts of a flaky row.
    fn explain_flaky(&mut self, row: &Row) -> io::Result<()> {
        let word = self.paint(Verdict::Skip, "flaky");
        self.line(&format!(
            "\n{word}  {} on {} ({}) with {}",
            row.id, row.kernel.name, row.kernel.release, row.subject
        ))?;
        self.line(&format!("  statement  {}", row.statement))?;
        let all = row.attempts.len();
        for (number, attempt) in row.attempts.iter().enumerate() {
            let reason = attempt.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
            self.line(&format!("  attempt {} of {all}  {}{reason}", number + 1, attempt.verdict.as_str()))?;
            self.findings(&attempt.findings)?;
            for line in &attempt.console {
                self.line(&format!("    | {line}"))?;
            }
        }
        Ok(())
    }

    fn findings(&mut self, findings: &[ConsoleFinding]) -> io::Result<()> {
        for finding in findings {
            let allowed = finding.allowed.as_ref().map_or_else(String::new, |reason| format!(" (allowed: {reason})"));
            self.line(&format!("  finding    {finding}{allowed}"))?;
            finding.trace.iter().try_for_each(|line| self.line(&format!("    | {line}")))?;
        }
        Ok(())
    }

    /// Prints an unsuccessful row with all evidence.
    fn explain(&mut self, row: &Row) -> io::Result<()> {
        let word = self.paint(row.verdict, row.verdict.as_str());
        self.line(&format!(
            "\n{word}  {} on {} ({}) with {}",
            row.id, row.kernel.name, row.kernel.release, row.subject
        ))?;
        self.line(&format!("  statement  {}", row.statement))?;
        self.line(&format!("  source     {}", row.source))?;
        // A reason that one of the facts below already contains is not printed twice.
        let is_fact = |reason: &String| row.facts.iter().any(|fact| fact.is_wrong() && fact.mismatch() == *reason);
        for line in row.reason.iter().filter(|reason| !is_fact(reason)).flat_map(|reason| reason.lines()) {
            self.line(&format!("  reason     {line}"))?;
        }
        row.facts.iter().try_for_each(|fact| self.line(&fact_line(fact)))?;
        self.findings(&row.findings)?;
        if !row.console.is_empty() {
            self.line("  last lines of the console:")?;
            for line in &row.console {
                self.line(&format!("    | {line}"))?;
            }
        }
        Ok(())
    }

    fn end(&mut self, end: &RunEnd) -> io::Result<()> {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let flaky_rows = std::mem::take(&mut self.flaky);
        flaky_rows.iter().try_for_each(|row| self.explain_flaky(row))?;
        let unsuccessful = std::mem::take(&mut self.unsuccessful);
        unsuccessful.iter().try_for_each(|row| self.explain(row))?;
        let differing = self.differences.lines();
        if !differing.is_empty() {
            self.line("\nbehaviours whose facts differ between kernels or subjects:")?;
            differing.iter().try_for_each(|line| self.line(&format!("  {line}")))?;
        }
        if !end.unmet.is_empty() {
            self.line("\nthe run is inconclusive:")?;
            end.unmet.iter().try_for_each(|line| self.line(&format!("  {line}")))?;
        }
        let table = overview::table(&self.overview.lines(), |verdict, text| self.paint(verdict, text));
        if !table.is_empty() {
            self.line("")?;
            table.iter().try_for_each(|line| self.line(line))?;
        }
        // The explanations of several rows may have scrolled away.
        if unsuccessful.len() > 1 {
            self.line("\nfailed or inconclusive:")?;
            for row in &unsuccessful {
                let line = self.start_of_line(row);
                self.line(line.trim_end())?;
            }
        }
        let Counts { pass, fail, known, skip, error, flaky } = self.counts;
        let mut parts = vec![self.paint(Verdict::Pass, &format!("{pass} passed"))];
        if flaky > 0 {
            parts.push(self.paint(Verdict::Skip, &format!("{flaky} flaky")));
        }
        for (count, word, verdict) in [
            (fail, "failed", Verdict::Fail),
            (error, "inconclusive", Verdict::Error),
            (known, if known == 1 { "known deviation" } else { "known deviations" }, Verdict::Known),
            (skip, "skipped", Verdict::Skip),
        ] {
            if count > 0 {
                parts.push(self.paint(verdict, &format!("{count} {word}")));
            }
        }
        if self.skipped_kernels > 0 {
            let plural = if self.skipped_kernels == 1 { "" } else { "s" };
            parts.push(format!("{} kernel{plural} skipped", self.skipped_kernels));
        }
        let total = pass + fail + known + skip + error;
        let early = match (end.interrupted, end.stopped) {
            (true, _) => "; interrupted",
            (false, true) => "; stopped after the first failed or inconclusive row",
            (false, false) => "",
        };
        let not_run = if end.not_run > 0 { format!(", {} not run", end.not_run) } else { String::new() };
        let plural = if self.behaviours.len() == 1 { "" } else { "s" };
        let mut what = format!("{} behaviour{plural}", self.behaviours.len());
        // With several kernels or subjects a behaviour has several rows.
        if total > self.behaviours.len() {
            what.push_str(&format!(", {total} rows"));
        }
        self.line(&format!("\n{what} in {:.1} s: {}{early}{not_run}", seconds(end.wall_ms), parts.join(", ")))
    }
}

/// Returns a progress line on standard error, without rows so far.
pub(crate) fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos}/{len} {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// Returns a fact as a line of a list of facts.
pub(crate) fn fact_line(fact: &Fact) -> String {
    match &fact.deviation {
        _ if fact.holds => format!("  fact       {}: {}", fact.name, fact.got),
        Some(deviation) => format!("  fact    ~  {}; known: {deviation}", fact.mismatch()),
        None => format!("  fact    !  {}", fact.mismatch()),
    }
}

/// Returns a short name for the kernel of a row: a kernel given as a path is shown by its release.
fn short_name(row: &Row) -> &str {
    if row.kernel.name.contains('/') { &row.kernel.release } else { &row.kernel.name }
}

/// Returns the number of attempts at a row, and of the unsuccessful ones among them.
fn attempts(row: &Row) -> String {
    let unsuccessful =
        row.attempts.iter().filter(|attempt| matches!(attempt.verdict, Verdict::Fail | Verdict::Error)).count();
    match (row.attempts.len(), unsuccessful) {
        (0, _) => String::new(),
        (all, 0) => format!(", {all} times"),
        (all, count) => {
            format!(", {}{count} of {all} attempts unsuccessful", if row.flaky { "flaky: " } else { "" })
        }
    }
}

fn seconds(millis: u64) -> f64 {
    Duration::from_millis(millis).as_secs_f64()
}

impl<W: Write> Reporter for Terminal<W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Started(info) => {
                let time = if info.virtual_time { "virtual time" } else { "real time" };
                self.line(&format!(
                    "kmodlab {}: QEMU {}, {}, {} boot, {time}",
                    info.kmodlab, info.qemu, info.accelerator, info.profile
                ))
            }
            Event::Preparing(what) => match &self.bar {
                Some(bar) => {
                    bar.set_message(what.clone());
                    Ok(())
                }
                None if self.style.quiet => Ok(()),
                None => self.line(&format!("   ..  {what}")),
            },
            Event::Note(text) => self.line(&format!(" note  {text}")),
            Event::KernelSkipped(kernel) => {
                self.skipped_kernels += 1;
                let word = self.paint(Verdict::Skip, " skip");
                self.line(&format!("{word}  kernel {}: {}", kernel.name, kernel.reason))
            }
            Event::PairReady { rows, .. } => {
                if let Some(bar) = &self.bar {
                    bar.inc_length(*rows as u64);
                    bar.set_message("");
                }
                Ok(())
            }
            Event::Judged(row) => self.judged(row),
            Event::Ended(end) => self.end(end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_flaky_row_is_shown_with_its_failed_attempt() {
        let mut out = Vec::new();
        let mut terminal = Terminal::new(&mut out, Style::default());
        terminal.event(&Event::Judged(Box::new(sample::flaky()))).unwrap();
        let end = RunEnd { stopped: true, not_run: 3, wall_ms: 1000, ..RunEnd::default() };
        terminal.event(&Event::Ended(end)).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }

    #[test]
    fn a_matrix_is_summarized_by_behaviours_and_rows() {
        let mut out = Vec::new();
        let mut terminal = Terminal::new(&mut out, Style::default());
        for subject in ["ours", "busybox"] {
            let row = Row { subject: subject.into(), ..sample::row("path.one", Verdict::Pass, None) };
            terminal.event(&Event::Judged(Box::new(row))).unwrap();
        }
        let end = RunEnd { wall_ms: 1000, ..RunEnd::default() };
        terminal.event(&Event::Ended(end)).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out.lines().last(), Some("1 behaviour, 2 rows in 1.0 s: 2 passed"));
    }

    #[test]
    fn a_quiet_report_has_only_the_failures_and_the_summary() {
        let mut out = Vec::new();
        let mut terminal = Terminal::new(&mut out, Style { quiet: true, ..Style::default() });
        sample::events().iter().for_each(|event| terminal.event(event).unwrap());
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }

    #[test]
    fn a_long_run_ends_with_the_groups_and_the_failures() {
        let mut out = Vec::new();
        let mut terminal = Terminal::new(&mut out, Style::default());
        for number in 0..40 {
            let verdict = if number % 19 == 10 { Verdict::Fail } else { Verdict::Pass };
            let (group, position) = if number < 20 { ("path", 0) } else { ("loop", 1) };
            let row = sample::row(&format!("{group}.row-{number}"), verdict, None);
            let row = Row { group: group.into(), position: (0, 0, position), ..row };
            terminal.event(&Event::Judged(Box::new(row))).unwrap();
        }
        terminal.event(&Event::Ended(RunEnd { wall_ms: 1000, ..RunEnd::default() })).unwrap();
        let out = String::from_utf8(out).unwrap();
        let (_, end) = out.split_once("\ngroup").unwrap();
        insta::assert_snapshot!(format!("group{end}"));
    }

    #[test]
    fn failures_are_shown_at_the_end_with_their_facts() {
        let mut out = Vec::new();
        let mut terminal = Terminal::new(&mut out, Style::default());
        sample::events().iter().for_each(|event| terminal.event(event).unwrap());
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }
}
