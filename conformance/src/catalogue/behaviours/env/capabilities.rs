//! The capabilities of a helper, and the sysctls that limit them.

use crate::catalogue::entry::Check;
use crate::check::capability::{CHECKPOINT_RESTORE, SETPCAP, SYS_MODULE};
use crate::check::errno;
use crate::check::fact::List;
use crate::check::helper::{act_then_exit, exit_with};
use crate::check::lab::{Lab, LabError, Observed, unprivileged};
use crate::check::modules::finit_flags;
use crate::check::trigger::unknown_socket;
use agent::plan::Record;
use agent::proto::{Action, Caller};

const BSET: &str = "/proc/sys/kernel/usermodehelper/bset";
const INHERITABLE: &str = "/proc/sys/kernel/usermodehelper/inheritable";

/// All capabilities since 5.9. A kernel that has more fails the check, which must then be extended.
const ALL: u64 = (1 << (CHECKPOINT_RESTORE + 1)) - 1;

fn without(capability: u32) -> u64 {
    ALL & !(1 << capability)
}

/// Returns the sets of a helper as text.
fn shown(record: &Record) -> List<String> {
    let names = ["inheritable", "permitted", "effective", "bounding", "ambient"];
    List(names.iter().zip(record.caps).map(|(name, set)| format!("{name} {}", shown_set(set))).collect())
}

fn shown_set(set: u64) -> String {
    match set {
        0 => "none".to_owned(),
        ALL => "all".to_owned(),
        set if set.count_ones() + 1 == ALL.count_ones() && set & ALL == set => {
            format!("all but {}", (ALL & !set).trailing_zeros())
        }
        set => format!("{set:#x}"),
    }
}

/// Returns the sets of a helper with these permitted, effective and bounding sets.
fn sets_with(set: &str) -> List<String> {
    let sets =
        [("inheritable", "none"), ("permitted", set), ("effective", set), ("bounding", set), ("ambient", "none")];
    List(sets.map(|(name, set)| format!("{name} {set}")).to_vec())
}

pub(super) fn sets(lab: &mut Lab<'_>) -> Check {
    const PR_SET_SECUREBITS: i32 = 28;
    // SECBIT_NOROOT, SECBIT_NO_SETUID_FIXUP and their locks.
    let secure = Action::Prctl { option: PR_SET_SECUREBITS, arguments: [0xf, 0, 0, 0] };
    let callers = [
        ("root", Caller::default(), vec![]),
        ("root without capabilities", Caller { caps: Some(0), ..Caller::default() }, vec![]),
        ("root with securebits", Caller::default(), vec![secure]),
        ("uid 1000", unprivileged(), vec![]),
        ("uid 1000 with all capabilities", Caller { caps: Some(u64::MAX), ..unprivileged() }, vec![]),
    ];
    let helper = lab.helper_as_path("log", &exit_with(1))?;
    for (name, caller, own) in callers {
        let record = lab.record_of_request(&helper, caller, own)?;
        lab.expect(name, shown(&record), sets_with("all"));
    }
    Ok(())
}

/// The sysctls contain the low and the high half of a set, as decimal numbers.
fn halves(set: u64) -> String {
    format!("{} {}", set & u64::from(u32::MAX), set >> 32)
}

fn write_set(lab: &mut Lab<'_>, caller: Caller, file: &str, set: u64) -> Result<Observed, LabError> {
    let data = halves(set).into_bytes();
    lab.observe_as(caller, Action::Write { path: file.as_bytes().to_vec(), data, flags: 0 })
}

/// Returns the capability set in a sysctl as text, without the bits of unknown capabilities.
fn read_set(lab: &mut Lab<'_>, file: &str) -> Result<String, LabError> {
    let text = lab.read(file)?;
    let text = String::from_utf8_lossy(&text);
    let mut halves = text.split_whitespace().map(|half| half.parse::<u64>().unwrap_or_default());
    let mut next = || halves.next().unwrap_or_default();
    let set = next() | next() << 32;
    Ok(shown_set(set & ALL))
}

