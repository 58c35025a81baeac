//! The arguments of every command.

use super::bisect::BisectArgs;
use super::cache::{parse_age, parse_size};
use super::compare::CompareArgs;
use super::outputs::OutputArgs;
use super::report::ReportCommand;
use crate::era::{EraOverride, EraOverrideError};
use crate::shard::{ShardError, ShardOption};
use clap::{ArgGroup, Args as Group, Parser, Subcommand, ValueEnum};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Test Linux module auto-loading: boot kernels in QEMU and check named behaviours.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = format!("{TERMS}\n\n{EXIT_CODES}"))]
pub struct Args {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(subcommand)]
    pub(super) command: Command,
}

const TERMS: &str = "\
Terms:
  behaviour  a statement about module auto-loading with a check, which runs in its own guest
  subject    the module tools under test: modprobe, insmod and so on
  row        one behaviour on one kernel with one subject";

const EXIT_CODES: &str = "\
Exit codes:
  0    at least one behaviour passed, and every other passed, is a known deviation, or was skipped
  1    a behaviour failed
  2    invalid arguments, found before anything is built or booted, or no behaviour is selected
  125  no behaviour failed, but one is inconclusive, or none passed";

/// The options of every command.
#[derive(Debug, Group)]
#[command(next_help_heading = "Global options")]
pub struct Common {
    /// Keep kernels, images and booted guests in this directory [default: $KMODLAB_CACHE, else ~/.cache/kmodlab]
    #[arg(long, global = true, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Use only what is in the cache; download nothing
    #[arg(long, global = true)]
    pub offline: bool,
    /// Download packages from this Debian archive [default: the one in the host's apt configuration]
    #[arg(long, global = true, value_name = "URI")]
    pub mirror: Option<String>,
    /// Run this QEMU [default: qemu-system-x86_64 in PATH]
    #[arg(long, global = true, value_name = "PROGRAM")]
    pub qemu: Option<PathBuf>,
    /// Use the guest programs in this directory [default: guest/ next to kmodlab, built by ci/setup]
    #[arg(long, global = true, value_name = "DIR")]
    pub guest_dir: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check behaviours and report the verdicts
    #[command(after_help = format!("{TERMS}\n\n{FILTERS}\n\n{EXIT_CODES}"))]
    Run(Box<RunArgs>),
    /// Show what changed between two kernels or two reports
    #[command(after_help = super::compare::AFTER_HELP, mut_arg("kernel", |arg| arg.hide(true)))]
    Compare(Box<CompareArgs>),
    /// Build a kernel tree and check behaviours on it, for `git bisect run`
    #[command(after_help = super::bisect::AFTER_HELP, mut_arg("kernel", |arg| arg.hide(true)),
        mut_arg("modules", |arg| arg.hide(true)), mut_arg("print_command", |arg| arg.hide(true)))]
    Bisect(Box<BisectArgs>),
    /// Convert or merge JSON reports
    #[command(subcommand)]
    Report(ReportCommand),
    /// List behaviours
    #[command(after_help = FILTERS)]
    List(ListArgs),
    /// Show the statement, source and needs of behaviours
    Show(ShowArgs),
    /// List, fetch, build or inspect kernels
    #[command(subcommand)]
    Kernel(KernelCommand),
    /// List or fetch the module tools in the catalogue
    #[command(subcommand)]
    Subject(SubjectCommand),
    /// List, verify or prune the cache
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Open a shell in a guest, the same one that behaviours run in
    Shell(ShellArgs),
    /// Write a kernel and an initramfs that check a machine without a host
    #[command(after_help = FILTERS)]
    Bundle(BundleArgs),
    /// Run the kernel's own selftests of its module loader, each test in its own guest, and print KTAP
    #[command(after_help = super::kselftest::AFTER_HELP)]
    Kselftest(KselftestArgs),
    /// Check that this machine can run guests, and report what is missing
    Doctor,
}

