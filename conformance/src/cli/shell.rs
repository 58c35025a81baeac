//! `kmodlab shell`: opens a shell in a guest set up like those that behaviours run in.
//!
//! The guest contains busybox in addition to the subject's tools. Its tools are last in `PATH`, so that `modprobe` is the
//! subject's. The guest runs in real time: in virtual time, a guest that waits for input would run years ahead.

mod check;

use super::args::{Common, GuestArgs};
use super::error::CliError;
use super::setup::Tools;
use super::{Outcome, lookup, resolve, script, show_progress, signals, status};
use crate::run::pair::{Host, PreparedKernel};
use crate::run::request::{Flow, GuestOptions, Request};
use crate::run::verdict::exit;
use agent::proto::{ExitKind, GuestMillis, JobEnd, JobId};
use clap::Args as Group;
use harness::{Finding, Vm, WallLimits};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use vm_images::Subject;

/// Ctrl-], the escape character of telnet.
const ESCAPE: u8 = 0x1d;
/// The limit of the behaviour that runs before the shell opens.
const CHECK_LIMIT: Duration = Flow::new(1).limit;
const TICK: Duration = Duration::from_millis(50);
/// The limit of the shell, longer than any session.
const LIMIT: GuestMillis = GuestMillis(7 * 24 * 3600 * 1000);

/// The beginning of each shell. `install` lines of modprobe.d run with /bin/sh, which behaviours do not have.
const PROMPT: &str = "[ -e /bin/sh ] || busybox ln -s busybox /bin/sh; export PS1='\\w # '; cd /; ";

/// `kmodlab shell`.
#[derive(Debug, Group)]
pub struct ShellArgs {
    #[command(flatten)]
    pub guest: GuestArgs,
    /// Boot a new guest instead of cloning a booted one
    #[arg(long)]
    pub cold: bool,
    /// Run this behaviour in the guest before the shell opens
    #[arg(long, value_name = "ID")]
    pub at: Option<String>,
    /// Boot without address randomisation, and wait for gdb on this port of localhost before the first instruction
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "1234", require_equals = true,
        value_parser = parse_port)]
    pub gdb: Option<u16>,
    /// Run this command in the guest instead of an interactive shell
    #[arg(long, short = 'c', value_name = "COMMAND")]
    pub command: Option<String>,
}

pub(super) fn shell(common: &Common, args: &ShellArgs) -> Outcome {
    let catalogue = lookup::catalogue()?;
    let request = resolve::request(&args.guest.kernel, &args.guest, &catalogue)?;
    lookup::accept_only_one("shell", &request)?;
    let first = args.at.as_deref().map(check::selected).transpose()?;
    let gdb = args.gdb.map(|_| "nokaslr".to_owned());
    let guest = GuestOptions {
        virtual_time: false,
        cold: args.cold || gdb.is_some(),
        append: request.guest.append.iter().cloned().chain(gdb).collect(),
        ..request.guest
    };
    let request = Request { guest, ..request };
    let tools = Tools::open(common)?;
    let spawner = tools.spawner.clone();
    let stop = signals::watch(move || spawner.kill_all())?;
    let options = lookup::options(common, &tools.cache, &show_progress, &stop);
    let extra = [(script::BUSYBOX.to_owned(), script::busybox(&options)?)];
    let (kernel, subject) = &lookup::only_pair(common, &request, &catalogue, &options)?;
    let host = tools.host(&request.guest, &request.judging.allowed, Some(kernel), Some(subject))?;
    let side = PreparedKernel::new(kernel.clone(), &host).map_err(CliError::inconclusive)?;
    if args.guest.print_command {
        let spec = side.spec(subject, &extra, &host).map_err(CliError::inconclusive)?.0;
        return super::print(&format!("{}\n", host.qemu.command_line(&spec)));
    }
    let mut ready = side.pair_with_files(subject, &extra, &host).map_err(CliError::inconclusive)?;
    let mut vm = match args.gdb {
        Some(port) => debugged(&side, subject, &extra, port, &host)?,
        None => ready.guest(&host).map_err(CliError::inconclusive)?,
    };
    let release = ready.pair.release.clone();
    let counts = |finding: &&Finding| host.boot.allowed.reason_for(&release, finding).is_none();
    for note in &ready.notes {
        status(&format!("warning: {note}"));
    }
    // A guest that is booted has the findings of its boot on its own console.
    let booting = vm.findings();
    for finding in booting.iter().filter(counts) {
        status(&format!("warning: while booting, the console shows {}: {}", finding.kind, finding.title));
    }
    if let Some(behaviour) = first {
        if subject.traits().is_none() {
            ready.probe_traits(&host).map_err(CliError::inconclusive)?;
        }
        check::run(&mut vm, behaviour, &ready, CHECK_LIMIT, status);
    }
    let code = match &args.command {
        Some(command) => run_command(&mut vm, subject, command)?,
        None => interactive(&mut vm, &side.kernel.release.to_string(), subject)?,
    };
    let ending = vm.shutdown();
    if args.command.is_some() {
        // Without a terminal on the console, nothing else shows why a process of the command was killed.
        for finding in ending.findings.iter().skip(booting.len()).filter(counts) {
            status(&finding_lines(finding));
        }
    }
    if !ending.planned {
        status(&format!("warning: the guest did not shut down as requested: {ending}"));
    }
    Ok(code)
}

/// Formats a finding with its trace.
fn finding_lines(finding: &Finding) -> String {
    let trace: String = finding.lines.iter().map(|line| format!("\n    | {line}")).collect();
    format!("warning: the console shows {}: {}{trace}", finding.kind, finding.title)
}

