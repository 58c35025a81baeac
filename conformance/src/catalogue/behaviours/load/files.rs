//! Loading a single file: the messages of insmod, decompression in user space or in the kernel, and forced loads.

use crate::catalogue::entry::Check;
use crate::check::errno;
use crate::check::fact::List;
use crate::check::lab::{Lab, LabError};
use crate::check::tools::{ANY_MESSAGE, TAINT_FORCED_MODULE};
use crate::check::xz::Check as XzCheck;
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
    lab.expect("kernel log", List(lines), List(vec!["dummy: unknown parameter 'no_such' ignored"]));
    lab.expect_live(&["dummy"])
}

const NOT_ELF: &[u8] = b": Invalid ELF header ";

pub(super) fn insmod_refused(lab: &mut Lab<'_>) -> Check {
    let message = "insmod: ERROR: could not load module /run/lab/none.ko: No such file or directory";
    lab.expect_tool(&["insmod", "/run/lab/none.ko"], 1, message)?;
    lab.write("/run/lab/text.ko", b"not a module\n")?;
    let mut ran = lab.tool(&["insmod", "/run/lab/text.ko"])?;
    // Our insmod adds the line of the kernel log, which 5.10 does not have.
    if let Some(at) = ran.stderr.windows(NOT_ELF.len()).position(|window| window == NOT_ELF) {
        ran.stderr.truncate(at);
    }
    let message = "insmod: ERROR: could not insert module /run/lab/text.ko: Invalid module format";
    lab.expect_ran("insmod /run/lab/text.ko", &ran, 1, message);
    let file = lab.module_file("garp")?;
    let message = if lab.is_c_kmod() { "Unknown symbol in module" } else { UNKNOWN_SYMBOLS };
    lab.expect_tool(&["insmod", &file], 1, &format!("insmod: ERROR: could not insert module garp.ko: {message}"))?;
    let file = lab.module_file("dummy")?;
    let message = lab.with_reason("insmod: ERROR: could not insert module dummy.ko: Invalid parameters", BAD_VALUE);
    lab.expect_tool(&["insmod", &file, "numdummies=x"], 1, &message)?;
    lab.expect_absent(&["garp", "dummy"])
}

pub(super) fn compressed(lab: &mut Lab<'_>) -> Check {
    let file = lab.write_xz("nls_utf8", XzCheck::Crc32)?;
    let decompresses = lab.kernel_decompresses()?;
    watch_module_calls(lab)?;
    if lab.is_toybox() {
        lab.known("every file is passed to the kernel as if it were uncompressed");
        lab.expect_tool(&["insmod", &file], 1, ANY_MESSAGE)?;
        lab.expect_absent(&["nls_utf8"])?;
        let calls = module_calls(lab)?;
        lab.expect("system calls", List(calls), List(vec!["finit_module, flags=0"]));
        return Ok(());
    }
    lab.expect_tool(&["insmod", &file], 0, "")?;
    lab.expect_live(&["nls_utf8"])?;
    let calls = module_calls(lab)?;
    if lab.is_busybox() {
        lab.known("the file is first passed to the kernel as if it were uncompressed, and only then decompressed");
        lab.expect("system calls", List(calls), List(vec!["finit_module, flags=0", "init_module"]));
    } else if decompresses && !lab.decompresses_in_kernel() {
        lab.known("every module is decompressed in user space");
        lab.expect("system calls", List(calls), List(vec!["init_module"]));
    } else {
        let expected = if decompresses { "finit_module, flags=4" } else { "init_module" };
        lab.expect("system calls", List(calls), List(vec![expected]));
    }
    Ok(())
}