/// The guest: the same options for `run`, `compare`, `bisect`, `shell` and `kselftest`.
#[derive(Clone, Debug, Default, Group)]
pub struct GuestArgs {
    /// Boot this kernel: a name in the catalogue (see `kmodlab kernel list`), the path of a bzImage, a built kernel tree or
    /// its `make O=` directory, or `host` for the kernel of this machine; repeatable
    #[arg(long, value_name = "KERNEL", default_value = "default")]
    pub kernel: Vec<String>,
    /// Use this module directory (…/lib/modules/RELEASE) for a bzImage given by its path
    #[arg(long, value_name = "DIR")]
    pub modules: Option<PathBuf>,
    /// Test these module tools: `ours`, a name in the catalogue (see `kmodlab subject list`), a program, or a directory of
    /// programs; repeatable
    #[arg(long, value_name = "SUBJECT", default_value = "ours")]
    pub subject: Vec<String>,
    /// Search this directory first for the libraries of a subject; repeatable
    #[arg(long, value_name = "DIR")]
    pub subject_lib: Vec<PathBuf>,
    /// Select how the kernel is booted
    #[arg(long, value_enum, default_value_t)]
    pub profile: ProfileArg,
    /// Select the accelerator of QEMU
    #[arg(long, value_enum, default_value_t)]
    pub accel: AccelArg,
    /// Run guests in real time instead of virtual time
    #[arg(long)]
    pub real_time: bool,
    /// Append a parameter to the kernel command line; repeatable
    #[arg(long, value_name = "PARAMETER", allow_hyphen_values = true)]
    pub append: Vec<String>,
    /// Multiply every wall-clock limit by FACTOR, e.g. for a slow machine [default: $KMODLAB_TIMEOUT_FACTOR, else 1]
    #[arg(long, value_name = "FACTOR", value_parser = parse_factor)]
    pub timeout_factor: Option<f64>,
    /// Print the QEMU commands that boot the guests, without running them
    #[arg(long)]
    pub print_command: bool,
}

/// The behaviours: the same options for `run`, `list`, `bisect` and `bundle`.
#[derive(Debug, Default, Group)]
pub struct SelectArgs {
    /// Select behaviours by id (path.empty-disables), catalogue id (PATH-06) or group (path) [default: all]
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// Select only behaviours that match a filter expression, e.g. 'group(loop) & !id(/kill/)'; repeatable
    #[arg(long, short = 'E', value_name = "EXPRESSION")]
    pub filter: Vec<String>,
}

/// The syntax of filter expressions.
pub(super) const FILTERS: &str = "\
Filter expressions:
  group(loop)  id(path.*)  catalogue(PATH-06)  about(both)  needs(depmod)  all()
    Match a property of a behaviour. The argument is a glob for the whole text (*, ?), a regular
    expression for a part of it (/regex/), or the exact text (=text).
  !a   a & b   a - b (a but not b)   a | b   ( )
    Combine expressions. ! binds tightest, then & and -, then |.
  Several -E select the behaviours that match any of them; IDs narrow the selection further.
  A term that no behaviour matches is an error.";

/// `kmodlab run`.
#[derive(Debug, Default, Group)]
pub struct RunArgs {
    #[command(flatten)]
    pub select: SelectArgs,
    #[command(flatten)]
    pub guest: GuestArgs,
    /// Run only the K-th of N equal parts of the rows; `all` runs all rows even if the environment requests a shard
    /// (docs/reference/reports.md)
    #[arg(long, value_name = "K/N", visible_alias = "partition", value_parser = parse_shard)]
    pub shard: Option<ShardOption>,
    /// Retry a failed or inconclusive row up to N times; a row that then passes is reported as flaky
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = number_in(0..=1000_u32))]
    pub retries: u32,
    /// Run each row N times; it passes only if it passes each time
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "retries",
        value_parser = number_in(1..=100_000_u32))]
    pub repeat: u32,
    /// Start no further row after one has failed or is inconclusive
    #[arg(long)]
    pub fail_fast: bool,
    /// Shuffle the order of the rows; the same seed gives the same order
    #[arg(long, value_name = "SEED", value_parser = number_from(0_u64))]
    pub seed: Option<u64>,
    /// Run N guests in parallel [default: one per core, if the memory suffices]
    #[arg(long, value_name = "N", value_parser = number_from(1_usize))]
    pub jobs: Option<usize>,
    /// Limit the wall-clock time of each behaviour
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = number_in(1..=86400_u64))]
    pub timeout: u64,
    /// Boot a new guest for each behaviour instead of cloning a booted one
    #[arg(long)]
    pub cold: bool,
    /// Select the verdict for a kernel that does not boot
    #[arg(long, value_enum, default_value_t, value_name = "VERDICT")]
    pub boot_failure: BootFailure,
    /// Save the console of each guest in this directory
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Ignore the console findings listed in this file with their reasons (docs/reference/reports.md); repeatable
    #[arg(long, value_name = "FILE")]
    pub allow_findings: Vec<PathBuf>,
    /// Set the era of the kernels: cutoff=wait-queue or cutoff=semaphore [default: probed]
    #[arg(long, value_name = "NAME=ERA", value_parser = parse_era)]
    pub era: Option<EraOverride>,
    #[command(flatten)]
    pub outputs: OutputArgs,
}

