//! The arguments.

use super::bisect::BisectArgs;
use super::compare::CompareArgs;
use super::outputs::OutputArgs;
use super::report::ReportCommand;
use crate::era;
use crate::shard::ShardOption;
use clap::{Args as Group, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Proves that Linux module loading on demand works: boots kernels in QEMU and checks named behaviours.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Args {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(subcommand)]
    pub(super) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    at least one behaviour passed; every other passed, is known, or is skipped
  1    a behaviour failed
  2    wrong use, found before anything is built or booted; or nothing was selected
  125  no failure, but something could not be judged, or everything was skipped";

/// What every command takes.
#[derive(Debug, Group)]
#[command(next_help_heading = "Everywhere")]
pub struct Common {
    /// Keep kernels, images and booted guests here [default: $KMODLAB_CACHE, else ~/.cache/kmodlab]
    #[arg(long, global = true, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Use only what is in the cache
    #[arg(long, global = true)]
    pub offline: bool,
    /// Fetch packages from this Debian archive [default: the one in the machine's own apt configuration]
    #[arg(long, global = true, value_name = "URI")]
    pub mirror: Option<String>,
    /// Use this QEMU [default: qemu-system-x86_64 in PATH]
    #[arg(long, global = true, value_name = "PROGRAM")]
    pub qemu: Option<PathBuf>,
    /// Take the guest's programs from here [default: guest/ beside this program; made by ci/setup]
    #[arg(long, global = true, value_name = "DIR")]
    pub guest_dir: Option<PathBuf>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check behaviours
    #[command(after_help = format!("{FILTERS}\n\n{EXIT_CODES}"))]
    Run(Box<RunArgs>),
    /// Tell what changed from one kernel to another, or from one report to another
    #[command(after_help = super::compare::AFTER_HELP, mut_arg("kernel", |arg| arg.hide(true)))]
    Compare(Box<CompareArgs>),
    /// Build a kernel tree and judge it, for `git bisect run`
    #[command(after_help = super::bisect::AFTER_HELP, mut_arg("kernel", |arg| arg.hide(true)),
        mut_arg("modules", |arg| arg.hide(true)), mut_arg("print_command", |arg| arg.hide(true)))]
    Bisect(Box<BisectArgs>),
    /// Show a stored JSON report in another form
    #[command(subcommand)]
    Report(ReportCommand),
    /// List the behaviours
    #[command(after_help = FILTERS)]
    List(ListArgs),
    /// Show everything about one behaviour
    Show(ShowArgs),
    /// List, fetch or build kernels
    #[command(subcommand)]
    Kernel(KernelCommand),
    /// List or fetch the module tools that have names
    #[command(subcommand)]
    Subject(SubjectCommand),
    /// List, check or clean up what is kept between runs
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Open a shell in the very guest that behaviours run in
    Shell(ShellArgs),
    /// Make a kernel and an initramfs that check a machine without any host side
    #[command(after_help = FILTERS)]
    Bundle(BundleArgs),
    /// Run the kernel's own selftests of its module loader, each test in a guest of its own; prints KTAP
    #[command(after_help = super::kselftest::AFTER_HELP)]
    Kselftest(KselftestArgs),
    /// Say what is missing on this machine
    Doctor,
}

/// Which guest: `run` and `shell` take the same.
#[derive(Clone, Debug, Default, Group)]
pub struct GuestArgs {
    /// A kernel: a name of the catalogue (`kmodlab kernel list`), the path of a bzImage, a kernel tree that was built (or its
    /// O= directory), or `host`, which this machine runs; repeatable
    #[arg(long, value_name = "KERNEL", default_value = "default")]
    pub kernel: Vec<String>,
    /// The modules of a kernel that was given by its path (…/lib/modules/RELEASE)
    #[arg(long, value_name = "DIR")]
    pub modules: Option<PathBuf>,
    /// Module tools: `ours`, a name such as kmod-30, a program, or a directory of programs; repeatable
    #[arg(long, value_name = "SUBJECT", default_value = "ours")]
    pub subject: Vec<String>,
    /// Look for the libraries of a subject here first; repeatable
    #[arg(long, value_name = "DIR")]
    pub subject_lib: Vec<PathBuf>,
    /// How the kernel is booted; `fast` leaves parts of it out (docs/facts/vm.md)
    #[arg(long, value_enum, default_value_t)]
    pub profile: ProfileArg,
    /// What runs the guest
    #[arg(long, value_enum, default_value_t)]
    pub accel: AccelArg,
    /// Let the guest's clock follow the host's, so that five seconds take five seconds
    #[arg(long)]
    pub real_time: bool,
    /// Add this to the kernel's command line; repeatable
    #[arg(long, value_name = "PARAMETER", allow_hyphen_values = true)]
    pub append: Vec<String>,
    /// Multiply every wall-clock limit, on a slow machine [default: $KMODLAB_TIMEOUT_FACTOR, else 1]
    #[arg(long, value_name = "FACTOR", value_parser = factor)]
    pub timeout_factor: Option<f64>,
    /// Print the QEMU commands that would boot these guests, and stop
    #[arg(long)]
    pub print_command: bool,
}

