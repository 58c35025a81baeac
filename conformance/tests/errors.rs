//! Every error of invalid arguments and bad input, as whole texts: what is printed, and the exit code. Nothing is fetched or
//! booted.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use support::session::{Session, assert_text};

/// Generates the beginning of a bzImage: a boot header with the release `9.9.9-test`.
fn bzimage() -> Vec<u8> {
    let mut image = vec![0_u8; 4096];
    image[0x1f1] = 4;
    image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x020f_u16.to_le_bytes());
    image[0x20e..0x210].copy_from_slice(&0x0400_u16.to_le_bytes());
    image[0x211] = 1;
    image[0x600..0x60f].copy_from_slice(b"9.9.9-test (us)");
    image
}

#[test]
fn an_unknown_behaviour() {
    let mut session = Session::new();
    session
        .run("run path.empty-disable")
        .run("run nonsense")
        .run("run loop.small-memory")
        .run("run module")
        .run("list loop.cut")
        .run("show nonsense")
        .run("bundle --output out nonsense")
        .run("compare --base 6.1 --head 6.12 lop")
        .run("shell --at nonsense")
        .run("shell --at path");
    // The number of behaviours in a group grows; no snapshot depends on it.
    let number = conformance::catalogue::select::select(&["path".to_owned()]).unwrap().len();
    let text = session.transcript().replace(&format!("selects {number}\n"), "selects N\n");
    assert_text!("unknown-behaviour", text);
}

#[test]
fn an_invalid_filter_expression() {
    let mut session = Session::new();
    session
        .run("run -E 'group(loop) & grop(path)'")
        .run("list -E 'group(lop)'")
        .run("list -E 'id(/(/)'")
        .run("list -E ''")
        .run("run path -E 'group(loop)'");
    assert_text!("filter", session.transcript());
}

#[test]
fn a_missing_kernel() {
    let mut session = Session::new();
    session
        .run("run --kernel 0.99")
        .run("run --kernel 6.11")
        .run("run --kernel bzImage")
        .run("run --kernel /nonexistent/bzImage")
        .run("kernel fetch 0.99")
        .run("kernel fetch 6.1 --offline")
        .run("kernel build 0.99")
        .run("kernel config-check /nonexistent")
        .run("kernel config-check 6.1 --offline")
        .run("run path.newline --kernel 6.1 --offline --guest-dir guest");
    assert_text!("missing-kernel", session.transcript());
}

#[test]
fn an_invalid_kernel() {
    let mut session = Session::new();
    session.file("text", "text").directory("empty").file("unbuilt/Kbuild", "").file("image", bzimage());
    session.file("truncated", &bzimage()[..600]);
    session.file("stale/arch/x86/boot/bzImage", bzimage()).file("stale/include/config/kernel.release", "9.9.8\n");
    session.directory("lib/modules/1.2.3/kernel");
    session
        .run("run --kernel ./text")
        .run("run --kernel ./truncated")
        .run("run --kernel ./empty")
        .run("run --kernel ./unbuilt")
        .run("run --kernel ./stale")
        .run("run --kernel ./image --modules lib/modules/1.2.3")
        .run("run --kernel ./image --modules empty")
        .run("run --kernel ./image --modules /nonexistent")
        .run("run --kernel 6.1 --modules lib/modules/1.2.3")
        .run("kernel config-check ./image")
        .run("kernel config-check ./text")
        .run("kernel config-check ./empty");
    assert_text!("invalid-kernel", session.transcript());
}

#[test]
fn a_kernel_tree_that_cannot_be_built() {
    let mut session = Session::new();
    session.directory("empty").file("configured/Makefile", "").file("configured/Kbuild", "");
    session.directory("configured/scripts/kconfig").file("configured/.config", "");
    session
        .run("kernel build")
        .run("kernel build 6.1 --tree empty")
        .run("kernel build --fragment tiny")
        .run("kernel build --tree empty")
        .run("kernel build --tree configured")
        .run("kernel build --tree /nonexistent");
    std::fs::remove_file(session.path("configured/.config")).unwrap();
    session
        .run("kernel build --tree configured --fragment nonsense")
        .run("kernel build --tree configured --fragment ./nonexistent");
    assert_text!("kernel-build", session.transcript());
}