/// `kmodlab bundle`.
#[derive(Debug, Group)]
pub struct BundleArgs {
    #[command(flatten)]
    pub select: SelectArgs,
    /// Use this kernel: a name in the catalogue (see `kmodlab kernel list`) or the path of a bzImage
    #[arg(long, value_name = "KERNEL", default_value = "default")]
    pub kernel: String,
    /// Use this module directory (…/lib/modules/RELEASE) for a bzImage given by its path
    #[arg(long, value_name = "DIR")]
    pub modules: Option<PathBuf>,
    /// Test these module tools: `ours`, a name in the catalogue (see `kmodlab subject list`), a program, or a directory of
    /// programs
    #[arg(long, value_name = "SUBJECT", default_value = "ours")]
    pub subject: String,
    /// Write the bundle to this directory
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
    /// Also write a job for the QEMU device of LAVA
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
    /// Show behaviours with this id (path.empty-disables), catalogue id (PATH-06) or group (path)
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
}

/// `kmodlab kernel`.
#[derive(Debug, Subcommand)]
pub enum KernelCommand {
    /// List the kernels in the catalogue
    List,
    /// Fetch kernels into the cache
    Fetch {
        /// Fetch the kernel with this name in the catalogue [default: the default kernel]
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Look for newer versions of kernels that are in the cache
        #[arg(long)]
        refresh: bool,
    },
    /// Build a kernel from its source package or from a source tree
    Build(BuildArgs),
    /// Print the configuration options that a kernel misses for kmodlab or for behaviours
    ///
    /// The output is a fragment of a kernel configuration. Exit code 1: kmodlab itself needs an option that is missing.
    ConfigCheck {
        /// Check this kernel: a name in the catalogue, a bzImage, a configured kernel tree, `host`, or a file such as
        /// .config
        #[arg(value_name = "KERNEL", required = true)]
        kernels: Vec<String>,
    },
}

/// `kmodlab kernel build`.
#[derive(Debug, Group)]
#[command(group = ArgGroup::new("source").required(true))]
pub struct BuildArgs {
    /// Build the kernel with this name in the catalogue, e.g. 5.10-modular-unix
    #[arg(value_name = "NAME", group = "source")]
    pub names: Vec<String>,
    /// Build this source tree, without writing to it, and print the resulting directory for --kernel; a tree with the same
    /// contents is not built again
    #[arg(long, value_name = "DIR", group = "source")]
    pub tree: Option<PathBuf>,
    /// Add a configuration fragment to tinyconfig: tiny, modular-unix, kcov-kasan, test-kmod or a file; repeatable, later
    /// ones override earlier ones [default: tiny]
    #[arg(long, value_name = "FRAGMENT", requires = "tree")]
    pub fragment: Vec<String>,
    /// Pass this argument to make, e.g. LLVM=1; repeatable
    #[arg(long, value_name = "ARGUMENT", requires = "tree")]
    pub make: Vec<String>,
}

/// `kmodlab cache`.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// Show what is in the cache, with sizes and times of last use
    List {
        /// Show each entry, not only the total of each area
        #[arg(long)]
        all: bool,
    },
    /// Check the hashes of the cache, and remove what is damaged
    ///
    /// A damaged entry is rebuilt when it is needed. Exit code 1: an entry was damaged.
    Verify {
        /// Report damaged entries without removing them
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove the least recently used entries
    ///
    /// While another run uses the cache, only booted guests are removed.
    Prune(PruneArgs),
}

/// `kmodlab cache prune`.
#[derive(Debug, Group)]
#[command(group = ArgGroup::new("limit").required(true).multiple(true))]
pub struct PruneArgs {
    /// Shrink the cache to this size, e.g. 500M or 4G
    #[arg(long, value_name = "SIZE", value_parser = parse_size, group = "limit")]
    pub max_size: Option<u64>,
    /// Remove entries that were not used for this time, e.g. 12h, 30d or 2w
    #[arg(long, value_name = "TIME", value_parser = parse_age, group = "limit")]
    pub older_than: Option<Duration>,
    /// Report what would be removed without removing it
    #[arg(long)]
    pub dry_run: bool,
}

