//! `kmodlab kernel`: lists, fetches and builds kernels.

use super::args::Common;
use super::error::CliError;
use super::help::{BUILD_CODES, CONFIG_CHECK_CODES, FETCH_CODES};
use super::{Outcome, config_check, lookup, setup, show_progress, signals};
use crate::run::verdict::exit;
use clap::{ArgGroup, Args as Group, Subcommand};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use vm_images::{Kernel, TreeBuild};

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

/// How a source tree is built.
#[derive(Clone, Debug, Default, Group)]
pub struct TreeArgs {
    /// Add a fragment to `make tinyconfig`: one of tiny, catalogue, modular-unix, kcov-kasan, test-kmod and
    /// autoload-dups, or a file; repeatable, later ones override earlier ones [default: tiny]
    #[arg(long, value_name = "FRAGMENT", requires = "tree")]
    pub fragment: Vec<String>,
    /// Pass this argument to make, e.g. LLVM=1; repeatable
    #[arg(long, alias = "make", value_name = "ARGUMENT", requires = "tree", allow_hyphen_values = true)]
    pub make_arg: Vec<String>,
}

impl TreeArgs {
    /// Returns the fragments; `tiny` is the default.
    pub(super) fn fragments(&self) -> Vec<String> {
        if self.fragment.is_empty() { vec!["tiny".to_owned()] } else { self.fragment.clone() }
    }
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
    #[command(flatten)]
    pub tree_args: TreeArgs,
}

pub(super) fn kernel(common: &Common, command: &KernelCommand) -> Outcome {
    let catalogue = lookup::catalogue()?;
    match command {
        KernelCommand::List => {
            let mut text = String::new();
            for entry in catalogue.kernels() {
                let from = match (&entry.source, &entry.config) {
                    (Some(source), Some(config)) => format!("built from {source} with configs/{config}"),
                    _ => format!("{} from {}", entry.packages.join(" or "), entry.suites.join(" or ")),
                };
                let aliases = ["default", "oldest", "newest"]
                    .iter()
                    .filter(|alias| catalogue.resolve(alias).is_ok_and(|named| named.name == entry.name));
                let names: Vec<&str> = aliases.copied().collect();
                let names = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{:<20} {from}{names}", entry.name);
            }
            super::print(&text)
        }
        KernelCommand::Fetch { names, refresh } => {
            let names = if names.is_empty() { vec!["default".to_owned()] } else { names.clone() };
            obtain(common, &names, *refresh)
        }
        KernelCommand::ConfigCheck { kernels } => config_check::config_check(common, kernels),
        KernelCommand::Build(args) => match &args.tree {
            Some(tree) => build_tree(common, args, tree),
            None => obtain(common, &args.names, false),
        },
    }
}

/// Builds a tree and prints the directory for `--kernel`.
fn build_tree(common: &Common, args: &BuildArgs, tree: &Path) -> Outcome {
    let cache = setup::cache(common)?;
    let stop = signals::watch(|| {})?;
    let options = lookup::options(common, &cache, &show_progress, &stop);
    let (fragments, make_args) = (args.tree_args.fragments(), &args.tree_args.make_arg);
    let build = TreeBuild { tree, fragments: &fragments, make_args };
    let built = vm_images::build_tree(&build, &options).map_err(lookup::build_failed);
    let dir = signals::or_interrupted(&stop, built)?;
    super::print(&format!("{}\n", dir.display()))
}

fn obtain(common: &Common, names: &[String], refresh: bool) -> Outcome {
    let catalogue = lookup::catalogue()?;
    names.iter().try_for_each(|name| catalogue.resolve(name).map(|_| ()).map_err(CliError::usage))?;
    let cache = setup::cache(common)?;
    let stop = signals::watch(|| {})?;
    let mut options = lookup::options(common, &cache, &show_progress, &stop);
    options.refresh = refresh;
    let mut code = exit::OK;
    for name in names {
        match signals::or_interrupted(&stop, lookup::named_kernel(&catalogue, name, &options))? {
            Ok(kernel) => super::print(&found(name, &kernel))?,
            Err(unavailable) => {
                unavailable.error.print(common.offline);
                code = unavailable.error.code;
                code
            }
        };
    }
    Ok(code)
}

fn found(name: &str, kernel: &Kernel) -> String {
    let package = kernel
        .package
        .as_ref()
        .map_or_else(String::new, |package| format!("  {} {} ({})", package.package, package.version, package.suite));
    let mut text = format!("{name:<20} {}{package}\n  {}\n", kernel.release, kernel.image.display());
    if let Some(modules) = &kernel.modules {
        let _ = writeln!(text, "  {}", modules.display());
    }
    for note in &kernel.notes {
        let _ = writeln!(text, "  note: {note}");
    }
    text
}
