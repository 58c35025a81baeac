// SPDX-License-Identifier: GPL-2.0

//! `request_module()` in the kernel: the effects that the request core leaves to its user. The core decides; this file waits,
//! starts helpers, finds the ancestors of a process, and prints.
//!
//! All `unsafe` code of the Rust half is here.

use core::ptr::{self, addr_of_mut, NonNull};
use core::slice;
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::bindings;
use kernel::ffi::{c_char, c_int, c_long, c_ulong, c_void};
use kernel::prelude::*;
use kernel::sync::rcu;
use request::{
    Ancestry, Begin, Failure, GaveUp, HelperId, HelperPath, Launch, Level, Message, Millis, Name,
    Next, OverLimit, Policy, Process, Queue, RateLimit, Refusal, Request, Requests, Why, NAME_SIZE,
    PATH_SIZE, WAIT,
};

// Kept by the front and by entry.c.
unsafe extern "C" {
    fn rust_kmod_path() -> *mut c_char;
    fn rust_kmod_security(name: *mut c_char) -> c_int;
    fn rust_kmod_trace(name: *mut c_char, wait: bool, ip: c_ulong);
    fn rust_kmod_hold();
    fn rust_kmod_release();
}

/// How many processes a walk from a caller to its ancestors visits.
const GENERATIONS: usize = 32;

/// A request that waits for a place, on the stack of its task.
struct Waiter {
    wake: bindings::completion,
    granted: Option<Request>,
    next: Option<WaiterId>,
}

/// A waiter in the queue.
///
/// # Invariants
/// While the core's lock is held, a waiter of the queue, or one that the core has just removed from it, is valid: its task
/// leaves `wait_for_place()` only after it has found itself outside the queue with the lock held.
#[derive(Clone, Copy, PartialEq, Eq)]
struct WaiterId(NonNull<Waiter>);

/// The waiters in the order in which they came, linked through the stacks of their tasks.
struct Waiters(Option<WaiterId>);

// SAFETY: the waiters are only used while the core's lock is held, whichever task holds it.
unsafe impl Send for Waiters {}

impl Waiters {
    /// Visits the links of the list until `visit` returns true. Returns whether it did.
    fn visit(&mut self, mut visit: impl FnMut(&mut Option<WaiterId>) -> bool) -> bool {
        let mut link: *mut Option<WaiterId> = &mut self.0;
        loop {
            // SAFETY: `link` is the head of the list, or the link of a waiter in it, which is valid by the invariant of
            // `WaiterId`: `&mut self` is only available with the lock held. No other reference to it exists.
            let current = unsafe { &mut *link };
            if visit(current) {
                return true;
            }
            let Some(waiter) = *current else { return false };
            // SAFETY: the waiter is in the list, so it is valid by the invariant of `WaiterId`.
            link = unsafe { addr_of_mut!((*waiter.0.as_ptr()).next) };
        }
    }

    fn wake_all(&mut self) {
        self.visit(|link| {
            if let Some(waiter) = link {
                // SAFETY: the waiter is in the list, so it and its completion are valid by the invariant of `WaiterId`.
                unsafe { bindings::complete(addr_of_mut!((*waiter.0.as_ptr()).wake)) };
            }
            false
        });
    }
}

impl Queue for Waiters {
    type Waiter = WaiterId;

    fn push(&mut self, waiter: WaiterId) {
        self.visit(|link| match link {
            Some(_) => false,
            None => {
                *link = Some(waiter);
                true
            }
        });
    }

    fn pop(&mut self) -> Option<WaiterId> {
        let first = self.0?;
        self.remove(first);
        Some(first)
    }

    fn remove(&mut self, waiter: WaiterId) -> bool {
        self.visit(|link| {
            if *link != Some(waiter) {
                return false;
            }
            // SAFETY: the waiter is in the list, so it is valid by the invariant of `WaiterId`.
            *link = unsafe { (*waiter.0.as_ptr()).next };
            true
        })
    }

    fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// Everything that requests share.
struct Core {
    /// None until the parameters are known.
    requests: Option<Requests<Waiters, 0>>,
    ancestry: Ancestry<64>,
    failures: RateLimit,
}

kernel::sync::global_lock! {
    // SAFETY: `rust_kmod_init()` initialises it, and the front calls that once, before any request.
    unsafe(uninit) static CORE: Mutex<Core> =
        Core { requests: None, ancestry: Ancestry::new(0), failures: RateLimit::new() };
}

/// Whether ancestors are looked for.
static ANCESTRY: AtomicBool = AtomicBool::new(false);

/// Whether failures of helpers are logged.
static LOG_FAILURES: AtomicBool = AtomicBool::new(false);

/// Sets the policy. Returns 0, or -EINVAL for an unknown policy.
///
/// # Safety
/// `policy` points to `length` bytes. The function is called once, before any other function of this file.
#[no_mangle]
unsafe extern "C" fn rust_kmod_init(
    policy: *const c_char,
    length: usize,
    killable: bool,
    earlier: u8,
    errors: bool,
) -> c_int {
    // SAFETY: the caller promises this many bytes.
    let policy: &[u8] = unsafe { slice::from_raw_parts(policy.cast(), length) };
    let waits = match killable {
        true => OverLimit::WaitKillable,
        false => OverLimit::Wait,
    };
    let (over, earlier) = match policy {
        b"stock" => (waits, 0),
        b"reject" => (OverLimit::Refuse, 0),
        b"reject-2.4" => (OverLimit::Stop, 0),
        b"ancestry" if earlier > 0 => (waits, earlier),
        _ => return EINVAL.to_errno(),
    };
    // SAFETY: the caller promises that this is the only call.
    unsafe { CORE.init() };
    let mut core = CORE.lock();
    core.requests = Some(Requests::with_queue(Policy::new(over), Waiters(None)));
    core.ancestry.set_earlier(earlier);
    ANCESTRY.store(core.ancestry.is_enabled(), Ordering::Relaxed);
    LOG_FAILURES.store(errors, Ordering::Relaxed);
    0
}

/// `__request_module()`, once the name is formatted. `length` is what `vsnprintf()` returned.
///
/// # Safety
/// `name` is a C string of `length` bytes, cut to `NAME_SIZE` bytes with its NUL. Nothing else uses it during the call.
#[no_mangle]
unsafe extern "C" fn rust_kmod_request(
    wait: bool,
    name: *mut c_char,
    length: c_int,
    ip: c_ulong,
) -> c_int {
    let path = helper_path();
    if path.as_bytes().is_empty() {
        return -Refusal::Disabled.errno();
    }
    let length = usize::try_from(length).unwrap_or(0);
    if length >= NAME_SIZE {
        return ENAMETOOLONG.to_errno();
    }
    // SAFETY: the string was not cut, so it has this many bytes, which are not written to while `text` is used.
    let text: &[u8] = unsafe { slice::from_raw_parts(name.cast_const().cast(), length) };
    let Ok(key) = Name::new(text) else {
        return ENAMETOOLONG.to_errno();
    };
    // SAFETY: the caller promises a C string that only this function uses.
    let refused = unsafe { rust_kmod_security(name) };
    if refused != 0 {
        return refused;
    }
    let (request, parent) = match wait_for_place(&path, &key) {
        Ok(place) => place,
        Err(refusal) => return -refusal.errno(),
    };
    // SAFETY: the caller promises a C string that only this function uses.
    unsafe { rust_kmod_trace(name, wait, ip) };
    let launch = match CORE.lock().requests.as_mut() {
        Some(requests) => requests.launch(now(), request, &key, wait, &mut print),
        None => Launch::Stale,
    };
    let result = match launch {
        Launch::Run => run_helper(&key, parent, wait),
        Launch::Ended(result) => result,
        // Without merging no request follows another, and this one has its place.
        Launch::Follow(_) | Launch::Stale => EINVAL.to_errno(),
    };
    end(request, &key, result);
    if LOG_FAILURES.load(Ordering::Relaxed) {
        log_failure(&key, result, ip);
    }
    result
}

/// Waits for a place. Returns it, and the helper below which the caller runs.
fn wait_for_place(
    path: &HelperPath,
    name: &Name,
) -> Result<(Request, Option<HelperId>), Refusal> {
    let mut waiter = Waiter {
        wake: bindings::completion::default(),
        granted: None,
        next: None,
    };
    // From here on the waiter is only used through this pointer, as other tasks use it.
    let Some(pointer) = NonNull::new(&raw mut waiter) else {
        return Err(Refusal::Busy);
    };
    let id = WaiterId(pointer);
    // SAFETY: the completion is valid and not in use.
    unsafe { bindings::init_completion(addr_of_mut!((*pointer.as_ptr()).wake)) };

    let ancestors = match ANCESTRY.load(Ordering::Relaxed) {
        true => ancestors(),
        false => Ancestors::default(),
    };
    let (parent, killable) = {
        let mut core = CORE.lock();
        let Core { requests, ancestry, .. } = &mut *core;
        let parent = ancestry.helper_of(ancestors.iter());
        ancestry.check(now(), parent, name, &mut print)?;
        let Some(requests) = requests else {
            return Err(Refusal::Busy);
        };
        match requests.begin(now(), path, name, id, &mut print) {
            Begin::Start(request) => return Ok((request, parent)),
            Begin::Refuse(refusal) => return Err(refusal),
            Begin::Wait => {}
        }
        (parent, requests.policy().over_limit() == OverLimit::WaitKillable)
    };

    // From here on the waiter is in the queue: it must be out of it on every way out of this function.
    let mut left = jiffies(WAIT);
    loop {
        // SAFETY: the completion is valid, and only this task waits for it.
        let (why, remaining) = unsafe { sleep(addr_of_mut!((*pointer.as_ptr()).wake), left, killable) };
        left = remaining;
        let mut core = CORE.lock();
        let Some(requests) = core.requests.as_mut() else {
            return Err(Refusal::Busy);
        };
        // SAFETY: the lock is held, so no other task uses the waiter.
        if let Some(request) = unsafe { (*pointer.as_ptr()).granted } {
            return Ok((request, parent));
        }
        if let Some(request) = requests.retry(id) {
            return Ok((request, parent));
        }
        if let Some(why) = why {
            if let GaveUp::Refuse(refusal) = requests.give_up(now(), name, id, why, &mut print) {
                return Err(refusal);
            }
        }
    }
}

/// Sleeps until the completion is signalled, this many jiffies have passed, or, if it is killable, the task is killed.
///
/// # Safety
/// The completion is valid.
unsafe fn sleep(
    wake: *mut bindings::completion,
    jiffies: c_ulong,
    killable: bool,
) -> (Option<Why>, c_ulong) {
    let left = match killable {
        // SAFETY: the caller promises a valid completion.
        true => unsafe { bindings::wait_for_completion_killable_timeout(wake, jiffies) as c_long },
        // SAFETY: the caller promises a valid completion.
        false => unsafe { bindings::wait_for_completion_timeout(wake, jiffies) as c_long },
    };
    match c_ulong::try_from(left) {
        Ok(0) => (Some(Why::Timeout), 0),
        Ok(left) => (None, left),
        Err(_) => (Some(Why::Killed), jiffies),
    }
}

/// Ends a request and wakes the task that gets its place.
fn end(request: Request, name: &Name, result: c_int) {
    let mut core = CORE.lock();
    let Some(requests) = core.requests.as_mut() else {
        return;
    };
    match requests.end(now(), request, name, result).next {
        Next::NoRequest => {}
        Next::Grant(waiter, request) => {
            let waiter = waiter.0.as_ptr();
            // SAFETY: the core has just removed the waiter from the queue, so it is valid by the invariant of `WaiterId`:
            // its task can return only once this function has released the lock.
            unsafe {
                (*waiter).granted = Some(request);
                bindings::complete(addr_of_mut!((*waiter).wake));
            }
        }
        Next::WakeAll => requests.queue_mut().wake_all(),
    }
}

/// What a helper is started with. It belongs to the kernel until the helper has ended.
struct Call {
    argv: [*mut c_char; 5],
    name: [u8; NAME_SIZE],
    helper: Option<HelperId>,
}

/// C strings that end with a null pointer.
#[repr(transparent)]
struct Strings<const N: usize>([*const c_char; N]);

// SAFETY: the strings are constants.
unsafe impl<const N: usize> Sync for Strings<N> {}

static ENVIRONMENT: Strings<4> = Strings([
    c"HOME=/".as_ptr().cast(),
    c"TERM=linux".as_ptr().cast(),
    c"PATH=/sbin:/usr/sbin:/bin:/usr/bin".as_ptr().cast(),
    ptr::null(),
]);

/// Runs the helper (`call_modprobe()`), and returns its errno or wait status.
fn run_helper(name: &Name, parent: Option<HelperId>, wait: bool) -> c_int {
    let call = Call {
        argv: [ptr::null_mut(); 5],
        name: [0; NAME_SIZE],
        helper: None,
    };
    let Ok(mut call) = KBox::new(call, GFP_KERNEL) else {
        return ENOMEM.to_errno();
    };
    for (to, &from) in call.name.iter_mut().zip(name.as_bytes()) {
        *to = from;
    }
    // SAFETY: the function has no preconditions once the front is initialised, which it is if there are requests.
    let path = unsafe { rust_kmod_path() };
    call.argv = [
        path,
        c"-q".as_ptr().cast_mut().cast(),
        c"--".as_ptr().cast_mut().cast(),
        call.name.as_mut_ptr().cast(),
        ptr::null_mut(),
    ];
    if ANCESTRY.load(Ordering::Relaxed) {
        call.helper = CORE.lock().ancestry.add(parent, name);
    }
    let starts: Option<unsafe extern "C" fn(*mut bindings::subprocess_info, *mut bindings::cred) -> c_int> =
        match call.helper {
            Some(_) => Some(helper_starts),
            None => None,
        };
    let call = KBox::into_raw(call);
    // SAFETY: this module cannot be removed while one of its functions runs.
    unsafe { rust_kmod_hold() };
    // SAFETY: `path` is the kernel's buffer; argv and the name are part of `call`, which `helper_ended` frees; the environment
    // is static, and the kernel only reads it.
    let info = unsafe {
        bindings::call_usermodehelper_setup(
            path,
            addr_of_mut!((*call).argv).cast(),
            ENVIRONMENT.0.as_ptr().cast_mut().cast(),
            bindings::GFP_KERNEL,
            starts,
            Some(helper_ended),
            call.cast::<c_void>(),
        )
    };
    if info.is_null() {
        // SAFETY: `call` comes from `KBox::into_raw()` above, and the kernel has not taken it.
        unsafe { release(call) };
        return ENOMEM.to_errno();
    }
    let mode = match wait {
        true => bindings::UMH_WAIT_PROC,
        false => bindings::UMH_WAIT_EXEC,
    };
    // SAFETY: `info` was just made. The kernel frees it, and calls `helper_ended`, on every way.
    unsafe { bindings::call_usermodehelper_exec(info, (mode | bindings::UMH_KILLABLE) as c_int) }
}

/// Records the process of a helper, in that process, before it executes the program.
///
/// # Safety
/// `info` is from `run_helper()`.
unsafe extern "C" fn helper_starts(
    info: *mut bindings::subprocess_info,
    _new: *mut bindings::cred,
) -> c_int {
    // SAFETY: the caller promises that the data is the `Call`, which exists until `helper_ended()`.
    let helper = unsafe { (*(*info).data.cast::<Call>()).helper };
    let process = ancestors().iter().next();
    if let (Some(helper), Some(process)) = (helper, process) {
        CORE.lock().ancestry.started(helper, process);
    }
    0
}

/// Frees what a helper was started with.
///
/// # Safety
/// `info` is from `run_helper()`. The function is called once.
unsafe extern "C" fn helper_ended(info: *mut bindings::subprocess_info) {
    // SAFETY: the data is the `Call` that `run_helper()` passed to the kernel, which calls this function once.
    unsafe { release((*info).data.cast()) };
}

/// Frees a `Call`, and lets the module go.
///
/// # Safety
/// `call` is from `KBox::into_raw()` and not used afterwards.
unsafe fn release(call: *mut Call) {
    // SAFETY: the caller promises it.
    let call = unsafe { KBox::from_raw(call) };
    if let Some(helper) = call.helper {
        CORE.lock().ancestry.remove(helper);
    }
    drop(call);
    // SAFETY: pairs with `rust_kmod_hold()` in `run_helper()`.
    unsafe { rust_kmod_release() };
}

/// The current process, its parent, and so on.
#[derive(Default)]
struct Ancestors([Option<Process>; GENERATIONS]);

impl Ancestors {
    fn iter(&self) -> impl Iterator<Item = Process> + '_ {
        self.0.iter().flatten().copied()
    }
}

