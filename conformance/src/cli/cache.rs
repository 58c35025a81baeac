//! `kmodlab cache`: what is kept between runs, how much it is, whether it is whole, and how to be rid of it.

use super::args::{CacheCommand, Common, PruneArgs};
use super::error::CliError;
use super::{Outcome, setup};
use crate::verdict::exit;
use harness::{Templates, Verified};
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};
use vm_images::contents::{self, to_prune};
use vm_images::{Cache, Entry};

/// Where booted guests lie.
const TEMPLATES: &str = "templates";

pub(super) fn cache(common: &Common, command: &CacheCommand) -> Outcome {
    let cache = setup::open_cache(common)?;
    let templates =
        Templates::open(cache.area(TEMPLATES).map_err(CliError::inconclusive)?).map_err(CliError::inconclusive)?;
    match command {
        CacheCommand::List { all } => {
            let things = things(&cache, &templates);
            super::list::print(&listed(&things, *all, &cache, SystemTime::now()))
        }
        CacheCommand::Verify { dry_run } => verify(&cache, &templates, *dry_run),
        CacheCommand::Prune(args) => prune(&cache, &templates, args),
    }
}

/// One thing of the cache, whoever keeps it.
struct Thing {
    area: &'static str,
    name: String,
    bytes: u64,
    used: SystemTime,
    /// `None`: a booted guest.
    entry: Option<Entry>,
}

impl Thing {
    fn remove(&self, templates: &Templates) -> bool {
        self.entry.as_ref().map_or_else(|| templates.remove(&self.name), Entry::remove)
    }
}

/// Booted guests first, since they are most of it.
fn things(cache: &Cache, templates: &Templates) -> Vec<Thing> {
    let guest = |stored: harness::Stored| Thing {
        area: TEMPLATES,
        name: stored.name,
        bytes: stored.bytes,
        used: stored.used,
        entry: None,
    };
    let entry = |entry: Entry| Thing {
        area: entry.area,
        name: entry.name.clone(),
        bytes: entry.bytes,
        used: entry.used,
        entry: Some(entry),
    };
    templates.stored().into_iter().map(guest).chain(contents::entries(cache).into_iter().map(entry)).collect()
}

fn listed(things: &[Thing], all: bool, cache: &Cache, now: SystemTime) -> String {
    let mut text = String::new();
    let mut areas: Vec<&str> = things.iter().map(|thing| thing.area).collect();
    areas.dedup();
    // Writing to a String cannot fail.
    for area in areas {
        let here: Vec<&Thing> = things.iter().filter(|thing| thing.area == area).collect();
        let bytes = here.iter().map(|thing| thing.bytes).sum();
        let used = here.iter().map(|thing| thing.used).max().unwrap_or(now);
        let count = format!("{} {}", here.len(), if here.len() == 1 { "entry" } else { "entries" });
        let _ = writeln!(text, "{area:<12} {:>10}  {count:<12} last used {}", in_words(bytes), ago(used, now));
        for thing in here.iter().filter(|_| all) {
            let _ = writeln!(text, "  {:>20}  {}  {}", in_words(thing.bytes), thing.name, ago(thing.used, now));
        }
    }
    let total = things.iter().map(|thing| thing.bytes).sum();
    let _ = writeln!(text, "{:<12} {:>10}  in {}", "together", in_words(total), cache.dir().display());
    text
}

fn verify(cache: &Cache, templates: &Templates, dry_run: bool) -> Outcome {
    let things = things(cache, templates);
    let (mut checked, mut damaged) = (0, 0);
    for thing in &things {
        let damage = match &thing.entry {
            Some(entry) if !entry.has_hash() => continue,
            Some(entry) => entry.damage(),
            None => match templates.verify(&thing.name).map_err(CliError::inconclusive)? {
                Verified::Other => continue,
                Verified::Whole => None,
                Verified::Damaged(what) => Some(what.to_owned()),
            },
        };
        checked += 1;
        if let Some(damage) = damage {
            damaged += 1;
            let done = match dry_run {
                true => "left where it is",
                false if thing.remove(templates) => "removed; it is made anew when it is wanted",
                false => "it is in use and stays",
            };
            super::list::print(&format!("{}/{}: {damage}: {done}\n", thing.area, thing.name))?;
        }
    }
    let unhashed = things.len() - checked;
    super::list::print(&format!(
        "{checked} entries checked, {damaged} damaged; {unhashed} have no hash or are of another version\n"
    ))?;
    Ok(if damaged == 0 { exit::OK } else { exit::FAILED })
}

