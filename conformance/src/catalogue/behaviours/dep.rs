//! Requests served by the subject's modprobe when the module directory is missing, damaged or intact.

use crate::catalogue::entry::Checked::By;
use crate::catalogue::entry::{About, Check, Cost, Entry, Group, Need};
use crate::check::errno;
use crate::check::fact::List;
use crate::check::helper::{Helper, exec, requested_names};
use crate::check::lab::{Lab, LabError, unprivileged};
use crate::check::trigger::{mount, socket, vlan_ioctl};
use agent::proto::ExitKind;
use kmod::index::{IndexWriter, InsertError};
use kmod::name::ModuleName;
use kmod::tree::Tree;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        id: "dep.no-directory",
        catalogue: "DEP-01",
        group: Group::Dep,
        statement: "without a module directory a request fails at once, silently and without a loop",
        source: "the kernel's historic kmod text (Owens, 1999); modprobe(8), -q",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[Need::Command("modprobe"), Need::Module("squashfs")],
        probes: &[],
        check: By(no_directory),
    },
    Entry {
        id: "dep.no-index",
        catalogue: "DEP-02",
        group: Group::Dep,
        statement: "without modules.dep a request fails at once, silently and without a loop",
        source: "the kernel's historic kmod text (Owens, 1999); depmod(8)",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[Need::Command("modprobe"), Need::Module("squashfs")],
        probes: &[],
        check: By(no_index),
    },
    Entry {
        id: "dep.depmod-restores-index",
        catalogue: "DEP-02",
        group: Group::Dep,
        statement: "depmod -a recreates a missing modules.dep, and the next request loads its module",
        source: "the kernel's historic kmod text (depmod before the first boot); depmod(8)",
        about: About::Both,
        cost: Cost::Slow,
        needs: &[Need::Command("modprobe"), Need::Command("depmod"), Need::Module("squashfs")],
        probes: &[],
        check: By(depmod_restores_index),
    },
    Entry {
        id: "dep.damaged-index",
        catalogue: "DEP-03",
        group: Group::Dep,
        statement: "modprobe exits with status 1 on a damaged index instead of crashing or hanging; the caller gets the same errno as if no module had been found",
        source: "modules.dep.bin(5); docs/facts/tools.md#index-files",
        about: About::Both,
        cost: Cost::Slow,
        needs: &[Need::Command("modprobe"), Need::Trait("modules.dep.bin"), Need::Module("squashfs")],
        probes: &[],
        check: By(damaged_index),
    },
    Entry {
        id: "dep.cycle",
        catalogue: "DEP-05",
        group: Group::Dep,
        statement: "given a cycle in modules.dep, modprobe terminates and loads each module of the cycle once",
        source: "modules.dep(5); docs/facts/tools.md#insertion",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[Need::Command("modprobe"), Need::Module("dummy"), Need::Module("nls_utf8")],
        probes: &[],
        check: By(cycle),
    },
    Entry {
        id: "dep.order",
        catalogue: "DEP-08",
        group: Group::Dep,
        statement: "an unprivileged request for 8021q loads its dependencies first, and all of these modules end up Live",
        source: "SIOCGIFVLAN requests 8021q (net/socket.c); modules.dep(5)",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[Need::Command("modprobe"), Need::Module("8021q")],
        probes: &[],
        check: By(order),
    },
    Entry {
        id: "dep.socket-family",
        catalogue: "DEP-09",
        group: Group::Dep,
        statement: "an unprivileged user can open a socket of a family that is built as a module",
        source: "__sock_create() requests net-pf-38 (net/socket.c), an alias of af_alg (crypto/af_alg.c)",
        about: About::Both,
        cost: Cost::Quick,
        needs: &[Need::Command("modprobe"), Need::Module("af_alg")],
        probes: &[],
        check: By(socket_family),
    },
];

/// Sets the path to a helper that records each request and then runs the subject's modprobe.
fn recorded_modprobe(lab: &mut Lab<'_>) -> Result<Helper, LabError> {
    lab.helper_as_path("recorded", &exec("/sbin/modprobe"))
}

fn tree(lab: &Lab<'_>) -> String {
    format!("/lib/modules/{}", lab.pair().release)
}

