//! Sequences that run each time, before the generated ones: what generated sequences seldom reach, and those that once
//! disagreed.

use crate::sequence::{Module, Program, Sequence, Step};

const SAME: Module = Module::Shared(0);
const OTHER: Module = Module::Shared(1);

fn sequence(background: u32, module: Module, sleep: u64, steps: Vec<Step>) -> Sequence {
    Sequence { background, module, killed: (0, 0, Module::Own), sleep, steps }
}

fn request(at: u64, module: Module, callers: u32) -> Step {
    Step::Request { at, module, callers, killed_after: None }
}

fn killed(at: u64, module: Module, after: u64) -> Step {
    Step::Request { at, module, callers: 1, killed_after: Some(after) }
}

/// Returns the sequences with what each is about.
pub fn kept() -> Vec<(&'static str, Sequence)> {
    vec![
        (
            "duplicates have places, so they keep others waiting for five seconds",
            sequence(50, SAME, 9000, vec![request(2000, Module::Own, 2)]),
        ),
        (
            "duplicates get the result of the first request while it runs and afterwards",
            sequence(
                0,
                SAME,
                3000,
                vec![
                    Step::Path { at: 500, program: Program::Directory },
                    request(1500, SAME, 1),
                    Step::Path { at: 2500, program: Program::Sleeps(2600) },
                    request(3500, SAME, 2),
                    request(4500, OTHER, 1),
                    request(5500, OTHER, 14),
                ],
            ),
        ),
        (
            "a duplicate can be killed, and the first request continues",
            sequence(0, SAME, 6000, vec![request(1000, SAME, 2), killed(2000, SAME, 1500), request(5000, SAME, 1)]),
        ),
        (
            "if the first caller is killed, its duplicates fail",
            sequence(0, SAME, 6000, vec![killed(1000, SAME, 2500), request(2000, SAME, 2), request(5000, SAME, 1)]),
        ),
        (
            "a request is remembered for a minute",
            sequence(0, SAME, 2000, vec![request(1000, SAME, 1), request(62_000, SAME, 1), request(67_000, SAME, 1)]),
        ),
        (
            "waiting requests are merged when they get their places",
            sequence(50, Module::Own, 4000, vec![request(1500, SAME, 14), request(6000, SAME, 1)]),
        ),
        (
            "a request that got its place after its caller was killed fails its duplicates",
            Sequence {
                killed: (1, 5000, Module::Own),
                ..sequence(50, Module::Own, 9000, vec![killed(1500, SAME, 2000), request(7500, SAME, 1)])
            },
        ),
    ]
}
