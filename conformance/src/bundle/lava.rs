//! A job for LAVA, in which a QEMU device boots a bundle. There is no shell in the guest to log in to: LAVA watches the
//! console between the first line of KTAP and the last line of all, and takes each signal for a test case.

use std::path::Path;

/// The job's text. A signal is matched with its last character: what LAVA has read of it so far would match without. The paths are the bundle's, as the dispatcher sees them.
#[must_use]
pub fn job(name: &str, directory: &Path, append: &str) -> String {
    let url = |file: &str| format!("file://{}", directory.join(file).display());
    format!(
        r#"# Written by `kmodlab bundle --lava`. For a board put its device type here, and where your lab gets files from.
job_name: {name}
device_type: qemu
visibility: public
priority: medium
context:
  arch: amd64
  memory: 512
  # A QEMU that translates has no clock of its own: guest time then counts instructions.
  extra_options: [-icount, "shift=3,sleep=off", -no-reboot]
timeouts:
  job: {{minutes: 30}}
  action: {{minutes: 5}}
  connection: {{minutes: 2}}
actions:
- deploy:
    to: tmpfs
    timeout: {{minutes: 5}}
    images:
      kernel:
        image_arg: '-kernel {{kernel}} -append "{append}"'
        url: {kernel}
      ramdisk:
        image_arg: -initrd {{ramdisk}}
        url: {ramdisk}
- boot:
    method: qemu
    media: tmpfs
    timeout: {{minutes: 5}}
    prompts: ["KTAP version 1"]
    parameters:
      # The kernel says too little for LAVA to see it start.
      kernel-start-message: ""
- test:
    timeout: {{minutes: 20}}
    monitors:
    - name: kmodlab
      start: "Subtest: "
      end: "{end}"
      pattern: '<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=(?P<test_case_id>[a-z0-9.-]+) RESULT=(?P<result>[a-z]+)>'
      fixupdict: {{pass: pass, fail: fail, skip: skip, unknown: unknown}}
"#,
        kernel = url(KERNEL),
        ramdisk = url(INITRAMFS),
        end = super::END,
    )
}

/// The kernel's file in a bundle.
pub const KERNEL: &str = "bzImage";
/// The initramfs's.
pub const INITRAMFS: &str = "initramfs.cpio";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_job_watches_the_console_from_the_first_line_to_the_last() {
        let text = job("kmodlab 6.1 ours", Path::new("/b"), "console=ttyS0");
        for line in [
            "        image_arg: '-kernel {kernel} -append \"console=ttyS0\"'",
            "        url: file:///b/bzImage",
            "        url: file:///b/initramfs.cpio",
            "    prompts: [\"KTAP version 1\"]",
            "      end: \"kmodlab: the machine has checked itself\"",
            "  job: {minutes: 30}",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }
}
