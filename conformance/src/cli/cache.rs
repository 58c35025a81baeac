//! `kmodlab cache`: lists, verifies and prunes the cache.

use super::args::Common;
use super::error::CliError;
use super::help::{LIST_CACHE_CODES, PRUNE_CODES, VERIFY_CODES};
use super::{Outcome, setup};
use crate::run::verdict::exit;
use clap::{ArgGroup, Args as Group, Subcommand};
use harness::{Templates, Verified};
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};
use vm_images::contents::{self, to_prune};
use vm_images::{Cache, Entry};

/// The area of booted guests.
const TEMPLATES: &str = "templates";
const EXPECTED_SIZE: &str = "expected a number with K, M, G or T, e.g. 500M";
const EXPECTED_AGE: &str = "expected a number with s, m, h, d or w, e.g. 30d";

/// `kmodlab cache`.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// Show what is in the cache, with sizes and times of last use
    #[command(after_help = LIST_CACHE_CODES)]
    List {
        /// Show each entry, not only the totals
        #[arg(long)]
        all: bool,
    },
    /// Check the hashes of the cache, and remove what is damaged
    ///
    /// A damaged entry is rebuilt when it is needed.
    #[command(after_help = VERIFY_CODES)]
    Verify {
        /// Report damaged entries without removing them
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove the least recently used entries
    ///
    /// While another run uses the cache, only booted guests are removed.
    #[command(after_help = PRUNE_CODES)]
    Prune(PruneArgs),
}

/// `kmodlab cache prune`.
#[derive(Debug, Group)]
#[command(group = ArgGroup::new("limit").required(true).multiple(true))]
pub struct PruneArgs {
    /// Shrink the cache to this size, e.g. 500M or 4G
    #[arg(long, value_name = "SIZE", value_parser = parse_size, group = "limit")]
    pub max_size: Option<u64>,
    /// Remove entries that have not been used for this long, e.g. 12h, 30d or 2w
    #[arg(long, value_name = "TIME", value_parser = parse_age, group = "limit")]
    pub older_than: Option<Duration>,
    /// Report what would be removed without removing it
    #[arg(long)]
    pub dry_run: bool,
}

pub(super) fn cache(common: &Common, command: &CacheCommand) -> Outcome {
    let cache = setup::open_cache(common)?;
    let templates =
        Templates::open(cache.area(TEMPLATES).map_err(CliError::inconclusive)?).map_err(CliError::inconclusive)?;
    match command {
        CacheCommand::List { all } => {
            let items = items(&cache, &templates);
            super::print(&listed(&items, *all, &cache, SystemTime::now()))
        }
        CacheCommand::Verify { dry_run } => verify(&cache, &templates, *dry_run),
        CacheCommand::Prune(args) => prune(&cache, &templates, args),
    }
}

/// An entry of the cache: a booted guest, which the harness manages, or an entry that vm-images manages.
struct CachedItem {
    area: &'static str,
    name: String,
    bytes: u64,
    used: SystemTime,
    /// `None` for a booted guest.
    entry: Option<Entry>,
}

impl CachedItem {
    fn remove(&self, templates: &Templates) -> bool {
        self.entry.as_ref().map_or_else(|| templates.remove(&self.name), Entry::remove)
    }
}

/// Returns all items, the booted guests first, because they take the most space.
fn items(cache: &Cache, templates: &Templates) -> Vec<CachedItem> {
    let guest = |stored: harness::Stored| CachedItem {
        area: TEMPLATES,
        name: stored.name,
        bytes: stored.bytes,
        used: stored.used,
        entry: None,
    };
    let entry = |entry: Entry| CachedItem {
        area: entry.area,
        name: entry.name.clone(),
        bytes: entry.bytes,
        used: entry.used,
        entry: Some(entry),
    };
    templates.stored().into_iter().map(guest).chain(contents::entries(cache).into_iter().map(entry)).collect()
}

fn listed(items: &[CachedItem], all: bool, cache: &Cache, now: SystemTime) -> String {
    let mut text = String::new();
    let mut areas: Vec<&str> = items.iter().map(|item| item.area).collect();
    areas.dedup();
    // Writing to a String cannot fail.
    for area in areas {
        let here: Vec<&CachedItem> = items.iter().filter(|item| item.area == area).collect();
        let bytes = here.iter().map(|item| item.bytes).sum();
        let used = here.iter().map(|item| item.used).max().unwrap_or(now);
        let count = entries(here.len());
        let _ = writeln!(text, "{area:<12} {:>10}  {count:<12} last used {}", binary_size(bytes), ago(used, now));
        for item in here.iter().filter(|_| all) {
            let _ = writeln!(text, "  {:>20}  {}  {}", binary_size(item.bytes), item.name, ago(item.used, now));
        }
    }
    let total = items.iter().map(|item| item.bytes).sum();
    let _ = writeln!(text, "{:<12} {:>10}  in {}", "total", binary_size(total), cache.dir().display());
    text
}

