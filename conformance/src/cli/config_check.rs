//! `kmodlab kernel config-check`: prints the configuration options that a kernel misses.

use super::args::Common;
use super::error::CliError;
use super::{Outcome, lookup, setup, show_progress, signals};
use crate::catalogue::behaviours;
use crate::catalogue::config_check::{fragment, missing_options};
use crate::run::verdict::exit;
use anyhow::{Context as _, anyhow};
use std::fs;
use std::path::Path;
use vm_images::ImageFacts;

pub(super) fn config_check(common: &Common, kernels: &[String]) -> Outcome {
    let mut code = exit::OK;
    let mut texts = Vec::new();
    for name in kernels {
        let (title, facts) = match configuration(name)? {
            Some(text) => (name.clone(), ImageFacts::of_config(&text)),
            None => of_kernel(common, name)?,
        };
        if facts.config("MODULES").is_none() {
            let error = anyhow!("cannot find the configuration of {title}: it has no CONFIG_IKCONFIG");
            return Err(CliError::inconclusive(error).hint("give the path of its .config instead"));
        }
        let value = |option: &str| facts.config(option.trim_start_matches("CONFIG_")).unwrap_or("n");
        let missing = missing_options(value, &behaviours::all());
        if missing.iter().any(|lack| lack.behaviours.is_empty()) {
            code = exit::FAILED;
        }
        texts.push(fragment(&title, &missing));
    }
    super::print(&texts.join("\n"))?;
    Ok(code)
}

/// Returns the text of a configuration given by its path or by the path of its tree.
fn configuration(name: &str) -> Result<Option<String>, CliError> {
    let path = Path::new(name);
    let file = if path.is_dir() { path.join(".config") } else { path.to_owned() };
    if !file.is_file() {
        return Ok(None);
    }
    let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display())).map_err(CliError::usage)?;
    // An image is not text.
    let text = String::from_utf8(bytes).ok();
    Ok(text.filter(|text| text.lines().any(|line| line.starts_with("CONFIG_"))))
}

/// Reads the configuration of a kernel from its image.
fn of_kernel(common: &Common, name: &str) -> Result<(String, ImageFacts), CliError> {
    let catalogue = lookup::catalogue()?;
    let kernels = lookup::kernel_sources(&[name.to_owned()], None, &catalogue)?;
    let cache = setup::cache(common)?;
    let stop = signals::watch(|| {})?;
    let options = lookup::options(common, &cache, &show_progress, &stop);
    let found = signals::or_interrupted(&stop, lookup::kernels(&kernels, &catalogue, &options))?;
    let kernel = lookup::only(found)?;
    let facts = kernel.facts(&cache).map_err(CliError::inconclusive)?;
    Ok((format!("{} ({})", kernel.name, kernel.release), facts))
}
