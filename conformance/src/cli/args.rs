//! The groups of arguments that several commands share, and the parsers of their values. The arguments of one command are
//! in its file.

use clap::{Args as Group, ValueEnum};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

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

/// The guest: the same options for `run`, `compare`, `bisect`, `shell` and `kselftest`.
#[derive(Clone, Debug, Group)]
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
#[derive(Debug, Group)]
pub struct SelectArgs {
    /// Select behaviours by id (path.empty-disables), catalogue id (PATH-06) or group (path) [default: all]
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// Select only behaviours that match a filter expression, e.g. 'group(loop) & !id(/unix/)'; repeatable
    #[arg(long, short = 'E', value_name = "EXPRESSION")]
    pub filter: Vec<String>,
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
