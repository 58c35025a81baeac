//! A fast hash for tables whose keys come from files. Each table has a random seed, so that an attacker cannot choose keys
//! that collide.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Two odd constants with well-mixed bits: the fractional parts of the golden ratio and of the square root of 3.
const MIX: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xbb67_ae85_84ca_a73b];

/// Builds hashers with a random seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeededState(u64);

impl Default for SeededState {
    fn default() -> Self {
        // The seed comes from the standard library, whose hash is slower.
        Self(RandomState::new().hash_one(0_u8))
    }
}

impl BuildHasher for SeededState {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded(self.0)
    }
}

/// Hashes eight bytes per step: multiplies to 128 bits and folds the halves together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Folded(u64);

impl Folded {
    /// Returns a hasher whose result is the same in every run.
    pub(crate) fn with_seed(seed: u64) -> Self {
        Self(seed)
    }

    fn mix(&mut self, word: u64) {
        let wide = u128::from(self.0 ^ word) * u128::from(MIX[0]);
        self.0 = (wide as u64) ^ ((wide >> 64) as u64).wrapping_add(MIX[1]);
    }
}

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.split_at(bytes.len() & !7);
        for word in words.chunks_exact(8) {
            let mut eight = [0; 8];
            eight.copy_from_slice(word);
            self.mix(u64::from_le_bytes(eight));
        }
        let mut tail = [0; 8];
        tail[..rest.len()].copy_from_slice(rest);
        self.mix(u64::from_le_bytes(tail) ^ (bytes.len() as u64) << 56);
    }

    fn write_u64(&mut self, word: u64) {
        self.mix(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.mix(word as u64);
    }

    fn write_u8(&mut self, byte: u8) {
        self.mix(u64::from(byte));
    }

    fn finish(&self) -> u64 {
        let wide = u128::from(self.0) * u128::from(MIX[1]);
        (wide as u64) ^ (wide >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn similar_names_spread_and_every_table_has_another_seed() {
        let state = SeededState::default();
        let names: Vec<String> = (0..20_000).map(|n| format!("snd_soc_symbol_{n}")).collect();
        let hash = |name: &String| state.hash_one(name.as_bytes());
        assert_eq!(names.iter().map(hash).collect::<HashSet<_>>().len(), names.len());
        let low: HashSet<u64> = names.iter().map(|name| hash(name) & 0xffff).collect();
        // A random function hits about 17,200 of 65,536 places.
        assert!((16_500..18_000).contains(&low.len()), "{}", low.len());
        assert_ne!(hash(&names[0]), SeededState::default().hash_one(names[0].as_bytes()));
    }

    #[test]
    fn zeros_of_different_length_hash_differently() {
        let state = SeededState::default();
        let hashes: HashSet<u64> = (0..=16).map(|length| state.hash_one(&[0_u8; 16][..length])).collect();
        assert_eq!(hashes.len(), 17);
    }
}