/// Which behaviours: `run` and `list` take the same.
#[derive(Debug, Default, Group)]
pub struct SelectArgs {
    /// Ids (path.empty-disables), catalogue ids (PATH-06) or groups (path) [default: all]
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// Of these only what an expression lets through, such as 'group(loop) & !id(/kill/)'; see below; repeatable
    #[arg(long, short = 'E', value_name = "EXPRESSION")]
    pub filter: Vec<String>,
}

const FILTERS: &str = "\
Filter expressions:
  group(loop)  id(path.*)  catalogue(PATH-06)  about(both)  needs(depmod)  all()
  In parentheses: a word is a glob for the whole text (*, ?); /regex/ finds a part; =word is exact.
  a & b   a | b   !a   a - b (a without b)   ( )      ! binds most, then & and -, then |
  Several -E let through what one of them does; with IDs, only what is also named is run.
  A term that no behaviour has is an error, since it is a wrong word more often than a wish.";

/// `kmodlab run`.
#[derive(Debug, Default, Group)]
pub struct RunArgs {
    #[command(flatten)]
    pub select: SelectArgs,
    #[command(flatten)]
    pub guest: GuestArgs,
    /// Run only the K-th of N parts of the rows; `all` turns off what the environment says (docs/reference/reports.md)
    #[arg(long, value_name = "K/N", visible_alias = "partition")]
    pub shard: Option<ShardOption>,
    /// Try a row again, up to so many times, that fails or cannot be judged; one that passes then is told as flaky
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1000))]
    pub retries: u32,
    /// Run each row so many times; it passes if it passes each time
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "retries",
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub repeat: u32,
    /// Begin nothing more after the first row that fails or cannot be judged
    #[arg(long)]
    pub fail_fast: bool,
    /// Shuffle the order in which rows are begun; the same number gives the same order
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Guests at a time [default: one for each core, if there is memory for them]
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Wall-clock limit of one behaviour, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub timeout: u64,
    /// Boot a fresh guest for each behaviour in place of cloning a booted one
    #[arg(long)]
    pub cold: bool,
    /// What a kernel counts as that does not boot
    #[arg(long, value_enum, default_value_t, value_name = "VERDICT")]
    pub boot_failure: BootFailure,
    /// Keep each guest's console in this directory
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Findings on the console that fail nothing, each with its reason (docs/reference/reports.md); repeatable
    #[arg(long, value_name = "FILE")]
    pub allow_findings: Vec<PathBuf>,
    /// Take a kernel for one of this era: cutoff=wait-queue or cutoff=semaphore [default: probed]
    #[arg(long, value_name = "NAME=ERA")]
    pub era: Option<era::EraOverride>,
    #[command(flatten)]
    pub outputs: OutputArgs,
}

/// `kmodlab bundle`.
#[derive(Debug, Group)]
pub struct BundleArgs {
    #[command(flatten)]
    pub select: SelectArgs,
    /// The kernel: a name of the catalogue or the path of a bzImage
    #[arg(long, value_name = "KERNEL", default_value = "default")]
    pub kernel: String,
    /// The modules of a kernel that was given by its path (…/lib/modules/RELEASE)
    #[arg(long, value_name = "DIR")]
    pub modules: Option<PathBuf>,
    /// Module tools: `ours`, a name such as kmod-30, a program, or a directory of programs
    #[arg(long, value_name = "SUBJECT", default_value = "ours")]
    pub subject: String,
    /// Make this directory
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
    /// Make a job for LAVA's QEMU device too
    #[arg(long)]
    pub lava: bool,
}

/// `kmodlab list`.
#[derive(Debug, Group)]
pub struct ListArgs {
    #[command(flatten)]
    pub select: SelectArgs,
}

/// `kmodlab show`.
#[derive(Debug, Group)]
pub struct ShowArgs {
    /// An id or a catalogue id
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
}

/// `kmodlab kernel`.
#[derive(Debug, Subcommand)]
pub enum KernelCommand {
    /// List the catalogue
    List,
    /// Fetch kernels into the cache
    Fetch {
        /// Names of the catalogue [default: the default kernel]
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Look for newer versions also of what is in the cache
        #[arg(long)]
        refresh: bool,
    },
    /// Build a kernel from its source package, such as 5.10-modular-unix, or from a source tree
    Build(BuildArgs),
    /// Say which options a kernel lacks for the lab and for which behaviours, as a fragment of a configuration. Exit code 1
    /// if the lab itself lacks one
    ConfigCheck {
        /// Names of the catalogue, bzImages, kernel trees (configured is enough), `host`, or files such as .config
        #[arg(value_name = "KERNEL", required = true)]
        kernels: Vec<String>,
    },
}

