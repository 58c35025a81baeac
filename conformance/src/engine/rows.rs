//! The rows of a run: each kernel with each subject and each behaviour, as far as a shard has them.

use crate::behaviour::{About, Behaviour};
use crate::shard::Shard;

/// Which kernel, subject and behaviour of a plan.
pub type Place = (usize, usize, usize);

/// The rows, in the order of kernels, subjects, behaviours. What is about the kernel alone is run with the first subject.
/// A kernel that is left out keeps its place, so that shards on machines that have it and on others agree.
#[must_use]
pub fn rows(kernels: usize, subjects: usize, behaviours: &[&Behaviour], shard: Option<&Shard>) -> Vec<Place> {
    let pairs = (0..kernels).flat_map(|kernel| (0..subjects).map(move |subject| (kernel, subject)));
    let all = pairs.flat_map(|(kernel, subject)| {
        let here = behaviours.iter().enumerate();
        let wanted = here.filter(move |(_, behaviour)| subject == 0 || behaviour.about != About::Kernel);
        wanted.map(move |(number, _)| (kernel, subject, number))
    });
    let mine = |row: &usize| shard.is_none_or(|shard| shard.has(*row));
    all.enumerate().filter(|(number, _)| mine(number)).map(|(_, place)| place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviours;
    use crate::shard::ShardOption;

    #[test]
    fn what_is_about_the_kernel_runs_once_a_kernel_and_the_rest_once_a_pair() {
        let all = behaviours::all();
        let kernel = all.iter().filter(|behaviour| behaviour.about == About::Kernel).count();
        assert_eq!(rows(2, 3, &all, None).len(), 2 * (kernel + 3 * (all.len() - kernel)));
        assert!(rows(1, 2, &all, None).iter().all(|place| place.1 == 0 || all[place.2].about == About::Both));
    }

    #[test]
    fn the_shards_of_a_matrix_are_the_matrix() {
        let all = behaviours::all();
        let shard = |text: &str| text.parse::<ShardOption>().unwrap().0;
        let parts = ["1/3", "2/3", "3/3"].map(|text| rows(2, 2, &all, shard(text).as_ref()));
        let mut together = parts.concat();
        together.sort_unstable();
        assert_eq!(together, rows(2, 2, &all, None));
    }
}
