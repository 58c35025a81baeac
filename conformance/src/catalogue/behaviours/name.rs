//! The names that system calls request, and the privileges that each of them needs.

mod alg;
mod file;
mod site;

use super::BEHAVIOUR;
use crate::catalogue::entry::Checked::By;
use crate::catalogue::entry::{Check, Entry, Group, Need};
use crate::check::capability::SYS_MODULE;
use crate::check::errno;
use crate::check::fact::{List, Shown};
use crate::check::helper::{Helper, exit_with, requested_names};
use crate::check::lab::{Lab, LabError, Observed, root_of, unprivileged};
use crate::check::netlink;
use crate::check::trigger::{self, UNKNOWN_FAMILY, mount, socket, unknown_socket};
use agent::proto::{Action, Caller, Value};

const NAME: Entry = Entry { group: Group::Name, ..BEHAVIOUR };

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        id: "name.protocol-family",
        catalogue: "NAME-01",
        statement: "socket(2) with a missing protocol family requests net-pf-FAMILY; an invalid and a registered family request nothing",
        source: "__sock_create() (net/socket.c); docs/facts/kernel.md#site-01",
        check: By(protocol_family),
        ..NAME
    },
    Entry {
        id: "name.inet-protocol",
        catalogue: "NAME-02",
        statement: "socket(2) with a missing inet protocol requests net-pf-FAMILY-proto-PROTOCOL-type-TYPE, then the name without the type",
        source: "inet_create() (net/ipv4/af_inet.c), inet6_create() (net/ipv6/af_inet6.c); docs/facts/kernel.md#site-02",
        check: By(inet_protocol),
        ..NAME
    },
    Entry {
        id: "name.netlink-protocol",
        catalogue: "NAME-03",
        statement: "socket(2) with a missing netlink protocol requests net-pf-16-proto-PROTOCOL",
        source: "netlink_create() (net/netlink/af_netlink.c); docs/facts/kernel.md#site-03",
        check: By(netlink_protocol),
        ..NAME
    },
    Entry {
        id: "name.netlink-family",
        catalogue: "NAME-04",
        statement: "a query for an unknown generic netlink family requests net-pf-16-proto-16-family-NAME with the bytes of the name unchanged",
        source: "ctrl_getfamily() (net/netlink/genetlink.c); docs/facts/kernel.md#site-04",
        check: By(netlink_family),
        ..NAME
    },
    Entry {
        id: "name.alg-type",
        catalogue: "NAME-05",
        statement: "bind(2) of an AF_ALG socket with an unknown type requests algif-TYPE with the bytes of the type unchanged",
        source: "alg_bind() (crypto/af_alg.c); docs/facts/kernel.md#site-05",
        needs: &[Need::Module("af_alg")],
        check: By(alg::alg_type),
        ..NAME
    },
    Entry {
        id: "name.alg-algorithm",
        catalogue: "NAME-06",
        statement: "bind(2) of an AF_ALG socket with an unknown algorithm requests crypto-NAME and crypto-NAME-all with the bytes of the name unchanged, then the unknown algorithms of which the name is composed",
        source: "crypto_larval_lookup() (crypto/api.c), cryptomgr_probe() (crypto/algboss.c); docs/facts/kernel.md#site-06",
        needs: &[
            Need::Module("algif_hash"),
            Need::Config("CONFIG_CRYPTO_MANAGER=y"),
            Need::Config("CONFIG_CRYPTO_HMAC=y"),
        ],
        probes: &["alg-names"],
        check: By(alg::algorithm),
        ..NAME
    },
    Entry {
        id: "name.file-system",
        catalogue: "NAME-07",
        statement: "mount(2) and fsopen(2) with an unknown file system request fs-TYPE with the bytes of the type up to the first dot",
        source: "get_fs_type() (fs/filesystems.c); docs/facts/kernel.md#site-07",
        check: By(file::file_system),
        ..NAME
    },
    Entry {
        id: "name.link-kind",
        catalogue: "NAME-08",
        statement: "a new link of an unknown kind requests rtnl-link-KIND with the bytes of the kind unchanged",
        source: "rtnl_newlink() (net/core/rtnetlink.c); docs/facts/kernel.md#site-08",
        check: By(link_kind),
        ..NAME
    },
    Entry {
        id: "name.traffic-control",
        catalogue: "NAME-09",
        statement: "a new qdisc or action of an unknown kind requests its name with a prefix; a filter without a qdisc requests nothing",
        source: "qdisc_create() (net/sched/sch_api.c), tc_action_load_ops() (net/sched/act_api.c); docs/facts/kernel.md#site-09",
        probes: &["qdisc-names"],
        needs: &[
            Need::Config("CONFIG_NET_SCHED=y"),
            Need::Config("CONFIG_NET_CLS=y"),
            Need::Config("CONFIG_NET_CLS_ACT=y"),
        ],
        check: By(traffic_control),
        ..NAME
    },
    Entry {
        id: "name.congestion-control",
        catalogue: "NAME-10",
        statement: "setting an unknown congestion control requests tcp_NAME only for a caller with CAP_NET_ADMIN",
        source: "tcp_set_congestion_control() (net/ipv4/tcp_cong.c); docs/facts/kernel.md#site-10",
        check: By(congestion_control),
        ..NAME
    },
    Entry {
        id: "name.tcp-ulp",
        catalogue: "NAME-11",
        statement: "setting an unknown TCP upper layer protocol requests tcp-ulp-NAME only for a caller with CAP_NET_ADMIN",
        source: "__tcp_ulp_find_autoload() (net/ipv4/tcp_ulp.c); docs/facts/kernel.md#site-11",
        check: By(tcp_ulp),
        ..NAME
    },
    Entry {
        id: "name.interface",
        catalogue: "NAME-12",
        statement: "an ioctl on an unknown interface requests netdev-NAME, then NAME alone, only for a caller with CAP_NET_ADMIN and CAP_SYS_MODULE",
        source: "dev_load() (net/core/dev_ioctl.c); docs/facts/kernel.md#site-12",
        check: By(interface),
        ..NAME
    },
    Entry {
        id: "name.character-device",
        catalogue: "NAME-13",
        statement: "opening a character device without a driver requests char-major-MAJOR-MINOR, then char-major-MAJOR",
        source: "base_probe() (fs/char_dev.c); docs/facts/kernel.md#site-13",
        check: By(file::character_device),
        ..NAME
    },
    Entry {
        id: "name.misc-device",
        catalogue: "NAME-14",
        statement: "opening a misc device without a driver requests char-major-10-MINOR only",
        source: "misc_open() (drivers/char/misc.c); docs/facts/kernel.md#site-14",
        needs: &[Need::Module("loop")],
        check: By(file::misc_device),
        ..NAME
    },
    Entry {
        id: "name.block-device",
        catalogue: "NAME-15",
        statement: "opening a block device without a driver requests block-major-MAJOR-MINOR, then block-major-MAJOR",
        source: "blk_request_module() (block/genhd.c), blkdev_get_no_open() (block/bdev.c); docs/facts/kernel.md#site-15",
        check: By(file::block_device),
        ..NAME
    },
    Entry {
        id: "name.executable-format",
        catalogue: "NAME-16",
        statement: "executing a file of an unknown format requests binfmt-XXXX up to 6.13 and nothing since 6.14",
        source: "search_binary_handler() (fs/exec.c), commit fa1bdca98d74; docs/facts/kernel.md#site-16",
        probes: &["binfmt-requests"],
        check: By(file::executable_format),
        ..NAME
    },
    Entry {
        id: "name.second-request",
        catalogue: "NAME-17",
        statement: "a device is requested by its major number alone only if the first request has started a helper that fails",
        source: "base_probe() (fs/char_dev.c); docs/facts/kernel.md#name-17",
        check: By(file::second_request),
        ..NAME
    },
    Entry {
        id: "name.length",
        catalogue: "NAME-18",
        statement: "a name of more than 55 bytes is not requested",
        source: "MODULE_NAME_LEN (include/linux/module.h); docs/facts/kernel.md#name-length",
        check: By(length),
        ..NAME
    },
    Entry {
        id: "name.dot",
        catalogue: "NAME-19",
        statement: "a dot ends the name of a file system, and an empty name requests fs-",
        source: "get_fs_type() (fs/filesystems.c); docs/facts/kernel.md#name-19",
        check: By(file::dot),
        ..NAME
    },
    Entry {
        id: "name.qdisc-prefix",
        catalogue: "NAME-20",
        statement: "a qdisc is requested as sch_KIND up to 6.8 and as net-sch-KIND since 6.9",
        source: "qdisc_create() (net/sched/sch_api.c), commit 2c15a5aee2f3; docs/facts/kernel.md#name-20",
        probes: &["qdisc-names"],
        needs: &[Need::Config("CONFIG_NET_SCHED=y")],
        check: By(qdisc_prefix),
        ..NAME
    },
    Entry {
        id: "name.no-executable-format",
        catalogue: "NAME-21",
        statement: "an executable file of an unknown format starts a helper up to 6.13 and none since 6.14",
        source: "search_binary_handler() (fs/exec.c), commit fa1bdca98d74; docs/facts/kernel.md#name-21",
        probes: &["binfmt-requests"],
        check: By(file::executable_format_helper),
        ..NAME
    },
    Entry {
        id: "name.alg-restriction",
        catalogue: "NAME-22",
        statement: "AF_ALG sockets request any algorithm up to 6.18; on 7.3 an unlisted one needs crypto.af_alg_restrict=0, and most listed ones need CAP_NET_ADMIN or CAP_SYS_ADMIN",
        source: "af_alg_check_restriction() (crypto/af_alg.c); docs/facts/kernel.md#name-22",
        needs: &[Need::Module("algif_hash")],
        probes: &["alg-names"],
        check: By(alg::restriction),
        ..NAME
    },
    Entry {
        id: "name.privileges",
        catalogue: "NAME-23",
        statement: "each system call requests a module only with the privileges that the table of request sites lists",
        source: "docs/facts/kernel.md#what-requests-a-module",
        needs: &[
            Need::Config("CONFIG_USER_NS=y"),
            Need::Config("CONFIG_NET_NS=y"),
            Need::Config("CONFIG_NET_SCHED=y"),
            Need::Config("CONFIG_NET_CLS_ACT=y"),
        ],
        check: By(privileges),
        ..NAME
    },
    Entry {
        id: "name.raw-interface",
        catalogue: "NAME-24",
        statement: "an interface name is requested without a prefix only for a caller with CAP_SYS_MODULE",
        source: "dev_load() (net/core/dev_ioctl.c); CVE-2011-1019; docs/facts/kernel.md#site-12",
        check: By(raw_interface),
        ..NAME
    },
    Entry {
        id: "name.iptables-table",
        catalogue: "NAME-25",
        statement: "a query for an unknown iptables table requests iptable_NAME with the bytes of the name unchanged",
        source: "xt_request_find_table_lock() (net/netfilter/x_tables.c); docs/facts/kernel.md#site-17",
        needs: &[Need::Module("ip_tables")],
        check: By(iptables_table),
        ..NAME
    },
    Entry {
        id: "name.constant",
        catalogue: "NAME-26",
        statement: "SIOCGIFVLAN and SIOCGIFBR request 8021q and bridge for any caller and fail with ENOPKG if that module is missing",
        source: "sock_ioctl(), br_ioctl_call() (net/socket.c); docs/facts/kernel.md#site-24",
        check: By(site::constant_name),
        ..NAME
    },
    Entry {
        id: "name.socket-diagnosis",
        catalogue: "NAME-27",
        statement: "a query for sockets requests net-pf-16-proto-4-type-FAMILY, or -FAMILY-PROTOCOL for IPv4, only for a registered family and protocol",
        source: "sock_load_diag_module() (net/core/sock.c); docs/facts/kernel.md#site-21",
        needs: &[Need::Module("inet_diag")],
        check: By(site::socket_diagnosis_names),
        ..NAME
    },
    Entry {
        id: "name.line-discipline",
        catalogue: "NAME-28",
        statement: "setting an unknown line discipline requests tty-ldisc-NUMBER; with dev.tty.ldisc_autoload=0 only for a caller with CAP_SYS_MODULE",
        source: "tty_ldisc_get() (drivers/tty/tty_ldisc.c); docs/facts/kernel.md#site-23",
        needs: &[Need::Config("CONFIG_LDISC_AUTOLOAD=y")],
        check: By(site::line_disciplines),
        ..NAME
    },
    Entry {
        id: "name.registered-format",
        catalogue: "NAME-29",
        statement: "execve(2) searches the executable formats again after the helper has ended, up to 6.13",
        source: "search_binary_handler() (fs/exec.c), commit fa1bdca98d74; docs/facts/kernel.md#name-29",
        needs: &[Need::Module("binfmt_misc")],
        probes: &["binfmt-requests"],
        check: By(file::registered_format),
        ..NAME
    },
];

