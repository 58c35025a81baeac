//! Parameters of modules.

use crate::catalogue::entry::Check;
use crate::check::errno;
use crate::check::fact::List;
use crate::check::lab::Lab;
use crate::check::module_file::{finit, finit_with};
use crate::check::modules::finit_flags;

pub(super) fn refused(lab: &mut Lab<'_>) -> Check {
    let file = lab.unsigned_module("dummy")?;
    let invalid = |value: &str| format!("<3> dummy: `{value}' invalid for parameter `numdummies'");
    lab.mark_kmsg()?;
    let cases = [
        ("numdummies=abc", "abc", errno::EINVAL),
        ("numdummies=1x", "1x", errno::EINVAL),
        ("numdummies=2147483648", "2147483648", errno::ERANGE),
        ("numdummies", "", errno::EINVAL),
        ("numdummies=", "", errno::EINVAL),
        ("numdummies=\"1 2\"", "1 2", errno::EINVAL),
    ];
    for (parameters, value, expected) in cases {
        lab.expect_load(parameters, finit(file.path(), parameters), expected, &[&invalid(value)])?;
    }
    let two = "numdummies=x numdummies=2147483648 numdummies=1";
    let lines = [invalid("x"), invalid("2147483648")];
    lab.expect_load("two bad values", finit(file.path(), two), errno::ERANGE, &[&lines[0], &lines[1]])?;
    lab.expect_states("after the refusals", &["dummy"], &["absent"])?;
    lab.expect_load(
        "numdummies=2147483647 numdummies=1",
        finit(file.path(), "numdummies=2147483647 numdummies=1"),
        0_u32,
        &[],
    )
}

pub(super) fn too_long(lab: &mut Lab<'_>) -> Check {
    // MAX_PARAM_LENGTH (drivers/net/netconsole.c), with the final NUL.
    const SIZE: usize = 256;
    lab.load_dependencies("netconsole")?;
    let file = lab.module_file("netconsole")?;
    let load = |length: usize| finit_with(&file, &format!("netconsole={}", "y".repeat(length)), finit_flags(&file));
    lab.mark_kmsg()?;
    let got = lab.load_result(load(SIZE))?;
    lab.expect("256 bytes", got, errno::ENOSPC);
    let lines = lab.new_lines()?.into_iter().map(|line| line.replace(&"y".repeat(SIZE), "VALUE")).collect();
    let expected = [
        "<3> netconsole: string doesn't fit in 255 chars.",
        "<3> netconsole: `VALUE' too large for parameter `netconsole'",
    ];
    lab.expect("256 bytes: kernel log", List(lines), List(expected.to_vec()));
    // The module itself refuses this value, with an errno that differs between kernels.
    let got = lab.load_result(load(SIZE - 1))?;
    lab.expect("255 bytes: ENOSPC", got == Err(errno::ENOSPC), false);
    Ok(())
}

pub(super) fn ignored(lab: &mut Lab<'_>) -> Check {
    let file = lab.unsigned_module("dummy")?;
    lab.mark_kmsg()?;
    let cases = [
        ("no_such=1", "<4> dummy: unknown parameter 'no_such' ignored"),
        ("numdummies=1 -- x numdummies=x", "<4> dummy: parameters 'x numdummies=x' after `--' ignored"),
    ];
    for (parameters, line) in cases {
        lab.expect_load(parameters, finit(file.path(), parameters), 0_u32, &[line])?;
        lab.arrange(agent::proto::Action::DeleteModule { name: b"dummy".to_vec(), flags: 0 })?;
    }
    lab.expect_load("numdummies=1", finit(file.path(), "numdummies=1"), 0_u32, &[])
}
