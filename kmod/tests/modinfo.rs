//! `modinfo` as a process, on a small module directory and on single files.

// A failed unwrap is a failed test, also in helper functions.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Lab, Outcome, RELEASE};
use std::fs;
use std::io::Write as _;

/// Builds an ELF file with a `.modinfo` section and appended data.
fn module(modinfo: &[u8], appended: &[u8]) -> Vec<u8> {
    const NAMES: &[u8] = b"\0.modinfo\0.shstrtab\0";
    let section = |name: u32, kind: u32, at: usize, size: usize| {
        let words = [0, 0, at as u64, size as u64].map(u64::to_le_bytes).concat();
        [&[name, kind].map(u32::to_le_bytes).concat()[..], &words, &[0; 24]].concat()
    };
    let table = 64 + modinfo.len() + NAMES.len();
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(40, 0);
    file.extend((table as u64).to_le_bytes());
    file.extend([0_u16, 0, 64, 0, 0, 64, 3, 2].iter().flat_map(|half| half.to_le_bytes()));
    file.extend([modinfo, NAMES].concat());
    file.extend(section(0, 0, 0, 0));
    file.extend(section(1, 1, 64, modinfo.len()));
    file.extend(section(10, 3, 64 + modinfo.len(), NAMES.len()));
    file.extend(appended);
    file
}

const SIGNED: &[u8] = b"A keyKSig\0\x04\x01\x05\x01\0\0\0\0\0\0\x03~Module signature appended~\n";

fn lab() -> Lab {
    let lab = Lab::new();
    fs::create_dir(lab.tree().join("k")).unwrap();
    let put = |name: &str, bytes: &[u8]| fs::write(lab.tree().join("k").join(name), bytes).unwrap();
    let leaf = b"license=GPL\0description=A leaf\0author=J\xc3\xa9r\xc3\xb4me\0author=B\x1b[2J\0parm=n:count\0parmtype=n:int\0";
    put("leaf.ko", &module(leaf, SIGNED));
    put("al.ko", &module(b"license=MIT\0alias=pci:v*d00000001sv*\0", b""));
    put("top.ko", b"no module");
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(0)).unwrap();
    xz.write_all(&module(b"license=GPL\0name=mid\0", SIGNED)).unwrap();
    put("mid.ko.xz", &xz.finish().unwrap());
    fs::write(lab.tree().join("modules.builtin.modinfo"), b"bi.license=GPL\0bi.alias=fs-bi\0other.a=b\0bi.parm=q:x\0")
        .unwrap();
    lab
}

fn modinfo(lab: &Lab, arguments: &[&str]) -> Outcome {
    lab.execute(lab.command("modinfo").arg("-b").arg(lab.path("")).args(["-k", RELEASE]).args(arguments))
}

/// Returns the output of a run that must succeed silently, with `|` for NUL.
fn printed(lab: &Lab, arguments: &[&str]) -> String {
    let outcome = modinfo(lab, arguments);
    assert_eq!((outcome.code, outcome.err.as_str()), (Some(0), ""), "{arguments:?}: {outcome:?}");
    outcome.out.replace('\0', "|")
}

