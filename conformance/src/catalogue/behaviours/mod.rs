//! The catalogue: one file per group, one entry per behaviour.

mod config;
mod dep;
mod env;
mod error;
mod guard;
mod hostile;
mod load;
#[path = "loop.rs"]
mod loops;
mod missing;
mod name;
mod path;
mod tool;
mod unload;

use crate::catalogue::entry::{About, Checked, Cost, Entry, Group};

/// What most behaviours of the kernel have in common. Each file sets the group.
const BEHAVIOUR: Entry = Entry {
    id: "",
    catalogue: "",
    group: Group::Path,
    statement: "",
    source: "",
    about: About::Kernel,
    cost: Cost::Quick,
    needs: &[],
    probes: &[],
    check: Checked::Missing("an entry of this file has no check"),
};

/// Returns all entries, those of behaviours without a check included, by group.
#[must_use]
pub fn entries() -> Vec<&'static Entry> {
    let mut entries = all();
    entries.extend(missing::ENTRIES.iter().copied().flatten());
    entries.sort_by_key(|entry| entry.group);
    entries
}

/// Returns the behaviours that have a check, in catalogue order.
#[must_use]
pub fn all() -> Vec<&'static Entry> {
    let groups = [
        path::ENTRIES,
        env::ENTRIES,
        loops::ENTRIES,
        loops::LIMIT_ENTRIES,
        dep::ENTRIES,
        name::ENTRIES,
        error::ENTRIES,
        error::LOG_ENTRIES,
        load::ENTRIES,
        unload::ENTRIES,
        config::ENTRIES,
        tool::ENTRIES,
        guard::ENTRIES,
        hostile::ENTRIES,
    ];
    groups.into_iter().flatten().collect()
}

#[cfg(test)]
mod on_a_model;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::entry::{About, Checked, needs_text};
    use std::collections::BTreeSet;
    use std::fmt::Write as _;

    /// Everything that users read of a behaviour before it runs.
    #[test]
    fn the_catalogue_is_as_reviewed() {
        let mut text = String::new();
        for behaviour in entries() {
            let about = match behaviour.about {
                About::Kernel => "the kernel",
                About::Both => "kernel and tools",
            };
            writeln!(text, "{} {} ({about})\n  {}", behaviour.id, behaviour.catalogue, behaviour.statement).unwrap();
            writeln!(text, "  source: {}", behaviour.source).unwrap();
            if !behaviour.needs.is_empty() {
                writeln!(text, "  needs: {}", needs_text(behaviour.needs)).unwrap();
            }
            if !behaviour.probes.is_empty() {
                writeln!(text, "  probes: {}", behaviour.probes.join(", ")).unwrap();
            }
            if let Checked::Missing(reason) = behaviour.check {
                writeln!(text, "  no check: {reason}").unwrap();
            }
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn ids_are_unique_and_begin_with_their_group() {
        let mut seen = BTreeSet::new();
        for behaviour in entries() {
            assert!(seen.insert(behaviour.id), "duplicate id {}", behaviour.id);
            let (group, name) = behaviour.id.split_once('.').unwrap();
            assert_eq!(group, behaviour.group.to_string());
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{name}");
            assert!(!behaviour.statement.is_empty() && !behaviour.source.is_empty());
        }
    }

    #[test]
    fn behaviours_with_a_check_are_in_the_order_of_all_entries() {
        assert!(all().iter().all(|entry| matches!(entry.check, Checked::By(_))));
        let checked = entries().into_iter().filter(|entry| matches!(entry.check, Checked::By(_)));
        let ids = |entry: &Entry| entry.id;
        assert_eq!(checked.map(ids).collect::<Vec<_>>(), all().into_iter().map(ids).collect::<Vec<_>>());
    }
}
