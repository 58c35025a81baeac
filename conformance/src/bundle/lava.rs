//! A job for LAVA, in which a QEMU device boots a bundle. There is no login shell in the guest: LAVA watches the console
//! from the first line of KTAP to the last line of the output, and each signal is a test case.

use std::path::Path;

/// Returns the text of the job. The paths are those of the bundle on the dispatcher. The pattern includes the last character
/// of a signal, because LAVA would otherwise match a signal that it has not read completely.
#[must_use]
pub fn job(name: &str, directory: &Path, append: &str) -> String {
    let url = |file: &str| format!("file://{}", directory.join(file).display());
    format!(
        r#"# Written by kmodlab. For a board, change the device type and the URLs.
job_name: {name}
device_type: qemu
visibility: public
priority: medium
context:
  arch: amd64
  memory: 512
  # Without KVM, let guest time count instructions.
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
      # The kernel prints too little for LAVA to detect its start.
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

/// The file name of the kernel in a bundle.
pub const KERNEL: &str = "bzImage";
/// The file name of the initramfs in a bundle.
pub const INITRAMFS: &str = "initramfs.cpio";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_job_boots_the_bundle_and_watches_its_console() {
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
