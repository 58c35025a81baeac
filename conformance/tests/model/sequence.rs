//! Generated sequences of events.

/// The program that the path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// A helper that sleeps for a number of milliseconds and exits with 1.
    Sleeps(u64),
    /// A path that does not exist.
    Missing,
    /// The empty path.
    Disabled,
}

/// Helpers of different durations, in milliseconds.
pub const DURATIONS: [u64; 4] = [0, 1300, 2600, 6300];

/// An event after the background has started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Callers make a request, and are killed after a number of milliseconds if they still wait.
    Request { at: u64, callers: u32, killed_after: Option<u64> },
    /// The path changes.
    Path { at: u64, program: Program },
}

/// Callers that request a module at the beginning, and events after that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// How many callers request a module at the beginning.
    pub background: u32,
    /// How many of them are killed after a number of milliseconds.
    pub killed: (u32, u64),
    /// How long their helpers sleep, in milliseconds.
    pub sleep: u64,
    /// Further events, in order.
    pub steps: Vec<Step>,
}

/// The time within which the callers of the background get their helpers, or end, in milliseconds.
pub const SPREAD: u64 = 900;

/// The minimum distance of two events, in milliseconds.
const APART: u64 = 60;

/// splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

impl Sequence {
    /// Generates the sequence of a seed: the first of that seed whose events are far enough apart to have one outcome.
    pub fn generate(seed: u64) -> Sequence {
        let mut random = Random(seed);
        loop {
            let sequence = Sequence::draw(&mut random);
            if crate::predict::is_certain(&sequence, APART) {
                return sequence;
            }
        }
    }

    fn draw(random: &mut Random) -> Sequence {
        let background = [0, 48, 49, 50, 50, 50, 50][random.below(7) as usize];
        let killed = if background > 0 && random.below(2) == 0 {
            (1 + random.below(2) as u32, 2000 + 10 * random.below(400))
        } else {
            (0, 0)
        };
        let mut at = 1000;
        let steps = (0..1 + random.below(8)).map(|_| {
            at += 500 + 10 * random.below(120);
            match random.below(4) {
                0 => {
                    let program = match random.below(6) {
                        0 => Program::Missing,
                        1 => Program::Disabled,
                        _ => Program::Sleeps(DURATIONS[random.below(4) as usize]),
                    };
                    Step::Path { at, program }
                }
                kind => {
                    let callers = [1, 1, 1, 2, 14][random.below(5) as usize];
                    // Of several callers that are killed, the place of the first may go to another one before that dies.
                    let killed_after = (kind == 1 && callers == 1).then(|| 300 + 10 * random.below(500));
                    Step::Request { at, callers, killed_after }
                }
            }
        });
        let steps = steps.collect();
        Sequence { background, killed, sleep: 4000 + 1000 * random.below(8), steps }
    }
}