fn ancestors() -> Ancestors {
    let mut found = Ancestors::default();
    let _guard = rcu::read_lock();
    // SAFETY: there is a current task, and it does not end during the call.
    let mut task = unsafe { (*bindings::get_current()).group_leader };
    for entry in &mut found.0 {
        // SAFETY: `task` is the leader of the current task's group, or of an ancestor's. RCU keeps it while the guard exists.
        let (id, start) = unsafe { ((*task).tgid, (*task).start_time) };
        if id <= 1 {
            break;
        }
        *entry = Some(Process { id, start });
        // SAFETY: as above. Another task may change the parent at any time, so it is read once; both the old and the new
        // one are kept by RCU, and so are their leaders.
        task = unsafe { (*ptr::read_volatile(&raw const (*task).real_parent)).group_leader };
    }
    found
}

/// The helper's path at this moment.
fn helper_path() -> HelperPath {
    let mut bytes = [0; PATH_SIZE];
    // SAFETY: the function has no preconditions once the front is initialised, which it is if there are requests.
    let path: *const u8 = unsafe { rust_kmod_path() }.cast_const().cast();
    for (at, byte) in (0..PATH_SIZE).zip(&mut bytes) {
        // SAFETY: the kernel's buffer has `KMOD_PATH_LEN`, that is `PATH_SIZE` bytes. sysctl(8) may write to it meanwhile, as
        // in C, so each byte is read once.
        *byte = unsafe { path.add(at).read_volatile() };
        if *byte == 0 {
            break;
        }
    }
    let mut path = HelperPath::default();
    match bytes.first() {
        Some(0) => path.write(b"\n", &mut 0),
        _ => path.write(&bytes, &mut 0),
    }
    path
}

