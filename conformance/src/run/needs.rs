//! Whether a kernel and a subject meet the needs of a behaviour. Pure.

use crate::catalogue::entry::{Entry, Need};
use vm_images::ImageFacts;
use vm_images::modules::ModuleTree;

/// Returns the first need that is not met.
#[must_use]
pub fn first_unmet_need(behaviour: &Entry, met: impl Fn(&Need) -> bool) -> Option<Need> {
    behaviour.needs.iter().find(|need| !met(need)).copied()
}

/// What a subject provides.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// Its commands.
    pub commands: &'a [String],
    /// Its traits; `None` if they have not been determined, in which case the check must test for them.
    pub traits: Option<&'a [String]>,
}

/// Returns whether a subject, and a kernel with these modules and facts, meet a need.
#[must_use]
pub fn is_met(need: &Need, subject: Offer<'_>, modules: Option<&ModuleTree>, facts: &ImageFacts) -> bool {
    match need {
        Need::Command(name) => subject.commands.iter().any(|command| command == name),
        Need::Trait(name) => subject.traits.is_none_or(|traits| traits.iter().any(|known| known == name)),
        Need::Module(name) => modules.is_some_and(|tree| tree.modules.iter().any(|module| module == name)),
        Need::Config(option) => option
            .strip_prefix("CONFIG_")
            .and_then(|option| option.split_once('='))
            .is_some_and(|(option, value)| facts.config(option) == Some(value)),
    }
}