/// Bytes that a shell, a path or a format string would interpret.
const HOSTILE: &[u8] = b"a/b..%s\x01\xff z";

/// Installs a helper that records each request and fails.
fn recorder(lab: &mut Lab<'_>) -> Result<Helper, LabError> {
    lab.helper_as_path("log", &exit_with(1))
}

/// Carries out an action and returns its result and the names that it requested.
fn requests(
    lab: &mut Lab<'_>,
    helper: &Helper,
    caller: Caller,
    action: Action,
) -> Result<(Observed, Vec<Vec<u8>>), LabError> {
    let before = lab.records(helper)?.len();
    let observed = lab.observe_as(caller, action)?;
    let records = lab.records(helper)?;
    Ok((observed, requested_names(records.get(before..).unwrap_or_default())))
}

/// Expects the result of an action and the names that it requests, in order.
fn expect_requests<N: AsRef<[u8]>>(
    lab: &mut Lab<'_>,
    helper: &Helper,
    caller: Caller,
    (what, action): (&str, Action),
    result: impl Shown,
    names: &[N],
) -> Check {
    let requested = requests(lab, helper, caller, action)?;
    expect_requested(lab, what, requested, result, names)
}

/// Expects the result of an action and the names that it has requested.
fn expect_requested<N: AsRef<[u8]>>(
    lab: &mut Lab<'_>,
    what: &str,
    (observed, requested): (Observed, Vec<Vec<u8>>),
    result: impl Shown,
    names: &[N],
) -> Check {
    let names = names.iter().map(|name| name.as_ref().to_vec()).collect();
    lab.expect(&format!("{what}: result"), observed.result, result);
    lab.expect(&format!("{what}: requested names"), List(requested), List(names));
    Ok(())
}

