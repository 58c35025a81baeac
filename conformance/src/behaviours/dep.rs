//! Module directories that are missing, damaged or whole: what a request through the subject's modprobe does.

use crate::behaviour::{About, Behaviour, Check, Group, Need};
use crate::errno;
use crate::fact::Many;
use crate::helper::{Helper, asked, becomes};
use crate::lab::{Lab, LabError, nobody};
use crate::trigger::{mount, socket, vlan_ioctl};
use agent::proto::{Action, ExitKind};
use kmod::index::{IndexWriter, InsertError};
use kmod::name::ModuleName;
use kmod::tree::Tree;

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    Behaviour {
        id: "dep.no-directory",
        catalogue: "DEP-01",
        group: Group::Dep,
        statement: "without a module directory a request fails at once and quietly; nothing loops",
        source: "the kernel's historic kmod text (Owens, 1999); modprobe(8), -q",
        about: About::Both,
        needs: &[Need::Command("modprobe"), Need::Module("squashfs")],
        check: no_directory,
    },
    Behaviour {
        id: "dep.no-index",
        catalogue: "DEP-02",
        group: Group::Dep,
        statement: "with modules but without modules.dep a request fails at once and quietly; nothing loops",
        source: "the kernel's historic kmod text (Owens, 1999); depmod(8)",
        about: About::Both,
        needs: &[Need::Command("modprobe"), Need::Module("squashfs")],
        check: no_index,
    },
    Behaviour {
        id: "dep.depmod-mends",
        catalogue: "DEP-02",
        group: Group::Dep,
        statement: "where modules.dep was missing, depmod -a makes the next request load its module",
        source: "the kernel's historic kmod text (depmod before the first boot); depmod(8)",
        about: About::Both,
        needs: &[Need::Command("modprobe"), Need::Command("depmod"), Need::Module("squashfs")],
        check: depmod_mends,
    },
    Behaviour {
        id: "dep.damaged-index",
        catalogue: "DEP-03",
        group: Group::Dep,
        statement: "a damaged index makes modprobe end with exit 1, by itself and soon; the caller gets its usual errno",
        source: "modules.dep.bin(5); docs/facts/tools.md#index-files",
        about: About::Both,
        needs: &[Need::Command("modprobe"), Need::Module("squashfs")],
        check: damaged_index,
    },
    Behaviour {
        id: "dep.cycle",
        catalogue: "DEP-05",
        group: Group::Dep,
        statement: "a cycle in modules.dep ends: each module of it is loaded once",
        source: "modules.dep(5); docs/facts/tools.md#insertion",
        about: About::Both,
        needs: &[Need::Command("modprobe"), Need::Module("dummy"), Need::Module("nls_utf8")],
        check: cycle,
    },
    Behaviour {
        id: "dep.order",
        catalogue: "DEP-08",
        group: Group::Dep,
        statement: "an unprivileged request for 8021q loads what it depends on first, and all of it is Live afterwards",
        source: "SIOCGIFVLAN asks for 8021q (net/socket.c); modules.dep(5)",
        about: About::Both,
        needs: &[Need::Command("modprobe"), Need::Module("8021q")],
        check: order,
    },
    Behaviour {
        id: "dep.socket-family",
        catalogue: "DEP-09",
        group: Group::Dep,
        statement: "a user without privileges can open a socket of a family that is a module",
        source: "__sock_create() asks for net-pf-38 (net/socket.c), an alias of af_alg (crypto/af_alg.c)",
        about: About::Both,
        needs: &[Need::Command("modprobe"), Need::Module("af_alg")],
        check: socket_family,
    },
];

/// The subject's modprobe behind a recorder, so that requests can be counted.
fn recorded_modprobe(lab: &mut Lab<'_>) -> Result<Helper, LabError> {
    lab.helper_as_path("recorded", &becomes("/sbin/modprobe"))
}

fn tree(lab: &Lab<'_>) -> String {
    format!("/lib/modules/{}", lab.pair().release)
}

