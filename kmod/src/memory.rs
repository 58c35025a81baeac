//! Checks that there is enough memory ahead of many small allocations whose number follows the size of a file. Each of them would
//! abort the program if it failed; a check ahead of them turns that into an error that names the file.

use std::collections::TryReserveError;

/// The memory that a check leaves for the rest of the program, in bytes.
const RESERVE: usize = 8 << 20;

/// The memory that a buffer for the content of a file leaves for small allocations, in bytes: paths, messages, tables.
const HEADROOM: usize = 1 << 20;

/// Up to this size, in bytes, a buffer is a small allocation itself.
const SMALL: usize = 64 << 10;

/// Fails if there is not enough memory for this many bytes and for the rest of the program.
pub(crate) fn require(length: usize) -> Result<(), TryReserveError> {
    allocate(length.saturating_add(RESERVE))
}

/// Fails if this many bytes cannot be allocated.
pub(crate) fn allocate(length: usize) -> Result<(), TryReserveError> {
    let mut probe: Vec<u8> = Vec::new();
    probe.try_reserve_exact(length)?;
    // The compiler may remove an allocation that is not used.
    std::hint::black_box(&probe);
    Ok(())
}

/// Reserves memory for the content of a file: with room to grow if there is enough memory, otherwise exactly. Fails also if nothing
/// would be left for small allocations, and then returns the memory.
pub(crate) fn reserve<T>(buffer: &mut Vec<T>, additional: usize) -> Result<(), TryReserveError> {
    with_headroom(buffer, additional, |buffer| {
        buffer.try_reserve(additional).or_else(|_| buffer.try_reserve_exact(additional))
    })
}

/// Like [`reserve`], without room to grow.
pub(crate) fn reserve_exact<T>(buffer: &mut Vec<T>, additional: usize) -> Result<(), TryReserveError> {
    with_headroom(buffer, additional, |buffer| buffer.try_reserve_exact(additional))
}

fn with_headroom<T>(
    buffer: &mut Vec<T>,
    additional: usize,
    reserve: impl FnOnce(&mut Vec<T>) -> Result<(), TryReserveError>,
) -> Result<(), TryReserveError> {
    if buffer.capacity() - buffer.len() >= additional {
        return Ok(());
    }
    reserve(buffer)?;
    if buffer.capacity() * size_of::<T>() <= SMALL {
        return Ok(());
    }
    let result = allocate(HEADROOM);
    if result.is_err() {
        buffer.shrink_to_fit();
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_leaves_no_memory_is_an_error() {
        let mut buffer = b"kept".to_vec();
        assert!(reserve(&mut buffer, isize::MAX as usize - 4).is_err());
        assert!(reserve_exact(&mut buffer, usize::MAX).is_err());
        assert_eq!(buffer, b"kept");
        reserve(&mut buffer, SMALL).unwrap();
        let capacity = buffer.capacity();
        reserve(&mut buffer, 1).unwrap();
        assert_eq!(buffer.capacity(), capacity);
    }

    #[test]
    fn a_size_that_no_machine_has_is_an_error() {
        assert!(require(0).is_ok());
        assert!(require(usize::MAX).is_err());
        assert!(require(isize::MAX as usize - RESERVE).is_err());
    }
}
