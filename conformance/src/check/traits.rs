//! Traits: what a subject supports besides its commands. A behaviour needs traits as it needs modules, and a check asks
//! for them instead of the name of the subject.
//!
//! `subjects.toml` declares the traits of the subjects in the catalogue. Those of any other subject are determined by running
//! it, in a guest that no check uses.

use crate::check::lab::{Lab, LabError};
use crate::check::trigger::mount;
use agent::proto::{Action, ExitKind, Ran};

/// A trait of a subject.
pub struct Trait {
    /// The name, in `subjects.toml`, in tables of deviations and in needs.
    pub name: &'static str,
    /// What it means; completes "a subject …".
    pub meaning: &'static str,
    /// Determines whether the subject in the guest has it. May change the guest.
    probe: fn(&mut Lab<'_>) -> Result<bool, LabError>,
}

/// All traits, sorted by name.
pub const TRAITS: &[Trait] = &[
    Trait { name: "insmod -f", meaning: "with insmod -f", probe: |lab| lab.help_names("insmod", "-f") },
    Trait {
        name: "kernel log",
        meaning: "that reports failed requests in the kernel log",
        probe: logs_failed_requests,
    },
    Trait { name: "kernel reasons", meaning: "that reports the reason from the kernel log", probe: reports_reasons },
    Trait { name: "kmod list", meaning: "with kmod list", probe: |lab| lab.kmod_has("list") },
    Trait { name: "kmod messages", meaning: "with the messages of C kmod", probe: has_kmod_messages },
    Trait { name: "kmod static-nodes", meaning: "with kmod static-nodes", probe: |lab| lab.kmod_has("static-nodes") },
    Trait { name: "masks in kmod.d", meaning: "that supports masks in kmod.d", probe: supports_masks },
    Trait {
        name: "modprobe --config",
        meaning: "with modprobe --config",
        probe: |lab| lab.help_names("modprobe", "--config"),
    },
    Trait {
        name: "modprobe --first-time",
        meaning: "with modprobe --first-time",
        probe: |lab| lab.help_names("modprobe", "--first-time"),
    },
    Trait {
        name: "modprobe --remove-holders",
        meaning: "with modprobe --remove-holders",
        probe: |lab| lab.help_names("modprobe", "--remove-holders"),
    },
    Trait {
        name: "modprobe --wait",
        meaning: "with modprobe --wait",
        probe: |lab| lab.help_names("modprobe", "--wait"),
    },
    Trait { name: "modprobe -n -v", meaning: "whose modprobe -n -v lists modules", probe: lists_modules },
    Trait { name: "modules.dep.bin", meaning: "that reads modules.dep.bin", probe: reads_binary_index },
];

/// Returns the trait of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Trait> {
    TRAITS.iter().find(|known| known.name == name)
}

/// Returns the need for a trait, as in the reason of a skipped row.
#[must_use]
pub fn need(name: &str) -> String {
    format!("a subject {}", find(name).map_or_else(|| format!("with {name}"), |known| known.meaning.to_owned()))
}

impl Lab<'_> {
    /// Returns whether the subject has this trait.
    ///
    /// # Errors
    /// [`LabError`] if there is no such trait.
    pub fn has_trait(&self, name: &str) -> Result<bool, LabError> {
        match find(name) {
            Some(_) => Ok(self.pair().has_trait(name)),
            None => Err(LabError::Unexpected(format!("unknown trait '{name}'"))),
        }
    }

    /// Requires that the subject has this trait.
    ///
    /// # Errors
    /// [`LabError::Need`] if it does not.
    pub fn needs_trait(&self, name: &str) -> Result<(), LabError> {
        if self.has_trait(name)? { Ok(()) } else { Err(LabError::Need(need(name))) }
    }

    /// Determines the traits of the subject by running it. The guest is then no longer fit for a check.
    ///
    /// # Errors
    /// [`LabError`] if the guest does not answer.
    pub fn probe_traits(&mut self) -> Result<Vec<String>, LabError> {
        let mut traits = Vec::new();
        for known in TRAITS {
            if (known.probe)(self)? {
                traits.push(known.name.to_owned());
            }
        }
        Ok(traits)
    }

    /// Runs a command of the subject; `None` if it does not have the command.
    fn try_tool(&mut self, argv: &[&str]) -> Result<Option<Ran>, LabError> {
        let Some((&command, _)) = argv.split_first() else { return Ok(None) };
        let path = format!("/sbin/{command}").into_bytes();
        if self.observe(Action::Stat(path))?.result.is_err() {
            return Ok(None);
        }
        Ok(Some(self.tool(argv)?))
    }

    /// Returns whether the help of a command names an option.
    fn help_names(&mut self, command: &str, option: &str) -> Result<bool, LabError> {
        let help = self.try_tool(&[command, "--help"])?;
        Ok(help.is_some_and(|help| names(&help.stdout, option) || names(&help.stderr, option)))
    }

    /// Returns whether the help of the program kmod names a command.
    fn kmod_has(&mut self, command: &str) -> Result<bool, LabError> {
        let help = self.try_tool(&["kmod", "help"])?;
        Ok(help.is_some_and(|help| names(&help.stdout, command)))
    }
}

/// Returns whether a help text contains an option or command as a whole word.
fn names(help: &[u8], word: &str) -> bool {
    let help = String::from_utf8_lossy(help);
    let in_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    help.match_indices(word).any(|(at, _)| {
        let before = help[..at].chars().next_back().is_some_and(in_word);
        let after = help[at + word.len()..].chars().next().is_some_and(in_word);
        !before && !after
    })
}

