//! How many guests run at a time if nobody says: one for each core, as far as memory goes.

use std::fs;
use std::path::Path;

const MIB: u64 = 1 << 20;
/// What a clone takes of its own at most, with QEMU's translated code; 54 MiB were seen (docs/records/performance.md).
const CLONE: u64 = 128 * MIB;
/// What a guest takes that boots, of 256 MiB of memory.
const BOOTED: u64 = 384 * MIB;
/// What is left to everybody else.
const RESERVE: u64 = 256 * MIB;

/// Guests at a time on this machine.
pub(super) fn default(boots_each: bool) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| available(&text));
    let group = fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| left_to_group(&text));
    let memory = machine.into_iter().chain(group).min();
    for_memory(cores, memory, if boots_each { BOOTED } else { CLONE })
}

fn for_memory(cores: usize, memory: Option<u64>, each: u64) -> usize {
    let fit = memory.map_or(cores, |memory| usize::try_from(memory.saturating_sub(RESERVE) / each).unwrap_or(cores));
    cores.min(fit).max(1)
}

/// `MemAvailable` of /proc/meminfo, in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// What the control group of /proc/self/cgroup (version 2) may still take.
fn left_to_group(cgroup: &str) -> Option<u64> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    let own = Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/'));
    // The limit may stand at any level above.
    own.ancestors()
        .take_while(|dir| dir.starts_with("/sys/fs/cgroup"))
        .filter_map(|dir| {
            let number = |name: &str| fs::read_to_string(dir.join(name)).ok()?.trim().parse::<u64>().ok();
            Some(number("memory.max")?.saturating_sub(number("memory.current")?))
        })
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_core_has_a_guest_as_far_as_memory_goes_and_there_is_always_one() {
        assert_eq!(for_memory(8, None, CLONE), 8);
        assert_eq!(for_memory(8, Some(16 << 30), CLONE), 8);
        assert_eq!(for_memory(8, Some(1 << 30), CLONE), 6);
        assert_eq!(for_memory(8, Some(1 << 30), BOOTED), 2);
        assert_eq!(for_memory(8, Some(0), CLONE), 1);
    }

    #[test]
    fn the_memory_that_is_available_is_read_in_kibibytes() {
        assert_eq!(available("MemTotal:  100 kB\nMemAvailable:     2048 kB\n"), Some(2 << 20));
        assert_eq!(available("MemTotal:  100 kB\n"), None);
    }
}