/// [`expect_requests`] as root.
fn root_requests<N: AsRef<[u8]>>(
    lab: &mut Lab<'_>,
    helper: &Helper,
    action: (&str, Action),
    result: impl Shown,
    names: &[N],
) -> Check {
    expect_requests(lab, helper, Caller::default(), action, result, names)
}

const NONE: &[&str] = &[];
const SUCCESS: Result<Value, agent::proto::Errno> = Ok(Value::Unit);

fn inet(family: i32, kind: i32, protocol: i32) -> Action {
    Action::Socket { family, kind, protocol }
}

fn protocol_family(lab: &mut Lab<'_>) -> Check {
    let log = recorder(lab)?;
    let unknown = ("a missing family", unknown_socket());
    let name = format!("net-pf-{UNKNOWN_FAMILY}");
    expect_requests(lab, &log, unprivileged(), unknown, errno::EAFNOSUPPORT, &[name])?;
    let invalid = ("family 255", socket(255, libc::SOCK_STREAM));
    root_requests(lab, &log, invalid, errno::EAFNOSUPPORT, NONE)?;
    root_requests(lab, &log, ("AF_INET", socket(libc::AF_INET, libc::SOCK_STREAM)), SUCCESS, NONE)
}

fn inet_protocol(lab: &mut Lab<'_>) -> Check {
    let log = recorder(lab)?;
    let (stream, seqpacket) = (libc::SOCK_STREAM, libc::SOCK_SEQPACKET);
    let names = ["net-pf-2-proto-200-type-1", "net-pf-2-proto-200"];
    root_requests(
        lab,
        &log,
        ("stream, protocol 200", inet(libc::AF_INET, stream, 200)),
        errno::EPROTONOSUPPORT,
        &names,
    )?;
    let names = ["net-pf-2-proto-132-type-5", "net-pf-2-proto-132"];
    let sctp = ("seqpacket, protocol 132", inet(libc::AF_INET, seqpacket, 132));
    root_requests(lab, &log, sctp, errno::ESOCKTNOSUPPORT, &names)?;
    root_requests(lab, &log, ("raw, protocol 253", inet(libc::AF_INET, libc::SOCK_RAW, 253)), SUCCESS, NONE)
}