/// A mount of squashfs must fail with ENODEV, after one request, in under a second, with nothing in the log.
fn fails_quietly(lab: &mut Lab<'_>) -> Check {
    let recorder = recorded_modprobe(lab)?;
    lab.mark_kmsg()?;
    let mount = lab.observe(mount("squashfs"))?;
    lab.expect("mount(2)", mount.result, errno::ENODEV);
    lab.expect_within("mount(2) takes", mount.millis, 0..=1000, "ms");
    let records = lab.records(&recorder)?;
    lab.expect("asked", Many(asked(&records)), Many(vec!["fs-squashfs"]));
    let lines = lab.kmsg()?.into_iter().map(|record| record.text).collect();
    lab.expect("kernel log", Many(lines), Many::<&str>(vec![]));
    // One that crashes would look the same to the mount.
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

fn depmod_mends(lab: &mut Lab<'_>) -> Check {
    remove_index(lab)?;
    lab.set_path(b"/sbin/modprobe")?;
    let before = lab.observe(mount("squashfs"))?;
    lab.expect("mount(2) before", before.result, errno::ENODEV);
    let depmod = lab.run(&["/sbin/depmod", "-a"])?;
    lab.expect("depmod -a", depmod.exit, ExitKind::Exited(0));
    lab.observe(mount("squashfs"))?;
    let states = lab.module_states(&["squashfs"])?;
    lab.expect("squashfs", Many(states), Many(vec!["Live"]));
    Ok(())
}

fn damaged_index(lab: &mut Lab<'_>) -> Check {
    if lab.is_busybox() {
        return Err(LabError::Need("a subject that reads modules.dep.bin; this one reads the text alone".to_owned()));
    }
    let tree = tree(lab);
    let files = ["dep.bin", "alias.bin"].map(|file| format!("{tree}/modules.{file}"));
    let whole = [lab.read(&files[0])?, lab.read(&files[1])?];
    let recorder = recorded_modprobe(lab)?;
    let follows_cycles = lab.pair().subject.starts_with("kmod-");
    if follows_cycles {
        lab.known("C kmod follows a child that is its own parent until its stack ends (seen with 28, 30 and 34.2)");
    }
    for (name, damage) in DAMAGES {
        for (file, whole) in files.iter().zip(&whole) {
            lab.write(file, &damage(whole))?;
        }
        let modprobe = lab.run(&["/sbin/modprobe", "-q", "--", "fs-squashfs"])?;
        let crashes = follows_cycles && *name == CYCLE;
        let end = if crashes { ExitKind::Signalled(libc::SIGSEGV) } else { ExitKind::Exited(1) };
        lab.expect(&format!("{name}: modprobe"), modprobe.exit, end);
        let mount = lab.observe(mount("squashfs"))?;
        lab.expect(&format!("{name}: mount(2)"), mount.result, errno::ENODEV);
        // Running through a whole stack takes seconds.
        let limit = if crashes { 10_000 } else { 1000 };
        lab.expect_within(&format!("{name}: mount(2) takes"), mount.millis, 0..=limit, "ms");
    }
    let records = lab.records(&recorder)?;
    lab.expect("asked", Many(asked(&records)), Many(vec!["fs-squashfs"; DAMAGES.len()]));
    // It was the damage: with the whole index the same request loads its module.
    for (file, whole) in files.iter().zip(&whole) {
        lab.write(file, whole)?;
    }
    lab.observe(mount("squashfs"))?;
    let states = lab.module_states(&["squashfs"])?;
    lab.expect("squashfs with the whole index", Many(states), Many(vec!["Live"]));
    Ok(())
}

const CYCLE: &str = "a node that is its own child";

type Damage = fn(&[u8]) -> Vec<u8>;

const DAMAGES: &[(&str, Damage)] = &[
    ("empty", |_| Vec::new()),
    ("cut inside the header", |whole| whole[..6.min(whole.len())].to_vec()),
    ("cut in the middle", |whole| whole[..whole.len() / 2].to_vec()),
    ("zeros", |whole| vec![0; whole.len()]),
    ("wrong magic", |whole| [b"\xde\xad\xbe\xef", &whole[4.min(whole.len())..]].concat()),
    ("wrong version", |whole| [&whole[..4.min(whole.len())], b"\0\x03\0\x01", &whole[8.min(whole.len())..]].concat()),
    (CYCLE, |_| cyclic_index()),
];

/// An index whose only node is the child of itself for every character.
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
        .map_err(|error| LabError::Unexpected(format!("making an index: {error}")))?;
    lab.write(&format!("{tree}/modules.dep"), format!("{}\n", lines.join("\n")).as_bytes())?;
    lab.write(&format!("{tree}/modules.dep.bin"), &index)?;

    let modprobe = lab.run(&["/sbin/modprobe", "-q", "--", "dummy"])?;
    lab.expect("modprobe", modprobe.exit, ExitKind::Exited(0));
    // A kernel that decompresses a module itself needs a second for it.
    lab.expect_within("modprobe takes", modprobe.took.0, 0..=5000, "ms");
    let states = lab.module_states(&["dummy", "nls_utf8"])?;
    lab.expect("dummy, nls_utf8", Many(states), Many(vec!["Live", "Live"]));
    Ok(())
}

