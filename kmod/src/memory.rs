//! Checks that there is enough memory ahead of many small allocations whose number follows the size of a file. Each of them would
//! abort the program if it failed; a check ahead of them turns that into an error that names the file.

use std::collections::TryReserveError;

/// The memory that a check leaves for the rest of the program, in bytes.
const RESERVE: usize = 8 << 20;

/// Fails if there is not enough memory for this many bytes and for the rest of the program.
pub(crate) fn require(length: usize) -> Result<(), TryReserveError> {
    let mut probe: Vec<u8> = Vec::new();
    probe.try_reserve_exact(length.saturating_add(RESERVE))?;
    // The compiler may remove an allocation that is not used.
    std::hint::black_box(&probe);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_no_machine_has_is_an_error() {
        assert!(require(0).is_ok());
        assert!(require(usize::MAX).is_err());
        assert!(require(isize::MAX as usize - RESERVE).is_err());
    }
}
