//! Which behaviours a run takes: ids, catalogue ids, groups, and what filter expressions leave of them.

use crate::behaviour::Behaviour;
use crate::behaviours;
use crate::filter::{Filter, FilterError};

/// A word that selects nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("no behaviour, catalogue id or group is called '{word}'{}; `kmodlab list` shows them all", hint(near.as_deref()))]
pub struct UnknownId {
    word: String,
    near: Option<String>,
}

/// A selection that cannot be run.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SelectError {
    /// A word that names nothing.
    #[error(transparent)]
    Id(#[from] UnknownId),
    /// A filter expression that cannot be read or names nothing.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// Nothing is both named and let through.
    #[error("no behaviour is selected: nothing that is named is let through by --filter")]
    Nothing,
}

fn hint(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!(" (did you mean {near}?)"))
}

/// The behaviours that `words` name, in catalogue order; all if there is no word.
///
/// # Errors
/// [`UnknownId`] for a word that names nothing.
pub fn select(words: &[String]) -> Result<Vec<&'static Behaviour>, UnknownId> {
    let all = behaviours::all();
    for word in words {
        if !all.iter().any(|behaviour| is_named(behaviour, word)) {
            let near = nearest(word, all.iter().map(|behaviour| behaviour.id)).map(str::to_owned);
            return Err(UnknownId { word: word.clone(), near });
        }
    }
    let wanted = |behaviour: &&Behaviour| words.is_empty() || words.iter().any(|word| is_named(behaviour, word));
    Ok(all.into_iter().filter(|behaviour| wanted(behaviour)).collect())
}

/// The behaviours that `words` name and that one of `filters` at least lets through; all pass if there is no filter.
///
/// # Errors
/// [`SelectError`] for a word or an expression that is wrong, and for an empty selection.
pub fn select_filtered(words: &[String], filters: &[String]) -> Result<Vec<&'static Behaviour>, SelectError> {
    let mut chosen = select(words)?;
    let all = behaviours::all();
    let mut read = Vec::new();
    for text in filters {
        let filter = Filter::parse(text)?;
        filter.check_terms(&all)?;
        read.push(filter);
    }
    chosen.retain(|behaviour| read.is_empty() || read.iter().any(|filter| filter.matches(behaviour)));
    if chosen.is_empty() { Err(SelectError::Nothing) } else { Ok(chosen) }
}

fn is_named(behaviour: &Behaviour, word: &str) -> bool {
    behaviour.id == word || behaviour.catalogue.eq_ignore_ascii_case(word) || behaviour.group.to_string() == word
}

/// What was meant, for a hint: an id that begins so, else one that is a few letters away.
fn nearest<'a>(word: &str, ids: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let begun = ids.clone().find(|id| id.starts_with(word));
    begun.or_else(|| ids.min_by_key(|id| distance(id, word)).filter(|id| distance(id, word) <= 4))
}

/// Levenshtein distance, for hints.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(words: &[&str]) -> Vec<&'static str> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        select(&words).unwrap().iter().map(|behaviour| behaviour.id).collect()
    }

    #[test]
    fn an_id_a_catalogue_id_and_a_group_are_accepted() {
        assert_eq!(ids(&["path.empty-disables"]), ids(&["PATH-06"]));
        assert!(ids(&["loop"]).len() > 3);
        assert_eq!(ids(&[]).len(), behaviours::all().len());
    }

    #[test]
    fn filters_are_a_union_and_with_ids_an_intersection() {
        let chosen = |words: &[&str], filters: &[&str]| {
            let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
            select_filtered(&own(words), &own(filters)).map(|found| found.iter().map(|b| b.id).collect::<Vec<_>>())
        };
        assert_eq!(chosen(&[], &["group(loop)", "group(path)"]).unwrap(), ids(&["path", "loop"]));
        assert_eq!(chosen(&["path"], &["id(path.newline) | group(loop)"]).unwrap(), ["path.newline"]);
        assert_eq!(chosen(&["path"], &[]).unwrap(), ids(&["path"]));
        assert_eq!(chosen(&["path"], &["group(loop)"]), Err(SelectError::Nothing));
        assert!(matches!(chosen(&[], &["group(lop)"]), Err(SelectError::Filter(_))));
    }

    #[test]
    fn an_unknown_id_is_told_with_the_nearest_one() {
        let error = select(&["path.empty-disable".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("did you mean path.empty-disables?"), "{error}");
        let error = select(&["path.nex".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("did you mean path.next-request?"), "{error}");
        assert!(!select(&["nonsense".to_owned()]).unwrap_err().to_string().contains("did you mean"));
    }
}