fn netlink_protocol(lab: &mut Lab<'_>) -> Check {
    let log = recorder(lab)?;
    let netlink = |protocol| inet(libc::AF_NETLINK, libc::SOCK_RAW, protocol);
    let missing = ("protocol 31", netlink(31));
    expect_requests(lab, &log, unprivileged(), missing, errno::EPROTONOSUPPORT, &["net-pf-16-proto-31"])?;
    root_requests(lab, &log, ("protocol 32", netlink(32)), errno::EPROTONOSUPPORT, NONE)?;
    root_requests(lab, &log, ("protocol 0", netlink(0)), SUCCESS, NONE)
}

fn netlink_family(lab: &mut Lab<'_>) -> Check {
    let log = recorder(lab)?;
    let prefix = b"net-pf-16-proto-16-family-";
    for (what, name) in [("hostile bytes", HOSTILE), ("15 letters", b"abcdefghijklmno")] {
        let query = (what, Action::GenlGetFamily(name.to_vec()));
        expect_requests(lab, &log, unprivileged(), query, errno::ENOENT, &[[prefix, name].concat()])?;
    }
    root_requests(lab, &log, ("nlctrl", Action::GenlGetFamily(b"nlctrl".to_vec())), SUCCESS, NONE)
}

fn link_kind(lab: &mut Lab<'_>) -> Check {
    let log = recorder(lab)?;
    let kind = b"xx/.%s\x01\xff";
    let name = [b"rtnl-link-", &kind[..]].concat();
    root_requests(lab, &log, ("a new link", netlink::new_link(kind)), errno::EOPNOTSUPP, &[name])
}