/// A name that no module has.
const NO_MODULE: &str = "kmodlab_no_such_module";

fn has_kmod_messages(lab: &mut Lab<'_>) -> Result<bool, LabError> {
    let commands = [
        (["modprobe", NO_MODULE], format!("modprobe: FATAL: Module {NO_MODULE} not found")),
        (["rmmod", NO_MODULE], format!("rmmod: ERROR: Module {NO_MODULE} is not currently loaded")),
        (["insmod", "/kmodlab/no.ko"], "insmod: ERROR: could not load module /kmodlab/no.ko".to_owned()),
    ];
    for (argv, message) in &commands {
        if let Some(ran) = lab.try_tool(argv)? {
            return Ok(String::from_utf8_lossy(&ran.stderr).starts_with(message));
        }
    }
    Ok(false)
}

/// Only the kernel log names the parameter that is invalid.
fn reports_reasons(lab: &mut Lab<'_>) -> Result<bool, LabError> {
    let ran = lab.try_tool(&["modprobe", "dummy", "numdummies=x"])?;
    Ok(ran.is_some_and(|ran| String::from_utf8_lossy(&ran.stderr).contains("numdummies")))
}

fn logs_failed_requests(lab: &mut Lab<'_>) -> Result<bool, LabError> {
    const NAME: &str = "kmodlab_logged";
    lab.configure(&format!("alias fs-{NAME} dummy\noptions dummy numdummies=x\n"))?;
    let path = lab.path()?;
    lab.set_path(b"/sbin/modprobe\n")?;
    lab.mark_kmsg()?;
    lab.observe(mount(NAME))?;
    let records = lab.kmsg_of_programs()?;
    lab.set_path(&path)?;
    lab.configure("")?;
    Ok(records.iter().any(|record| String::from_utf8_lossy(&record.text).contains(NAME)))
}

fn supports_masks(lab: &mut Lab<'_>) -> Result<bool, LabError> {
    const FILE: &str = "/etc/kmod.d/lab.conf";
    lab.write(FILE, b"mask kmodlab_masked\n")?;
    let config = lab.try_tool(&["modprobe", "-c"])?;
    lab.remove(FILE)?;
    Ok(config.is_some_and(|config| String::from_utf8_lossy(&config.stdout).contains("mask kmodlab_masked")))
}

fn lists_modules(lab: &mut Lab<'_>) -> Result<bool, LabError> {
    let ran = lab.try_tool(&["modprobe", "-n", "-v", "dummy"])?;
    Ok(ran.is_some_and(|ran| {
        ran.exit == ExitKind::Exited(0) && String::from_utf8_lossy(&ran.stdout).contains("dummy.ko")
    }))
}

/// A subject does not have the trait only if it loads a module with the text index alone and not with the binary one alone. One that
/// loads nothing at all is checked.
fn reads_binary_index(lab: &mut Lab<'_>) -> Result<bool, LabError> {
    Ok(match loads_without(lab, "modules.dep")? {
        None => false,
        Some(true) => true,
        Some(false) => loads_without(lab, "modules.dep.bin")? != Some(true),
    })
}

/// Returns whether the subject loads a module that is not loaded yet while a file of the index is missing; `None` if there is
/// no such file or no modprobe.
fn loads_without(lab: &mut Lab<'_>, file: &str) -> Result<Option<bool>, LabError> {
    const MODULE: &str = "nls_utf8";
    let index = format!("/lib/modules/{}/{file}", lab.pair().release);
    let away = format!("{index}.away");
    if lab.observe(Action::Stat(index.clone().into_bytes()))?.result.is_err() {
        return Ok(None);
    }
    lab.rename(&index, &away)?;
    let ran = lab.try_tool(&["modprobe", MODULE])?;
    lab.rename(&away, &index)?;
    Ok(match ran {
        None => None,
        Some(_) => Some(lab.module_states(&[MODULE])? == ["Live"]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_images::Catalogue;

    #[test]
    fn traits_are_sorted_and_unique() {
        assert!(TRAITS.is_sorted_by(|one, next| one.name < next.name));
        assert_eq!(find("modprobe --wait").map(|known| known.meaning), Some("with modprobe --wait"));
        assert!(find("modprobe --wat").is_none());
    }

    #[test]
    fn the_reference_describes_every_trait() {
        let page = include_str!("../../../docs/reference/deviations.md");
        let lines = TRAITS.iter().map(|known| format!("| `{}` | {} | ", known.name, known.meaning));
        let missing: Vec<String> = lines.filter(|line| !page.contains(line)).collect();
        assert!(missing.is_empty(), "{missing:#?}");
        let table = page.split_once("| trait |").map_or("", |(_, table)| table);
        assert_eq!(table.lines().filter(|line| line.starts_with("| `")).count(), TRAITS.len());
    }

    #[test]
    fn every_trait_of_a_subject_in_the_catalogue_exists() {
        let catalogue = Catalogue::builtin().unwrap();
        for name in catalogue.subject_names() {
            for declared in catalogue.traits(name).unwrap() {
                assert!(find(declared).is_some(), "{name}: {declared}");
            }
        }
    }

    #[test]
    fn a_help_text_names_an_option_as_a_whole_word() {
        let help = b"  -f, --force  do it\n\t--wait=MSEC\n-w";
        for option in ["-f", "--force", "--wait", "-w"] {
            assert!(names(help, option), "{option}");
        }
        for option in ["-o", "--wai", "--forced", "force-"] {
            assert!(!names(help, option), "{option}");
        }
    }
}