/// `kmodlab subject`.
#[derive(Debug, Subcommand)]
pub enum SubjectCommand {
    /// List the module tools in the catalogue
    List,
    /// Fetch module tools into the cache and print their directories, without installing them
    Fetch {
        /// Fetch the module tools with this name in the catalogue [default: all]
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Look for newer versions of tools that are in the cache
        #[arg(long)]
        refresh: bool,
    },
}

/// `kmodlab shell`.
#[derive(Debug, Group)]
pub struct ShellArgs {
    #[command(flatten)]
    pub guest: GuestArgs,
    /// Boot a new guest instead of cloning a booted one
    #[arg(long)]
    pub cold: bool,
    /// Run this behaviour in the guest before the shell opens
    #[arg(long, value_name = "ID")]
    pub at: Option<String>,
    /// Boot without address randomisation, and wait for gdb on this port of localhost before the first instruction
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "1234", require_equals = true,
        value_parser = number_from(1_u16))]
    pub gdb: Option<u16>,
    /// Run this command in the guest instead of an interactive shell
    #[arg(long, short = 'c', value_name = "COMMAND")]
    pub command: Option<String>,
}

/// `kmodlab kselftest`.
#[derive(Debug, Group)]
pub struct KselftestArgs {
    /// Run this suite
    #[arg(value_enum)]
    pub suite: SelftestSuite,
    /// Run only this test, e.g. 0001 [default: all tests that the script runs by default]
    #[arg(value_name = "TEST")]
    pub tests: Vec<String>,
    #[command(flatten)]
    pub guest: GuestArgs,
    /// Run the script in this kernel tree [default: the kernel, if it is a tree]
    #[arg(long, value_name = "DIR")]
    pub tree: Option<PathBuf>,
    /// Repeat each test N times [default: the number that the script recommends]
    #[arg(long, value_name = "N", value_parser = number_from(1_u32))]
    pub count: Option<u32>,
    /// Limit the time of each test, in guest time and in wall-clock time
    #[arg(long, value_name = "SECONDS", default_value_t = 1200, value_parser = number_in(1..=86400_u64))]
    pub timeout: u64,
    /// Boot a new guest for each test instead of cloning a booted one
    #[arg(long)]
    pub cold: bool,
}

/// A suite in tools/testing/selftests.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SelftestSuite {
    /// The module loader (kmod.sh)
    Kmod,
}

/// Parses a factor for limits.
pub(super) fn parse_factor(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|factor| (0.01..=1000.0).contains(factor));
    number.ok_or_else(|| "expected a number from 0.01 to 1000".to_owned())
}

/// A number that an option accepts.
pub(super) trait Number: FromStr + PartialOrd + Display + Copy + Send + Sync + 'static {}

impl<T: FromStr + PartialOrd + Display + Copy + Send + Sync + 'static> Number for T {}

/// Returns a parser for numbers in a range.
pub(super) fn number_in<T: Number>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("expected a number from {} to {}", range.start(), range.end()))
    }
}

/// Returns a parser for numbers that are not less than `least`.
pub(super) fn number_from<T: Number>(least: T) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| *number >= least);
        number.ok_or_else(|| match least.to_string().as_str() {
            "0" => "expected a number".to_owned(),
            least => format!("expected a number, at least {least}"),
        })
    }
}

/// Parses a shard.
fn parse_shard(text: &str) -> Result<ShardOption, String> {
    text.parse().map_err(|error: ShardError| error.expectation())
}

/// Parses an override of eras.
fn parse_era(text: &str) -> Result<EraOverride, String> {
    text.parse().map_err(|error: EraOverrideError| error.expectation().to_owned())
}

/// `--profile`.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum ProfileArg {
    /// Boot as on any machine
    #[default]
    Faithful,
    /// Boot a second faster, without kprobe events and the built-in signing keys (docs/facts/vm.md)
    Fast,
}

/// `--accel`.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum AccelArg {
    /// Translate instructions: the same verdicts on every machine, in virtual time
    #[default]
    Tcg,
    /// Use KVM, in real time
    Kvm,
    /// Use KVM if it can boot a guest, else TCG
    Auto,
}

/// `--format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for people
    #[default]
    Terminal,
    /// The kernel's Test Anything Protocol
    Ktap,
}

/// `--boot-failure`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BootFailure {
    /// Inconclusive: exit code 125
    #[default]
    Error,
    /// Failed: exit code 1, to bisect a boot failure
    Fail,
}