/// `kmodlab kernel build`.
#[derive(Debug, Group)]
pub struct BuildArgs {
    /// Names of the catalogue
    #[arg(value_name = "NAME", required_unless_present = "tree", conflicts_with = "tree")]
    pub names: Vec<String>,
    /// Build this source tree, which is not written into, and print the directory that `--kernel` takes; the same content
    /// is built once
    #[arg(long, value_name = "DIR")]
    pub tree: Option<PathBuf>,
    /// The tree's configuration, over tinyconfig: tiny, modular-unix, kcov-kasan, test-kmod or a file; repeatable, each
    /// over those before it [default: tiny]
    #[arg(long, value_name = "FRAGMENT", requires = "tree")]
    pub fragment: Vec<String>,
    /// Give this to make, such as LLVM=1; repeatable
    #[arg(long, value_name = "WORD", requires = "tree")]
    pub make: Vec<String>,
}

/// `kmodlab cache`.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// Say what the cache holds, how large it is and when it was last used
    List {
        /// Each entry, and not only the areas
        #[arg(long)]
        all: bool,
    },
    /// Check every byte that has a hash; what is damaged is removed, and made anew when it is wanted. Exit code 1 if there
    /// was any
    Verify {
        /// Say what is damaged and leave it
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove what was not used for longest. While another run uses the cache only booted guests are removed
    Prune(PruneArgs),
}

/// `kmodlab cache prune`.
#[derive(Debug, Group)]
pub struct PruneArgs {
    /// Until the cache takes at most this, such as 500M or 4G
    #[arg(long, value_name = "SIZE", value_parser = super::cache::size, required_unless_present = "older_than")]
    pub max_size: Option<u64>,
    /// What was not used for so long, such as 12h, 30d or 2w
    #[arg(long, value_name = "TIME", value_parser = super::cache::age)]
    pub older_than: Option<Duration>,
    /// Say what would be removed, and leave it
    #[arg(long)]
    pub dry_run: bool,
}

/// `kmodlab subject`.
#[derive(Debug, Subcommand)]
pub enum SubjectCommand {
    /// List the catalogue
    List,
    /// Fetch module tools into the cache and say where they lie; nothing is installed
    Fetch {
        /// Names of the catalogue [default: all]
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Look for newer versions also of what is in the cache
        #[arg(long)]
        refresh: bool,
    },
}

/// `kmodlab shell`.
#[derive(Debug, Group)]
pub struct ShellArgs {
    #[command(flatten)]
    pub guest: GuestArgs,
    /// Boot a guest in place of cloning a booted one
    #[arg(long)]
    pub cold: bool,
    /// Run this behaviour in the guest first, to look at what it leaves
    #[arg(long, value_name = "ID")]
    pub at: Option<String>,
    /// Boot without address randomisation and wait for a debugger on this port of the loopback before the first instruction
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "1234", require_equals = true)]
    pub gdb: Option<u16>,
    /// Run this command line in the guest in place of an interactive shell
    #[arg(long, short = 'c', value_name = "COMMAND")]
    pub command: Option<String>,
}

/// `kmodlab kselftest`.
#[derive(Debug, Group)]
pub struct KselftestArgs {
    /// Which ones
    #[arg(value_enum)]
    pub suite: SelftestSuite,
    /// Only these tests, such as 0001 [default: all that the script runs by default]
    #[arg(value_name = "TEST")]
    pub tests: Vec<String>,
    #[command(flatten)]
    pub guest: GuestArgs,
    /// The kernel tree whose script is run [default: the kernel, if that is a tree]
    #[arg(long, value_name = "DIR")]
    pub tree: Option<PathBuf>,
    /// How often each test runs [default: as often as the script recommends]
    #[arg(long, value_name = "N")]
    pub count: Option<u32>,
    /// Limit of one test, in seconds of the guest's clock and of ours
    #[arg(long, value_name = "SECONDS", default_value_t = 1200, value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub timeout: u64,
    /// Boot a guest for each test in place of cloning a booted one
    #[arg(long)]
    pub cold: bool,
}

/// Suites of tools/testing/selftests.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SelftestSuite {
    /// kmod.sh
    Kmod,
}

/// What limits may be multiplied by.
pub(super) fn factor(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|factor| (0.01..=1000.0).contains(factor));
    number.ok_or_else(|| "a number from 0.01 to 1000 is wanted".to_owned())
}

/// `--profile`.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum ProfileArg {
    /// As it would boot anywhere
    #[default]
    Faithful,
    /// A second quicker, without kprobe events and the kernel's built-in signing keys
    Fast,
}

/// `--accel`.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum AccelArg {
    /// QEMU's own translation: the same verdicts everywhere, in virtual time
    #[default]
    Tcg,
    /// The host's KVM, in real time
    Kvm,
    /// KVM where it can boot a guest, else TCG
    Auto,
}

/// `--format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Terminal,
    /// Kernel test anything protocol
    Ktap,
}

/// `--boot-failure`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BootFailure {
    /// It could not be judged: exit code 125
    #[default]
    Error,
    /// A failure: exit code 1, to bisect a boot
    Fail,
}
