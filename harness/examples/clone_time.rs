//! Measures clones: from the start of QEMU to the agent's first reply, to a second reply, and to the planned end; one
//! at a time and several at once; and the private memory of each.
//!
//! `cargo run --release -p harness --example clone_time -- KERNEL INITRAMFS TEMPLATES_DIR [COUNT]`

use agent::proto::Request;
use harness::{BootPolicy, Machine, Qemu, Spawner, Spec, Template, Templates, WallLimits};
use std::error::Error;
use std::time::{Duration, Instant};

const CALL: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [kernel, initramfs, dir, rest @ ..] = args.as_slice() else {
        return Err("usage: clone_time KERNEL INITRAMFS TEMPLATES_DIR [COUNT]".into());
    };
    let count = rest.first().map_or(Ok(50), |count| count.parse())?;
    let (qemu, spawner) = (Qemu::find(None)?, Spawner::start()?);
    println!("{}", qemu.banner);
    for virtual_time in [true, false] {
        let spec = Spec { virtual_time, ..Spec::new(kernel, initramfs) };
        let key = args[..2].join(" ");
        let machine = Machine { qemu: &qemu, spec: &spec, key: &key };
        let templates = Templates::open(dir)?;
        let template = templates.get(&machine, &BootPolicy::default(), &spawner, &WallLimits::default())?;
        println!("{} time:", if virtual_time { "virtual" } else { "real" });
        one_at_a_time(&template, &spawner, count)?;
        for together in [4, 8] {
            at_once(&template, &spawner, together)?;
        }
    }
    Ok(())
}

fn one_at_a_time(template: &Template, spawner: &Spawner, count: usize) -> Result<(), Box<dyn Error>> {
    let (mut first, mut second, mut cpu, mut end, mut memory) = (vec![], vec![], vec![], vec![], 0);
    for _ in 0..count {
        let started = Instant::now();
        let mut vm = template.clone_vm(spawner)?;
        first.push(started.elapsed());
        vm.call(&Request::Clock, CALL)?;
        second.push(started.elapsed());
        cpu.push(cpu_time(vm.qemu_pid())?);
        memory = private_kib(vm.qemu_pid())?;
        let started = Instant::now();
        if !vm.shutdown().planned {
            return Err("a clone did not end as planned".into());
        }
        end.push(started.elapsed());
    }
    for (name, mut times) in
        [("first reply", first), ("second reply", second), ("QEMU's CPU time so far", cpu), ("planned end", end)]
    {
        times.sort();
        println!("  {name}: min {:.1?}, median {:.1?}, max {:.1?}", times[0], times[count / 2], times[count - 1]);
    }
    println!("  private memory of the last: {} MiB", memory >> 10);
    Ok(())
}

fn at_once(template: &Template, spawner: &Spawner, together: usize) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let clones = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..together).map(|_| scope.spawn(|| template.clone_vm(spawner))).collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| "a thread panicked")).collect::<Result<Vec<_>, _>>()
    })?;
    println!("  {together} at once: all answered after {:.1?}", started.elapsed());
    clones.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(())
}

fn private_kib(pid: u32) -> Result<u64, Box<dyn Error>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let values = text.lines().filter_map(|line| line.strip_prefix("Private_Dirty:"));
    Ok(values.filter_map(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok()).sum())
}

/// Returns the CPU time of all threads of a process, which depends little on the load of the host.
fn cpu_time(pid: u32) -> Result<Duration, Box<dyn Error>> {
    let mut nanos = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        nanos += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}