fn now() -> Millis {
    // SAFETY: the function has no preconditions.
    let nanoseconds = unsafe { bindings::ktime_get() };
    Millis::try_from(nanoseconds / 1_000_000).unwrap_or(0)
}

/// Converts milliseconds, rounded down.
fn jiffies(time: Millis) -> c_ulong {
    c_ulong::try_from(time / 1000)
        .unwrap_or(0)
        .saturating_mul(bindings::CONFIG_HZ as c_ulong)
}

/// The text of a message as a C string. Longer texts are cut.
struct Text {
    bytes: [u8; 256],
    length: usize,
}

impl Text {
    fn of(message: &Message<'_>) -> Self {
        let mut text = Self {
            bytes: [0; 256],
            length: 0,
        };
        message.write_to(|part| {
            // The last byte remains NUL.
            let room = text.bytes.get_mut(text.length..255).unwrap_or_default();
            for (to, &from) in room.iter_mut().zip(part) {
                *to = from;
                text.length = text.length.saturating_add(1);
            }
        });
        text
    }
}

/// Writes a message to the kernel's log. The bytes of names are not changed, as with `%s` in C.
fn print(message: Message<'_>) {
    let format = match (message.level(), message.has_newline()) {
        (Level::Error, _) => c"\x013%s\n",
        (Level::Warning, true) => c"\x014%s\n",
        (Level::Warning, false) => c"\x014%s",
    };
    let text = Text::of(&message);
    // SAFETY: the format has one %s, and the text is a C string.
    unsafe { bindings::_printk(format.as_ptr().cast(), text.bytes.as_ptr()) };
}

/// Logs the failure of a helper and who requested the module, at a limited rate.
fn log_failure(name: &Name, result: c_int, ip: c_ulong) {
    let Some(failure) = Failure::of_result(result) else {
        return;
    };
    let rate = CORE.lock().failures.message(now());
    if let Some(count) = rate.suppressed {
        print(Message::Suppressed(count));
    }
    if rate.logged {
        let text = Text::of(&Message::Failed(name, failure));
        // SAFETY: the format has one %s for a C string and one %pS for an address, which may be any.
        unsafe {
            bindings::_printk(
                c"\x014%s, requested by %pS\n".as_ptr().cast(),
                text.bytes.as_ptr(),
                ip as *const c_void,
            )
        };
    }
}
