//! The request core as a kernel would link it: without `std`, with a queue of fixed size. `ci/panic-free` compiles this file
//! for a machine without an operating system, and checks that no code of the core can panic.
#![no_std]

use request::{
    Begin, End, GaveUp, HelperPath, Launch, Message, Millis, Name, Policy, Queue, Rate, RateLimit, Request, Requests,
    Why,
};

/// A queue of at most 16 waiters.
pub struct Waiters([Option<u32>; 16]);

impl Queue for Waiters {
    type Waiter = u32;

    fn push(&mut self, waiter: u32) {
        if let Some(free) = self.0.iter_mut().find(|entry| entry.is_none()) {
            *free = Some(waiter);
        }
    }

    fn pop(&mut self) -> Option<u32> {
        let first = self.0.first_mut()?.take();
        self.0.rotate_left(1);
        first
    }

    fn remove(&mut self, waiter: u32) -> bool {
        self.0.iter_mut().find(|entry| **entry == Some(waiter)).and_then(Option::take).is_some()
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

/// The core with that queue.
pub type Core = Requests<Waiters, 16>;

/// What to call for each part of a message.
pub type Write = extern "C" fn(u8);

fn log(write: Write) -> impl FnMut(Message<'_>) {
    move |message| message.write_to(|part| part.iter().for_each(|&byte| write(byte)))
}

#[unsafe(no_mangle)]
pub extern "Rust" fn core_new(policy: Policy) -> Core {
    Requests::with_queue(policy, Waiters([None; 16]))
}

#[unsafe(no_mangle)]
pub extern "Rust" fn core_policy(major: u32, minor: u32, threads: u32) -> Policy {
    Policy::of_kernel(major, minor).with_max_threads(threads).with_merging()
}

#[unsafe(no_mangle)]
pub extern "Rust" fn core_name(bytes: &[u8]) -> Option<Name> {
    Name::new(bytes).ok()
}

#[unsafe(no_mangle)]
pub extern "Rust" fn core_write(path: &mut HelperPath, data: &[u8], offset: &mut u64) {
    path.write(data, offset);
}

#[unsafe(no_mangle)]
pub extern "Rust" fn core_path() -> HelperPath {
    HelperPath::default()
}

#[unsafe(no_mangle)]
pub extern "Rust" fn core_begin(
    core: &mut Core,
    now: Millis,
    path: &HelperPath,
    name: &Name,
    waiter: u32,
    write: Write,
) -> Begin {
    core.begin(now, path, name, waiter, &mut log(write))
}

#[unsafe(no_mangle)]
pub extern "Rust" fn core_retry(core: &mut Core, waiter: u32) -> Option<Request> {
    core.retry(waiter)
}

#[unsafe(no_mangle)]
pub extern "Rust" fn core_give_up(
    core: &mut Core,
    now: Millis,
    name: &Name,
    waiter: u32,
    why: Why,
    write: Write,
) -> GaveUp {
    core.give_up(now, name, waiter, why, &mut log(write))
}

#[unsafe(no_mangle)]
pub extern "Rust" fn core_launch(
    core: &mut Core,
    now: Millis,
    request: Request,
    name: &Name,
    waits: bool,
    write: Write,
) -> Launch {
    core.launch(now, request, name, waits, &mut log(write))
}

#[unsafe(no_mangle)]
pub extern "Rust" fn core_end(core: &mut Core, now: Millis, request: Request, name: &Name, result: i32) -> End<u32> {
    core.end(now, request, name, result)
}

#[unsafe(no_mangle)]
pub extern "Rust" fn core_running(core: &Core) -> usize {
    core.running()
}

#[unsafe(no_mangle)]
pub extern "Rust" fn core_rate(rate: &mut RateLimit, now: Millis) -> Rate {
    rate.message(now)
}