/// Expects a mount of squashfs to fail with ENODEV within a second, after one request and without a log line.
fn fails_quietly(lab: &mut Lab<'_>) -> Check {
    let recorder = recorded_modprobe(lab)?;
    lab.mark_kmsg()?;
    let mount = lab.observe(mount("squashfs"))?;
    lab.expect("mount(2)", mount.result, errno::ENODEV);
    lab.expect_within("mount(2) duration", mount.millis, 0..=1000, "ms");
    let records = lab.records(&recorder)?;
    lab.expect("requested names", List(requested_names(&records)), List(vec!["fs-squashfs"]));
    let lines = lab.kmsg()?.into_iter().map(|record| record.text).collect();
    lab.expect("kernel log", List(lines), List::<&str>(vec![]));
    // The mount would fail in the same way if modprobe crashed.
    let modprobe = lab.run(&["/sbin/modprobe", "-q", "--", "fs-squashfs"])?;
    lab.expect("modprobe", modprobe.exit, ExitKind::Exited(1));
    Ok(())
}

fn no_directory(lab: &mut Lab<'_>) -> Check {
    let tree = tree(lab);
    lab.rename(&tree, "/lib/modules/away")?;
    fails_quietly(lab)
}

const INDEX_FILES: [&str; 8] =
    ["dep", "dep.bin", "alias", "alias.bin", "symbols", "symbols.bin", "softdep", "builtin.alias.bin"];

fn remove_index(lab: &mut Lab<'_>) -> Result<(), LabError> {
    let tree = tree(lab);
    for file in INDEX_FILES {
        lab.remove(&format!("{tree}/modules.{file}"))?;
    }
    Ok(())
}

fn no_index(lab: &mut Lab<'_>) -> Check {
    remove_index(lab)?;
    fails_quietly(lab)
}

fn depmod_restores_index(lab: &mut Lab<'_>) -> Check {
    remove_index(lab)?;
    lab.set_path(b"/sbin/modprobe")?;
    let before = lab.observe(mount("squashfs"))?;
    lab.expect("mount(2) before depmod", before.result, errno::ENODEV);
    let depmod = lab.run(&["/sbin/depmod", "-a"])?;
    lab.expect("depmod -a", depmod.exit, ExitKind::Exited(0));
    lab.observe(mount("squashfs"))?;
    let states = lab.module_states(&["squashfs"])?;
    lab.expect("squashfs", List(states), List(vec!["Live"]));
    Ok(())
}

fn damaged_index(lab: &mut Lab<'_>) -> Check {
    let tree = tree(lab);
    let files = ["dep.bin", "alias.bin"].map(|file| format!("{tree}/modules.{file}"));
    let intact = [lab.read(&files[0])?, lab.read(&files[1])?];
    let recorder = recorded_modprobe(lab)?;
    for (name, damage) in DAMAGES {
        for (file, intact) in files.iter().zip(&intact) {
            lab.write(file, &damage(intact))?;
        }
        let modprobe = lab.run(&["/sbin/modprobe", "-q", "--", "fs-squashfs"])?;
        lab.expect(&format!("{name}: modprobe"), modprobe.exit, ExitKind::Exited(1));
        let mount = lab.observe(mount("squashfs"))?;
        lab.expect(&format!("{name}: mount(2)"), mount.result, errno::ENODEV);
        lab.expect_within(&format!("{name}: mount(2) duration"), mount.millis, 0..=1000, "ms");
    }
    let records = lab.records(&recorder)?;
    lab.expect("requested names", List(requested_names(&records)), List(vec!["fs-squashfs"; DAMAGES.len()]));
    // With the intact index the same request loads its module: the damage made the difference.
    for (file, intact) in files.iter().zip(&intact) {
        lab.write(file, intact)?;
    }
    lab.observe(mount("squashfs"))?;
    let states = lab.module_states(&["squashfs"])?;
    lab.expect("squashfs with the intact index", List(states), List(vec!["Live"]));
    Ok(())
}

type Damage = fn(&[u8]) -> Vec<u8>;

const DAMAGES: &[(&str, Damage)] = &[
    ("empty", |_| Vec::new()),
    ("truncated in the header", |index| index[..6.min(index.len())].to_vec()),
    ("truncated in the middle", |index| index[..index.len() / 2].to_vec()),
    ("all zeros", |index| vec![0; index.len()]),
    ("wrong magic", |index| [b"\xde\xad\xbe\xef", &index[4.min(index.len())..]].concat()),
    ("wrong version", |index| [&index[..4.min(index.len())], b"\0\x03\0\x01", &index[8.min(index.len())..]].concat()),
    ("node that is its own child", |_| cyclic_index()),
];

