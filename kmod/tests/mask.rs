//! Masks as processes: what stands in a kmod.d stops modprobe. In a chroot, since nothing names another directory.

// A failed unwrap is a failed test, in helpers too.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Done, Lab, RELEASE, empty_root};
use std::fs;
use std::process::Command;

/// Runs modprobe in a root of its own with these files; none where that cannot be done.
fn masked(files: &[(&str, &str)], arguments: &[&str]) -> Option<Done> {
    let lab = Lab::new();
    let root = empty_root(&lab)?;
    fs::create_dir_all(root.join("lib/modules")).unwrap();
    fs::rename(lab.tree(), root.join("lib/modules").join(RELEASE)).unwrap();
    for (name, text) in files {
        let file = root.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    Some(lab.done(Command::new("chroot").arg(root).args(["/modprobe", "-S", RELEASE]).args(arguments)))
}

const MASK: (&str, &str) = ("etc/kmod.d/a.conf", "# no such\nmask le-af\nmask leaf\n");

#[test]
fn a_mask_stops_a_module_by_name_alias_and_as_a_dependency() {
    for name in ["leaf", "top", "two"] {
        let Some(done) = masked(&[MASK], &["-D", name]) else { return };
        let told = format!(
            "modprobe: ERROR: could not insert '{}': module 'leaf' is masked by /etc/kmod.d/a.conf line 3\n",
            if name == "two" { "leaf" } else { name }
        );
        // The alias `two` stands for al as well: the last one decides, and it is not masked.
        let (code, out) = if name == "two" { (0, "insmod /lib/modules/1.2.3-test/k/al.ko \n") } else { (1, "") };
        assert_eq!((done.code, done.out.as_str(), done.err), (Some(code), out, told));
    }
    let quiet = masked(&[MASK], &["-q", "--", "leaf"]).unwrap();
    assert_eq!(quiet.all(), "Some(1)\n--\n");
}

#[test]
fn a_masked_soft_dependency_is_left_out_and_the_rest_is_loaded() {
    let softdep = ("etc/modprobe.d/s.conf", "softdep al pre: mid\n");
    let Some(done) = masked(&[MASK, softdep], &["-D", "al"]) else { return };
    insta::assert_snapshot!(done.all(), @r"
    Some(0)
    insmod /lib/modules/1.2.3-test/k/al.ko 
    --
    modprobe: WARNING: a soft dependency is left out: module 'leaf' is masked by /etc/kmod.d/a.conf line 3
    ");
}

#[test]
fn neither_an_install_command_nor_an_option_lifts_a_mask() {
    let install = ("etc/modprobe.d/s.conf", "install leaf true\n");
    for options in [&["leaf"][..], &["-i", "leaf"], &["-f", "leaf"], &["-C", "/nowhere", "leaf"]] {
        let Some(done) = masked(&[MASK, install], options) else { return };
        assert!(done.code == Some(1) && done.err.contains("is masked by"), "{options:?}: {done:?}");
    }
}

#[test]
fn a_file_of_etc_hides_one_of_lib_and_masks_are_shown_as_comments() {
    let lib = |text| ("usr/lib/kmod.d/a.conf", text);
    let Some(done) = masked(&[lib("mask leaf\n")], &["-c"]) else { return };
    assert!(done.out.starts_with("# mask leaf (/usr/lib/kmod.d/a.conf line 1)\n"), "{}", done.out);
    let hidden = masked(&[lib("mask leaf\n"), ("etc/kmod.d/a.conf", "")], &["-D", "leaf"]).unwrap();
    assert_eq!(hidden.code, Some(0));
}
