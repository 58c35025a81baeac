//! The running kernel: system calls, `/sys/module`, `/proc/modules`, and `/bin/sh` for commands.

use super::{CommandFailure, Force, Kernel, OpenError, SHELL, State};
use crate::file;
use crate::log::kernel::KernelLog;
use crate::name::ModuleName;
use crate::object::compress::{self, MAGIC_LENGTH};
use crate::object::{self, Compression, Limits};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const IGNORE_MODVERSIONS: i32 = 1;
const IGNORE_VERMAGIC: i32 = 2;
const COMPRESSED_FILE: i32 = 4;

/// The running kernel.
#[derive(Debug)]
pub struct Linux {
    sysfs: PathBuf,
    sysctl: PathBuf,
    shell: PathBuf,
    kmsg: Option<KernelLog>,
    environment: Vec<(OsString, OsString)>,
    limits: Limits,
}

impl Default for Linux {
    fn default() -> Self {
        Self {
            sysfs: PathBuf::from("/sys"),
            sysctl: PathBuf::from("/proc/sys"),
            shell: PathBuf::from(SHELL),
            kmsg: None,
            environment: Vec::new(),
            limits: Limits::default(),
        }
    }
}

impl Linux {
    /// The running kernel. Commands get these environment variables in addition to `MODPROBE_MODULE`.
    #[must_use]
    pub fn new(environment: Vec<(OsString, OsString)>) -> Self {
        Self { environment, ..Self::default() }
    }

    /// Returns `/sys/module/NAME`; `None` for a name with a slash, which no module has.
    fn directory(&self, module: &ModuleName) -> Option<PathBuf> {
        let name = module.as_bytes();
        (!name.contains(&b'/')).then(|| self.sysfs.join("module").join(OsStr::from_bytes(name)))
    }

    fn attribute(&self, module: &ModuleName, name: &str) -> Option<Vec<u8>> {
        read_line(&self.directory(module)?.join(name)).ok()
    }
}

/// Reads a small file of sysfs, without its newline.
fn read_line(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(4096).read_to_end(&mut text)?;
    Ok(text.trim_ascii().to_vec())
}

fn c_string(bytes: &[u8]) -> Result<CString, Errno> {
    CString::new(bytes).map_err(|_| Errno::INVAL)
}

fn flags(force: Force, compressed: bool) -> i32 {
    let flag = |on: bool, flag: i32| if on { flag } else { 0 };
    flag(force.modversions, IGNORE_MODVERSIONS)
        | flag(force.vermagic, IGNORE_VERMAGIC)
        | flag(compressed, COMPRESSED_FILE)
}

impl Kernel for Linux {
    type File = File;

    fn state(&mut self, module: &ModuleName) -> State {
        match self.attribute(module, "initstate").as_deref() {
            Some(b"live") => State::Live,
            Some(b"going") => State::Going,
            Some(_) => State::Coming,
            // The kernel creates the directory before the file.
            None if self.directory(module).is_some_and(|directory| directory.is_dir()) => State::Coming,
            None => State::Absent,
        }
    }

    fn refcount(&mut self, module: &ModuleName) -> Option<i64> {
        std::str::from_utf8(&self.attribute(module, "refcnt")?).ok()?.parse().ok()
    }

    fn holders(&mut self, module: &ModuleName) -> Vec<ModuleName> {
        let Some(directory) = self.directory(module) else { return Vec::new() };
        let Ok(entries) = std::fs::read_dir(directory.join("holders")) else { return Vec::new() };
        let name = |entry: io::Result<std::fs::DirEntry>| ModuleName::new(entry.ok()?.file_name().as_bytes()).ok();
        let mut holders: Vec<ModuleName> = entries.filter_map(name).collect();
        holders.sort();
        holders
    }

    fn decompresses(&mut self) -> Option<Compression> {
        let word = read_line(&self.sysfs.join("module/compression")).ok()?;
        let known = [Compression::Xz, Compression::Gzip, Compression::Zstd];
        known.into_iter().find(|format| format.as_str().as_bytes() == word)
    }

    fn modules_disabled(&mut self) -> bool {
        read_line(&self.sysctl.join("kernel/modules_disabled")).is_ok_and(|value| value != b"0")
    }

    fn own_names(&mut self, path: &Path) -> Vec<ModuleName> {
        object::own_names(path).unwrap_or_default()
    }

    fn open(&mut self, path: &Path) -> Result<File, OpenError> {
        // Without O_NONBLOCK the open of a FIFO would wait for a writer. The open of a device could make the kernel look for
        // its driver, so check before the open.
        let check = |mode| match FileType::from_raw_mode(mode) {
            FileType::RegularFile => Ok(()),
            FileType::Directory => Err(OpenError::Errno(Errno::ISDIR)),
            _ => Err(OpenError::NotRegular),
        };
        check(rustix::fs::stat(path)?.st_mode)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = rustix::fs::open(path, flags, Mode::empty())?;
        check(rustix::fs::fstat(&file)?.st_mode)?;
        Ok(File::from(file))
    }

