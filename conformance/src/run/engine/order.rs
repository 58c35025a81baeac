//! The order in which work is started.

/// Shuffles a list. The same seed gives the same order for the same number of items, on every machine and in every
/// version.
pub fn shuffle<T>(seed: u64, items: &mut [T]) {
    let mut state = seed;
    for last in (1..items.len()).rev() {
        // The bias of the remainder is negligible for short lists.
        let chosen = next(&mut state) % (last as u64 + 1);
        items.swap(last, usize::try_from(chosen).unwrap_or(last));
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_published_one() {
        let mut state = 1_234_567;
        assert_eq!([next(&mut state), next(&mut state)], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn a_seed_gives_the_same_order_again_and_loses_no_item() {
        arbtest::arbtest(|u| {
            let (seed, count): (u64, usize) = (u.arbitrary()?, u.int_in_range(0..=50)?);
            let order = |seed| {
                let mut items: Vec<usize> = (0..count).collect();
                shuffle(seed, &mut items);
                items
            };
            let mut sorted = order(seed);
            assert_eq!(sorted, order(seed));
            sorted.sort_unstable();
            assert_eq!(sorted, (0..count).collect::<Vec<_>>());
            Ok(())
        });
        let mut first: Vec<u8> = (0..50).collect();
        let mut second = first.clone();
        shuffle(1, &mut first);
        shuffle(2, &mut second);
        assert_ne!(first, second);
    }
}
