//! Names of errno values, as the field writes them. Source: `include/uapi/asm-generic/errno-base.h`, `errno.h`.

use agent::proto::Errno;

/// The symbolic name, such as `ENOENT`; an unknown number as `errno N`.
#[must_use]
pub fn name(errno: Errno) -> String {
    NAMES
        .iter()
        .find(|(number, _)| *number == errno.0)
        .map_or_else(|| format!("errno {}", errno.0), |(_, name)| (*name).to_owned())
}

macro_rules! errnos {
    ($($name:ident)*) => {
        const NAMES: &[(i32, &str)] = &[$((libc::$name, stringify!($name))),*];
        $(
            #[doc = concat!("`", stringify!($name), "`")]
            pub const $name: Errno = Errno(libc::$name);
        )*
    };
}

errnos! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY EEXIST EXDEV
    ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK
    ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP ENOMSG ENODATA ETIME ENOPKG ENOLINK EPROTO EBADMSG EOVERFLOW EILSEQ EUSERS
    ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT
    EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ECONNRESET ENOBUFS EISCONN ENOTCONN ETIMEDOUT ECONNREFUSED
    EALREADY EINPROGRESS ESTALE EDQUOT ECANCELED ENOKEY EKEYEXPIRED EKEYREVOKED EKEYREJECTED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_names() {
        assert_eq!(name(ETIME), "ETIME");
        assert_eq!(name(Errno(62)), "ETIME");
        assert_eq!(name(Errno(9999)), "errno 9999");
    }
}
