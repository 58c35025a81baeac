//! Selects behaviours by id, catalogue id, group and filter expression.

use crate::catalogue::behaviours;
use crate::catalogue::entry::Behaviour;
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
    /// A filter expression cannot be parsed, or one of its terms matches no behaviour.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// No behaviour matches both the names and the filters.
    #[error("no behaviour is selected")]
    Nothing,
}

/// Returns the behaviours with these ids, catalogue ids or groups, in catalogue order; all behaviours if `names` is empty.
///
/// # Errors
/// [`UnknownId`] for a name that selects nothing.
pub fn select(names: &[String]) -> Result<Vec<&'static Behaviour>, UnknownId> {
    let all = behaviours::all();
    for name in names {
        if !all.iter().any(|behaviour| has_name(behaviour, name)) {
            let nearest = nearest(name, all.iter().map(|behaviour| behaviour.id)).map(str::to_owned);
            return Err(UnknownId { name: name.clone(), nearest });
        }
    }
    let selected = |behaviour: &&Behaviour| names.is_empty() || names.iter().any(|name| has_name(behaviour, name));
    Ok(all.into_iter().filter(|behaviour| selected(behaviour)).collect())
}

/// Returns the behaviours that [`select`] returns and that match at least one of `filters`, if there are filters.
///
/// # Errors
/// [`SelectError`] for an unknown name, an invalid expression, and an empty selection.
pub fn select_filtered(names: &[String], filters: &[String]) -> Result<Vec<&'static Behaviour>, SelectError> {
    let mut selected = select(names)?;
    let all = behaviours::all();
    let mut parsed = Vec::new();
    for text in filters {
        let filter = Filter::parse(text)?;
        filter.check_terms(&all)?;
        parsed.push(filter);
    }
    selected.retain(|behaviour| parsed.is_empty() || parsed.iter().any(|filter| filter.matches(behaviour)));
    if selected.is_empty() { Err(SelectError::Nothing) } else { Ok(selected) }
}

fn has_name(behaviour: &Behaviour, name: &str) -> bool {
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
        let nearest = |name: &str| select(&[name.to_owned()]).unwrap_err().nearest;
        assert_eq!(nearest("path.empty-disable").as_deref(), Some("path.empty-disables"));
        assert_eq!(nearest("path.nex").as_deref(), Some("path.next-request"));
        assert_eq!(nearest("nonsense"), None);
    }
}
