//! Unsigned and altered modules.

use crate::catalogue::entry::Check;
use crate::check::errno;
use crate::check::fact::{List, Shown};
use crate::check::lab::{Lab, LabError, SCRATCH, shown_line};
use crate::check::module_file::{MARKER, SIGNATURE_INFO, finit, unsigned_length};
use agent::proto::Action;

const FAILED: &str = "<5> dummy: module verification failed: signature and/or required key missing - tainting kernel";

/// Loads a file and records the result and all lines of the kernel log, the notice about an unsigned module included.
fn expect_all_lines(lab: &mut Lab<'_>, what: &str, path: &str, result: impl Shown, lines: &[&str]) -> Check {
    let got = lab.load_result(finit(path, ""))?;
    lab.expect(what, got, result);
    let logged: Vec<String> = lab.take_kmsg()?.iter().map(shown_line).collect();
    lab.expect(&format!("{what}: kernel log"), List(logged), List(lines.to_vec()));
    Ok(())
}

fn unload(lab: &mut Lab<'_>, name: &str) -> Result<(), LabError> {
    lab.arrange(Action::DeleteModule { name: name.as_bytes().to_vec(), flags: 0 })?;
    Ok(())
}

pub(super) fn unsigned(lab: &mut Lab<'_>) -> Check {
    const ENFORCE: &str = "/sys/module/module/parameters/sig_enforce";
    let signed = lab.signed_module("nls_utf8")?;
    let unsigned = lab.unsigned_module("dummy")?;
    let taints = lab.taints()?;
    lab.mark_kmsg()?;
    expect_all_lines(lab, "signed", signed.path(), 0_u32, &[])?;
    lab.expect_new_taints("signed: new taint flags", taints, &[])?;
    unload(lab, "nls_utf8")?;
    expect_all_lines(lab, "unsigned", unsigned.path(), 0_u32, &[FAILED])?;
    lab.expect_new_taints("unsigned: new taint flags", taints, &["E"])?;
    unload(lab, "dummy")?;
    expect_all_lines(lab, "unsigned, again", unsigned.path(), 0_u32, &[])?;
    unload(lab, "dummy")?;

    lab.write(ENFORCE, b"1")?;
    expect_all_lines(
        lab,
        "enforced, unsigned",
        unsigned.path(),
        errno::EKEYREJECTED,
        &["<5> Loading of unsigned module is rejected"],
    )?;
    expect_all_lines(lab, "enforced, signed", signed.path(), 0_u32, &[])?;
    let off = Action::Write { path: ENFORCE.into(), data: b"0".to_vec(), flags: 0 };
    let off = lab.observe(off)?.result;
    lab.expect("writing 0 to sig_enforce", off, errno::EROFS);
    lab.expect_states("dummy", &["dummy"], &["absent"])
}

pub(super) fn altered(lab: &mut Lab<'_>) -> Check {
    let file = lab.signed_module("dummy")?;
    let (length, taints) = (unsigned_length(file.image()), lab.taints()?);
    lab.mark_kmsg()?;
    let places = [
        ("first byte of the file", 0),
        ("version magic", file.find(b"vermagic=")?),
        ("byte in the middle", length / 2),
        ("last byte before the signature", length - 1),
        ("last byte of the signature", file.image().len() - MARKER.len() - SIGNATURE_INFO - 1),
    ];
    for (what, at) in places {
        lab.change(file.path(), &[(at, vec![file.image()[at] ^ 1])])?;
        expect_all_lines(lab, what, file.path(), errno::EKEYREJECTED, &[])?;
        lab.change(file.path(), &[(at, vec![file.image()[at]])])?;
    }
    expect_all_lines(lab, "no change", file.path(), 0_u32, &[])?;
    lab.expect_new_taints("new taint flags", taints, &[])
}

pub(super) fn trailer(lab: &mut Lab<'_>) -> Check {
    let unsigned = lab.unsigned_module("dummy")?;
    let at = unsigned.image().len();
    let path = format!("{SCRATCH}/dummy.ko");
    // One byte of a signature, `struct module_signature` with type PKCS#7, the marker.
    let info = [0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    lab.change(&path, &[(at, [b"x".as_slice(), &info, MARKER].concat())])?;
    let info_at = at + 1;
    let taints = lab.taints()?;
    lab.mark_kmsg()?;
    let reserved = "<3> module: PKCS#7 signature info has unexpected non-zero params";
    let cases: [(&str, usize, u8, &[&str]); 9] = [
        ("algorithm", 0, 1, &[reserved]),
        ("hash", 1, 1, &[reserved]),
        ("length of the signer", 3, 1, &[reserved]),
        ("length of the key id", 4, 1, &[reserved]),
        ("first padding byte", 5, 1, &[reserved]),
        ("second padding byte", 6, 1, &[reserved]),
        ("third padding byte", 7, 1, &[reserved]),
        ("length of the signature", 8, 0x7f, &[]),
        ("no PKCS#7 message", 0, 0, &[]),
    ];
    for (what, field, value, lines) in cases {
        lab.change(&path, &[(info_at + field, vec![value])])?;
        expect_all_lines(lab, what, &path, errno::EBADMSG, lines)?;
        lab.change(&path, &[(info_at, info.to_vec())])?;
    }
    lab.expect_new_taints("refused: new taint flags", taints, &[])?;

    lab.change(&path, &[(info_at + 2, vec![1])])?;
    expect_all_lines(
        lab,
        "another type",
        &path,
        0_u32,
        &["<3> module: not signed with expected PKCS#7 message", FAILED],
    )?;
    lab.expect_new_taints("another type: new taint flags", taints, &["E"])?;
    unload(lab, "dummy")?;
    lab.change(&path, &[(info_at, info.to_vec()), (info_at + SIGNATURE_INFO + MARKER.len() - 1, vec![b' '])])?;
    expect_all_lines(lab, "incomplete marker", &path, 0_u32, &[])
}

pub(super) fn lockdown(lab: &mut Lab<'_>) -> Check {
    let signed = lab.signed_module("nls_utf8")?;
    let unsigned = lab.unsigned_module("dummy")?;
    let target = b"/sys/kernel/security".to_vec();
    let (source, fstype) = (b"securityfs".to_vec(), b"securityfs".to_vec());
    lab.arrange_in_init(Action::Mount { source, target, fstype, flags: 0, data: Vec::new() })?;
    lab.mark_kmsg()?;
    lab.write("/sys/kernel/security/lockdown", b"integrity")?;
    let lines: Vec<String> = lab.take_kmsg()?.iter().map(shown_line).collect();
    let expected = "<5> Kernel is locked down from securityfs; see man kernel_lockdown.7";
    lab.expect("kernel log", List(lines), List(vec![expected]));
    let line = "<5> Lockdown: init: unsigned module loading is restricted; see man kernel_lockdown.7";
    expect_all_lines(lab, "unsigned", unsigned.path(), errno::EPERM, &[line])?;
    expect_all_lines(lab, "signed", signed.path(), 0_u32, &[])
}