/// Returns the name of a kind of traffic control: `what` is `sch`, `cls` or `act`.
fn traffic_control_name(lab: &mut Lab<'_>, what: &str, kind: &str) -> Result<String, LabError> {
    Ok(match lab.probe("qdisc-names")? {
        "net-sch" => format!("net-{what}-{kind}"),
        _ => format!("{what}_{kind}"),
    })
}

fn traffic_control(lab: &mut Lab<'_>) -> Check {
    let log = recorder(lab)?;
    let (qdisc, action) = (traffic_control_name(lab, "sch", "q/.%s")?, traffic_control_name(lab, "act", "a/.%s")?);
    root_requests(lab, &log, ("a new qdisc", netlink::new_qdisc(b"q/.%s")), errno::ENOENT, &[qdisc])?;
    root_requests(lab, &log, ("a new action", netlink::new_action(b"a/.%s")), errno::ENOENT, &[action])?;
    root_requests(lab, &log, ("a filter without a qdisc", netlink::new_filter(b"f")), errno::EINVAL, NONE)
}

fn congestion_control(lab: &mut Lab<'_>) -> Check {
    let log = recorder(lab)?;
    let option = || trigger::congestion_control(b"c/..%s");
    root_requests(lab, &log, ("setsockopt(2)", option()), errno::ENOENT, &["tcp_c/..%s"])?;
    expect_requests(lab, &log, unprivileged(), ("setsockopt(2) by uid 1000", option()), errno::ENOENT, NONE)?;
    let path = b"/proc/sys/net/ipv4/tcp_congestion_control".to_vec();
    let sysctl = Action::Write { path, data: b"s/..".to_vec(), flags: 0 };
    root_requests(lab, &log, ("the sysctl", sysctl), errno::ENOENT, &["tcp_s/.."])
}

fn tcp_ulp(lab: &mut Lab<'_>) -> Check {
    let log = recorder(lab)?;
    let option = || trigger::upper_layer_protocol(b"u/..%s");
    root_requests(lab, &log, ("root", option()), errno::ENOENT, &["tcp-ulp-u/..%s"])?;
    expect_requests(lab, &log, unprivileged(), ("uid 1000", option()), errno::ENOENT, NONE)
}

fn interface(lab: &mut Lab<'_>) -> Check {
    let log = recorder(lab)?;
    let name = b"n..%s\x01\xffz";
    let names = [[b"netdev-", &name[..]].concat(), name.to_vec()];
    root_requests(lab, &log, ("root", trigger::interface_index(name)), errno::ENODEV, &names)?;
    expect_requests(lab, &log, unprivileged(), ("uid 1000", trigger::interface_index(name)), errno::ENODEV, NONE)?;
    root_requests(lab, &log, ("a known interface", trigger::interface_index(b"lo")), SUCCESS, NONE)
}

