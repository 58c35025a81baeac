//! The catalogue: one file a group, one entry a behaviour.

mod config;
mod dep;
mod load;
#[path = "loop.rs"]
mod loops;
mod path;
mod tool;
mod unload;

use crate::behaviour::Behaviour;

/// Every behaviour, in catalogue order.
#[must_use]
pub fn all() -> Vec<&'static Behaviour> {
    let groups = [
        path::BEHAVIOURS,
        loops::BEHAVIOURS,
        dep::BEHAVIOURS,
        load::BEHAVIOURS,
        unload::BEHAVIOURS,
        config::BEHAVIOURS,
        tool::BEHAVIOURS,
    ];
    groups.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_are_unique_and_begin_with_their_group() {
        let mut seen = BTreeSet::new();
        for behaviour in all() {
            assert!(seen.insert(behaviour.id), "{} stands twice", behaviour.id);
            let (group, name) = behaviour.id.split_once('.').unwrap();
            assert_eq!(group, behaviour.group.to_string());
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{name}");
            assert!(!behaviour.statement.is_empty() && !behaviour.source.is_empty());
        }
    }
}