fn verify(cache: &Cache, templates: &Templates, dry_run: bool) -> Outcome {
    let items = items(cache, templates);
    let (mut checked, mut damaged) = (0, 0);
    for item in &items {
        let damage = match &item.entry {
            Some(entry) if !entry.has_hash() => continue,
            Some(entry) => entry.damage(),
            None => match templates.verify(&item.name).map_err(CliError::inconclusive)? {
                Verified::Other => continue,
                Verified::Whole => None,
                Verified::Damaged(what) => Some(what.to_owned()),
            },
        };
        checked += 1;
        if let Some(damage) = damage {
            damaged += 1;
            let done = match dry_run {
                true => "not removed",
                false if item.remove(templates) => "removed",
                false => "not removed, because it is in use",
            };
            super::print(&format!("{}/{}: {damage}: {done}\n", item.area, item.name))?;
        }
    }
    let skipped = items.len() - checked;
    super::print(&format!(
        "{} checked, {damaged} damaged; {skipped} not checked (without a hash, or of another version)\n",
        entries(checked)
    ))?;
    Ok(if damaged == 0 { exit::OK } else { exit::FAILED })
}

fn prune(cache: &Cache, templates: &Templates, args: &PruneArgs) -> Outcome {
    // Held until the end: a run that starts now waits for the clean-up.
    let exclusive = cache.alone().map_err(CliError::inconclusive)?;
    let items = items(cache, templates);
    let measures: Vec<(u64, SystemTime)> = items.iter().map(|item| (item.bytes, item.used)).collect();
    let (mut freed, mut count, mut kept) = (0, 0, 0);
    for at in to_prune(&measures, args.max_size, args.older_than, SystemTime::now()) {
        let item = &items[at];
        // Each booted guest has its own lock.
        let may_remove = exclusive.is_some() || item.entry.is_none();
        if !may_remove || !args.dry_run && !item.remove(templates) {
            kept += 1;
            continue;
        }
        freed += item.bytes;
        count += 1;
        if args.dry_run {
            super::print(&format!("{:>10}  {}/{}\n", binary_size(item.bytes), item.area, item.name))?;
        }
    }
    let done = if args.dry_run { "would be removed" } else { "removed" };
    let in_use = if kept > 0 { format!("; {} in use", entries(kept)) } else { String::new() };
    super::print(&format!("{} {done}, {}{in_use}\n", entries(count), binary_size(freed)))
}

/// Returns `1 entry`, `2 entries`.
fn entries(count: usize) -> String {
    format!("{count} {}", if count == 1 { "entry" } else { "entries" })
}

/// Returns a number of bytes with a binary unit.
fn binary_size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64 / 1024.0, UNITS[0]);
    for larger in &UNITS[1..] {
        if value >= 1024.0 {
            (value, unit) = (value / 1024.0, larger);
        }
    }
    format!("{value:.1} {unit}")
}

fn ago(then: SystemTime, now: SystemTime) -> String {
    let seconds = now.duration_since(then).unwrap_or_default().as_secs();
    let (number, unit) = match seconds {
        0..60 => return "just now".to_owned(),
        60..3600 => (seconds / 60, "minute"),
        3600..86400 => (seconds / 3600, "hour"),
        _ => (seconds / 86400, "day"),
    };
    format!("{number} {unit}{} ago", if number == 1 { "" } else { "s" })
}

/// Parses a size such as `500M`, `4G` or `1GiB`; the units are powers of 1024.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let shift = match unit.trim_end_matches("iB").trim_end_matches('B') {
        "" => 0,
        "K" | "k" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(EXPECTED_SIZE.to_owned()),
    };
    if number.is_empty() {
        return Err(EXPECTED_SIZE.to_owned());
    }
    let number = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    number.ok_or_else(|| "the size is too large".to_owned())
}

/// Parses a time such as `90m`, `12h`, `30d` or `2w`.
pub(super) fn parse_age(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(EXPECTED_AGE.to_owned()),
    };
    if number.is_empty() {
        return Err(EXPECTED_AGE.to_owned());
    }
    let number = number.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds));
    number.map(Duration::from_secs).ok_or_else(|| "the time is too long".to_owned())
}

fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_parsed_with_their_units() {
        assert_eq!((parse_size("500M"), parse_size("4GiB"), parse_size("0")), (Ok(500 << 20), Ok(4 << 30), Ok(0)));
        assert_eq!(
            (parse_age("12h"), parse_age("2w")),
            (Ok(Duration::from_secs(43_200)), Ok(Duration::from_secs(1_209_600)))
        );
        for wrong in ["", "M", "4X", "-1M", "99999999999T"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "12", "h", "3y", "99999999999999999999d"] {
            assert!(parse_age(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_list_shows_each_area_and_with_all_each_entry() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let item = |area, name: &str, bytes, age| CachedItem {
            area,
            name: name.to_owned(),
            bytes,
            used: now - Duration::from_secs(age),
            entry: None,
        };
        let items = [
            item(TEMPLATES, "0123", 105 << 20, 30),
            item(TEMPLATES, "4567", 95 << 20, 7200),
            item("kernels", "linux-image_1", 3 << 30, 90_000),
        ];
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let text = listed(&items, true, &cache, now).replace(&cache.dir().display().to_string(), "DIR");
        insta::assert_snapshot!(text, @r"
        templates     200.0 MiB  2 entries    last used just now
                     105.0 MiB  0123  just now
                      95.0 MiB  4567  2 hours ago
        kernels         3.0 GiB  1 entry      last used 1 day ago
                       3.0 GiB  linux-image_1  1 day ago
        total           3.2 GiB  in DIR
        ");
    }
}