pub(super) fn kernel_cannot_decompress(lab: &mut Lab<'_>) -> Check {
    let file = lab.write_xz("nls_utf8", XzCheck::Sha256)?;
    let kernel_tries = lab.kernel_decompresses()? && lab.decompresses_in_kernel();
    lab.mark_kmsg()?;
    if lab.is_toybox() {
        lab.known("every file is passed to the kernel as if it were uncompressed");
        lab.expect_tool(&["insmod", &file], 1, ANY_MESSAGE)?;
        return lab.expect_absent(&["nls_utf8"]);
    }
    if kernel_tries && lab.is_c_kmod() {
        lab.known("there is no fallback when the kernel fails to decompress");
        let message = "insmod: ERROR: could not insert module /run/lab/nls_utf8.ko: Invalid parameters";
        lab.expect_tool(&["insmod", &file], 1, message)?;
        lab.expect_absent(&["nls_utf8"])?;
    } else {
        lab.expect_tool(&["insmod", &file], 0, "")?;
        lab.expect_live(&["nls_utf8"])?;
    }
    let lines = lab.kmsg()?.into_iter().map(|record| record.text);
    let lines = lines.filter(|text| text.starts_with(b"decompression failed")).collect();
    // XZ_OPTIONS_ERROR, include/linux/xz.h
    let expected = if kernel_tries { vec!["decompression failed with status 6"] } else { vec![] };
    lab.expect("kernel decompression messages", List(lines), List(expected));
    Ok(())
}

const BUILT_FOR: &[u8] = b": nls_utf8 was built for ";

pub(super) fn force(lab: &mut Lab<'_>) -> Check {
    // C kmod 30 supports it but does not list it in its help.
    if !lab.is_c_kmod() {
        lab.needs_option("insmod", "-f")?;
    }
    let image = lab.module_image("nls_utf8")?;
    lab.write("/run/lab/nls_utf8.ko", &for_another_kernel(image)?)?;
    let mut ran = lab.tool(&["insmod", "/run/lab/nls_utf8.ko"])?;
    // Our insmod adds both version magics, which differ between kernels.
    if let Some(at) = ran.stderr.windows(BUILT_FOR.len()).position(|window| window == BUILT_FOR) {
        ran.stderr.truncate(at);
    }
    let message = "insmod: ERROR: could not insert module /run/lab/nls_utf8.ko: Invalid module format";
    lab.expect_ran("insmod /run/lab/nls_utf8.ko", &ran, 1, message);
    lab.expect_absent(&["nls_utf8"])?;
    lab.expect_tool(&["insmod", "-f", "/run/lab/nls_utf8.ko"], 0, "")?;
    lab.expect_live(&["nls_utf8"])?;
    lab.expect_tainted(TAINT_FORCED_MODULE)
}

/// Returns the module with a changed version magic, and without the signature that this would invalidate.
fn for_another_kernel(mut image: Vec<u8>) -> Result<Vec<u8>, LabError> {
    const MARKER: &[u8] = b"~Module signature appended~\n";
    let missing = |what: &str| LabError::Unexpected(format!("the module has no {what}"));
    if let Some(signed) = image.strip_suffix(MARKER) {
        // The 12 bytes before the marker end with the length of the signature (include/linux/module_signature.h).
        let &length = signed.last_chunk::<4>().ok_or_else(|| missing("signature"))?;
        let rest = signed.len().checked_sub(12 + u32::from_be_bytes(length) as usize);
        image.truncate(rest.ok_or_else(|| missing("signature"))?);
    }
    let find = |what: &[u8]| image.windows(what.len()).position(|window| window == what);
    let magic = find(b"vermagic=").ok_or_else(|| missing("vermagic"))?;
    // The flag after the release: SMP, or mod_unload on a uniprocessor kernel.
    let flag = image[magic..].windows(2).position(|window| window[0] == b' ' && window[1].is_ascii_alphabetic());
    let flag = magic + flag.ok_or_else(|| missing("vermagic"))? + 1;
    image.get_mut(flag..flag + 3).ok_or_else(|| missing("vermagic"))?.copy_from_slice(b"UPS");
    Ok(image)
}

impl Lab<'_> {
    /// Returns whether the kernel decompresses xz itself.
    fn kernel_decompresses(&mut self) -> Result<bool, LabError> {
        match self.observe(Action::Read { path: b"/sys/module/compression".to_vec(), max: 16 })?.result {
            Ok(Value::Bytes(format)) => Ok(format.trim_ascii_end() == b"xz"),
            Err(errno::ENOENT) => Ok(false),
            _ => Err(LabError::Unexpected("cannot read /sys/module/compression".to_owned())),
        }
    }

    /// Returns whether the subject leaves decompression to a kernel that supports it.
    fn decompresses_in_kernel(&self) -> bool {
        !matches!(self.pair().subject.as_str(), "kmod-30" | "busybox")
    }
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
