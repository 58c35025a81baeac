//! How a helper fails, for kernels that log it.

/// How a helper failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It could not be executed; with the errno as a positive number.
    NotExecuted(u16),
    /// It was killed by this signal.
    Killed(u8),
    /// It exited with this status, which is not 0.
    Exited(u8),
}

impl Failure {
    /// Returns the failure in what `call_usermodehelper_exec()` returned: 0, a negative errno, or a wait status. None if the
    /// helper succeeded, and if the caller was killed, after which nothing is known about the helper.
    #[must_use]
    pub fn of_result(result: i32) -> Option<Self> {
        const ERESTARTSYS: u16 = 512;
        const EINTR: u16 = 4;
        match (u16::try_from(result.unsigned_abs()).unwrap_or(u16::MAX), result < 0) {
            (0, _) | (ERESTARTSYS | EINTR, true) => None,
            (errno, true) => Some(Self::NotExecuted(errno)),
            (status, false) => match (status & 0x7f, status >> 8) {
                (0, status) => Some(Self::Exited((status & 0xff) as u8)),
                (signal, _) => Some(Self::Killed(signal as u8)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_an_errno_or_a_wait_status() {
        assert_eq!(Failure::of_result(0), None);
        assert_eq!(Failure::of_result(-512), None);
        assert_eq!(Failure::of_result(-2), Some(Failure::NotExecuted(2)));
        assert_eq!(Failure::of_result(-13), Some(Failure::NotExecuted(13)));
        assert_eq!(Failure::of_result(1 << 8), Some(Failure::Exited(1)));
        assert_eq!(Failure::of_result(255 << 8), Some(Failure::Exited(255)));
        assert_eq!(Failure::of_result(9), Some(Failure::Killed(9)));
        assert_eq!(Failure::of_result(0x80 | 11), Some(Failure::Killed(11)));
        assert_eq!(Failure::of_result(i32::MIN), Some(Failure::NotExecuted(u16::MAX)));
    }
}
