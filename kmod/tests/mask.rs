//! Masks in kmod.d, with modprobe in a chroot, since no option selects another directory.

// A failed unwrap is a failed test, also in helper functions.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Lab, Outcome, RELEASE, empty_root};
use std::fs;
use std::process::Command;

/// Runs modprobe in a chroot with these files. Returns `None` if this is not possible here.
fn masked(files: &[(&str, &str)], arguments: &[&str]) -> Option<Outcome> {
    let lab = Lab::new();
    let root = empty_root(&lab)?;
    fs::create_dir_all(root.join("lib/modules")).unwrap();
    fs::rename(lab.tree(), root.join("lib/modules").join(RELEASE)).unwrap();
    for (name, text) in files {
        let file = root.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
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
