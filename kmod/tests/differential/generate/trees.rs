//! The trees of random cases.

use super::Random;
use super::plan::Plan;
use crate::testing::TinyModule;

/// Names of the modules of [`chain`], other names that resolve there, and names that do not.
pub const NAMES: [&str; 16] = [
    "leaf", "mid", "top", "other-x", "other_x", "al", "my", "ghost", "bi", "q-r", "q_r", "usb:v1", "leaf.ko", "lx",
    "dax-y", "nosuch",
];

/// `top` depends on `mid` and `leaf`, `mid` on `leaf`; `other-x` has the alias `al` and perhaps soft dependencies; `bi` and
/// `q-r` are built in.
pub fn chain(random: &mut Random) -> Plan {
    let mut plan = Plan::default();
    plan.module("kernel/leaf.ko", TinyModule::named("leaf").exports(&["l"]));
    plan.module("kernel/mid.ko", TinyModule::named("mid").exports(&["m"]).imports(&["l"]));
    plan.module("kernel/top.ko", TinyModule::named("top").imports(&["m", "l"]));
    let mut other = TinyModule::named("other_x").info("alias=al");
    if random.one_in(4) {
        other = other.info(&format!("softdep={}", random.of(&["pre: leaf", "post: mid", "pre: ghost post: leaf"])));
    }
    plan.module("kernel/other-x.ko", other);
    plan.file("modules.builtin", "kernel/bi.ko\nkernel/q-r.ko\n");
    plan
}
