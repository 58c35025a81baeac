//! Loading a single file: the messages of insmod, decompression in user space or in the kernel, and forced loads.

use crate::catalogue::entry::Check;
use crate::check::fact::List;
use crate::check::lab::{Lab, LabError};
use crate::check::module_file::unsigned_length;
use crate::check::modules::finit_flags;
use crate::check::tools::{KERNEL_REASONS, TAINT_FORCED_MODULE};
use crate::check::xz::Check as XzCheck;
use crate::text;
use agent::proto::Action;

pub(super) const BAD_VALUE: &str = "parameter 'numdummies' of dummy cannot be 'x'";
pub(super) const UNKNOWN_SYMBOLS: &str =
    "Unknown symbol in module: garp needs llc_mac_hdr_init, stp_proto_register, stp_proto_unregister";

pub(super) fn insmod(lab: &mut Lab<'_>) -> Check {
    let file = lab.module_file("loop")?;
    lab.expect_tool(&["insmod", &file, "max_loop=1", "max_part=3"], 0, "")?;
    lab.expect_parameter("loop", "max_loop", "1")?;
    lab.expect_parameter("loop", "max_part", "3")?;
    lab.expect_tool(&["insmod", &file], 1, "insmod: ERROR: could not insert module loop.ko: File exists")?;
    lab.mark_kmsg()?;
    let file = lab.module_file("dummy")?;
    lab.expect_tool(&["insmod", &file, "no_such=1"], 0, "")?;
    let lines = lab.kmsg()?.into_iter().map(|record| record.text);
    let lines = lines.filter(|text| text.starts_with(b"dummy")).collect();
    lab.expect("kernel log", List(lines), List(vec!["dummy: unknown parameter 'no_such' ignored"]));
    lab.expect_live(&["dummy"])
}

pub(super) fn insmod_refused(lab: &mut Lab<'_>) -> Check {
    let message = "insmod: ERROR: could not load module /run/lab/none.ko: No such file or directory";
    lab.expect_tool(&["insmod", "/run/lab/none.ko"], 1, message)?;
    lab.write("/run/lab/text.ko", b"not a module\n")?;
    lab.mark_kmsg()?;
    let ran = lab.tool(&["insmod", "/run/lab/text.ko"])?;
    let reason = lab.kmsg()?.first().map(|record| text::escape(&record.text));
    let message = "insmod: ERROR: could not insert module /run/lab/text.ko: Invalid module format";
    lab.expect_refused("insmod /run/lab/text.ko", ran, message, reason.as_deref());
    let file = lab.module_file("garp")?;
    let message = if lab.has_trait(KERNEL_REASONS)? { UNKNOWN_SYMBOLS } else { "Unknown symbol in module" };
    lab.expect_tool(&["insmod", &file], 1, &format!("insmod: ERROR: could not insert module garp.ko: {message}"))?;
    let file = lab.module_file("dummy")?;
    let message = lab.with_reason("insmod: ERROR: could not insert module dummy.ko: Invalid parameters", BAD_VALUE);
    lab.expect_tool(&["insmod", &file, "numdummies=x"], 1, &message)?;
    lab.expect_absent(&["garp", "dummy"])
}

pub(super) fn compressed(lab: &mut Lab<'_>) -> Check {
    let file = lab.write_xz("nls_utf8", XzCheck::Crc32)?;
    watch_module_calls(lab)?;
    lab.expect_tool(&["insmod", &file], 0, "")?;
    lab.expect_live(&["nls_utf8"])?;
    let calls = module_calls(lab)?;
    let expected = if kernel_decompresses(lab)? { "finit_module, flags=4" } else { "init_module" };
    lab.expect("system calls", List(calls), List(vec![expected]));
    Ok(())
}

pub(super) fn kernel_cannot_decompress(lab: &mut Lab<'_>) -> Check {
    let file = lab.write_xz("nls_utf8", XzCheck::Sha256)?;
    // The kernel's own attempt, which is the premise of the statement.
    lab.mark_kmsg()?;
    let attempt =
        Action::FinitModule { path: file.clone().into_bytes(), params: Vec::new(), flags: finit_flags(&file) };
    let attempt = lab.observe(attempt)?;
    lab.expect("finit_module(2) loads the file", attempt.result.is_ok(), false);
    let lines = lab.kmsg()?.into_iter().map(|record| record.text);
    let lines = lines.filter(|text| text.starts_with(b"decompression failed")).collect();
    // XZ_OPTIONS_ERROR, include/linux/xz.h
    let expected = if kernel_decompresses(lab)? { vec!["decompression failed with status 6"] } else { vec![] };
    lab.expect("kernel decompression messages", List(lines), List(expected));
    lab.expect_tool(&["insmod", &file], 0, "")?;
    lab.expect_live(&["nls_utf8"])
}