    fn compression(&mut self, file: &File) -> Result<Compression, OpenError> {
        let mut magic = [0; MAGIC_LENGTH];
        let length = rustix::io::pread(file, &mut magic, 0)?;
        if length == 0 {
            return Err(OpenError::Empty);
        }
        Ok(Compression::sniff(magic.get(..length).unwrap_or_default()))
    }

    fn image(&mut self, file: &File, path: &Path) -> Result<Vec<u8>, String> {
        let named = |problem: &dyn std::fmt::Display| {
            format!("{}: {problem}", crate::name::Escaped(path.as_os_str().as_bytes()))
        };
        let read = file::read_open(file, self.limits.size);
        let bytes = read.map_err(|error| named(&crate::sys::strerror_io(&error)))?;
        match Compression::sniff(&bytes) {
            Compression::None => Ok(bytes),
            _ => compress::decompress(&bytes, &self.limits).map_err(|error| named(&error)),
        }
    }

    fn finit_module(&mut self, file: &File, options: &[u8], force: Force, compressed: bool) -> Result<(), Errno> {
        rustix::system::finit_module(file, &c_string(options)?, flags(force, compressed))
    }

    fn init_module(&mut self, image: &[u8], options: &[u8]) -> Result<(), Errno> {
        rustix::system::init_module(image, &c_string(options)?)
    }

    fn delete_module(&mut self, module: &ModuleName, force: bool) -> Result<(), Errno> {
        let flags = OFlags::NONBLOCK | if force { OFlags::TRUNC } else { OFlags::empty() };
        let flags = i32::try_from(flags.bits()).map_err(|_| Errno::INVAL)?;
        rustix::system::delete_module(&c_string(module.as_bytes())?, flags)
    }

