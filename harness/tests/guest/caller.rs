//! A job in a guest is the caller that the host asks for.

use super::rig::{CALL, Rig};
use agent::proto::{Action, Caller, GuestMillis, Reply, Request, Value};
use harness::Vm;

/// Reads files of its own process as this caller.
fn own_files(vm: &mut Vm, caller: Caller, names: &[&str]) -> String {
    let read = |name: &&str| Action::Read { path: format!("/proc/self/{name}").into_bytes(), max: 1 << 16 };
    let start = Request::Start { caller, actions: names.iter().map(read).collect(), count: 1 };
    let Reply::Started(jobs) = vm.call(&start, CALL).unwrap() else { panic!() };
    let wait = Request::Wait { job: jobs[0], limit: GuestMillis(10_000) };
    let Reply::Finished(end) = vm.call(&wait, CALL).unwrap() else { panic!() };
    assert_eq!(end.setup, None);
    let texts = end.results.into_iter().map(|result| match result.result {
        Ok(Value::Bytes(bytes)) => String::from_utf8(bytes).unwrap(),
        other => panic!("{other:?}"),
    });
    texts.collect::<Vec<_>>().concat()
}

/// Returns the fields of the line that begins with `name`.
fn fields(text: &str, name: &str) -> Vec<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_job_has_the_ids_and_capabilities_of_its_caller() {
    let Some(rig) = Rig::open() else { return };
    let mut vm = rig.guest();
    let caller = Caller { uid: Some(1000), caps: Some(1 << 16), no_new_privs: true, ..Caller::default() };
    let text = own_files(&mut vm, caller, &["status"]);
    let expected: [(&str, &[&str]); 6] = [
        ("Uid:", &["1000"; 4]),
        ("Gid:", &["1000"; 4]),
        ("Groups:", &[]),
        ("CapEff:", &["0000000000010000"]),
        ("CapBnd:", &["0000000000010000"]),
        ("NoNewPrivs:", &["1"]),
    ];
    for (name, values) in expected {
        assert_eq!(fields(&text, name), values, "{name}");
    }
}

#[test]
fn a_job_in_a_new_user_namespace_has_its_ids_outside_and_the_mapped_ones_inside() {
    let Some(rig) = Rig::open() else { return };
    let mut vm = rig.guest();
    // `CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS`.
    let unshare = 0x1000_0000 | 0x2000_0000 | 0x2_0000;
    let caller = Caller { uid: Some(1000), unshare, map_uid: Some(0), ..Caller::default() };
    let text = own_files(&mut vm, caller, &["status", "uid_map", "gid_map"]);
    assert_eq!(fields(&text, "Uid:"), ["0"; 4]);
    assert_eq!(fields(&text, "Gid:"), ["0"; 4]);
    let maps: Vec<Vec<&str>> = text.lines().rev().take(2).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(maps, [["0", "1000", "1"]; 2]);
}