pub(super) fn limited(lab: &mut Lab<'_>) -> Check {
    let helper = lab.helper_as_path("log", &exit_with(1))?;
    let root = Caller::default;
    for (file, name) in [(BSET, "bset"), (INHERITABLE, "inheritable")] {
        let set = read_set(lab, file)?;
        lab.expect(&format!("{name} at boot"), set, "all");
        let reduced = without(SYS_MODULE);
        for (what, set) in [("a smaller set", reduced), ("the full set again", ALL)] {
            let written = write_set(lab, root(), file, set)?.result;
            lab.expect(&format!("{name}: write(2) of {what}"), written, halves(set).len());
            let set = read_set(lab, file)?;
            lab.expect(&format!("{name} after {what}"), set, "all but 16");
        }
        let record = lab.record_of_request(&helper, root(), vec![])?;
        lab.expect(&format!("helper after {name}"), shown(&record), sets_with("all but 16"));
    }
    // Capabilities in both halves.
    write_set(lab, root(), BSET, 0)?;
    let set = read_set(lab, BSET)?;
    lab.expect("bset after the empty set", set, "none");
    let record = lab.record_of_request(&helper, root(), vec![])?;
    lab.expect("helper after the empty set", shown(&record), sets_with("none"));
    lab.expect("uid of the helper after the empty set", record.uids[1], 0_u32);
    Ok(())
}

pub(super) fn writers(lab: &mut Lab<'_>) -> Check {
    let root = |caps| Caller { caps: Some(caps), ..Caller::default() };
    let callers = [
        ("root without CAP_SETPCAP", root(without(SETPCAP)), errno::EPERM),
        ("root without CAP_SYS_MODULE", root(without(SYS_MODULE)), errno::EPERM),
        ("root without capabilities", root(0), errno::EPERM),
        ("uid 1000", unprivileged(), errno::EACCES),
        ("uid 1000 with all capabilities", Caller { caps: Some(u64::MAX), ..unprivileged() }, errno::EACCES),
    ];
    for (file, name) in [(BSET, "bset"), (INHERITABLE, "inheritable")] {
        for (caller_name, caller, errno) in &callers {
            let written = write_set(lab, caller.clone(), file, 0)?.result;
            lab.expect(&format!("{name}: {caller_name}"), written, errno);
        }
        let set = read_set(lab, file)?;
        lab.expect(&format!("{name} after these writes"), set, "all");
        let write = Action::Write { path: file.as_bytes().to_vec(), data: b"x".to_vec(), flags: 0 };
        let written = lab.observe(write)?.result;
        lab.expect(&format!("{name}: a write that is not a number"), written, errno::EINVAL);
        let allowed = root(1 << SETPCAP | 1 << SYS_MODULE);
        let written = write_set(lab, allowed, file, 0)?.result;
        lab.expect(&format!("{name}: root with both capabilities alone"), written, halves(0).len());
        let set = read_set(lab, file)?;
        lab.expect(&format!("{name} after the last write"), set, "none");
    }
    Ok(())
}

pub(super) fn no_module_capability(lab: &mut Lab<'_>) -> Check {
    let file = lab.module_file("nls_utf8")?;
    let flags = finit_flags(&file);
    let load = Action::FinitModule { path: file.into_bytes(), params: Vec::new(), flags };
    lab.helper_as_path("loader", &act_then_exit(vec![load], 0))?;
    lab.observe(unknown_socket())?;
    lab.expect_states("with all capabilities: nls_utf8", &["nls_utf8"], &["Live"])?;
    lab.arrange(Action::DeleteModule { name: b"nls_utf8".to_vec(), flags: 0 })?;
    let written = write_set(lab, Caller::default(), BSET, without(SYS_MODULE))?.result;
    lab.expect("bset: write(2) without CAP_SYS_MODULE", written, halves(without(SYS_MODULE)).len());
    lab.observe(unknown_socket())?;
    lab.expect_states("without CAP_SYS_MODULE: nls_utf8", &["nls_utf8"], &["absent"])?;
    Ok(())
}
