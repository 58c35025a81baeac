//! Files at fixed paths, crafted in a chroot: kmod.d, the kernel's command line, its list of modules, and the directories of
//! modprobe.d and depmod.d.

use crate::common::program::copy_program;
use crate::common::{Lab, RELEASE, empty_root};
use crate::indexes::configuration;
use crate::run::{ALL, MEMORY, check_in, programs};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Creates a chroot with the programs and a small module directory. Returns `None` if this is not possible here.
fn root(lab: &Lab) -> Option<PathBuf> {
    let root = empty_root(lab)?;
    for (number, program) in programs().iter().enumerate() {
        let directory = root.join(format!("bin{number}"));
        fs::create_dir(&directory).unwrap();
        copy_program(program, directory.join("kmod"));
        ["modprobe", "modinfo", "lsmod", "depmod"]
            .iter()
            .for_each(|tool| symlink("kmod", directory.join(tool)).unwrap());
    }
    fs::create_dir_all(root.join("lib/modules")).unwrap();
    fs::rename(lab.tree(), root.join("lib/modules").join(RELEASE)).unwrap();
    Some(root)
}

fn write(file: &Path, text: &str) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

const DRY: &[(&str, &[&str])] = &[("modprobe", &["-S", RELEASE, "-D", "top"]), ("modprobe", &["-S", RELEASE, "-c"])];

#[test]
fn masks_are_read_within_limits() {
    let lab = Lab::new();
    let Some(root) = root(&lab) else { return };
    let file = root.join("etc/kmod.d/a.conf");
    for text in [
        format!("mask {}\n", "a".repeat(1 << 20)),
        "mask other*\n".repeat(10_000),
        "mask \\\n".repeat(100_000),
        format!("mask {}\nmask {}\n", "[".repeat(100_000), "*a".repeat(2000)),
        "\0\n\u{ff}\nbogus\nmask\n".repeat(1000),
        "mask a b # c\n".repeat(1000),
    ] {
        write(&file, &text);
        check_in(&root, ALL, DRY);
    }
    fs::remove_file(&file).unwrap();
    // A loop of links, a directory and a FIFO.
    symlink("a.conf", &file).unwrap();
    check_in(&root, ALL, DRY);
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    check_in(&root, ALL, DRY);
}

#[test]
fn large_masks_are_read_within_limits() {
    let lab = Lab::new();
    let Some(root) = root(&lab) else { return };
    let file = root.join("etc/kmod.d/a.conf");
    for size in [16 << 20, 65 << 20] {
        write(&file, &"mask other*\n".repeat(size / 12));
        check_in(&root, MEMORY, DRY);
    }
}

const STATIC_NODES: [&[&str]; 2] = [&["static-nodes"], &["static-nodes", "-f", "tmpfiles", "-o", "/out/nodes"]];

#[test]
fn files_at_fixed_paths_are_read_within_limits() {
    let lab = Lab::new();
    let Some(root) = root(&lab) else { return };
    for (name, text) in configuration() {
        write(&root.join("etc/modprobe.d").join(name), &text);
        write(&root.join("etc/depmod.d").join(name), &text);
    }
    write(&root.join("proc/cmdline"), &"leaf.a=\"x modprobe.blacklist=top,,[ ".repeat(10_000));
    let line = "leaf 4096 3 a,b,c, Live 0x0 (O)\n\0\nbad\n";
    write(&root.join("proc/modules"), &line.repeat(10_000));
    let release = rustix::system::uname().release().to_str().unwrap().to_owned();
    let nodes = root.join("lib/modules").join(release).join("modules.devname");
    write(&nodes, &"leaf a/b c1:2\nbad\n".repeat(10_000));
    check_in(&root, ALL, DRY);
    check_in(
        &root,
        ALL,
        &[
            ("modinfo", &["-k", RELEASE, "leaf"]),
            ("lsmod", &[]),
            ("kmod", &["list"]),
            ("kmod", STATIC_NODES[0]),
            ("kmod", STATIC_NODES[1]),
            ("depmod", &["-n", RELEASE]),
        ],
    );
    write(&nodes, &"leaf a/b c1:2\n".repeat(1 << 20));
    check_in(&root, MEMORY, &[("kmod", STATIC_NODES[0]), ("kmod", STATIC_NODES[1])]);
}
