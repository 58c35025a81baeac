//! The default number of parallel guests: one per core, if the memory suffices.

use std::fs;
use std::path::Path;

const MIB: u64 = 1 << 20;
/// The private memory of a clone, including QEMU's translated code, at most; 54 MiB were measured
/// (docs/records/performance.md).
const CLONE: u64 = 128 * MIB;
/// The memory of a booting guest with 256 MiB of RAM.
const BOOTED: u64 = 384 * MIB;
/// The memory left to the rest of the system.
const RESERVE: u64 = 256 * MIB;

/// Returns the number of guests that this machine can run in parallel; `boots_each` if they are booted, not cloned.
pub(super) fn default(boots_each: bool) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| available(&text));
    let group = fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| left_in_group(&text));
    let memory = machine.into_iter().chain(group).min();
    for_memory(cores, memory, if boots_each { BOOTED } else { CLONE })
}

fn for_memory(cores: usize, memory: Option<u64>, each: u64) -> usize {
    let fit = memory.map_or(cores, |memory| usize::try_from(memory.saturating_sub(RESERVE) / each).unwrap_or(cores));
    cores.min(fit).max(1)
}

/// Returns `MemAvailable` of /proc/meminfo in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Returns the memory that the control group in /proc/self/cgroup (version 2) may still allocate.
fn left_in_group(cgroup: &str) -> Option<u64> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    let own = Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/'));
    // Every level above may have a limit.
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
    fn there_is_a_guest_per_core_if_the_memory_suffices_and_at_least_one() {
        assert_eq!(for_memory(8, None, CLONE), 8);
        assert_eq!(for_memory(8, Some(16 << 30), CLONE), 8);
        assert_eq!(for_memory(8, Some(1 << 30), CLONE), 6);
        assert_eq!(for_memory(8, Some(1 << 30), BOOTED), 2);
        assert_eq!(for_memory(8, Some(0), CLONE), 1);
    }

    #[test]
    fn available_memory_is_read_in_kibibytes() {
        assert_eq!(available("MemTotal:  100 kB\nMemAvailable:     2048 kB\n"), Some(2 << 20));
        assert_eq!(available("MemTotal:  100 kB\n"), None);
    }
}
