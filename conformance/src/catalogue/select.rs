//! Selects behaviours by id, catalogue id, group and filter expression.

use crate::catalogue::behaviours;
use crate::catalogue::entry::{Checked, Entry};
use crate::catalogue::filter::{Filter, FilterError};
use crate::catalogue::suggest::nearest;

/// A name that selects nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown behaviour or group '{name}'")]
pub struct UnknownId {
    /// The name.
    pub name: String,
    /// The id that was probably meant.
    pub nearest: Option<String>,
}

/// A selection that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SelectError {
    /// A name is unknown.
    #[error(transparent)]
    Id(#[from] UnknownId),
    /// A behaviour has no check.
    #[error("{id} has no check: {reason}")]
    NoCheck {
        /// The id of the behaviour.
        id: &'static str,
        /// The reason.
        reason: &'static str,
    },
    /// No behaviour of a group has a check.
    #[error("no behaviour of the group {0} has a check")]
    NoCheckInGroup(String),
    /// A filter expression cannot be parsed, or one of its terms matches no behaviour.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// No behaviour matches both the names and the filters.
    #[error("no behaviour is selected")]
    Nothing,
}

/// Returns the behaviours with these ids, catalogue ids or groups that have a check, in catalogue order; all of them if
/// `names` is empty.
///
/// # Errors
/// [`SelectError`] for a name that selects nothing or only behaviours without a check.
pub fn select(names: &[String]) -> Result<Vec<&'static Entry>, SelectError> {
    let all = behaviours::all();
    let entries = behaviours::entries();
    for name in names {
        if all.iter().any(|entry| has_name(entry, name)) {
            continue;
        }
        let mut named = named(&entries, name)?;
        return Err(match (named.next(), named.next()) {
            (Some(&Entry { id, check: Checked::Missing(reason), .. }), None) => SelectError::NoCheck { id, reason },
            _ => SelectError::NoCheckInGroup(name.clone()),
        });
    }
    Ok(with_names(all, names))
}

/// Like [`select`], with the behaviours that have no check.
///
/// # Errors
/// [`UnknownId`] for a name that selects nothing.
pub fn select_entries(names: &[String]) -> Result<Vec<&'static Entry>, UnknownId> {
    let entries = behaviours::entries();
    names.iter().try_for_each(|name| named(&entries, name).map(drop))?;
    Ok(with_names(entries, names))
}

/// Returns the behaviours that [`select`] returns and that match at least one of `filters`, if there are filters.
///
/// # Errors
/// [`SelectError`] for an unknown name, an invalid expression, and an empty selection.
pub fn select_filtered(names: &[String], filters: &[String]) -> Result<Vec<&'static Entry>, SelectError> {
    filtered(select(names)?, filters, &behaviours::all())
}

/// Like [`select_filtered`], with the behaviours that have no check.
///
/// # Errors
/// [`SelectError`], likewise.
pub fn select_entries_filtered(names: &[String], filters: &[String]) -> Result<Vec<&'static Entry>, SelectError> {
    filtered(select_entries(names)?, filters, &behaviours::entries())
}

/// Returns the entries that match at least one of `filters`. Each of its terms must match one of `all`.
fn filtered(
    mut selected: Vec<&'static Entry>,
    filters: &[String],
    all: &[&'static Entry],
) -> Result<Vec<&'static Entry>, SelectError> {
    let mut parsed = Vec::new();
    for text in filters {
        let filter = Filter::parse(text)?;
        filter.check_terms(all)?;
        parsed.push(filter);
    }
    selected.retain(|behaviour| parsed.is_empty() || parsed.iter().any(|filter| filter.matches(behaviour)));
    if selected.is_empty() { Err(SelectError::Nothing) } else { Ok(selected) }
}

/// Returns the entries with this name.
fn named<'a>(
    entries: &'a [&'static Entry],
    name: &'a str,
) -> Result<impl Iterator<Item = &'static Entry> + 'a, UnknownId> {
    if entries.iter().any(|entry| has_name(entry, name)) {
        return Ok(entries.iter().copied().filter(move |entry| has_name(entry, name)));
    }
    let nearest = nearest(name, entries.iter().map(|entry| entry.id)).map(str::to_owned);
    Err(UnknownId { name: name.to_owned(), nearest })
}

/// Returns the entries that the names select; all entries if `names` is empty.
fn with_names(entries: Vec<&'static Entry>, names: &[String]) -> Vec<&'static Entry> {
    let selected = |entry: &&Entry| names.is_empty() || names.iter().any(|name| has_name(entry, name));
    entries.into_iter().filter(selected).collect()
}

fn has_name(behaviour: &Entry, name: &str) -> bool {
    behaviour.id == name || behaviour.catalogue.eq_ignore_ascii_case(name) || behaviour.group.to_string() == name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(names: &[&str]) -> Vec<&'static str> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        select(&names).unwrap().iter().map(|behaviour| behaviour.id).collect()
    }

    #[test]
    fn an_id_a_catalogue_id_and_a_group_select_behaviours() {
        assert_eq!(ids(&["path.empty-disables"]), ids(&["PATH-06"]));
        assert!(ids(&["loop"]).len() > 3);
        assert_eq!(ids(&[]).len(), behaviours::all().len());
    }

    #[test]
    fn filters_form_a_union_that_is_intersected_with_the_names() {
        let selected = |names: &[&str], filters: &[&str]| {
            let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
            select_filtered(&owned(names), &owned(filters)).map(|found| found.iter().map(|b| b.id).collect::<Vec<_>>())
        };
        assert_eq!(selected(&[], &["group(loop)", "group(path)"]).unwrap(), ids(&["path", "loop"]));
        assert_eq!(selected(&["path"], &["id(path.newline) | group(loop)"]).unwrap(), ["path.newline"]);
        assert_eq!(selected(&["path"], &[]).unwrap(), ids(&["path"]));
        assert_eq!(selected(&["path"], &["group(loop)"]), Err(SelectError::Nothing));
        assert!(matches!(selected(&[], &["group(lop)"]), Err(SelectError::Filter(_))));
    }

    #[test]
    fn an_unknown_name_is_an_error_with_the_nearest_id() {
        let nearest = |name: &str| match select(&[name.to_owned()]).unwrap_err() {
            SelectError::Id(error) => error.nearest,
            other => panic!("{other}"),
        };
        assert_eq!(nearest("path.empty-disable").as_deref(), Some("path.empty-disables"));
        assert_eq!(nearest("path.nex").as_deref(), Some("path.next-request"));
        assert_eq!(nearest("nonsense"), None);
    }

    #[test]
    fn a_behaviour_without_a_check_cannot_be_selected_except_from_all_entries() {
        let error = |name: &str| select(&[name.to_owned()]).unwrap_err().to_string();
        let id = "loop.small-memory";
        assert!(error(id).starts_with("loop.small-memory has no check: all guests of a run have"), "{}", error(id));
        assert_eq!(error("LOOP-18"), error(id));
        assert_eq!(error("module"), "no behaviour of the group module has a check");
        assert_eq!(select_entries(&["LOOP-18".to_owned()]).unwrap()[0].id, id);
        assert!(select_entries(&["loop".to_owned()]).unwrap().len() > ids(&["loop"]).len());
        assert_eq!(select_entries(&["loop.smal-memory".to_owned()]).unwrap_err().nearest.as_deref(), Some(id));
        assert!(select_entries_filtered(&[], &["group(module)".to_owned()]).is_ok());
        assert!(select_filtered(&[], &["group(module)".to_owned()]).is_err());
    }
}
