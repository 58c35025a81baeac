//! Jobs with several actions, and jobs that run at the same time.

use super::{ACTION_LIMIT, Lab, LabError, Observed};
use agent::proto::{Action, Caller, Group, JobEnd, JobId};

impl Lab<'_> {
    /// Waits until a job ends.
    ///
    /// # Errors
    /// [`LabError::Hung`] if it does not end within a minute of guest time, which is also recorded as a fact; another
    /// [`LabError`] if it could not start as its caller.
    pub fn wait_for(&mut self, job: JobId) -> Result<JobEnd, LabError> {
        let end = match self.wait(job, ACTION_LIMIT)? {
            Some(end) => end,
            None => return Err(self.hung("a job")),
        };
        match end.setup {
            Some(failure) => Err(LabError::SetUp { what: failure.step, errno: failure.errno }),
            None => Ok(end),
        }
    }

    /// Carries out several actions in one process and returns their results, in order.
    ///
    /// # Errors
    /// [`LabError`] if they do not all end within a minute of guest time.
    pub fn observe_all_as(&mut self, caller: Caller, actions: Vec<Action>) -> Result<Vec<Observed>, LabError> {
        let count = actions.len();
        let ends = self.run_all(vec![Group { caller, actions, count: 1, ..Group::default() }])?;
        let results: Vec<Observed> = ends.into_iter().flat_map(|end| end.results).map(Observed::from).collect();
        if results.len() < count {
            return Err(LabError::Unexpected(format!("{} results instead of {count}", results.len())));
        }
        Ok(results)
    }

    /// Starts groups of jobs at the same moment and waits until all have ended. Returns the ends in the order of the
    /// groups.
    ///
    /// # Errors
    /// [`LabError`] if one cannot be started or does not end within a minute of guest time.
    pub fn run_all(&mut self, groups: Vec<Group>) -> Result<Vec<JobEnd>, LabError> {
        let count: u32 = groups.iter().map(|group| group.count).sum();
        let jobs = self.start_all(groups)?;
        if u32::try_from(jobs.len()) != Ok(count) {
            return Err(LabError::Unexpected(format!("{} jobs instead of {count}", jobs.len())));
        }
        jobs.into_iter().map(|job| self.wait_for(job)).collect()
    }
}