#[test]
fn an_unreadable_cache() {
    let mut session = Session::new();
    session.file("text", "").file("no-area/v1/templates", "").file("no-index/v1/subjects", "");
    session
        .run("run --cache text")
        .run("run --cache text/below")
        .run("cache list --cache text")
        .run("kernel fetch 6.1 --offline --cache text")
        .run("cache list --cache no-area")
        .run("run --cache no-area --guest-dir guest")
        .run("subject fetch kmod-30 --offline --cache no-index");
    assert_text!("unreadable-cache", session.transcript());
}

#[test]
fn no_cache_directory() {
    let mut session = Session::new();
    session.env("KMODLAB_CACHE", "").env("HOME", "").run("run").run("cache list");
    assert_text!("no-cache-directory", session.transcript());
}

#[test]
fn an_invalid_subject() {
    let mut session = Session::new();
    session.file("text/modprobe", "text").program("other/program", "exit 0").directory("empty");
    session.program("script/modprobe", "exit 0");
    session.file("elf/modprobe", "text");
    support::make_executable(&session.path("elf/modprobe"));
    session.file("missing/modprobe", "#!/nonexistent/sh\n");
    support::make_executable(&session.path("missing/modprobe"));
    for args in [
        "--subject /nonexistent/modprobe",
        "--subject text/modprobe",
        "--subject elf/modprobe",
        "--subject missing/modprobe",
        "--subject other/program",
        "--subject ./empty",
        "--subject kmod-31",
        "--subject nonsense",
        "--subject kmod-30 --offline",
        "--subject script/modprobe --subject-lib /nonexistent",
    ] {
        session.run(&format!("run --guest-dir guest {args}"));
    }
    session.run("subject fetch nonsense").run("subject fetch kmod-30 --offline");
    assert_text!("invalid-subject", session.transcript());
}

#[test]
fn missing_programs() {
    let mut session = Session::new();
    session.directory("empty").program("old-qemu", "echo QEMU emulator version 4.2.1");
    session.program("other-qemu", "echo other 1.0");
    session
        .run("run --guest-dir empty")
        .run("run --guest-dir guest --qemu /nonexistent/qemu")
        .run("run --guest-dir guest --qemu ./other-qemu")
        .run("run --guest-dir guest --qemu ./old-qemu")
        .run("run --guest-dir guest --qemu ./empty")
        .run("bundle --guest-dir guest --output out")
        .run("doctor --guest-dir empty --qemu /nonexistent/qemu");
    assert_text!("missing-programs", session.transcript());
}

#[test]
fn invalid_options() {
    let mut session = Session::new();
    session
        .run("")
        .run("rum")
        .run("run --bogus")
        .run("run --timeout 0")
        .run("run --timeout 18446744073709551615")
        .run("run --timeout soon")
        .run("run --timeout-factor 0")
        .run("run --jobs 0")
        .run("run --jobs many")
        .run("run --retries 1 --repeat 2")
        .run("run --seed x")
        .run("run --probe cutoff=never")
        .run("run --probe semaphore")
        .run("run --probe cutof=semaphore")
        .run("run --accel xen")
        .run("run path --require loop.wording")
        .run("run --require nonsense")
        .run("run --require LOOP-18")
        .run("run --max-skips few")
        .run("run --kcidb out.json")
        .run("run --kcidb out.json --kcidb-origin Not-This")
        .run("show")
        .run("cache prune")
        .run("cache prune --dry-run")
        .run("cache prune --max-size much")
        .run("cache prune --max-size 99999999999T")
        .run("cache prune --older-than 3y")
        .run("shell --gdb=x")
        .run("kselftest")
        .run("kselftest bpf");
    session.env("KMODLAB_TIMEOUT_FACTOR", "slow").run("run --guest-dir guest");
    assert_text!("options", session.transcript());
}