fn raw_interface(lab: &mut Lab<'_>) -> Check {
    let log = recorder(lab)?;
    let names = ["netdev-nn", "nn"];
    root_requests(lab, &log, ("all capabilities", trigger::interface_index(b"nn")), errno::ENODEV, &names)?;
    let without = Caller { caps: Some(!(1 << SYS_MODULE)), ..Caller::default() };
    let call = ("without CAP_SYS_MODULE", trigger::interface_index(b"nn"));
    expect_requests(lab, &log, without, call, errno::ENODEV, &["netdev-nn"])
}

fn length(lab: &mut Lab<'_>) -> Check {
    let log = recorder(lab)?;
    for (length, fits) in [(52, true), (53, false)] {
        let kind = "f".repeat(length);
        let names: Vec<String> = fits.then(|| format!("fs-{kind}")).into_iter().collect();
        root_requests(lab, &log, (&format!("file system, {length} bytes"), mount(&kind)), errno::ENODEV, &names)?;
    }
    for (length, fits) in [(45, true), (46, false)] {
        let kind = "l".repeat(length);
        let names: Vec<String> = fits.then(|| format!("rtnl-link-{kind}")).into_iter().collect();
        let link = (&*format!("link, {length} bytes"), netlink::new_link(kind.as_bytes()));
        root_requests(lab, &log, link, errno::EOPNOTSUPP, &names)?;
    }
    Ok(())
}

fn qdisc_prefix(lab: &mut Lab<'_>) -> Check {
    let log = recorder(lab)?;
    let name = traffic_control_name(lab, "sch", "zz")?;
    let (_, names) = requests(lab, &log, Caller::default(), netlink::new_qdisc(b"zz"))?;
    lab.expect("requested names", List(names), List(vec![name]));
    Ok(())
}

fn iptables_table(lab: &mut Lab<'_>) -> Check {
    lab.load("ip_tables")?;
    let log = recorder(lab)?;
    let tables: [(&str, &[u8]); 3] =
        [("zz", b"zz"), ("hostile bytes", b"t/..%s\x01\xff"), ("31 letters", b"abcdefghijklmnopqrstuvwxyzabcde")];
    for (what, table) in tables {
        let name = [b"iptable_", table].concat();
        root_requests(lab, &log, (what, Action::IptGetInfo(table.to_vec())), errno::ENOENT, &[name])?;
    }
    Ok(())
}

/// Who may make a system call request a module.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Privilege {
    Nobody,
    NamespaceRoot,
    Root,
}

fn privileges(lab: &mut Lab<'_>) -> Check {
    use Privilege::{NamespaceRoot, Nobody, Root};
    let log = recorder(lab)?;
    let char_node = file::node(lab, libc::S_IFCHR, 77, 5)?;
    if let Action::Open { path, .. } = &char_node {
        lab.arrange(Action::Chmod(path.clone(), 0o666))?;
    }
    let sites = [
        ("socket(2), family", unknown_socket(), Nobody),
        ("socket(2), netlink protocol", inet(libc::AF_NETLINK, libc::SOCK_RAW, 31), Nobody),
        ("generic netlink family", Action::GenlGetFamily(b"zz".to_vec()), Nobody),
        ("socket diagnosis", netlink::socket_diagnosis(libc::AF_UNIX as u8, 0), Nobody),
        ("ioctl SIOCGIFVLAN", trigger::vlan_ioctl(), Nobody),
        ("open(2), character device", char_node, Nobody),
        ("mount(2)", mount("zz"), NamespaceRoot),
        ("new link", netlink::new_link(b"zz"), NamespaceRoot),
        ("new qdisc", netlink::new_qdisc(b"zz"), NamespaceRoot),
        ("new action", netlink::new_action(b"zz"), Root),
        ("congestion control", trigger::congestion_control(b"zz"), Root),
        ("upper layer protocol", trigger::upper_layer_protocol(b"zz"), Root),
        ("interface", trigger::interface_index(b"zz"), Root),
    ];
    let namespaces = libc::CLONE_NEWUSER | libc::CLONE_NEWNET | libc::CLONE_NEWNS;
    let callers = [
        ("uid 1000", unprivileged(), Nobody),
        ("root of a user namespace", root_of(namespaces), NamespaceRoot),
        ("root", Caller::default(), Root),
    ];
    for (site, action, needed) in sites {
        for (who, caller, privilege) in &callers {
            let (_, names) = requests(lab, &log, caller.clone(), action.clone())?;
            lab.expect(&format!("{site}, {who}: requests a module"), !names.is_empty(), *privilege >= needed);
        }
    }
    Ok(())
}
