//! The rows of a run or of a shard: each kernel with each subject and each behaviour.

use crate::catalogue::entry::{About, Entry};
use crate::run::shard::Shard;

/// The numbers of the kernel, the subject and the behaviour of a row, which give its position in a report.
pub type RowPosition = (usize, usize, usize);

/// Returns the rows, ordered by kernel, subject and behaviour. A behaviour about the kernel alone is run with the first
/// subject. A kernel that is left out still counts, so that shards agree between machines that have it and others.
#[must_use]
pub fn rows(kernels: usize, subjects: usize, behaviours: &[&Entry], shard: Option<&Shard>) -> Vec<RowPosition> {
    let pairs = (0..kernels).flat_map(|kernel| (0..subjects).map(move |subject| (kernel, subject)));
    let all = pairs.flat_map(|(kernel, subject)| {
        let numbered = behaviours.iter().enumerate();
        let selected = numbered.filter(move |(_, behaviour)| subject == 0 || behaviour.about != About::Kernel);
        selected.map(move |(number, _)| (kernel, subject, number))
    });
    let in_shard = |row: &usize| shard.is_none_or(|shard| shard.has(*row));
    all.enumerate().filter(|(number, _)| in_shard(number)).map(|(_, position)| position).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::behaviours;
    use crate::run::shard::ShardOption;

    #[test]
    fn behaviours_of_the_kernel_run_once_per_kernel_and_others_once_per_pair() {
        let all = behaviours::all();
        let kernel = all.iter().filter(|behaviour| behaviour.about == About::Kernel).count();
        assert_eq!(rows(2, 3, &all, None).len(), 2 * (kernel + 3 * (all.len() - kernel)));
        assert!(rows(1, 2, &all, None).iter().all(|row| row.1 == 0 || all[row.2].about == About::Both));
    }

    #[test]
    fn all_shards_together_are_the_matrix() {
        let all = behaviours::all();
        let shard = |text: &str| text.parse::<ShardOption>().unwrap().0;
        let parts = ["1/3", "2/3", "3/3"].map(|text| rows(2, 2, &all, shard(text).as_ref()));
        let mut together = parts.concat();
        together.sort_unstable();
        assert_eq!(together, rows(2, 2, &all, None));
    }
}