/// Returns an index whose only node is its own child for every character.
fn cyclic_index() -> Vec<u8> {
    const NODE: u32 = 0x2000_0000 | 12;
    let mut file = Vec::new();
    for word in [0xb007_f457, 0x0002_0001, NODE] {
        file.extend_from_slice(&u32::to_be_bytes(word));
    }
    file.extend_from_slice(&[1, 0x7f]);
    for _ in 1..=0x7f {
        file.extend_from_slice(&NODE.to_be_bytes());
    }
    file
}

fn cycle(lab: &mut Lab<'_>) -> Check {
    let tree = tree(lab);
    let (dummy, nls) = (relative_path(lab, "dummy")?, relative_path(lab, "nls_utf8")?);
    let lines = [format!("{dummy}: {nls}"), format!("{nls}: {dummy}")];
    let index = index_of([("dummy", &lines[0]), ("nls_utf8", &lines[1])])
        .map_err(|error| LabError::Unexpected(format!("cannot build an index: {error}")))?;
    lab.write(&format!("{tree}/modules.dep"), format!("{}\n", lines.join("\n")).as_bytes())?;
    lab.write(&format!("{tree}/modules.dep.bin"), &index)?;

    let modprobe = lab.run(&["/sbin/modprobe", "-q", "--", "dummy"])?;
    lab.expect("modprobe", modprobe.exit, ExitKind::Exited(0));
    // A kernel that decompresses modules itself takes a second for each.
    lab.expect_within("modprobe duration", modprobe.took.0, 0..=5000, "ms");
    let states = lab.module_states(&["dummy", "nls_utf8"])?;
    lab.expect("dummy, nls_utf8", List(states), List(vec!["Live", "Live"]));
    Ok(())
}

fn index_of(entries: [(&str, &String); 2]) -> Result<Vec<u8>, InsertError> {
    let mut index = IndexWriter::new();
    for (name, line) in entries {
        index.insert(name.as_bytes(), line.as_bytes(), 0)?;
    }
    index.to_bytes()
}

/// Returns a module's file, relative to the module directory.
fn relative_path(lab: &Lab<'_>, name: &str) -> Result<String, LabError> {
    let missing = || LabError::Need(format!("a kernel with the module {name}"));
    let host = lab.pair().modules.as_ref().ok_or_else(missing)?;
    let module = ModuleName::new(name.as_bytes()).map_err(|_| missing())?;
    let entry = Tree::new(host).module(&module).ok().flatten().ok_or_else(missing)?;
    Ok(entry.path.strip_prefix(host).map_err(|_| missing())?.display().to_string())
}

fn order(lab: &mut Lab<'_>) -> Check {
    let recorder = recorded_modprobe(lab)?;
    lab.observe_as(unprivileged(), vlan_ioctl())?;
    let names = ["8021q", "garp", "mrp", "stp", "llc"];
    let states = lab.module_states(&names)?;
    lab.expect("8021q, garp, mrp, stp, llc", List(states), List(vec!["Live"; names.len()]));
    lab.expect_reference_counts(&names, &["0", "1", "1", "1", "2"])?;
    let records = lab.records(&recorder)?;
    lab.expect("requested names", List(requested_names(&records)), List(vec!["8021q"]));
    Ok(())
}

fn socket_family(lab: &mut Lab<'_>) -> Check {
    let recorder = recorded_modprobe(lab)?;
    let socket = lab.observe_as(unprivileged(), socket(libc::AF_ALG, libc::SOCK_SEQPACKET))?;
    lab.expect("socket(2) as uid 1000", socket.result, 0);
    let states = lab.module_states(&["af_alg"])?;
    lab.expect("af_alg", List(states), List(vec!["Live"]));
    let records = lab.records(&recorder)?;
    lab.expect("requested names", List(requested_names(&records)), List(vec!["net-pf-38"]));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cyclic_index_is_valid_except_for_its_cycle() {
        let file = cyclic_index();
        assert_eq!(file.len(), 12 + 2 + 127 * 4);
        assert!(kmod::index::Index::parse(file).is_ok_and(|index| index.entries().is_err()));
    }
}
