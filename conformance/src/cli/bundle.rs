//! `kmodlab bundle`: writes a kernel and an initramfs that run the checks when booted on a machine, without kmodlab.

use super::args::{Common, SelectArgs};
use super::error::CliError;
use super::hint::SETUP;
use super::setup::Tools;
use super::{Outcome, lookup, resolve, setup, show_progress, signals};
use crate::bundle::lava::{self, INITRAMFS, KERNEL};
use crate::bundle::{Entry, MANIFEST, Manifest, PROGRAM, place};
use crate::run::judge::Judging;
use crate::run::needs::{Offer, first_unmet_need, is_met};
use crate::run::pair::PreparedKernel;
use crate::run::request::{Request, Selection};
use crate::run::verdict::exit;
use anyhow::{Context, anyhow};
use clap::Args as Group;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The file name of the program that runs in the guest.
const SELF: &str = "kmodlab-self";
/// The kernel command line. The log level is lower than in a lab, because KTAP shares the console; there is no
/// `earlyprintk`, because a board may not have its port.
const APPEND: &str = "console=ttyS0,115200 rdinit=/init panic=-1 loglevel=4";

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

pub(super) fn bundle(common: &Common, args: &BundleArgs) -> Outcome {
    let behaviours = resolve::behaviours(&args.select)?;
    let catalogue = lookup::catalogue()?;
    let kernels = lookup::kernel_sources(std::slice::from_ref(&args.kernel), args.modules.as_deref(), &catalogue)?;
    let subjects = lookup::subject_sources(std::slice::from_ref(&args.subject), &[]);
    let judging = Judging::builtin(&catalogue).map_err(CliError::inconclusive)?;
    let request =
        Request { selection: Selection { behaviours, shard: None }, ..Request::new(kernels, subjects, judging, 1) };
    let program = setup::guest_dir(common)?.join(SELF);
    if !program.is_file() {
        return Err(CliError::usage(anyhow!("cannot find the guest program {}", program.display()))
            .hint(format!("{SETUP} --bundle builds it")));
    }
    std::fs::create_dir_all(&args.output)
        .with_context(|| format!("cannot create {}", args.output.display()))
        .map_err(CliError::usage)?;
    let tools = Tools::open(common)?;
    let stop = signals::watch(|| {})?;
    let options = lookup::options(common, &tools.cache, &show_progress, &stop);
    let obtained = lookup::only_pair(common, &request, &catalogue, &options);
    let (kernel, subject) = signals::or_interrupted(&stop, obtained)?;
    let host = tools.host(&request.guest, &request.judging.allowed, Some(&kernel), Some(&subject))?;
    let side = PreparedKernel::new(kernel, &host).map_err(CliError::inconclusive)?;
    let offer = Offer { commands: subject.commands(), traits: subject.traits() };
    let unmet = |behaviour| first_unmet_need(behaviour, |need| is_met(need, offer, side.modules(), side.facts()));
    let entry = |behaviour: &&'static crate::catalogue::entry::Entry| Entry {
        id: behaviour.id.to_owned(),
        unmet: unmet(behaviour).map(|need| need.to_string()),
    };
    let mut entries: Vec<Entry> = request.selection.behaviours.iter().map(entry).collect();
    entries.sort_by_key(|entry| place(&entry.id));
    let manifest = Manifest {
        kernel: side.kernel.name.clone(),
        release: side.kernel.release.to_string(),
        probes: side.probes().clone(),
        subject: subject.name().to_owned(),
        commands: subject.commands().to_vec(),
        traits: subject.traits().map(<[String]>::to_vec),
        entries,
    };
    let written =
        tempfile::NamedTempFile::new().context("cannot write the manifest").map_err(CliError::inconclusive)?;
    serde_json::to_writer(&written, &manifest).context("cannot write the manifest").map_err(CliError::inconclusive)?;
    let extra = [(PROGRAM.to_owned(), program), (MANIFEST.to_owned(), written.path().to_owned())];
    let (spec, _) = side.spec(&subject, &extra, &host).map_err(CliError::inconclusive)?;
    let output =
        args.output.canonicalize().context("cannot resolve the path of the bundle").map_err(CliError::inconclusive)?;
    put(&spec.kernel, &output.join(KERNEL))?;
    put(&spec.initramfs, &output.join(INITRAMFS))?;
    let text =
        serde_json::to_string_pretty(&manifest).context("cannot write the manifest").map_err(CliError::inconclusive)?;
    write(&output.join("manifest.json"), &format!("{text}\n"))?;
    write(&output.join("cmdline"), &format!("{APPEND}\n"))?;
    if args.lava {
        let name = format!("kmodlab {} {}", manifest.kernel, manifest.subject);
        write(&output.join("lava-job.yaml"), &lava::job(&name, &output, APPEND))?;
    }
    let at = |name: &str| output.join(name).display().to_string();
    super::print(&format!(
        "qemu-system-x86_64 -icount shift=3,sleep=off -m 512 -no-reboot -nographic -kernel {} -initrd {} -append '{APPEND}'\n",
        at(KERNEL),
        at(INITRAMFS)
    ))?;
    Ok(exit::OK)
}

fn put(from: &Path, to: &Path) -> Result<(), CliError> {
    // A copy, because a hard link would share the permissions of the file in the cache.
    std::fs::copy(from, to)
        .and_then(|_| std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o644)))
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
        .map_err(CliError::inconclusive)
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    std::fs::write(path, text)
        .with_context(|| format!("cannot write {}", path.display()))
        .map_err(CliError::inconclusive)
}
