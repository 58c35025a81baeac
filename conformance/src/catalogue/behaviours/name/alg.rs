//! The names that AF_ALG sockets request.

use super::{NONE, expect_requested, expect_requests, recorder, requests};
use crate::catalogue::entry::Check;
use crate::check::capability::NET_ADMIN;
use crate::check::errno;
use crate::check::fact::Shown;
use crate::check::helper::Helper;
use crate::check::lab::{Lab, unprivileged};
use agent::proto::{Action, Caller};

pub(super) fn alg_type(lab: &mut Lab<'_>) -> Check {
    lab.load("af_alg")?;
    let log = recorder(lab)?;
    for (what, kind) in [("hostile bytes", &b"we\x01 /..%s\xff"[..]), ("an option", b"-h")] {
        let bind = Action::AlgBind { kind: kind.to_vec(), name: b"x".to_vec() };
        let name = [b"algif-", kind].concat();
        expect_requests(lab, &log, unprivileged(), (what, bind), errno::ENOENT, &[name])?;
    }
    Ok(())
}

/// bind(2) of a socket for hashes with this algorithm.
fn hash(name: &[u8]) -> Action {
    Action::AlgBind { kind: b"hash".to_vec(), name: name.to_vec() }
}

/// Expects the result of an action and the names that it requests, except for `cryptomgr`. Whether that is requested
/// depends on what else listens to the crypto API: crypto_probing_notify() gets the answer of the last listener, and those of
/// lib/crc-t10dif.c and lib/crc64-rocksoft.c (up to 6.12) answer that they have done nothing.
fn expect_algorithms<N: AsRef<[u8]>>(
    lab: &mut Lab<'_>,
    helper: &Helper,
    caller: Caller,
    (what, action): (&str, Action),
    result: impl Shown,
    names: &[N],
) -> Check {
    let (observed, mut requested) = requests(lab, helper, caller, action)?;
    requested.retain(|name| name != b"cryptomgr");
    expect_requested(lab, what, (observed, requested), result, names)
}

/// Sets `crypto.af_alg_restrict`.
fn restrict(lab: &mut Lab<'_>, level: &[u8]) -> Check {
    lab.write("/proc/sys/crypto/af_alg_restrict", level)
}

/// What an algorithm is, its name, and the names that it requests.
type Algorithm<'a> = (&'a str, &'a [u8], &'a [&'a [u8]]);

pub(super) fn algorithm(lab: &mut Lab<'_>) -> Check {
    lab.load("algif_hash")?;
    if lab.probe("alg-names")? == "listed" {
        restrict(lab, b"0")?;
    }
    let log = recorder(lab)?;
    let [longest, too_long] = [48, 49].map(|length| "n".repeat(length).into_bytes());
    let algorithms: [Algorithm<'_>; 5] = [
        ("hostile bytes", b"z/..%s\x01\xff", &[b"crypto-z/..%s\x01\xff", b"crypto-z/..%s\x01\xff-all"]),
        ("an unknown template", b"qq(x)", &[b"crypto-qq(x)", b"crypto-qq(x)-all", b"crypto-qq"]),
        ("hmac", b"hmac(x)", &[b"crypto-hmac(x)", b"crypto-hmac(x)-all", b"crypto-x", b"crypto-x-all"]),
        ("48 letters", &longest, &[&[b"crypto-", &longest[..]].concat()]),
        ("49 letters", &too_long, &[]),
    ];
    for (what, name, names) in algorithms {
        expect_algorithms(lab, &log, unprivileged(), (what, hash(name)), errno::ENOENT, names)?;
    }
    // A kernel may have it as a module, which is then requested and not found.
    let (first, names) = requests(lab, &log, unprivileged(), hash(b"sha256"))?;
    let as_expected = if first.result.is_ok() { names.is_empty() } else { !names.is_empty() };
    lab.expect("sha256: found without a request, or requested", as_expected, true);
    Ok(())
}

/// `zz` is not on the kernel's list, `md4` is on it for callers with `CAP_NET_ADMIN` or `CAP_SYS_ADMIN`, `sha1` for all.
pub(super) fn restriction(lab: &mut Lab<'_>) -> Check {
    lab.load("algif_hash")?;
    let listed = lab.probe("alg-names")? == "listed";
    let log = recorder(lab)?;
    let net_admin = || Caller { caps: Some(1 << NET_ADMIN), ..unprivileged() };
    for (who, caller, algorithm, allowed) in [
        ("uid 1000", unprivileged(), "zz", !listed),
        ("root", Caller::default(), "zz", !listed),
        ("uid 1000", unprivileged(), "md4", !listed),
        ("uid 1000 with CAP_NET_ADMIN", net_admin(), "md4", true),
    ] {
        let names = [format!("crypto-{algorithm}"), format!("crypto-{algorithm}-all")];
        let names = if allowed { &names[..] } else { &[] };
        let bind = (&*format!("{algorithm}, {who}"), hash(algorithm.as_bytes()));
        expect_algorithms(lab, &log, caller, bind, errno::ENOENT, names)?;
    }
    // A kernel may have sha1 built in, and then does not request it.
    let (sha1, names) = requests(lab, &log, unprivileged(), hash(b"sha1"))?;
    lab.expect("sha1, uid 1000: found or requested", sha1.result.is_ok() || !names.is_empty(), true);
    if listed {
        restrict(lab, b"0")?;
        let bind = ("af_alg_restrict=0: zz, uid 1000", hash(b"zz"));
        expect_algorithms(lab, &log, unprivileged(), bind, errno::ENOENT, &["crypto-zz", "crypto-zz-all"])?;
        restrict(lab, b"2")?;
        let bind = ("af_alg_restrict=2: sha1, root", hash(b"sha1"));
        expect_algorithms(lab, &log, Caller::default(), bind, errno::EAFNOSUPPORT, NONE)?;
    }
    Ok(())
}