#[test]
fn an_invalid_shard() {
    let mut session = Session::new();
    session.run("run --shard 9").run("run --shard 5/4").run("run path.newline --shard 2/2");
    session.env("CI_NODE_INDEX", "3").env("CI_NODE_TOTAL", "3").run("run path.newline");
    session.env("CI_NODE_INDEX", "4").run("run path.newline");
    session.env("CI_NODE_INDEX", "x").run("run path.newline");
    session.env("KMODLAB_SHARD", "half").run("run path.newline");
    assert_text!("shard", session.transcript());
}

#[test]
fn a_report_that_cannot_be_written() {
    let mut session = Session::new();
    session.directory("directory").file("text", "");
    session
        .run("run --json /nonexistent/report.json")
        .run("run --json directory")
        .run("run --html text/report.html")
        .run("run --json - --format ktap")
        .run("run --junit -")
        .run("run --html -")
        .run("run --keep text")
        .run("run --keep text/below");
    assert_text!("reports", session.transcript());
}

#[test]
fn an_invalid_list_of_allowed_findings() {
    let entry = |title: &str, reason: &str| {
        format!("[[finding]]\nreleases = \"*\"\nkind = \"oops\"\ntitle = \"{title}\"\nreason = \"{reason}\"\n")
    };
    let mut session = Session::new();
    session.file("syntax.toml", "finding\n").file("unknown.toml", "[[finding]]\nkernel = \"6.1\"\n");
    session.file("reason.toml", entry("BUG: *", "")).file("everything.toml", entry("*", "why not"));
    for file in ["/nonexistent.toml", ".", "syntax.toml", "unknown.toml", "reason.toml", "everything.toml"] {
        session.run(&format!("run --allow-findings {file}"));
    }
    assert_text!("allowed-findings", session.transcript());
}

#[test]
fn an_invalid_table_of_deviations() {
    let entry = |behaviour: &str, more: &str, reason: &str| {
        format!(
            "[[deviation]]\nbehaviour = \"{behaviour}\"\nfact = \"a\"\ninstead = \"b\"\n{more}\nreason = \"{reason}\"\n"
        )
    };
    let mut session = Session::new();
    session.file("syntax.toml", "deviation\n").file("key.toml", "[[deviation]]\nbehavior = \"path.newline\"\n");
    session.file("behaviour.toml", entry("path.newlin", "", "x"));
    session.file("subject.toml", entry("path.newline", "subject = \"kmod-33\"", "x"));
    session.file("pattern.toml", entry("path.newline", "subject = \"kmod_*\"", "x"));
    session.file("range.toml", entry("path.newline", "kernels = \"6.1+\"", "x"));
    session.file("probe.toml", entry("path.newline", "kernels = \"cutof=semaphore\"", "x"));
    session.file("value.toml", entry("path.newline", "kernels = \"cutoff=semaphor\"", "x"));
    session.file("reason.toml", entry("path.newline", "", ""));
    session.file("twice.toml", entry("path.newline", "", "x").repeat(2));
    session.file("trait.toml", "[subject]\ntraits = [\"modprobe --wat\"]\n");
    let names =
        ["syntax", "key", "behaviour", "subject", "pattern", "range", "probe", "value", "reason", "twice", "trait"];
    session.run("run --deviations /nonexistent.toml").run("run --deviations .");
    for name in names {
        session.run(&format!("run --deviations {name}.toml"));
    }
    session.file("valid.toml", entry("path.newline", "", "x"));
    session
        .run("run --write reason.toml")
        .run("run --write reason.toml --deviations valid.toml")
        .run("run --write /nonexistent/new.toml")
        .run("run --like kmod-34")
        .run("run --subject ./mine --like kmod-33")
        .run("run --subject ./mine --like nonsense")
        .run("deviations --subject kmod-33")
        .run("deviations --kernel next");
    assert_text!("deviations", session.transcript());
}

