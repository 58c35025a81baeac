//! The names that system calls request: behaviours without a check.

use super::{MISSING, NOT_WRITTEN};
use crate::catalogue::entry::Checked::Missing;
use crate::catalogue::entry::{Entry, Group, Need};

const NAME: Entry = Entry { group: Group::Name, ..MISSING };

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        id: "name.protocol-family",
        catalogue: "NAME-01",
        statement: "socket(2) with a missing protocol family requests net-pf-FAMILY; an invalid and a registered family request nothing",
        source: "__sock_create() (net/socket.c); docs/facts/kernel.md#site-01",
        check: Missing(NOT_WRITTEN),
        ..NAME
    },
    Entry {
        id: "name.inet-protocol",
        catalogue: "NAME-02",
        statement: "socket(2) with a missing inet protocol requests net-pf-FAMILY-proto-PROTOCOL-type-TYPE, then the name without the type",
        source: "inet_create() (net/ipv4/af_inet.c), inet6_create() (net/ipv6/af_inet6.c); docs/facts/kernel.md#site-02",
        check: Missing(NOT_WRITTEN),
        ..NAME
    },
    Entry {
        id: "name.netlink-protocol",
        catalogue: "NAME-03",
        statement: "socket(2) with a missing netlink protocol requests net-pf-16-proto-PROTOCOL",
        source: "netlink_create() (net/netlink/af_netlink.c); docs/facts/kernel.md#site-03",
        check: Missing(NOT_WRITTEN),
        ..NAME
    },
    Entry {
        id: "name.netlink-family",
        catalogue: "NAME-04",
        statement: "a query for an unknown generic netlink family requests net-pf-16-proto-16-family-NAME with the bytes of the name unchanged",
        source: "ctrl_getfamily() (net/netlink/genetlink.c); docs/facts/kernel.md#site-04",
        check: Missing(NOT_WRITTEN),
        ..NAME
    },
    Entry {
        id: "name.alg-type",
        catalogue: "NAME-05",
        statement: "bind(2) of an AF_ALG socket with an unknown type requests algif-TYPE with the bytes of the type unchanged",
        source: "alg_bind() (crypto/af_alg.c); docs/facts/kernel.md#site-05",
        needs: &[Need::Module("af_alg")],
        check: Missing(NOT_WRITTEN),
        ..NAME
    },
    Entry {
        id: "name.alg-algorithm",
        catalogue: "NAME-06",
        statement: "bind(2) of an AF_ALG socket with an unknown algorithm requests crypto-NAME, crypto-NAME-all and the names of its parts, unless a list restricts the algorithms",
        source: "crypto_larval_lookup() (crypto/api.c), alg_bind() (crypto/af_alg.c); docs/facts/kernel.md#site-06",
        needs: &[Need::Module("af_alg")],
        probes: &["alg-names"],
        check: Missing(NOT_WRITTEN),
        ..NAME
    },
    Entry {
        id: "name.file-system",
        catalogue: "NAME-07",
        statement: "mount(2) and fsopen(2) with an unknown file system request fs-TYPE with the bytes of the type up to the first dot",
        source: "get_fs_type() (fs/filesystems.c); docs/facts/kernel.md#site-07",
        check: Missing("needs an action of the agent for fsopen(2)"),
        ..NAME
    },
    Entry {
        id: "name.link-kind",
        catalogue: "NAME-08",
        statement: "a new link of an unknown kind requests rtnl-link-KIND with the bytes of the kind unchanged",
        source: "rtnl_newlink() (net/core/rtnetlink.c); docs/facts/kernel.md#site-08",
        check: Missing("needs an action of the agent for rtnetlink messages"),
        ..NAME
    },
    Entry {
        id: "name.traffic-control",
        catalogue: "NAME-09",
        statement: "a new qdisc or action of an unknown kind requests its name with a prefix; a filter without a qdisc requests nothing",
        source: "qdisc_create() (net/sched/sch_api.c), tc_action_load_ops() (net/sched/act_api.c); docs/facts/kernel.md#site-09",
        probes: &["qdisc-names"],
        check: Missing("needs an action of the agent for rtnetlink messages"),
        ..NAME
    },
    Entry {
        id: "name.congestion-control",
        catalogue: "NAME-10",
        statement: "an unknown congestion control requests tcp_NAME only for a caller with CAP_NET_ADMIN",
        source: "tcp_set_congestion_control() (net/ipv4/tcp_cong.c); docs/facts/kernel.md#site-10",
        check: Missing("needs an action of the agent for setsockopt(2)"),
        ..NAME
    },
    Entry {
        id: "name.tcp-ulp",
        catalogue: "NAME-11",
        statement: "an unknown TCP upper layer protocol requests tcp-ulp-NAME only for a caller with CAP_NET_ADMIN",
        source: "__tcp_ulp_find_autoload() (net/ipv4/tcp_ulp.c); docs/facts/kernel.md#site-11",
        check: Missing("needs an action of the agent for setsockopt(2)"),
        ..NAME
    },
    Entry {
        id: "name.interface",
        catalogue: "NAME-12",
        statement: "an ioctl on an unknown interface requests netdev-NAME, then NAME alone, only for a caller with CAP_NET_ADMIN and CAP_SYS_MODULE",
        source: "dev_load() (net/core/dev_ioctl.c); docs/facts/kernel.md#site-12",
        check: Missing(NOT_WRITTEN),
        ..NAME
    },
    Entry {
        id: "name.character-device",
        catalogue: "NAME-13",
        statement: "opening a character device without a driver requests char-major-MAJOR-MINOR, then char-major-MAJOR",
        source: "base_probe() (fs/char_dev.c); docs/facts/kernel.md#site-13",
        check: Missing(NOT_WRITTEN),
        ..NAME
    },
    Entry {
        id: "name.misc-device",
        catalogue: "NAME-14",
        statement: "opening a misc device without a driver requests char-major-10-MINOR only",
        source: "misc_open() (drivers/char/misc.c); docs/facts/kernel.md#site-14",
        check: Missing(NOT_WRITTEN),
        ..NAME
    },
    Entry {
        id: "name.block-device",
        catalogue: "NAME-15",
        statement: "opening a block device without a driver requests block-major-MAJOR-MINOR, then block-major-MAJOR",
        source: "blk_request_module() (block/genhd.c), blkdev_get_no_open() (block/bdev.c); docs/facts/kernel.md#site-15",
        check: Missing(NOT_WRITTEN),
        ..NAME
    },
    Entry {
        id: "name.executable-format",
        catalogue: "NAME-16",
        statement: "executing a file of an unknown format requests binfmt-XXXX up to 6.13 and nothing since 6.14",
        source: "search_binary_handler() (fs/exec.c), commit fa1bdca98d74; docs/facts/kernel.md#site-16",
        probes: &["binfmt-requests"],
        check: Missing(NOT_WRITTEN),
        ..NAME
    },
    Entry {
        id: "name.second-request",
        catalogue: "NAME-17",
        statement: "a device is requested by its major number alone only if the first request has started a helper that fails",
        source: "base_probe() (fs/char_dev.c); docs/facts/kernel.md#name-17",
        check: Missing(NOT_WRITTEN),
        ..NAME
    },
    Entry {
        id: "name.length",
        catalogue: "NAME-18",
        statement: "a name of more than 55 bytes is not requested",
        source: "MODULE_NAME_LEN (include/linux/module.h); docs/facts/kernel.md#name-length",
        check: Missing("needs an action of the agent for rtnetlink messages"),
        ..NAME
    },
    Entry {
        id: "name.dot",
        catalogue: "NAME-19",
        statement: "a dot ends the name of a file system, and an empty name requests fs-",
        source: "get_fs_type() (fs/filesystems.c); docs/facts/kernel.md#name-19",
        check: Missing(NOT_WRITTEN),
        ..NAME
    },
    Entry {
        id: "name.qdisc-prefix",
        catalogue: "NAME-20",
        statement: "a qdisc is requested as sch_KIND up to 6.8 and as net-sch-KIND since 6.9",
        source: "qdisc_create() (net/sched/sch_api.c), commit 2c15a5aee2f3; docs/facts/kernel.md#name-20",
        probes: &["qdisc-names"],
        check: Missing("needs an action of the agent for rtnetlink messages"),
        ..NAME
    },
    Entry {
        id: "name.no-executable-format",
        catalogue: "NAME-21",
        statement: "an executable file of an unknown format starts a helper up to 6.13 and none since 6.14",
        source: "search_binary_handler() (fs/exec.c), commit fa1bdca98d74; docs/facts/kernel.md#name-21",
        probes: &["binfmt-requests"],
        check: Missing(NOT_WRITTEN),
        ..NAME
    },
    Entry {
        id: "name.alg-restriction",
        catalogue: "NAME-22",
        statement: "an unprivileged caller requests any algorithm up to 7.2; since 7.3 only with crypto.af_alg_restrict=0",
        source: "alg_bind() (crypto/af_alg.c); docs/facts/kernel.md#name-22",
        needs: &[Need::Module("af_alg")],
        probes: &["alg-names"],
        check: Missing(NOT_WRITTEN),
        ..NAME
    },
    Entry {
        id: "name.privileges",
        catalogue: "NAME-23",
        statement: "each system call requests a module only with the privileges that the table of request sites lists",
        source: "docs/facts/kernel.md#what-requests-a-module",
        check: Missing("needs an action of the agent for rtnetlink messages and setsockopt(2)"),
        ..NAME
    },
    Entry {
        id: "name.raw-interface",
        catalogue: "NAME-24",
        statement: "an interface name is requested without a prefix only for a caller with CAP_SYS_MODULE",
        source: "dev_load() (net/core/dev_ioctl.c); CVE-2011-1019; docs/facts/kernel.md#site-12",
        check: Missing(NOT_WRITTEN),
        ..NAME
    },
    Entry {
        id: "name.iptables-table",
        catalogue: "NAME-25",
        statement: "a query for an unknown iptables table requests iptable_NAME with the bytes of the name unchanged",
        source: "xt_request_find_table_lock() (net/netfilter/x_tables.c); docs/facts/kernel.md#site-17",
        needs: &[Need::Module("ip_tables")],
        check: Missing(NOT_WRITTEN),
        ..NAME
    },
];
