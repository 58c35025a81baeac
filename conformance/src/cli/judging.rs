//! What `kmodlab run` judges by: tables of deviations, a subject that another one is like, and the table that a run writes.

use super::error::CliError;
use super::outputs::can_be_written;
use super::status;
use crate::catalogue::deviations::{Deviations, Names, Origin};
use crate::report::document::Report;
use crate::report::{mismatches, write_atomically};
use crate::run::judge::Judging;
use crate::run::request::{Request, SubjectSource};
use anyhow::{Context as _, anyhow};
use clap::Args as Group;
use std::path::{Path, PathBuf};
use vm_images::{Catalogue, CatalogueError};

/// The options of `kmodlab run` about deviations.
#[derive(Debug, Default, Group)]
#[command(next_help_heading = "Deviations")]
pub struct JudgingArgs {
    /// Add the known deviations in this file (docs/reference/deviations.md); repeatable
    #[arg(long, value_name = "FILE")]
    pub deviations: Vec<PathBuf>,
    /// Judge subjects given by their path like this one, by its known deviations and its traits
    #[arg(long, value_name = "SUBJECT")]
    pub like: Option<String>,
    /// Write the mismatches that are not known to this file, to be used with --deviations when their reasons are filled in
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
}

impl JudgingArgs {
    /// Adds the user's deviations to a request. Reports invalid ones before anything is fetched or booted.
    pub(super) fn resolve(&self, request: &mut Request, catalogue: &Catalogue) -> Result<(), CliError> {
        self.check_write()?;
        let given: Vec<String> = request.subjects.iter().filter_map(path_of).collect();
        let names = Names::new(catalogue).and_subjects(&given);
        let mut deviations = std::mem::take(&mut request.judging.deviations);
        for file in &self.deviations {
            let name = file.display().to_string();
            let parsed = Deviations::parse(&name, &read(file)?, Origin::User, &names);
            deviations = deviations.and(parsed.map_err(CliError::usage)?);
        }
        let mut traits = deviations.traits().map(<[String]>::to_vec);
        if let Some(like) = &self.like {
            let known = catalogue.traits(like).ok_or_else(|| unknown_subject(like, catalogue))?;
            if given.is_empty() {
                let error = anyhow!("--like requires a subject given by its path");
                return Err(CliError::usage(error).hint("the subjects in the catalogue have their own deviations"));
            }
            traits.get_or_insert_with(|| known.to_vec());
            request.judging.like = given.into_iter().map(|subject| (subject, like.clone())).collect();
        }
        for subject in &mut request.subjects {
            if let SubjectSource::Path { traits: own, .. } = subject {
                own.clone_from(&traits);
            }
        }
        request.judging = Judging { deviations, ..std::mem::take(&mut request.judging) };
        Ok(())
    }

    /// Rejects a file that the run must not or cannot write.
    fn check_write(&self) -> Result<(), CliError> {
        let Some(file) = &self.write else { return Ok(()) };
        if file.exists() && !self.is_extended(file) {
            return Err(CliError::usage(anyhow!("{} exists", file.display()))
                .hint("give a new file, or add the existing one with --deviations to extend it"));
        }
        can_be_written(file)
    }

    /// Returns whether a file is both read and written: its entries are kept.
    fn is_extended(&self, file: &Path) -> bool {
        let same = |other: &PathBuf| match (other.canonicalize(), file.canonicalize()) {
            (Ok(other), Ok(file)) => other == file,
            _ => false,
        };
        self.deviations.iter().any(same)
    }

    /// Writes the mismatches of a run that no deviation lists.
    pub(super) fn write(&self, report: &Report) -> Result<(), CliError> {
        let Some(file) = &self.write else { return Ok(()) };
        let before = if self.is_extended(file) { Some(read(file)?) } else { None };
        let (text, count) = mismatches::table(report, before.as_deref());
        write_atomically(file, text.as_bytes()).map_err(CliError::inconclusive)?;
        let (what, next) = match count {
            0 => ("no mismatches".to_owned(), ""),
            1 => ("1 mismatch".to_owned(), "; fill in its reason"),
            _ => (format!("{count} mismatches"), "; fill in their reasons"),
        };
        status(&format!("wrote {what} to {}{next}", file.display()));
        Ok(())
    }
}

