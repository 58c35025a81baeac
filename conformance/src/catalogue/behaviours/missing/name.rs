//! The names that system calls request: behaviours without a check.

use super::{MISSING, NOT_WRITTEN};
use crate::catalogue::entry::Checked::Missing;
use crate::catalogue::entry::{Entry, Group, Need};

const NAME: Entry = Entry { group: Group::Name, ..MISSING };

pub(super) const ENTRIES: &[Entry] = &[
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
        id: "name.alg-restriction",
        catalogue: "NAME-22",
        statement: "an unprivileged caller requests any algorithm up to 7.2; since 7.3 only with crypto.af_alg_restrict=0",
        source: "alg_bind() (crypto/af_alg.c); docs/facts/kernel.md#name-22",
        needs: &[Need::Module("af_alg")],
        probes: &["alg-names"],
        check: Missing(NOT_WRITTEN),
        ..NAME
    },
];
