//! One file into the kernel: what insmod says of it, who decompresses it, and what force is for.

use crate::behaviour::Check;
use crate::errno;
use crate::fact::Many;
use crate::lab::{Lab, LabError};
use crate::tools::TAINT_FORCED_MODULE;
use crate::xz::Check as XzCheck;
use agent::proto::{Action, Value};

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
    lab.expect("kernel log", Many(lines), Many(vec!["dummy: unknown parameter 'no_such' ignored"]));
    lab.expect_live(&["dummy"])
}

pub(super) fn insmod_refused(lab: &mut Lab<'_>) -> Check {
    let says = "insmod: ERROR: could not load module /run/lab/none.ko: No such file or directory";
    lab.expect_tool(&["insmod", "/run/lab/none.ko"], 1, says)?;
    lab.write("/run/lab/text.ko", b"this is no module\n")?;
    let says = "insmod: ERROR: could not insert module /run/lab/text.ko: Invalid module format";
    lab.expect_tool(&["insmod", "/run/lab/text.ko"], 1, says)?;
    let file = lab.module_file("garp")?;
    let says = if lab.is_c_kmod() { "Unknown symbol in module" } else { UNKNOWN_SYMBOLS };
    lab.expect_tool(&["insmod", &file], 1, &format!("insmod: ERROR: could not insert module garp.ko: {says}"))?;
    let file = lab.module_file("dummy")?;
    let says = lab.because("insmod: ERROR: could not insert module dummy.ko: Invalid parameters", BAD_VALUE);
    lab.expect_tool(&["insmod", &file, "numdummies=x"], 1, &says)?;
    lab.expect_absent(&["garp", "dummy"])
}

pub(super) fn compressed(lab: &mut Lab<'_>) -> Check {
    let file = lab.stored("nls_utf8", XzCheck::Crc32)?;
    let decompresses = lab.kernel_decompresses()?;
    watch_module_calls(lab)?;
    if lab.is_toybox() {
        lab.known("it gives the kernel every file as if it were not compressed");
        lab.expect_tool(&["insmod", &file], 1, "it is refused")?;
        lab.expect_absent(&["nls_utf8"])?;
        let calls = module_calls(lab)?;
        lab.expect("system calls", Many(calls), Many(vec!["finit_module, flags=0"]));
        return Ok(());
    }
    lab.expect_tool(&["insmod", &file], 0, "")?;
    lab.expect_live(&["nls_utf8"])?;
    let calls = module_calls(lab)?;
    if lab.is_busybox() {
        lab.known("it gives the kernel the file first as if it were not compressed, then decompresses it");
        lab.expect("system calls", Many(calls), Many(vec!["finit_module, flags=0", "init_module"]));
    } else if decompresses && !lab.decompresses_in_kernel() {
        lab.known("it decompresses every module itself");
        lab.expect("system calls", Many(calls), Many(vec!["init_module"]));
    } else {
        let expected = if decompresses { "finit_module, flags=4" } else { "init_module" };
        lab.expect("system calls", Many(calls), Many(vec![expected]));
    }
    Ok(())
}

pub(super) fn kernel_cannot_decompress(lab: &mut Lab<'_>) -> Check {
    let file = lab.stored("nls_utf8", XzCheck::Sha256)?;
    let asked_of_the_kernel = lab.kernel_decompresses()? && lab.decompresses_in_kernel();
    lab.mark_kmsg()?;
    if lab.is_toybox() {
        lab.known("it gives the kernel every file as if it were not compressed");
        lab.expect_tool(&["insmod", &file], 1, "it is refused")?;
        return lab.expect_absent(&["nls_utf8"]);
    }
    if asked_of_the_kernel && lab.is_c_kmod() {
        lab.known("it has no other way once the kernel failed to decompress");
        let says = "insmod: ERROR: could not insert module /run/lab/nls_utf8.ko: Invalid parameters";
        lab.expect_tool(&["insmod", &file], 1, says)?;
        lab.expect_absent(&["nls_utf8"])?;
    } else {
        lab.expect_tool(&["insmod", &file], 0, "")?;
        lab.expect_live(&["nls_utf8"])?;
    }
    let lines = lab.kmsg()?.into_iter().map(|record| record.text);
    let lines = lines.filter(|text| text.starts_with(b"decompression failed")).collect();
    // XZ_OPTIONS_ERROR, include/linux/xz.h
    let expected = if asked_of_the_kernel { vec!["decompression failed with status 6"] } else { vec![] };
    lab.expect("the kernel's attempt", Many(lines), Many(expected));
    Ok(())
}

