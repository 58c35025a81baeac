//! Generated sequences of events.

use request::Policy;

/// The program that the path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// A helper that sleeps for a number of milliseconds and exits with 1.
    Sleeps(u64),
    /// A path that does not exist.
    Missing,
    /// A directory, which cannot be executed.
    Directory,
    /// The empty path.
    Disabled,
}

/// Helpers of different durations, in milliseconds.
pub const DURATIONS: [u64; 4] = [0, 1300, 2600, 6300];

/// The module that a caller requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Module {
    /// One that no other caller requests.
    Own,
    /// One of a few that several callers request.
    Shared(u8),
}

/// An event after the background has started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Callers make a request, and are killed after a number of milliseconds if they still wait.
    Request { at: u64, module: Module, callers: u32, killed_after: Option<u64> },
    /// The path changes.
    Path { at: u64, program: Program },
}

/// Callers that request a module at the beginning, and events after that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// How many callers request a module at the beginning.
    pub background: u32,
    /// What they request.
    pub module: Module,
    /// How many of them are killed after a number of milliseconds, and what these request.
    pub killed: (u32, u64, Module),
    /// How long their helpers sleep, in milliseconds.
    pub sleep: u64,
    /// Further events, in order.
    pub steps: Vec<Step>,
}

/// Callers that act at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Callers {
    /// When they begin, in milliseconds.
    pub at: u64,
    /// How many they are.
    pub count: u32,
    /// What they request.
    pub module: Module,
    /// When they are killed, in milliseconds.
    pub killed_at: Option<u64>,
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
    pub fn generate(seed: u64, policy: Policy) -> Sequence {
        let mut random = Random(seed);
        loop {
            let sequence = Sequence::draw(&mut random);
            if sequence.is_certain(policy) {
                return sequence;
            }
        }
    }

    /// Returns whether the events are so far apart that the sequence has one outcome.
    pub fn is_certain(&self, policy: Policy) -> bool {
        crate::predict::is_certain(self, policy, APART)
    }

    /// Returns the callers in the order in which they are numbered: those of the background that are killed, its others,
    /// then each step.
    pub fn groups(&self) -> impl Iterator<Item = Callers> {
        let (killed, killed_at, module) = self.killed;
        let killed = killed.min(self.background);
        let background = [
            Callers { at: 0, count: killed, module, killed_at: Some(killed_at) },
            Callers { at: 0, count: self.background - killed, module: self.module, killed_at: None },
        ];
        let steps = self.steps.iter().filter_map(|step| match *step {
            Step::Request { at, module, callers, killed_after } => {
                Some(Callers { at, count: callers, module, killed_at: killed_after.map(|after| at + after) })
            }
            Step::Path { .. } => None,
        });
        background.into_iter().chain(steps)
    }

    /// Returns the names that the callers request, in their order; `run` distinguishes them from those of other sequences
    /// in the same guest. A name that only one caller requests consists of the caller's and its group's numbers.
    pub fn names(&self, run: u64) -> Vec<String> {
        let groups = self.groups().enumerate();
        let modules = groups.flat_map(|(group, callers)| (0..callers.count).map(move |_| (group, callers.module)));
        let name = |(caller, (group, module))| match module {
            Module::Own => format!("r{run}-{caller:03}g{group}"),
            Module::Shared(number) => format!("r{run}-{}", char::from(b'a' + number)),
        };
        modules.enumerate().map(name).collect()
    }

    fn draw(random: &mut Random) -> Sequence {
        let background = [0, 48, 49, 50, 50, 50, 50][random.below(7) as usize];
        // Which one of several callers for a module is the first is not known, so the callers to kill request another one.
        let (module, other) =
            if random.below(3) == 0 { (Module::Shared(0), Module::Shared(1)) } else { (Module::Own, Module::Own) };
        let killed = if background > 0 && random.below(2) == 0 {
            // If one of two that request the same module is killed, the other one may end before it is killed too.
            let most = if other == Module::Own { 2 } else { 1 };
            (1 + random.below(most) as u32, 2000 + 10 * random.below(400), other)
        } else {
            (0, 0, other)
        };
        let mut at = 1000;
        let steps = (0..1 + random.below(8)).map(|_| {
            at += 500 + 10 * random.below(120);
            if random.below(16) == 0 {
                // The kernel remembers a request for a minute if it merges requests.
                at += 55_000 + 10 * random.below(1000);
            }
            match random.below(4) {
                0 => {
                    let program = match random.below(8) {
                        0 => Program::Missing,
                        1 => Program::Disabled,
                        2 => Program::Directory,
                        _ => Program::Sleeps(DURATIONS[random.below(4) as usize]),
                    };
                    Step::Path { at, program }
                }
                kind => {
                    let module = match random.below(5) {
                        shared @ ..=2 => Module::Shared(shared as u8),
                        _ => Module::Own,
                    };
                    let callers = [1, 1, 1, 2, 14][random.below(5) as usize];
                    // Of several callers that are killed, the place of the first may go to another one before that dies.
                    let killed_after = (kind == 1 && callers == 1).then(|| 300 + 10 * random.below(500));
                    Step::Request { at, module, callers, killed_after }
                }
            }
        });
        let steps = steps.collect();
        Sequence { background, module, killed, sleep: 4000 + 1000 * random.below(8), steps }
    }
}
