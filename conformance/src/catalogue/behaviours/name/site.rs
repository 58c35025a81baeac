//! Call sites with constant names or numbers in their names: ioctls, socket diagnosis, line disciplines.

use super::{NONE, expect_requests, recorder, root_requests};
use crate::catalogue::entry::Check;
use crate::check::errno;
use crate::check::lab::{Lab, SCRATCH, unprivileged};
use crate::check::netlink::socket_diagnosis;
use crate::check::trigger::{bridge_ioctl, line_discipline, vlan_ioctl};
use agent::proto::{Action, Caller};

pub(super) fn constant_name(lab: &mut Lab<'_>) -> Check {
    let log = recorder(lab)?;
    let calls = [("SIOCGIFVLAN", vlan_ioctl(), "8021q"), ("SIOCGIFBR", bridge_ioctl(), "bridge")];
    for (what, ioctl, name) in calls {
        expect_requests(lab, &log, unprivileged(), (what, ioctl), errno::ENOPKG, &[name])?;
    }
    Ok(())
}

pub(super) fn socket_diagnosis_names(lab: &mut Lab<'_>) -> Check {
    lab.load("inet_diag")?;
    let log = recorder(lab)?;
    let (unix, inet) = (libc::AF_UNIX as u8, libc::AF_INET as u8);
    let queries = [
        ("AF_UNIX", socket_diagnosis(unix, 0), Some("net-pf-16-proto-4-type-1")),
        ("a missing family", socket_diagnosis(3, 0), None),
        ("TCP", socket_diagnosis(inet, 6), Some("net-pf-16-proto-4-type-2-6")),
        ("a missing protocol", socket_diagnosis(inet, 132), None),
        ("raw sockets", socket_diagnosis(inet, 255), Some("net-pf-16-proto-4-type-2-255")),
    ];
    for (what, query, name) in queries {
        let names: Vec<&str> = name.into_iter().collect();
        expect_requests(lab, &log, unprivileged(), (what, query), errno::ENOENT, &names)?;
    }
    Ok(())
}

pub(super) fn line_disciplines(lab: &mut Lab<'_>) -> Check {
    let log = recorder(lab)?;
    let dir = format!("{SCRATCH}/pts");
    lab.arrange(Action::MkdirAll(dir.clone().into_bytes()))?;
    let (source, fstype) = (b"devpts".to_vec(), b"devpts".to_vec());
    let (target, data) = (dir.clone().into_bytes(), b"ptmxmode=666".to_vec());
    lab.arrange_in_init(Action::Mount { source, target, fstype, flags: 0, data })?;
    let ptmx = format!("{dir}/ptmx");
    let unknown = || line_discipline(&ptmx, 28);
    let call = ("an unknown discipline", unknown());
    expect_requests(lab, &log, unprivileged(), call, errno::EINVAL, &["tty-ldisc-28"])?;
    root_requests(lab, &log, ("a number that is too large", line_discipline(&ptmx, 31)), errno::EINVAL, NONE)?;
    let path = b"/proc/sys/dev/tty/ldisc_autoload".to_vec();
    lab.arrange(Action::Write { path, data: b"0".to_vec(), flags: 0 })?;
    let call = ("without automatic loading, uid 1000", unknown());
    expect_requests(lab, &log, unprivileged(), call, errno::EPERM, NONE)?;
    let call = ("without automatic loading, root", unknown());
    expect_requests(lab, &log, Caller::default(), call, errno::EINVAL, &["tty-ldisc-28"])
}