fn prune(cache: &Cache, templates: &Templates, args: &PruneArgs) -> Outcome {
    // Held to the end: who begins now waits until the clean-up is done.
    let alone = cache.alone().map_err(CliError::inconclusive)?;
    let things = things(cache, templates);
    let measures: Vec<(u64, SystemTime)> = things.iter().map(|thing| (thing.bytes, thing.used)).collect();
    let (mut freed, mut count, mut kept) = (0, 0, 0);
    for at in to_prune(&measures, args.max_size, args.older_than, SystemTime::now()) {
        let thing = &things[at];
        // Booted guests have locks of their own.
        let may = alone.is_some() || thing.entry.is_none();
        if !may || !args.dry_run && !thing.remove(templates) {
            kept += 1;
            continue;
        }
        freed += thing.bytes;
        count += 1;
        if args.dry_run {
            super::list::print(&format!("{:>10}  {}/{}\n", in_words(thing.bytes), thing.area, thing.name))?;
        }
    }
    let done = if args.dry_run { "would be removed" } else { "removed" };
    let in_use = if kept > 0 { format!("; {kept} are in use and stay") } else { String::new() };
    super::list::print(&format!("{count} entries {done}, {}{in_use}\n", in_words(freed)))
}

/// A number of bytes for people.
fn in_words(bytes: u64) -> String {
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

/// `500M`, `4G`, `1GiB`: powers of 1024.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let shift = match unit.trim_end_matches("iB").trim_end_matches('B') {
        "" => 0,
        "K" | "k" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("a number with K, M, G or T is wanted, such as 500M".to_owned()),
    };
    let number = number.parse::<u64>().map_err(|error| error.to_string())?;
    number.checked_mul(1 << shift).ok_or_else(|| "it is too large".to_owned())
}

/// `90m`, `12h`, `30d`, `2w`.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err("a number with s, m, h, d or w is wanted, such as 30d".to_owned()),
    };
    let number = number.parse::<u64>().map_err(|error| error.to_string())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(|| "it is too long".to_owned())
}

fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_numbers_with_a_unit() {
        assert_eq!((size("500M"), size("4GiB"), size("0")), (Ok(500 << 20), Ok(4 << 30), Ok(0)));
        assert_eq!((age("12h"), age("2w")), (Ok(Duration::from_secs(43_200)), Ok(Duration::from_secs(1_209_600))));
        for wrong in ["", "M", "4X", "-1M", "99999999999T"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "12", "h", "3y", "99999999999999999999d"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_list_has_a_line_for_each_area_and_with_all_for_each_entry() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let thing = |area, name: &str, bytes, age| Thing {
            area,
            name: name.to_owned(),
            bytes,
            used: now - Duration::from_secs(age),
            entry: None,
        };
        let things = [
            thing(TEMPLATES, "0123", 105 << 20, 30),
            thing(TEMPLATES, "4567", 95 << 20, 7200),
            thing("kernels", "linux-image_1", 3 << 30, 90_000),
        ];
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let text = listed(&things, true, &cache, now).replace(&cache.dir().display().to_string(), "DIR");
        insta::assert_snapshot!(text, @r"
        templates     200.0 MiB  2 entries    last used just now
                     105.0 MiB  0123  just now
                      95.0 MiB  4567  2 hours ago
        kernels         3.0 GiB  1 entry      last used 1 day ago
                       3.0 GiB  linux-image_1  1 day ago
        together        3.2 GiB  in DIR
        ");
    }
}
