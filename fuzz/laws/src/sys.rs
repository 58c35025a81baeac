//! Functions of the C library that serve as oracles.

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;
use std::sync::{Mutex, PoisonError};

/// Whether fnmatch(3) without flags matches; `None` if a text contains a NUL, which it cannot.
pub(crate) fn fnmatch(pattern: &[u8], name: &[u8]) -> Option<bool> {
    let (pattern, name) = (CString::new(pattern).ok()?, CString::new(name).ok()?);
    // SAFETY: both are NUL-terminated strings that outlive the call, which only reads them.
    Some(unsafe { libc::fnmatch(pattern.as_ptr(), name.as_ptr(), 0) } == 0)
}

/// An option for [`getopt_long`].
pub(crate) struct LongOption {
    pub(crate) name: &'static CStr,
    pub(crate) has_value: bool,
    /// The returned number of the option; names with the same number are the same option.
    pub(crate) number: u8,
}

/// What getopt_long(3) finds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The numbers or letters of the options in order, with their values.
    pub(crate) options: Vec<(u8, Option<Vec<u8>>)>,
    pub(crate) operands: Vec<Vec<u8>>,
    /// Whether it ended at an invalid option.
    pub(crate) invalid: bool,
}

/// struct option of getopt.h.
#[repr(C)]
struct RawOption {
    name: *const c_char,
    has_arg: c_int,
    flag: *mut c_int,
    val: c_int,
}

unsafe extern "C" {
    fn getopt_long(
        argc: c_int,
        argv: *const *mut c_char,
        letters: *const c_char,
        options: *const RawOption,
        index: *mut c_int,
    ) -> c_int;
    static mut optind: c_int;
    static mut opterr: c_int;
    static mut optarg: *mut c_char;
}

/// Parses arguments with the C library's getopt_long(3), up to the first invalid option or one for which `ends` is true.
/// `letters` is its string of short options. Returns `None` if an argument contains a NUL.
pub(crate) fn parse_options(
    words: &[Vec<u8>],
    letters: &CStr,
    options: &[LongOption],
    ends: impl Fn(u8) -> bool,
) -> Option<Found> {
    /// The variables of getopt(3) are global.
    static VARIABLES: Mutex<()> = Mutex::new(());
    let _guard = VARIABLES.lock().unwrap_or_else(PoisonError::into_inner);
    let words: Vec<CString> = words.iter().map(|word| CString::new(word.as_slice()).ok()).collect::<Option<_>>()?;
    let program = c"program";
    let argv =
        [program.as_ptr()].into_iter().chain(words.iter().map(|word| word.as_ptr())).map(<*const c_char>::cast_mut);
    let argv: Vec<*mut c_char> = argv.chain([ptr::null_mut()]).collect();
    let count = c_int::try_from(argv.len() - 1).ok()?;
    let raw = |option: &LongOption| RawOption {
        name: option.name.as_ptr(),
        has_arg: c_int::from(option.has_value),
        flag: ptr::null_mut(),
        val: c_int::from(option.number),
    };
    let end = RawOption { name: ptr::null(), has_arg: 0, flag: ptr::null_mut(), val: 0 };
    let options: Vec<RawOption> = options.iter().map(raw).chain([end]).collect();
    let mut found = Found::default();
    // SAFETY: the lock makes this the only user of getopt's variables. It permutes the pointers of `argv`, which ends with a null
    // pointer, and does not write to the strings. All strings and both arrays outlive the loop; 0 in `optind` makes getopt
    // forget the arguments of earlier calls.
    unsafe {
        optind = 0;
        opterr = 0;
        loop {
            let value = getopt_long(count, argv.as_ptr(), letters.as_ptr(), options.as_ptr(), ptr::null_mut());
            match u8::try_from(value) {
                Err(_) => break,
                Ok(b'?' | b':') => {
                    found.invalid = true;
                    return Some(found);
                }
                Ok(option) => {
                    let argument = ptr::replace(&raw mut optarg, ptr::null_mut());
                    let argument = (!argument.is_null()).then(|| CStr::from_ptr(argument).to_bytes().to_vec());
                    found.options.push((option, argument));
                    if ends(option) {
                        return Some(found);
                    }
                }
            }
        }
        let first = usize::try_from(optind).ok()?;
        let operands = argv.get(first..argv.len() - 1)?.iter();
        found.operands = operands.map(|operand| CStr::from_ptr(*operand).to_bytes().to_vec()).collect();
    }
    Some(found)
}