const BUILT_FOR: &[u8] = b": nls_utf8 was built for ";

pub(super) fn force(lab: &mut Lab<'_>) -> Check {
    // C kmod 30 has it, and does not tell.
    if !lab.is_c_kmod() {
        lab.needs_option("insmod", "-f")?;
    }
    let image = lab.module_image("nls_utf8")?;
    lab.write("/run/lab/nls_utf8.ko", &for_another_kernel(image)?)?;
    let mut ran = lab.tool(&["insmod", "/run/lab/nls_utf8.ko"])?;
    // Ours tells both version magics, which are the kernel's own.
    if let Some(at) = ran.stderr.windows(BUILT_FOR.len()).position(|window| window == BUILT_FOR) {
        ran.stderr.truncate(at);
    }
    let says = "insmod: ERROR: could not insert module /run/lab/nls_utf8.ko: Invalid module format";
    lab.expect_ran("insmod /run/lab/nls_utf8.ko", &ran, 1, says);
    lab.expect_absent(&["nls_utf8"])?;
    lab.expect_tool(&["insmod", "-f", "/run/lab/nls_utf8.ko"], 0, "")?;
    lab.expect_live(&["nls_utf8"])?;
    lab.expect_tainted(TAINT_FORCED_MODULE)
}

/// The module with another word in its version magic, and without the signature that this would break.
fn for_another_kernel(mut image: Vec<u8>) -> Result<Vec<u8>, LabError> {
    const MARKER: &[u8] = b"~Module signature appended~\n";
    let lacking = |what: &str| LabError::Unexpected(format!("the module has no {what}"));
    if let Some(signed) = image.strip_suffix(MARKER) {
        // The length of the signature ends the 12 bytes before the marker (include/linux/module_signature.h).
        let &length = signed.last_chunk::<4>().ok_or_else(|| lacking("signature"))?;
        let rest = signed.len().checked_sub(12 + u32::from_be_bytes(length) as usize);
        image.truncate(rest.ok_or_else(|| lacking("signature"))?);
    }
    let find = |what: &[u8]| image.windows(what.len()).position(|window| window == what);
    let magic = find(b"vermagic=").ok_or_else(|| lacking("vermagic"))?;
    // The word behind the release: SMP, and mod_unload on a kernel for one processor.
    let word = image[magic..].windows(2).position(|window| window[0] == b' ' && window[1].is_ascii_alphabetic());
    let word = magic + word.ok_or_else(|| lacking("vermagic"))? + 1;
    image.get_mut(word..word + 3).ok_or_else(|| lacking("vermagic"))?.copy_from_slice(b"UPS");
    Ok(image)
}

impl Lab<'_> {
    /// Whether the kernel decompresses xz by itself.
    fn kernel_decompresses(&mut self) -> Result<bool, LabError> {
        match self.observe(Action::Read { path: b"/sys/module/compression".to_vec(), max: 16 })?.result {
            Ok(Value::Bytes(word)) => Ok(word.trim_ascii_end() == b"xz"),
            Err(errno::ENOENT) => Ok(false),
            other => Err(LabError::Unexpected(format!("/sys/module/compression: {other:?}"))),
        }
    }

    /// Whether the subject leaves decompression to a kernel that can.
    fn decompresses_in_kernel(&self) -> bool {
        !matches!(self.pair().subject.as_str(), "kmod-30" | "busybox")
    }
}

/// Has the kernel log its module system calls (docs/facts/kernel.md, "states").
fn watch_module_calls(lab: &mut Lab<'_>) -> Result<(), LabError> {
    for file in ["kernel/module/main.c", "kernel/module.c"] {
        let data = format!("file {file} +p\n").into_bytes();
        lab.arrange(Action::Write { path: b"/proc/dynamic_debug/control".to_vec(), data, flags: 0 })?;
    }
    lab.mark_kmsg()
}

/// `init_module` or `finit_module, flags=N`, since [`watch_module_calls`].
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