/// Boots a guest that waits for gdb, without a time limit.
fn debugged(
    side: &PreparedKernel,
    subject: &Subject,
    extra: &[(String, PathBuf)],
    port: u16,
    host: &Host,
) -> Result<Vm, CliError> {
    let mut spec = side.spec(subject, extra, host).map_err(CliError::inconclusive)?.0;
    spec.gdb = Some(port);
    // A kernel tree contains its symbols.
    let tree = Path::new(&side.kernel.name).join("vmlinux");
    let symbols = if tree.is_file() { format!("{} ", tree.display()) } else { String::new() };
    status(&format!("waiting for gdb: run `gdb {symbols}-ex 'target remote 127.0.0.1:{port}'`, then `continue`"));
    let limits = WallLimits { boot: Duration::from_secs(7 * 24 * 3600), ..host.boot.guest.limits };
    harness::boot_cold(&host.qemu, &spec, &host.spawner, &limits).map_err(CliError::inconclusive)
}

/// Returns shell functions that call the subject's commands: busybox's shell prefers its own applets to `PATH`, and
/// functions to applets. A name with a dash cannot be that of a function, and is not that of an applet.
fn functions(subject: &Subject) -> String {
    let function = |command: &String| format!("{command}() {{ /sbin/{command} \"$@\"; }}; ");
    subject.commands().iter().filter(|command| !command.contains('-')).map(function).collect()
}

fn start(vm: &mut Vm, subject: &Subject, command: &str) -> Result<JobId, CliError> {
    script::start(vm, &format!("{PROMPT}{}{command}", functions(subject)), LIMIT)
}

/// Parses a TCP port.
fn parse_port(text: &str) -> Result<u16, String> {
    let number = text.parse().ok().filter(|port| *port != 0);
    number.ok_or_else(|| "expected a port number from 1 to 65535".to_owned())
}

fn exit_code(exit: ExitKind) -> u8 {
    match exit {
        ExitKind::Exited(status) => u8::try_from(status & 0xff).unwrap_or(exit::FAILED),
        // As in a shell.
        ExitKind::Signalled(signal) => u8::try_from(128 + (signal & 0x7f)).unwrap_or(u8::MAX),
        ExitKind::TimedOut => exit::INCONCLUSIVE,
    }
}

fn run_command(vm: &mut Vm, subject: &Subject, command: &str) -> Result<u8, CliError> {
    let ran = script::run(vm, &format!("{PROMPT}{}{command}", functions(subject)), LIMIT, None)?;
    let written = io::stdout().write_all(&ran.stdout).and_then(|()| io::stderr().write_all(&ran.stderr));
    written.map_err(CliError::inconclusive)?;
    Ok(exit_code(ran.exit))
}

fn interactive(vm: &mut Vm, release: &str, subject: &Subject) -> Result<u8, CliError> {
    status(&format!(
        "Linux {release} with {} in /sbin ({}); exit or Ctrl-] ends the shell",
        subject.name(),
        subject.commands().join(" ")
    ));
    let mark = vm.console_mark();
    // An interactive shell reads the file in ENV. setsid runs as a child, because as the leader of a process group it
    // would fork and exit.
    let script = format!(
        "echo '{}' >/run/profile; ENV=/run/profile busybox setsid -c busybox sh </dev/ttyS0 >/dev/ttyS0 2>&1; exit $?",
        functions(subject)
    );
    let job = start(vm, subject, &script)?;
    let terminal = RawTerminal::enter();
    let keys = keys();
    let end = pump(vm, job, mark, &keys);
    drop(terminal);
    match end? {
        Some(end) => Ok(exit_code(script::ran(end)?.exit)),
        None => Ok(exit::OK),
    }
}

/// Copies keys to the console and its output to standard output until the shell or the user ends the session.
fn pump(
    vm: &mut Vm,
    job: JobId,
    mut mark: u64,
    keys: &std::sync::mpsc::Receiver<Option<Vec<u8>>>,
) -> Result<Option<JobEnd>, CliError> {
    let mut end_sent = false;
    loop {
        let text = vm.wait_console(mark, TICK);
        mark += text.len() as u64;
        let mut out = io::stdout().lock();
        out.write_all(&text).and_then(|()| out.flush()).map_err(CliError::inconclusive)?;
        loop {
            match keys.try_recv() {
                Ok(Some(bytes)) if bytes.contains(&ESCAPE) => return Ok(None),
                Ok(Some(bytes)) => vm.type_on_console(&bytes).map_err(CliError::inconclusive)?,
                Ok(None) if !end_sent => {
                    // Ctrl-D: the end of piped input.
                    end_sent = true;
                    vm.type_on_console(&[4]).map_err(CliError::inconclusive)?;
                }
                _ => break,
            }
        }
        if text.is_empty() {
            if let Some(end) = script::ended(vm, job, GuestMillis(0))? {
                return Ok(Some(end));
            }
        }
    }
}

/// Reads standard input in a separate thread, because it cannot be polled together with the console; sends `None` at its
/// end.
fn keys() -> std::sync::mpsc::Receiver<Option<Vec<u8>>> {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 1024];
        loop {
            let bytes = match io::stdin().read(&mut buffer) {
                Ok(0) | Err(_) => None,
                Ok(count) => Some(buffer[..count].to_vec()),
            };
            let last = bytes.is_none();
            if send.send(bytes).is_err() || last {
                return;
            }
        }
    });
    receive
}

/// The terminal in raw mode; restored on drop.
struct RawTerminal(Option<Termios>);

impl RawTerminal {
    fn enter() -> RawTerminal {
        let stdin = io::stdin();
        let before = stdin.is_terminal().then(|| tcgetattr(&stdin).ok()).flatten();
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.make_raw();
            // A terminal without raw mode still works, line by line.
            let _ = tcsetattr(&stdin, OptionalActions::Now, &raw);
        }
        RawTerminal(before)
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // The terminal may be gone.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}