#[test]
fn an_invalid_stored_report() {
    let mut session = Session::new();
    session.file("text", "text").file("other.json", "{}").file("old.json", r#"{"version": 0}"#);
    session.file("broken.json", r#"{"version": 1}"#);
    session
        .run("report")
        .run("report html")
        .run("report html /nonexistent/report.json")
        .run("report html .")
        .run("report html text")
        .run("report terminal other.json")
        .run("report ktap old.json")
        .run("report junit broken.json")
        .run("report junit text -o /nonexistent/out.xml")
        .run("report kcidb text")
        .run("report kcidb text --origin Not-This")
        .run("report merge text")
        .run("report merge text -o -")
        .run("report merge text -o /nonexistent/out.json");
    assert_text!("stored-reports", session.transcript());
}

#[test]
fn an_invalid_comparison() {
    let mut session = Session::new();
    session
        .run("compare")
        .run("compare a.json")
        .run("compare a.json b.json c.json")
        .run("compare /nonexistent/a.json /nonexistent/b.json")
        .run("compare --base 6.1")
        .run("compare --base 0.99 --head 6.1")
        .run("compare --tree /nonexistent --base v1 --head v2")
        .run("compare --tree /proc --base v1 --head v2")
        .run("compare a.json b.json --jobs 1")
        .run("compare --base 6.1 --head 6.1 --kernel 6.1")
        .run("compare a.json b.json --allow-change lop")
        .run("compare a.json b.json --json - --markdown -")
        .run("compare a.json b.json --markdown /nonexistent/out.md");
    assert_text!("compare", session.transcript());
}

#[test]
fn an_invalid_bisection() {
    let mut session = Session::new();
    session.directory("empty").file("tree/Kbuild", "").file("tree/Makefile", "");
    session
        .run("bisect --bogus")
        .run("bisect --jobs 0")
        .run("bisect lop.cut")
        .run("bisect --kernel 6.1")
        .run("bisect --print-command")
        .run("bisect --tree empty")
        .run("bisect --tree tree");
    session.file("tree/.config", "");
    session.run("bisect --tree tree --guest-dir empty").run("bisect --tree tree --guest-dir guest --qemu /nonexistent");
    assert_text!("bisect", session.transcript());
}

#[test]
fn a_commit_that_cannot_be_built() {
    let mut session = Session::new();
    session.file("tree/Kbuild", "").file("tree/Makefile", "").file("tree/.config", "");
    session.program("bin/make", "echo 'kernel/module/kmod.c:1: error: expected identifier'; exit 2");
    session.run("bisect --tree tree --guest-dir guest");
    insta::with_settings!({ filters => vec![(r"bisect-\d+\.log", "bisect-PID.log")] }, {
        assert_text!("bisect-build", session.transcript());
    });
}

#[test]
fn invalid_selftests() {
    let mut session = Session::new();
    session.directory("empty").file("tree/tools/testing/selftests/kmod/kmod.sh", "ALL_TESTS=\"0001:3:1 0002:3:0\"\n");
    session.file("other/tools/testing/selftests/kmod/kmod.sh", "exit 0\n");
    session
        .run("kselftest kmod")
        .run("kselftest kmod --tree empty")
        .run("kselftest kmod --tree other")
        .run("kselftest kmod --tree tree 0003")
        .run("kselftest kmod --tree tree --kernel 6.1 --kernel 6.12")
        .run("kselftest kmod --tree tree --subject ours --subject busybox");
    assert_text!("kselftest", session.transcript());
}

#[test]
fn more_than_one_kernel_or_subject_for_a_shell() {
    let mut session = Session::new();
    session.run("shell --kernel 6.1 --kernel 6.12").run("shell --subject ours --subject busybox");
    assert_text!("shell", session.transcript());
}

#[test]
fn a_configuration_that_misses_options() {
    let mut empty = Session::new();
    empty.file(".config", "CONFIG_MODULES=n\n");
    empty.run("kernel config-check .");
    // The fragment completes the configuration, except for options that others select.
    let options: Vec<&str> = empty.transcript().lines().filter(|line| line.starts_with("CONFIG_")).collect();
    let complete = format!("{}\nCONFIG_GARP=m\nCONFIG_LLC=m\nCONFIG_CRYPTO_USER_API=m\n", options.join("\n"));
    let missing = complete.replace("CONFIG_UNIX=m", "CONFIG_UNIX=y").replace("CONFIG_TTY=y\n", "");
    let mut session = Session::new();
    session.file("complete.config", complete).file("tree/.config", missing);
    session.run("kernel config-check complete.config").run("kernel config-check ./tree complete.config");
    assert_text!("config-check", session.transcript());
}