#[test]
fn a_module_is_listed_with_its_signature_and_parameters() {
    insta::assert_snapshot!(printed(&lab(), &["leaf"]), @r"
    filename:       LAB/lib/modules/1.2.3-test/k/leaf.ko
    license:        GPL
    description:    A leaf
    author:         Jérôme
    author:         B\x1b[2J
    sig_id:         X509
    signer:         A key
    sig_key:        4B
    sig_hashalgo:   sha256
    signature:      53:69:67
    parm:           n:count (int)
    ");
}

#[test]
fn the_last_option_that_selects_a_field_applies() {
    let lab = lab();
    for (options, expected) in [
        (&["-a"][..], "Jérôme\nB\x1b[2J\n"),
        (&["--author"], "Jérôme\nB\x1b[2J\n"),
        (&["-d"], "A leaf\n"),
        (&["--description"], "A leaf\n"),
        (&["-l"], "GPL\n"),
        (&["--license"], "GPL\n"),
        (&["-p"], "n:count (int)\n"),
        (&["--parameters"], "n:count (int)\n"),
        (&["-n"], "LAB/lib/modules/1.2.3-test/k/leaf.ko\n"),
        (&["--filename"], "LAB/lib/modules/1.2.3-test/k/leaf.ko\n"),
        (&["-F", "signer"], "A key\n"),
        (&["--field=sig_key"], "4B\n"),
        (&["-Fsignature"], "53:69:67\n"),
        (&["-F", "nosuch"], ""),
        (&["-a", "-d"], "A leaf\n"),
        (&["-d", "-F", "license"], "GPL\n"),
        (&["-0", "-a"], "Jérôme|B\x1b[2J|"),
        (&["--null", "-l"], "GPL|"),
        (&["-0n"], "LAB/lib/modules/1.2.3-test/k/leaf.ko|"),
    ] {
        assert_eq!(printed(&lab, &[options, &["leaf"]].concat()), expected, "{options:?}");
    }
}

#[test]
fn null_terminated_entries_are_key_and_value() {
    assert_eq!(
        printed(&lab(), &["-0", "leaf"]),
        "filename:       LAB/lib/modules/1.2.3-test/k/leaf.ko|license=GPL|description=A leaf|author=Jérôme|author=B\x1b[2J|\
         sig_id=X509|signer=A key|sig_key=4B|sig_hashalgo=sha256|signature=53:69:67|parm:           n:count (int)|"
    );
}

#[test]
fn a_compressed_module_is_read() {
    assert_eq!(printed(&lab(), &["-F", "signer", "mid"]), "A key\n");
    assert_eq!(printed(&lab(), &["-F", "name", "mid"]), "mid\n");
}

#[test]
fn all_modules_of_an_alias_are_shown() {
    let lab = lab();
    assert_eq!(printed(&lab, &["-l", "two"]), "GPL\nMIT\n");
    assert_eq!(printed(&lab, &["-l", "pci:v1d00000001sv2"]), "MIT\n");
    assert_eq!(printed(&lab, &["-l", "symbol:leaf_do"]), "GPL\n");
}

#[test]
fn modname_accepts_only_names() {
    let lab = lab();
    for option in ["-m", "--modname"] {
        assert_eq!(printed(&lab, &[option, "-l", "leaf"]), "GPL\n");
        assert_eq!(
            modinfo(&lab, &[option, "two"]).transcript(),
            "Some(1)\n--\nmodinfo: ERROR: Module name two not found.\n"
        );
    }
    assert_eq!(printed(&lab, &["-m", "-l", "leaf.ko"]), "GPL\n");
    assert_eq!(printed(&lab, &["-m", "-n", "bi"]), "(builtin)\n");
    assert_eq!(printed(&lab, &["-m", "-n", "fs-bi"]), "(builtin)\n");
    // A file is not a name.
    fs::write(lab.path("one.ko"), module(b"license=Here\0", b"")).unwrap();
    assert_eq!(modinfo(&lab, &["-m", "./one.ko"]).err, "modinfo: ERROR: Module name ./one.ko not found.\n");
    assert_eq!(modinfo(&lab, &["-m", "a[b"]).err, "modinfo: ERROR: Module name a[b not found.\n");
}

#[test]
fn release_and_root_select_the_module_directory() {
    let lab = lab();
    let run = |arguments: &[&str]| lab.run("modinfo", arguments);
    for (root, release) in [("-b", "-k"), ("--basedir", "--set-version")] {
        let here = [root, ".", release, RELEASE, "-l", "leaf"];
        assert_eq!(run(&here).transcript(), "Some(0)\nGPL\n--\n");
        let not_found = "Some(1)\n--\nmodinfo: ERROR: Module leaf not found.\n";
        assert_eq!([run(&here[..2]).code, run(&here[2..]).code], [Some(1), Some(1)]);
        assert_eq!(run(&[root, "conf", release, RELEASE, "leaf"]).transcript(), not_found);
        assert_eq!(run(&[root, ".", release, "9.9", "leaf"]).transcript(), not_found);
    }
}

#[test]
fn a_built_in_module_has_no_file() {
    let lab = lab();
    let listing = "name:           bi\nfilename:       (builtin)\nlicense:        GPL\nalias:          fs-bi\nparm:           q:x\n";
    assert_eq!(printed(&lab, &["bi"]), listing);
    assert_eq!(printed(&lab, &["fs-bi"]), listing);
    assert_eq!(printed(&lab, &["-F", "name", "bi"]), "bi\n");
    assert_eq!(printed(&lab, &["-p", "bi"]), "q:x\n");
    fs::remove_file(lab.tree().join("modules.builtin.modinfo")).unwrap();
    assert_eq!(printed(&lab, &["bi"]), "name:           bi\nfilename:       (builtin)\n");
}

#[test]
fn a_file_operand_is_read() {
    let lab = lab();
    for name in ["one.ko", "one.ko.zst", ".ko", "a.b.ko"] {
        fs::write(lab.path(name), module(b"license=Here\0", b"")).unwrap();
        assert_eq!(lab.run("modinfo", &["-l", name]).transcript(), "Some(0)\nHere\n--\n");
        assert_eq!(lab.run("modinfo", &["-n", name]).out, format!("LAB/{name}\n"));
    }
    // Anything else is an unknown name.
    fs::write(lab.path("one.txt"), module(b"license=Here\0", b"")).unwrap();
    fs::create_dir(lab.path("dir.ko")).unwrap();
    for name in ["one.txt", "dir.ko", "./none.ko"] {
        let expected = format!("Some(1)\n--\nmodinfo: ERROR: Module {name} not found.\n");
        assert_eq!(lab.run("modinfo", &[name]).transcript(), expected);
    }
}

#[test]
fn a_failure_is_reported_and_the_rest_is_shown() {
    let lab = lab();
    insta::assert_snapshot!(modinfo(&lab, &["nosuch\n", "leaf", "a[b", "top", "al", "-l"]).transcript(), @r"
    Some(1)
    GPL
    MIT
    --
    modinfo: ERROR: Module nosuch\x0a not found.
    modinfo: ERROR: Module alias a[b not found.
    modinfo: ERROR: LAB/lib/modules/1.2.3-test/k/top.ko: not an ELF file: it starts with neither ELF's magic nor that of a known compression
    modinfo: ERROR: could not get modinfo from 'top': Exec format error
    ");
    let outcome = modinfo(&lab, &["top"]);
    assert_eq!(outcome.out, "filename:       LAB/lib/modules/1.2.3-test/k/top.ko\n");
    fs::remove_file(lab.tree().join("k/al.ko")).unwrap();
    assert_eq!(
        modinfo(&lab, &["-l", "al"]).err,
        "modinfo: ERROR: could not get modinfo from 'al': No such file or directory\n"
    );
    assert_eq!(printed(&lab, &["-n", "al"]), "LAB/lib/modules/1.2.3-test/k/al.ko\n");
    fs::write(
        lab.tree().join("k/al.ko"),
        module(b"", b"").iter().map(|&b| if b == b'm' { b'x' } else { b }).collect::<Vec<_>>(),
    )
    .unwrap();
    assert!(modinfo(&lab, &["al"]).err.ends_with("could not get modinfo from 'al': No data available\n"));
    assert_eq!(lab.run("modinfo", &[""; 0]).transcript(), "Some(1)\n--\nmodinfo: ERROR: missing module or filename.\n");
}

#[test]
fn kmod_log_hides_the_cause_but_not_the_failure() {
    let lab = lab();
    let messages = |level: &str| {
        let mut command = lab.command("modinfo");
        command.arg("-b").arg(lab.path("")).args(["-k", RELEASE, "-l", "top", "leaf"]).env("KMOD_LOG", level);
        let outcome = lab.execute(&mut command);
        assert_eq!((outcome.code, outcome.out.as_str()), (Some(1), "GPL\n"));
        outcome.err
    };
    assert_eq!(messages("0"), "modinfo: ERROR: could not get modinfo from 'top': Exec format error\n");
    assert_eq!(messages("err").lines().count(), 2);
}

#[test]
fn a_damaged_index_is_reported_once() {
    let lab = lab();
    fs::write(lab.tree().join("modules.alias.bin"), b"not an index").unwrap();
    let outcome = modinfo(&lab, &["no1", "no2", "leaf", "-l"]);
    assert_eq!((outcome.code, outcome.out.as_str()), (Some(1), "GPL\n"));
    assert_eq!(outcome.err.matches("modules.alias.bin").count(), 1, "{}", outcome.err);
    // Without modules.dep, no module counts as built in.
    fs::remove_file(lab.tree().join("modules.alias.bin")).unwrap();
    fs::write(lab.tree().join("modules.dep.bin"), b"not an index").unwrap();
    let outcome = modinfo(&lab, &["two"]);
    assert_eq!((outcome.code, outcome.out.as_str()), (Some(1), ""), "{outcome:?}");
}

#[test]
fn a_full_device_is_a_failure() {
    let lab = lab();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let outcome =
        lab.execute(lab.command("modinfo").arg("-b").arg(lab.path("")).args(["-k", RELEASE, "leaf"]).stdout(full));
    assert_eq!(
        (outcome.code, outcome.err.as_str()),
        (Some(1), "could not write to standard output: No space left on device\n")
    );
}
