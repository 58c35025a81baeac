//! Masks in kmod.d, with modprobe in a chroot, since no option selects another directory.

// A failed unwrap is a failed test, also in helper functions.
#![allow(clippy::unwrap_used)]

mod common;

// The generator of small modules is part of the library's unit tests; parts of it are unused here.
#[allow(dead_code)]
#[path = "../src/object/testing.rs"]
mod testing;

use common::{Lab, Outcome, RELEASE, empty_root};
use std::fs;
use std::path::Path;
use std::process::Command;
use testing::TinyModule;

/// Runs modprobe in a chroot with these files. Returns `None` if this is not possible here.
fn masked(files: &[(&str, &str)], arguments: &[&str]) -> Option<Outcome> {
    prepared(|root| files.iter().for_each(|(name, text)| write(&root.join(name), text.as_bytes())), arguments)
}

fn write(file: &Path, bytes: &[u8]) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, bytes).unwrap();
}

/// Runs modprobe in a chroot that `prepare` completes. Returns `None` if this is not possible here.
fn prepared(prepare: impl FnOnce(&Path), arguments: &[&str]) -> Option<Outcome> {
    let lab = Lab::new();
    let root = empty_root(&lab)?;
    fs::create_dir_all(root.join("lib/modules")).unwrap();
    fs::rename(lab.tree(), root.join("lib/modules").join(RELEASE)).unwrap();
    prepare(&root);
    Some(lab.execute(Command::new("chroot").arg(root).args(["/modprobe", "-S", RELEASE]).args(arguments)))
}

const MASK: (&str, &str) = ("etc/kmod.d/a.conf", "# no such\nmask le-af\nmask leaf\n");

#[test]
fn a_mask_blocks_a_module_by_name_by_alias_and_as_a_dependency() {
    for name in ["leaf", "top", "two"] {
        let Some(outcome) = masked(&[MASK], &["-D", name]) else { return };
        let message = format!(
            "modprobe: ERROR: could not insert '{}': module 'leaf' is masked by /etc/kmod.d/a.conf line 3\n",
            if name == "two" { "leaf" } else { name }
        );
        // The alias `two` resolves to al as well, which is not masked and determines the exit status.
        let (code, out) = if name == "two" { (0, "insmod /lib/modules/1.2.3-test/k/al.ko \n") } else { (1, "") };
        assert_eq!((outcome.code, outcome.out.as_str(), outcome.err), (Some(code), out, message));
    }
    let quiet = masked(&[MASK], &["-q", "--", "leaf"]).unwrap();
    assert_eq!(quiet.transcript(), "Some(1)\n--\n");
}

