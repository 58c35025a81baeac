//! Texts that several commands share in their help: terms, filter expressions, exit codes.

pub(super) const TERMS: &str = "\
Terms:
  behaviour  a statement about module auto-loading, and a check of it that runs in its own guest
  subject    the module tools under test: modprobe, insmod and so on
  row        one behaviour on one kernel with one subject
  finding    a kernel warning, oops or similar on the console
  known deviation
             a result that differs from the expected one in a way that the check lists, with a reason
  inconclusive
             a row without a result, because kmodlab or its guest failed; reported as an error";

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0    at least one behaviour passed; the rest passed, are known deviations or were skipped
  1    a behaviour failed
  2    invalid arguments or no behaviour selected; nothing was built or booted
  125  no behaviour failed, but one is inconclusive, a required one was skipped, or none passed";

/// The syntax of filter expressions.
pub(super) const FILTERS: &str = "\
Filter expressions:
  group(loop)  id(path.*)  catalogue(PATH-06)  about(kernel)  about(both)  needs(depmod)  all()
    Match a property of a behaviour. The argument is a glob for the whole text (*, ?), a regular
    expression for a part of it (/regex/), or the exact text (=text).
  !a   a & b   a - b (a but not b)   a | b   ( )
    Combine expressions. ! binds tightest, then & and -, then |.
  Several -E options select the behaviours that match any of them; IDs narrow the selection further.
  A term that no behaviour matches is an error.";

/// The help of `--kernel` for a command that accepts only one.
pub(super) const ONE_KERNEL: &str = "Boot this kernel: a name in the catalogue (see `kmodlab kernel list`), the path of a bzImage, \
    a built kernel tree or its `make O=` directory, or `host` for the kernel of this machine \
    [default: the default kernel]";

/// The help of `--subject` for a command that accepts only one.
pub(super) const ONE_SUBJECT: &str = "Test these module tools: `ours`, a name in the catalogue (see `kmodlab subject list`), \
    a program, or a directory of programs";

pub(super) const DOCTOR_CODES: &str = "\
Exit codes:
  0    this machine can run guests
  2    invalid arguments
  125  something that every guest needs is missing";

pub(super) const FETCH_CODES: &str = "\
Exit codes:
  0    everything was fetched or is in the cache
  2    invalid arguments
  125  something is not available, or cannot be fetched";

pub(super) const BUILD_CODES: &str = "\
Exit codes:
  0    the kernel was built or is in the cache
  2    invalid arguments
  125  the sources are not available, or the build failed";

pub(super) const CONFIG_CHECK_CODES: &str = "\
Exit codes:
  0    kmodlab itself needs no further options
  1    kmodlab itself needs an option that is missing
  2    invalid arguments
  125  a kernel or its configuration is not available";

pub(super) const LIST_CACHE_CODES: &str = "\
Exit codes:
  0    the cache was read
  2    invalid arguments, or the cache directory cannot be used
  125  the cache cannot be read";

pub(super) const VERIFY_CODES: &str = "\
Exit codes:
  0    no entry is damaged
  1    an entry was damaged
  2    invalid arguments, or the cache directory cannot be used
  125  the cache cannot be checked";

pub(super) const PRUNE_CODES: &str = "\
Exit codes:
  0    the cache was pruned; entries in use were kept
  2    invalid arguments, or the cache directory cannot be used
  125  the cache cannot be read or changed";
