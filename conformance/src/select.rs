//! Which behaviours a run takes: ids, catalogue ids, groups.

use crate::behaviour::Behaviour;
use crate::behaviours;

/// A word that selects nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("no behaviour, catalogue id or group is called '{word}'{}; `kmodlab list` shows them all", hint(near.as_deref()))]
pub struct UnknownId {
    word: String,
    near: Option<String>,
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
    fn an_unknown_id_is_told_with_the_nearest_one() {
        let error = select(&["path.empty-disable".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("did you mean path.empty-disables?"), "{error}");
        let error = select(&["path.nex".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("did you mean path.next-request?"), "{error}");
        assert!(!select(&["nonsense".to_owned()]).unwrap_err().to_string().contains("did you mean"));
    }
}