#[test]
fn a_masked_soft_dependency_is_skipped_and_the_rest_is_loaded() {
    let softdep = ("etc/modprobe.d/s.conf", "softdep al pre: mid\n");
    let Some(outcome) = masked(&[MASK, softdep], &["-D", "al"]) else { return };
    insta::assert_snapshot!(outcome.transcript(), @r"
    Some(0)
    insmod /lib/modules/1.2.3-test/k/al.ko 
    --
    modprobe: WARNING: a soft dependency is left out: module 'leaf' is masked by /etc/kmod.d/a.conf line 3
    ");
}

#[test]
fn no_install_command_or_option_overrides_a_mask() {
    let install = ("etc/modprobe.d/s.conf", "install leaf true\n");
    for options in [&["leaf"][..], &["-i", "leaf"], &["-f", "leaf"], &["-C", "/nowhere", "leaf"]] {
        let Some(outcome) = masked(&[MASK, install], options) else { return };
        assert!(outcome.code == Some(1) && outcome.err.contains("is masked by"), "{options:?}: {outcome:?}");
    }
}

#[test]
fn a_file_in_etc_overrides_one_in_lib_and_masks_are_shown_as_comments() {
    let lib = |text| ("usr/lib/kmod.d/a.conf", text);
    let Some(outcome) = masked(&[lib("mask leaf\n")], &["-c"]) else { return };
    assert!(outcome.out.starts_with("# mask leaf (/usr/lib/kmod.d/a.conf line 1)\n"), "{}", outcome.out);
    let hidden = masked(&[lib("mask leaf\n"), ("etc/kmod.d/a.conf", "")], &["-D", "leaf"]).unwrap();
    assert_eq!(hidden.code, Some(0));
}

#[test]
fn a_mask_with_a_comment_or_quotes_masks_its_pattern() {
    let mask = ("etc/kmod.d/a.conf", "mask leaf # CVE\n");
    let Some(outcome) = masked(&[mask], &["-D", "leaf"]) else { return };
    insta::assert_snapshot!(outcome.transcript(), @r"
    Some(1)
    --
    modprobe: ERROR: /etc/kmod.d/a.conf line 1: only the first pattern of the line is masked: 'leaf'
    modprobe: ERROR: could not insert 'leaf': module 'leaf' is masked by /etc/kmod.d/a.conf line 1
    ");
    let quoted = masked(&[("etc/kmod.d/a.conf", "mask \"leaf\"\n")], &["-D", "leaf"]).unwrap();
    insta::assert_snapshot!(quoted.transcript(), @r"
    Some(1)
    --
    modprobe: ERROR: could not insert 'leaf': module 'leaf' is masked by /etc/kmod.d/a.conf line 1
    ");
}

#[test]
fn an_unreadable_file_of_kmod_d_blocks_every_load_with_a_message_even_if_quiet() {
    let a_loop = |root: &Path| {
        fs::create_dir_all(root.join("etc/kmod.d")).unwrap();
        std::os::unix::fs::symlink("a.conf", root.join("etc/kmod.d/a.conf")).unwrap();
    };
    for options in [&["-D", "leaf"][..], &["-q", "leaf"], &["-q", "--", "leaf"]] {
        let Some(outcome) = prepared(a_loop, options) else { return };
        let message = "modprobe: ERROR: could not insert 'leaf': every module is masked: \
                       /etc/kmod.d/a.conf could not be read: Too many levels of symbolic links\n";
        assert_eq!((outcome.code, outcome.err.as_str()), (Some(1), message), "{options:?}");
    }
    // Nothing is loaded by these.
    assert_eq!(prepared(a_loop, &["-R", "leaf"]).unwrap().transcript(), "Some(0)\nleaf\n--\n");
    let shown = prepared(a_loop, &["-c"]).unwrap().out;
    assert!(shown.starts_with("# every module is masked: /etc/kmod.d/a.conf could not be read: "), "{shown}");
}

#[test]
fn a_renamed_module_is_masked_by_the_name_in_its_file() {
    let mask = ("etc/kmod.d/a.conf", "mask real*\n");
    for module in [
        TinyModule::named("real-name"),
        TinyModule { struct_name: Some("real_name".into()), ..TinyModule::named("other") },
    ] {
        let prepare = |root: &Path| {
            write(&root.join(mask.0), mask.1.as_bytes());
            write(&root.join("copy.ko"), &module.build());
        };
        let Some(outcome) = prepared(prepare, &["-D", "/copy.ko"]) else { return };
        let message = "modprobe: ERROR: could not insert 'copy': \
                       module 'real_name' is masked by /etc/kmod.d/a.conf line 1\n";
        assert_eq!((outcome.code, outcome.err.as_str()), (Some(1), message));
    }
    // A module whose names cannot be read is not loaded.
    let prepare = |root: &Path| {
        write(&root.join(mask.0), mask.1.as_bytes());
        write(&root.join("copy.ko"), b"\x7fELF, and no more");
    };
    insta::assert_snapshot!(prepared(prepare, &["/copy.ko"]).unwrap().transcript(), @r"
    Some(1)
    --
    modprobe: ERROR: could not insert 'copy': /copy.ko: malformed ELF file: unknown class or byte order
    ");
}
