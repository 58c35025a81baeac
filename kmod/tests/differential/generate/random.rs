//! A small random number generator: splitmix64. The same seed gives the same numbers on every machine.

/// A sequence of random numbers.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns the sequence of a number: sequences of neighbouring numbers have nothing in common.
    pub fn of_number(seed: u64, number: u64) -> Self {
        Self(Self(seed).next() ^ Self(number.wrapping_mul(0x2545_f491_4f6c_dd1d)).next())
    }

    /// Returns a number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Returns true once in `odds` calls on average.
    pub fn one_in(&mut self, odds: usize) -> bool {
        self.below(odds) == 0
    }

    /// Returns one of several texts.
    pub fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    /// Calls `each` 0 to `most` times.
    pub fn some<T>(&mut self, most: usize, mut each: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = self.below(most + 1);
        (0..count).map(|_| each(self)).collect()
    }

    /// Returns 1 to `most` of several texts, joined.
    pub fn text(&mut self, most: usize, choices: &[&str]) -> String {
        (0..=self.below(most)).map(|_| self.of(choices)).collect()
    }
}
