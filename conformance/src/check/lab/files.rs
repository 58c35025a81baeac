//! Files in the guest: the path of the helper, recording helpers and their records.

use super::{Lab, LabError, MODPROBE_SYSCTL};
use crate::check::errno;
use crate::check::helper::Helper;
use agent::plan::{HelperPlan, Record};
use agent::proto::{Action, Value};

/// Returns the action that writes to `/proc/sys/kernel/modprobe`.
#[must_use]
pub fn set_path_action(path: &[u8]) -> Action {
    Action::Write { path: MODPROBE_SYSCTL.to_vec(), data: path.to_vec(), flags: 0 }
}

impl Lab<'_> {
    /// Replaces the contents of a file. Creates the file and its directory if they do not exist.
    ///
    /// # Errors
    /// [`LabError`] if the guest refuses.
    pub fn write(&mut self, path: &str, data: &[u8]) -> Result<(), LabError> {
        if let Some((directory, _)) = path.rsplit_once('/').filter(|(directory, _)| !directory.is_empty()) {
            self.arrange(Action::MkdirAll(directory.as_bytes().to_vec()))?;
        }
        let flags = libc::O_CREAT | libc::O_TRUNC;
        self.arrange(Action::Write { path: path.as_bytes().to_vec(), data: data.to_vec(), flags })?;
        Ok(())
    }

    /// Returns the contents of a file, at most 1 MiB.
    ///
    /// # Errors
    /// [`LabError`] if it cannot be read.
    pub fn read(&mut self, path: &str) -> Result<Vec<u8>, LabError> {
        match self.arrange(Action::Read { path: path.as_bytes().to_vec(), max: 1 << 20 })? {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(LabError::Unexpected(format!("no contents of {path}"))),
        }
    }

    /// Renames a file or directory.
    ///
    /// # Errors
    /// [`LabError`] if the guest refuses.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), LabError> {
        self.arrange(Action::Rename(from.as_bytes().to_vec(), to.as_bytes().to_vec()))?;
        Ok(())
    }

    /// Removes a file, or a directory with its contents.
    ///
    /// # Errors
    /// [`LabError`] if the guest refuses.
    pub fn remove(&mut self, path: &str) -> Result<(), LabError> {
        self.arrange(Action::RemoveAll(path.as_bytes().to_vec()))?;
        Ok(())
    }

    /// Writes to `/proc/sys/kernel/modprobe` and returns the result of write(2).
    ///
    /// # Errors
    /// [`LabError`] if the guest refuses.
    pub fn set_path(&mut self, path: &[u8]) -> Result<i64, LabError> {
        match self.arrange(set_path_action(path))? {
            Value::Number(written) => Ok(written),
            _ => Err(LabError::Unexpected("no result of write(2)".to_owned())),
        }
    }

    /// Returns the contents of `/proc/sys/kernel/modprobe`.
    ///
    /// # Errors
    /// [`LabError`] if it cannot be read.
    pub fn path(&mut self) -> Result<Vec<u8>, LabError> {
        self.read("/proc/sys/kernel/modprobe")
    }

    /// Installs a recording helper with this plan as [`SCRATCH`](crate::check::lab::SCRATCH)`/name`.
    ///
    /// # Errors
    /// [`LabError`] if the guest refuses.
    pub fn helper(&mut self, name: &str, plan: &HelperPlan) -> Result<Helper, LabError> {
        self.helper_at(Helper::named(name), plan)
    }

    /// Installs a recording helper with this plan at its path.
    ///
    /// # Errors
    /// [`LabError`] if the guest refuses.
    pub fn helper_at(&mut self, helper: Helper, plan: &HelperPlan) -> Result<Helper, LabError> {
        let plan = helper.encode(plan).map_err(LabError::Unexpected)?;
        self.write(&helper.plan_path(), &plan)?;
        self.arrange(Action::Symlink(b"/bin/agent".to_vec(), helper.path().as_bytes().to_vec()))?;
        Ok(helper)
    }

    /// Installs a helper like [`Lab::helper`] and sets the path to it.
    ///
    /// # Errors
    /// [`LabError`] if the guest refuses.
    pub fn helper_as_path(&mut self, name: &str, plan: &HelperPlan) -> Result<Helper, LabError> {
        let helper = self.helper(name, plan)?;
        self.set_path(helper.path().as_bytes())?;
        Ok(helper)
    }

    /// Returns the records of a helper so far, sorted by start time.
    ///
    /// # Errors
    /// [`LabError`] if the log is damaged.
    pub fn records(&mut self, helper: &Helper) -> Result<Vec<Record>, LabError> {
        let log = self.observe(Action::Read { path: helper.log_path().into_bytes(), max: 8 << 20 })?;
        match log.result {
            Ok(Value::Bytes(bytes)) => Helper::decode(&bytes).map_err(LabError::Unexpected),
            Err(errno::ENOENT) => Ok(Vec::new()),
            Err(errno) => Err(LabError::SetUp { what: format!("read {}", helper.log_path()), errno }),
            Ok(_) => Err(LabError::Unexpected(format!("no contents of {}", helper.log_path()))),
        }
    }
}