fn index_of(entries: [(&str, &String); 2]) -> Result<Vec<u8>, InsertError> {
    let mut index = IndexWriter::new();
    for (name, line) in entries {
        index.insert(name.as_bytes(), line.as_bytes(), 0)?;
    }
    index.to_bytes()
}

/// A module's file, relative to the module directory.
fn relative_path(lab: &Lab<'_>, name: &str) -> Result<String, LabError> {
    let lacking = || LabError::Need(format!("a kernel with the module {name}"));
    let host = lab.pair().modules.as_ref().ok_or_else(lacking)?;
    let module = ModuleName::new(name.as_bytes()).map_err(|_| lacking())?;
    let entry = Tree::new(host).module(&module).ok().flatten().ok_or_else(lacking)?;
    Ok(entry.path.strip_prefix(host).map_err(|_| lacking())?.display().to_string())
}

fn order(lab: &mut Lab<'_>) -> Check {
    let recorder = recorded_modprobe(lab)?;
    lab.observe_as(nobody(), vlan_ioctl())?;
    let names = ["8021q", "garp", "mrp", "stp", "llc"];
    let states = lab.module_states(&names)?;
    lab.expect("8021q, garp, mrp, stp, llc", Many(states), Many(vec!["Live"; names.len()]));
    let mut counts = Vec::new();
    for name in names {
        let count = lab.observe(Action::Read { path: format!("/sys/module/{name}/refcnt").into_bytes(), max: 64 })?;
        counts.push(count.result);
    }
    lab.expect("their use counts", Many(counts), Many(vec!["0\n", "1\n", "1\n", "1\n", "2\n"]));
    let records = lab.records(&recorder)?;
    lab.expect("asked", Many(asked(&records)), Many(vec!["8021q"]));
    Ok(())
}

fn socket_family(lab: &mut Lab<'_>) -> Check {
    let recorder = recorded_modprobe(lab)?;
    let socket = lab.observe_as(nobody(), socket(libc::AF_ALG, libc::SOCK_SEQPACKET))?;
    lab.expect("socket(2) as uid 1000", socket.result, 0);
    let states = lab.module_states(&["af_alg"])?;
    lab.expect("af_alg", Many(states), Many(vec!["Live"]));
    let records = lab.records(&recorder)?;
    lab.expect("asked", Many(asked(&records)), Many(vec!["net-pf-38"]));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cyclic_index_is_whole_but_for_its_cycle() {
        let file = cyclic_index();
        assert_eq!(file.len(), 12 + 2 + 127 * 4);
        assert!(kmod::index::Index::parse(file).is_ok_and(|index| index.entries().is_err()));
    }
}