pub(super) fn force(lab: &mut Lab<'_>) -> Check {
    let image = lab.module_image("nls_utf8")?;
    lab.write("/run/lab/nls_utf8.ko", &for_another_kernel(image)?)?;
    lab.mark_kmsg()?;
    let ran = lab.tool(&["insmod", "/run/lab/nls_utf8.ko"])?;
    let reason = lab.kmsg()?.iter().find_map(|record| version_magics(&record.text));
    let message = "insmod: ERROR: could not insert module /run/lab/nls_utf8.ko: Invalid module format";
    lab.expect_refused("insmod /run/lab/nls_utf8.ko", ran, message, reason.as_deref());
    lab.expect_states("nls_utf8 without -f", &["nls_utf8"], &["absent"])?;
    lab.expect_tool(&["insmod", "-f", "/run/lab/nls_utf8.ko"], 0, "")?;
    lab.expect_states("nls_utf8 with -f", &["nls_utf8"], &["Live"])?;
    lab.expect_tainted(TAINT_FORCED_MODULE)
}

/// Returns the reason in a line such as `MODULE: version magic 'A' should be 'B'`, as it is in messages.
fn version_magics(line: &[u8]) -> Option<String> {
    let line = text::escape(line);
    let (module, magics) = line.split_once(": version magic '")?;
    let (built_for, kernel) = magics.strip_suffix('\'')?.split_once("' should be '")?;
    Some(format!("{module} was built for '{built_for}', the kernel is '{kernel}'"))
}

/// Returns the module with a changed version magic, and without the signature that this would invalidate.
fn for_another_kernel(mut image: Vec<u8>) -> Result<Vec<u8>, LabError> {
    let missing = |what: &str| LabError::Unexpected(format!("the module has no {what}"));
    image.truncate(unsigned_length(&image));
    let find = |what: &[u8]| image.windows(what.len()).position(|window| window == what);
    let magic = find(b"vermagic=").ok_or_else(|| missing("vermagic"))?;
    // The flag after the release: SMP, or mod_unload on a uniprocessor kernel.
    let flag = image[magic..].windows(2).position(|window| window[0] == b' ' && window[1].is_ascii_alphabetic());
    let flag = magic + flag.ok_or_else(|| missing("vermagic"))? + 1;
    image.get_mut(flag..flag + 3).ok_or_else(|| missing("vermagic"))?.copy_from_slice(b"UPS");
    Ok(image)
}

/// Returns whether the kernel decompresses xz itself.
fn kernel_decompresses(lab: &Lab<'_>) -> Result<bool, LabError> {
    Ok(lab.probe("decompression")? == "xz")
}

/// Makes the kernel log its module system calls (docs/facts/kernel.md#loading-and-unloading).
fn watch_module_calls(lab: &mut Lab<'_>) -> Result<(), LabError> {
    for file in ["kernel/module/main.c", "kernel/module.c"] {
        let data = format!("file {file} +p\n").into_bytes();
        lab.arrange(Action::Write { path: b"/proc/dynamic_debug/control".to_vec(), data, flags: 0 })?;
    }
    lab.mark_kmsg()
}

/// Returns the system calls since [`watch_module_calls`]: `init_module` or `finit_module, flags=N`.
fn module_calls(lab: &mut Lab<'_>) -> Result<Vec<String>, LabError> {
    let lines = lab.kmsg()?;
    let call = |text: &[u8]| {
        let text = String::from_utf8_lossy(text);
        let flags = text.rsplit(' ').next().unwrap_or_default();
        if text.starts_with("finit_module: ") {
            return Some(format!("finit_module, {flags}"));
        }
        text.starts_with("init_module: ").then(|| "init_module".to_owned())
    };
    Ok(lines.iter().filter_map(|record| call(&record.text)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_magics_of_a_log_line_are_worded_as_in_a_message() {
        let line = b"nls_utf8: version magic '6.1.0 UPS mod_unload ' should be '6.1.0 SMP mod_unload '";
        let reason = "nls_utf8 was built for '6.1.0 UPS mod_unload ', the kernel is '6.1.0 SMP mod_unload '";
        assert_eq!(version_magics(line).as_deref(), Some(reason));
        assert_eq!(version_magics(b"nls_utf8: loading out-of-tree module taints kernel."), None);
    }
}
