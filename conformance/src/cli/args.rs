//! The arguments of every command.

use super::bisect::BisectArgs;
use super::cache::{parse_age, parse_size};
use super::compare::CompareArgs;
use super::help::{
    BUILD_CODES, CONFIG_CHECK_CODES, DOCTOR_CODES, EXIT_CODES, FETCH_CODES, FILTERS, LIST_CACHE_CODES, ONE_KERNEL,
    ONE_SUBJECT, PRUNE_CODES, TERMS, VERIFY_CODES,
};
use super::outputs::OutputArgs;
use super::report::ReportCommand;
use crate::check::era::{EraOverride, EraOverrideError};
use crate::run::shard::{ShardError, ShardOption};
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
    /// Open a shell in a guest set up like those that behaviours run in
    #[command(mut_arg("kernel", |arg| arg.help(ONE_KERNEL)), mut_arg("subject", |arg| arg.help(ONE_SUBJECT)))]
    Shell(ShellArgs),
    /// Write a kernel and an initramfs that run the checks when booted on a machine, without kmodlab
    #[command(after_help = FILTERS)]
    Bundle(BundleArgs),
    /// Run the kernel's own selftests of its module loader, each test in its own guest, and print KTAP
    #[command(after_help = super::kselftest::AFTER_HELP, mut_arg("kernel", |arg| arg.help(ONE_KERNEL)),
        mut_arg("subject", |arg| arg.help(ONE_SUBJECT)))]
    Kselftest(KselftestArgs),
    /// Check that this machine can run guests, and report what is missing
    #[command(after_help = DOCTOR_CODES)]
    Doctor,
}

/// The guest: the same options for `run`, `compare`, `bisect`, `shell` and `kselftest`.
#[derive(Clone, Debug, Default, Group)]
pub struct GuestArgs {
    /// Boot this kernel: a name in the catalogue (see `kmodlab kernel list`), the path of a bzImage, a built kernel tree or
    /// its `make O=` directory, or `host` for the kernel of this machine; repeatable [default: the default kernel]
    #[arg(long, value_name = "KERNEL", default_value = "default", hide_default_value = true)]
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
    /// Select the QEMU accelerator
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
    /// Select only behaviours that match a filter expression, e.g. 'group(loop) & !id(/unix/)'; repeatable
    #[arg(long, short = 'E', value_name = "EXPRESSION")]
    pub filter: Vec<String>,
}

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
    /// Start no further rows after one has failed or is inconclusive
    #[arg(long)]
    pub fail_fast: bool,
    /// Shuffle the order of the rows; the same seed gives the same order
    #[arg(long, value_name = "SEED", value_parser = number_from(0_u64))]
    pub seed: Option<u64>,
    /// Run N guests in parallel [default: one per core, or fewer if memory is short]
    #[arg(long, value_name = "N", value_parser = number_from(1_usize))]
    pub jobs: Option<usize>,
    /// Limit the wall-clock time of each row
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = number_in(1..=86400_u64))]
    pub timeout: u64,
    /// Boot a new guest for each row instead of cloning a booted one
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
    /// Set which implementation of the limit on concurrent helpers the kernels are expected to have: cutoff=wait-queue
    /// (4.13 to 6.3) or cutoff=semaphore (since 6.4) [default: probed]
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
    /// [default: the default kernel]
    #[arg(long, value_name = "KERNEL", default_value = "default", hide_default_value = true)]
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
    /// Also write a LAVA job for a QEMU device
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
    #[command(after_help = FETCH_CODES)]
    Fetch {
        /// Fetch the kernel with this name in the catalogue [default: the default kernel]
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        /// Look for newer versions of kernels that are in the cache
        #[arg(long)]
        refresh: bool,
    },
    /// Build a kernel from its source package or from a source tree
    #[command(after_help = BUILD_CODES)]
    Build(BuildArgs),
    /// Print the configuration options that kmodlab or some behaviours need and a kernel does not have
    ///
    /// The output is a fragment of a kernel configuration.
    #[command(after_help = CONFIG_CHECK_CODES)]
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
    /// Add a fragment to `make tinyconfig`: one of tiny, modular-unix, kcov-kasan and test-kmod, or a file; repeatable,
    /// later ones override earlier ones [default: tiny]
    #[arg(long, value_name = "FRAGMENT", requires = "tree")]
    pub fragment: Vec<String>,
    /// Pass this argument to make, e.g. LLVM=1; repeatable
    #[arg(long, alias = "make", value_name = "ARGUMENT", requires = "tree", allow_hyphen_values = true)]
    pub make_arg: Vec<String>,
}

/// `kmodlab cache`.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// Show what is in the cache, with sizes and times of last use
    #[command(after_help = LIST_CACHE_CODES)]
    List {
        /// Show each entry, not only the totals
        #[arg(long)]
        all: bool,
    },
    /// Check the hashes of the cache, and remove what is damaged
    ///
    /// A damaged entry is rebuilt when it is needed.
    #[command(after_help = VERIFY_CODES)]
    Verify {
        /// Report damaged entries without removing them
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove the least recently used entries
    ///
    /// While another run uses the cache, only booted guests are removed.
    #[command(after_help = PRUNE_CODES)]
    Prune(PruneArgs),
}

/// `kmodlab cache prune`.
#[derive(Debug, Group)]
#[command(group = ArgGroup::new("limit").required(true).multiple(true))]
pub struct PruneArgs {
    /// Shrink the cache to this size, e.g. 500M or 4G
    #[arg(long, value_name = "SIZE", value_parser = parse_size, group = "limit")]
    pub max_size: Option<u64>,
    /// Remove entries that have not been used for this long, e.g. 12h, 30d or 2w
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
    #[command(after_help = FETCH_CODES)]
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
        value_parser = parse_port)]
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
            least => format!("expected a whole number, {least} or greater"),
        })
    }
}

/// Parses a TCP port.
fn parse_port(text: &str) -> Result<u16, String> {
    let number = text.parse().ok().filter(|port| *port != 0);
    number.ok_or_else(|| "expected a port number from 1 to 65535".to_owned())
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
    /// Boot with nothing left out
    #[default]
    Faithful,
    /// Boot about one second faster, without kprobe events or the built-in signing keys (docs/facts/vm.md)
    Fast,
}

/// `--accel`.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum AccelArg {
    /// Emulate the CPU in virtual time: the same verdicts on every machine
    #[default]
    Tcg,
    /// Use KVM, in real time
    Kvm,
    /// Use KVM if it can boot a guest, else emulation (TCG)
    Auto,
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
