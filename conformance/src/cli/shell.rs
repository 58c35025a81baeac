//! `kmodlab shell`: a shell in the very guest that behaviours run in.
//!
//! The guest gets busybox beside the subject's tools; its tools come last in `PATH`, so that `modprobe`
//! is the subject's. The clock is real: under virtual time a guest that waits for a person would run years ahead.

mod check;

use super::args::{Common, GuestArgs, ShellArgs};
use super::error::CliError;
use super::{Outcome, lookup, script, setup, show_progress, signals, status};
use crate::pair::{Host, PreparedKernel};
use crate::verdict::exit;
use agent::proto::{ExitKind, GuestMillis, JobEnd, JobId};
use anyhow::anyhow;
use harness::{Vm, WallLimits};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use vm_images::Subject;

/// Ctrl-], as telnet has it.
const LEAVE: u8 = 0x1d;
/// What a behaviour that runs first may take.
const FIRST: Duration = Duration::from_secs(120);
const TICK: Duration = Duration::from_millis(50);
/// Longer than anybody sits at a shell.
const LIMIT: GuestMillis = GuestMillis(7 * 24 * 3600 * 1000);

/// What every shell begins with.
const PROMPT: &str = "export PS1='\\w # '; cd /; ";

pub(super) fn shell(common: &Common, args: &ShellArgs) -> Outcome {
    let catalogue = lookup::catalogue()?;
    let guest = GuestArgs { real_time: true, ..args.guest.clone() };
    let kernels = lookup::kernel_args(&guest, &catalogue)?;
    if kernels.len() != 1 || guest.subject.len() != 1 {
        return Err(CliError::usage(anyhow!("a shell is opened on one kernel with one subject")));
    }
    let first = args.at.as_deref().map(check::selected).transpose()?;
    let mut host = setup::host(common, &guest, args.cold || args.gdb.is_some(), None)?;
    if args.gdb.is_some() {
        host.boot.append.push("nokaslr".to_owned());
    }
    let spawner = host.spawner.clone();
    let stop = signals::watch(move || spawner.kill_all())?;
    let options = lookup::options(common, &host.cache, &show_progress, &stop);
    let extra = [(script::BUSYBOX.to_owned(), script::busybox(&options)?)];
    let kernel = lookup::only(lookup::kernels(kernels, &catalogue, &options)?)?;
    let subject = &lookup::only_subject(common, &guest, &options)?;
    setup::decide_accel(guest.accel, &mut host, Some(&kernel), Some(subject))?;
    let side = PreparedKernel::new(kernel, &host).map_err(CliError::inconclusive)?;
    if guest.print_command {
        let spec = side.spec(subject, &extra, &host).map_err(CliError::inconclusive)?.0;
        return super::list::print(&format!("{}\n", host.qemu.command_line(&spec)));
    }
    let ready = side.pair_with_files(subject, &extra, &host).map_err(CliError::inconclusive)?;
    let mut vm = match args.gdb {
        Some(port) => debugged(&side, subject, &extra, port, &host)?,
        None => ready.guest(&host).map_err(CliError::inconclusive)?,
    };
    if let Some(behaviour) = first {
        check::run(&mut vm, behaviour, &ready, FIRST, status);
    }
    let code = match &args.command {
        Some(command) => run_command(&mut vm, subject, command)?,
        None => interactive(&mut vm, &side.kernel.release.to_string(), subject)?,
    };
    let ending = vm.shutdown();
    if !ending.planned {
        status(&format!("the guest did not end as planned: {ending}"));
    }
    Ok(code)
}

/// A guest that waits for gdb, which may take its time.
fn debugged(
    side: &PreparedKernel,
    subject: &Subject,
    extra: &[(String, PathBuf)],
    port: u16,
    host: &Host,
) -> Result<Vm, CliError> {
    let mut spec = side.spec(subject, extra, host).map_err(CliError::inconclusive)?.0;
    spec.gdb = Some(port);
    // A kernel tree has its symbols beside itself.
    let tree = Path::new(&side.kernel.name).join("vmlinux");
    let symbols = if tree.is_file() { format!("{} ", tree.display()) } else { String::new() };
    status(&format!("the guest waits: gdb {symbols}-ex 'target remote 127.0.0.1:{port}', then continue"));
    let limits = WallLimits { boot: Duration::from_secs(7 * 24 * 3600), ..host.boot.limits };
    harness::boot_cold(&host.qemu, &spec, &host.spawner, &limits).map_err(CliError::inconclusive)
}

/// busybox's shell takes its own applets before anything in `PATH`, but functions before those.
fn functions(subject: &Subject) -> String {
    let function = |command: &String| format!("{command}() {{ /sbin/{command} \"$@\"; }}; ");
    subject.commands().iter().map(function).collect()
}

fn start(vm: &mut Vm, subject: &Subject, command: &str) -> Result<JobId, CliError> {
    script::start(vm, &format!("{PROMPT}{}{command}", functions(subject)), LIMIT)
}

fn exit_code(exit: ExitKind) -> u8 {
    match exit {
        ExitKind::Exited(status) => u8::try_from(status & 0xff).unwrap_or(exit::FAILED),
        // As a shell tells it.
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
        "Linux {release} with {} in /sbin ({}); exit or Ctrl-] ends it",
        subject.name(),
        subject.commands().join(" ")
    ));
    let mark = vm.console_mark();
    // An interactive shell reads the file that ENV names. setsid is a child that is waited for: as leader of its
    // process group it would fork and leave.
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

/// Carries keys in and the console out until the shell or the person ends it.
fn pump(
    vm: &mut Vm,
    job: JobId,
    mut mark: u64,
    keys: &std::sync::mpsc::Receiver<Option<Vec<u8>>>,
) -> Result<Option<JobEnd>, CliError> {
    let mut typed_out = false;
    loop {
        let text = vm.wait_console(mark, TICK);
        mark += text.len() as u64;
        let mut out = io::stdout().lock();
        out.write_all(&text).and_then(|()| out.flush()).map_err(CliError::inconclusive)?;
        loop {
            match keys.try_recv() {
                Ok(Some(bytes)) if bytes.contains(&LEAVE) => return Ok(None),
                Ok(Some(bytes)) => vm.type_on_console(&bytes).map_err(CliError::inconclusive)?,
                Ok(None) if !typed_out => {
                    // Ctrl-D: the end of what was piped in.
                    typed_out = true;
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

/// What is typed, read by a thread of its own since standard input cannot be waited for together with the console;
/// `None` at its end.
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

/// The terminal in raw mode, as it was before when this is dropped.
struct RawTerminal(Option<Termios>);

impl RawTerminal {
    fn enter() -> RawTerminal {
        let stdin = io::stdin();
        let before = stdin.is_terminal().then(|| tcgetattr(&stdin).ok()).flatten();
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.make_raw();
            // A terminal that cannot be raw still works, line by line.
            let _ = tcsetattr(&stdin, OptionalActions::Now, &raw);
        }
        RawTerminal(before)
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // Nothing better can be done about a terminal that went away.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}