fn path_of(source: &SubjectSource) -> Option<String> {
    match source {
        SubjectSource::Path { path, .. } => Some(path.display().to_string()),
        SubjectSource::Ours | SubjectSource::Named(_) => None,
    }
}

fn read(file: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display())).map_err(CliError::usage)
}

/// Returns the error for a name that is not in the catalogue, with all names that are.
pub(super) fn unknown_subject(name: &str, catalogue: &Catalogue) -> CliError {
    let known = Names::new(catalogue).subjects;
    CliError::usage(CatalogueError::Unknown { what: "subject", name: name.to_owned(), known })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;
    use crate::run::event::Event;
    use crate::run::verdict::Verdict;

    const ENTRY: &str = "[[deviation]]\nbehaviour = \"path.newline\"\nfact = \"a\"\ninstead = \"b\"\nreason = \"c\"\n";

    fn request() -> Request {
        let judging = Judging::builtin(&Catalogue::builtin().unwrap()).unwrap();
        let mine = SubjectSource::Path { path: "./mine".into(), libraries: Vec::new(), traits: None };
        Request::new(Vec::new(), vec![SubjectSource::Ours, mine], judging, 1)
    }

    fn resolved(args: &JudgingArgs) -> (Judging, Option<Vec<String>>) {
        let mut request = request();
        args.resolve(&mut request, &Catalogue::builtin().unwrap()).unwrap();
        match request.subjects.pop() {
            Some(SubjectSource::Path { traits, .. }) => (request.judging, traits),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_subject_like_another_one_has_its_traits() {
        let (judging, traits) = resolved(&JudgingArgs { like: Some("kmod-34".into()), ..JudgingArgs::default() });
        assert_eq!(judging.like.get("./mine").map(String::as_str), Some("kmod-34"));
        assert_eq!(judging.like.len(), 1);
        assert_eq!(traits.as_deref(), Catalogue::builtin().unwrap().traits("kmod-34"));
        assert_eq!(resolved(&JudgingArgs::default()).1, None);
    }

    #[test]
    fn the_users_table_adds_deviations_and_replaces_the_traits() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("own.toml");
        std::fs::write(&file, format!("{ENTRY}[subject]\ntraits = [\"modprobe --wait\"]\n")).unwrap();
        let shipped = resolved(&JudgingArgs::default()).0.deviations.entries().len();
        let args = JudgingArgs { deviations: vec![file], like: Some("kmod-34".into()), write: None };
        let (judging, traits) = resolved(&args);
        assert_eq!(judging.deviations.entries().len(), shipped + 1);
        assert_eq!(traits, Some(vec!["modprobe --wait".to_owned()]));
    }

    #[test]
    fn a_table_that_is_also_read_is_extended() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("own.toml");
        let mut report = Report::empty();
        report.record(&Event::Judged(Box::new(sample::row("path.one", Verdict::Fail, None))));
        let new = JudgingArgs { write: Some(file.clone()), ..JudgingArgs::default() };
        new.check_write().unwrap();
        new.write(&report).unwrap();
        assert!(std::fs::read_to_string(&file).unwrap().contains("behaviour = \"path.one\""));
        assert!(new.check_write().unwrap_err().message().ends_with("own.toml exists"));
        std::fs::write(&file, ENTRY).unwrap();
        let extended = JudgingArgs { deviations: vec![file.clone()], ..new };
        extended.check_write().unwrap();
        extended.write(&report).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with(ENTRY) && text.contains("behaviour = \"path.one\""), "{text}");
    }
}
