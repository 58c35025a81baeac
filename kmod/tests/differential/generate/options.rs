//! Options: abbreviated, without their main option, repeated, with and without values, after operands.

use super::Random;
use super::plan::{Loaded, Plan};
use super::trees;

const MODPROBE: [&str; 59] = [
    "-a",
    "-r",
    "-R",
    "-i",
    "-b",
    "-f",
    "-D",
    "-c",
    "-n",
    "-s",
    "-q",
    "-v",
    "-v",
    "-w 1",
    "-w abc",
    "-w",
    "-w1",
    "-C /etc/modprobe.d",
    "-C /nosuch",
    "-C/etc/modprobe.d/a.conf",
    "-C /lib/modules/REL/kernel/mid.ko",
    "-d /",
    "-d /nosuch",
    "-S REL",
    "-S 1.2.3",
    "-SREL/",
    "--all",
    "--remove",
    "--remove-holders",
    "--remove-dependencies",
    "--first-time",
    "--ignore-install",
    "--ignore-remove",
    "--use-blacklist",
    "--force",
    "--force-vermagic",
    "--force-modversion",
    "--resolve-alias",
    "--show-depends",
    "--showconfig",
    "--dump-modversions",
    "--show-exports",
    "--dry-run",
    "--show",
    "--config=/etc/modprobe.d",
    "--config",
    "--dirname=/",
    "--set-version=REL",
    "--syslog",
    "--quiet",
    "--verbose",
    "--wait=1",
    "--wait",
    "--nosuch",
    "--quiet=1",
    "-Z",
    "--",
    "-",
    "--al",
];
const DEPMOD: [&str; 36] = [
    "-a",
    "-A",
    "-e",
    "-n",
    "-n",
    "-w",
    "-v",
    "-b /",
    "-b /nosuch",
    "-b",
    "-o /out",
    "-o",
    "-m lib/modules",
    "-m /lib/modules/",
    "-m x",
    "-C /etc/depmod.d",
    "-C /nosuch",
    "-E /symvers",
    "-F /map",
    "-F /nosuch",
    "-P _",
    "-P ab",
    "--all",
    "--quick",
    "--basedir=/",
    "--outdir=/out",
    "--config=/nosuch",
    "--symvers=/symvers",
    "--filesyms=/map",
    "--errsyms",
    "--show",
    "--dry-run",
    "--verbose",
    "--warn",
    "--nosuch",
    "-Z",
];
const INSMOD: [&str; 10] = ["-f", "-s", "-v", "--force", "--syslog", "--verbose", "-Z", "--", "-", "--verb"];
const RMMOD: [&str; 12] =
    ["-f", "-s", "-v", "--force", "--syslog", "--verbose", "-w", "-Z", "--", "-", "--verb", "--f"];
const MODINFO: [&str; 30] = [
    "-a",
    "-d",
    "-l",
    "-p",
    "-n",
    "-0",
    "-F name",
    "-F",
    "-F alias",
    "-Fdepends",
    "-m",
    "-k REL",
    "-k 1.2",
    "-k",
    "-b /",
    "-b /nosuch",
    "--author",
    "--description",
    "--license",
    "--parameters",
    "--filename",
    "--null",
    "--field=name",
    "--modname",
    "--set-version=REL",
    "--basedir=/",
    "--nosuch",
    "-Z",
    "--",
    "--fi",
];
const LSMOD: [&str; 8] = ["-s", "-v", "--syslog", "--verbose", "-Z", "--", "x", "--nosuch"];
const NODES: [&str; 9] = [
    "-f human",
    "-f tmpfiles",
    "-f devname",
    "-f x",
    "-o /out/x",
    "--format=human",
    "--output=/o",
    "-Z",
    "--for tmpfiles",
];
const OPERANDS: [&str; 14] = [
    "leaf",
    "top",
    "other-x",
    "al",
    "ghost",
    "bi",
    "a=1",
    "/lib/modules/REL/kernel/leaf.ko",
    "REL",
    "1.2.3",
    "/nosuch.ko",
    "x",
    "my",
    "REL/",
];

pub fn generate(random: &mut Random) -> Plan {
    let mut plan = trees::chain(random);
    plan.file(
        "/etc/modprobe.d/a.conf",
        random.of(&[
            "",
            "options leaf a=1\nblacklist other_x\n",
            "install leaf echo x\nalias my top\n",
            "remove leaf echo gone\n",
        ]),
    );
    if random.one_in(2) {
        plan.loaded.push(Loaded { name: "leaf".into(), users: vec!["mid".into()], references: 1, state: "live\n" });
        plan.loaded.push(Loaded { name: "mid".into(), users: Vec::new(), references: 0, state: "live\n" });
    }
    plan.file("/map", "ffffffff81000000 T x\nffffffff81000001 R __ksymtab_l\n");
    plan.file("/symvers", "0x00001234\tl\tvmlinux\tEXPORT_SYMBOL\n");
    plan.run_line("depmod");
    for _ in 0..10 {
        let (tool, options): (&str, &[&str]) = match random.below(12) {
            0..=4 => ("modprobe", &MODPROBE),
            5 | 6 => ("depmod", &DEPMOD),
            7 => ("insmod", &INSMOD),
            8 => ("rmmod", &RMMOD),
            9 => ("lsmod", &LSMOD),
            10 => ("kmod static-nodes", &NODES),
            _ => ("modinfo", &MODINFO),
        };
        let mut words: Vec<String> = tool.split(' ').map(str::to_owned).collect();
        let mut parts: Vec<&str> = random.some(4, |random| random.of(options));
        let operands = random.some(2, |random| random.of(&OPERANDS));
        // Options may follow operands.
        let at = if random.one_in(4) { random.below(parts.len() + 1) } else { parts.len() };
        parts.splice(at..at, operands);
        words.extend(parts.iter().flat_map(|part| part.split(' ')).map(str::to_owned));
        plan.run(words);
    }
    plan
}