    fn run(&mut self, command: &[u8], module: &ModuleName) -> Result<(), CommandFailure> {
        let status = Command::new(&self.shell)
            .arg0("sh")
            // Like system(3) since glibc 2.38: a command that begins with `-` or `+` is not an option of the shell.
            .args(["-c", "--"])
            .arg(OsStr::from_bytes(command))
            .env("MODPROBE_MODULE", OsStr::from_bytes(module.as_bytes()))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .status()
            .map_err(|error| CommandFailure::NotStarted(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        match (status.code(), status.signal()) {
            (Some(0), _) => Ok(()),
            (Some(code), _) => Err(CommandFailure::Exited(code)),
            (None, signal) => Err(CommandFailure::Killed(signal.unwrap_or_default())),
        }
    }

    fn sleep(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn mark_log(&mut self) {
        self.kmsg = KernelLog::at_end().ok();
    }

    fn log(&mut self) -> Option<Vec<Vec<u8>>> {
        self.kmsg.as_ref().map(KernelLog::lines)
    }
}

/// A line of `/proc/modules`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedModule {
    /// Its name.
    pub name: Vec<u8>,
    /// Its size in bytes.
    pub size: u64,
    /// Its reference count; `None` if the kernel cannot unload modules.
    pub users: Option<i64>,
    /// The modules that use it.
    pub holders: Vec<Vec<u8>>,
}

/// Parses `/proc/modules`. Malformed lines are ignored.
#[must_use]
pub fn parse_proc_modules(text: &[u8]) -> Vec<ListedModule> {
    let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse::<i64>().ok();
    let parse = |line: &[u8]| {
        let mut words = line.split(|&b| b == b' ');
        let name = words.next().filter(|name| !name.is_empty())?;
        let size = u64::try_from(number(words.next()?)?).ok()?;
        let users = number(words.next()?);
        // "a,b," or "-"; the list also contains "[permanent]," if the module cannot be unloaded.
        let is_module = |word: &&[u8]| !word.is_empty() && *word != b"-" && !word.starts_with(b"[");
        let holders = words.next()?.split(|&b| b == b',').filter(is_module).map(<[u8]>::to_vec).collect();
        Some(ListedModule { name: name.to_vec(), size, users, holders })
    };
    text.split(|&b| b == b'\n').filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn name(text: &str) -> ModuleName {
        ModuleName::new(text.as_bytes()).unwrap()
    }

    fn sysfs() -> (tempfile::TempDir, Linux) {
        let dir = tempfile::tempdir().unwrap();
        let linux = Linux { sysfs: dir.path().to_owned(), ..Linux::default() };
        (dir, linux)
    }

    #[test]
    fn the_state_is_read_from_sysfs() {
        let (dir, mut linux) = sysfs();
        for (module, state) in [("a", "live\n"), ("b", "coming\n"), ("c", "going\n")] {
            fs::create_dir_all(dir.path().join("module").join(module)).unwrap();
            fs::write(dir.path().join("module").join(module).join("initstate"), state).unwrap();
        }
        fs::create_dir_all(dir.path().join("module/d")).unwrap();
        let states = ["a", "b", "c", "d", "e", "module/a", "/"].map(|module| linux.state(&name(module)));
        use State::{Absent, Coming, Going, Live};
        assert_eq!(states, [Live, Coming, Going, Coming, Absent, Absent, Absent]);
    }

    #[test]
    fn users_holders_and_compression_are_read_from_sysfs() {
        let (dir, mut linux) = sysfs();
        fs::create_dir_all(dir.path().join("module/a/holders/x_y")).unwrap();
        fs::write(dir.path().join("module/a/refcnt"), "-1\n").unwrap();
        fs::write(dir.path().join("module/compression"), "zstd\n").unwrap();
        assert_eq!(linux.refcount(&name("a")), Some(-1));
        assert_eq!(linux.refcount(&name("b")), None);
        assert_eq!(linux.holders(&name("a")), [name("x-y")]);
        assert_eq!(linux.decompresses(), Some(Compression::Zstd));
    }

    #[test]
    fn the_sysctl_that_disables_modules_is_read() {
        let (dir, mut linux) = sysfs();
        linux.sysctl = dir.path().to_owned();
        assert!(!linux.modules_disabled());
        fs::create_dir(dir.path().join("kernel")).unwrap();
        for (value, disabled) in [("0\n", false), ("1\n", true)] {
            fs::write(dir.path().join("kernel/modules_disabled"), value).unwrap();
            assert_eq!(linux.modules_disabled(), disabled);
        }
    }

    #[test]
    fn only_regular_files_are_opened() {
        let (dir, mut linux) = sysfs();
        let fifo = dir.path().join("f.ko");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        let mut error = |path: &Path| linux.open(path).unwrap_err();
        assert_eq!([error(&fifo), error(Path::new("/dev/null"))], [OpenError::NotRegular; 2]);
        assert_eq!(error(dir.path()), OpenError::Errno(Errno::ISDIR));
        assert_eq!(error(Path::new("/nowhere")), OpenError::Errno(Errno::NOENT));
    }

    #[test]
    fn a_missing_shell_is_named() {
        let mut linux = Linux { shell: "/nonexistent/sh".into(), ..Linux::default() };
        let failure = linux.run(b"true", &name("m")).unwrap_err();
        assert_eq!(failure.to_string(), "cannot run /bin/sh: No such file or directory");
    }

    #[test]
    fn a_command_that_begins_with_a_dash_is_not_an_option_of_the_shell() {
        let mut linux = Linux::default();
        assert_eq!(linux.run(b"-n; exit 3", &name("m")), Err(CommandFailure::Exited(3)));
    }

    #[test]
    fn a_command_gets_its_module_and_fails_by_exit_status_or_signal() {
        let (dir, _) = sysfs();
        let mut linux = Linux::new(vec![("MODPROBE_OPTIONS".into(), "-q -C x".into())]);
        let out = dir.path().join("out");
        let command = format!("echo $MODPROBE_MODULE:$MODPROBE_OPTIONS >{}", out.display());
        assert_eq!(linux.run(command.as_bytes(), &name("a-b")), Ok(()));
        assert_eq!(fs::read_to_string(out).unwrap(), "a_b:-q -C x\n");
        assert_eq!(linux.run(b"exit 3", &name("m")), Err(CommandFailure::Exited(3)));
        assert_eq!(linux.run(b"kill -9 $$", &name("m")), Err(CommandFailure::Killed(9)));
    }

    #[test]
    fn an_image_is_read_and_decompressed() {
        use std::io::Write as _;
        let (dir, mut linux) = sysfs();
        let path = dir.path().join("m.ko.gz");
        let mut encoder = flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
        encoder.write_all(&[7; 200_000]).unwrap();
        encoder.finish().unwrap();
        let file = linux.open(&path).unwrap();
        assert_eq!(linux.compression(&file), Ok(Compression::Gzip));
        assert_eq!(linux.image(&file, &path).unwrap(), [7; 200_000]);
        fs::write(&path, [0x1f, 0x8b, 1, 2]).unwrap();
        let file = linux.open(&path).unwrap();
        assert!(linux.image(&file, &path).is_err());
    }

    #[test]
    fn proc_modules_is_parsed_line_by_line() {
        let text = b"stp 16384 1 garp,bridge, Live 0x0000000000000000\nllc 1 0 - Live 0x0 (OE)\nx 2 - [permanent], Live 0x0\n\0bad\n";
        let shown: Vec<String> = parse_proc_modules(text)
            .iter()
            .map(|m| format!("{} {} {:?} {}", String::from_utf8_lossy(&m.name), m.size, m.users, m.holders.len()))
            .collect();
        assert_eq!(shown, ["stp 16384 Some(1) 2", "llc 1 Some(0) 0", "x 2 None 0"]);
    }

    #[test]
    fn any_proc_modules_is_parsed_without_a_panic() {
        arbtest::arbtest(|u| {
            let text: Vec<u8> = u.arbitrary()?;
            assert!(parse_proc_modules(&text).iter().all(|module| !module.name.is_empty()));
            Ok(())
        });
    }
}
