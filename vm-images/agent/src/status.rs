//! `/proc/PID/status`: lines of `Name:\tvalues`.

/// A status file.
pub struct Status<'a>(pub &'a [u8]);

impl Status<'_> {
    /// Returns the value after `name:`, without surrounding white space.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.0.split(|&b| b == b'\n').find_map(|line| {
            let rest = line.strip_prefix(name.as_bytes())?.strip_prefix(b":")?;
            Some(rest.trim_ascii())
        })
    }

    /// Returns a number in base 10.
    pub fn number(&self, name: &str) -> Option<u32> {
        number(self.field(name)?, 10).map(|n| n as u32)
    }

    /// Returns a number in base 8.
    pub fn octal(&self, name: &str) -> Option<u32> {
        number(self.field(name)?, 8).map(|n| n as u32)
    }

    /// Returns a number in base 16.
    pub fn hex(&self, name: &str) -> Option<u64> {
        number(self.field(name)?, 16)
    }

    /// Returns the first three numbers of `Uid` or `Gid`: real, effective, saved.
    pub fn ids(&self, name: &str) -> Option<[u32; 3]> {
        let mut ids = self.field(name)?.split(u8::is_ascii_whitespace).filter_map(|id| number(id, 10));
        Some([ids.next()? as u32, ids.next()? as u32, ids.next()? as u32])
    }
}

/// Parses the whole `text` as a number.
pub fn number(text: &[u8], radix: u32) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(text).ok()?, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &[u8] =
        b"Name:\tmodprobe\nUmask:\t0022\nState:\tR (running)\nPid:\t77\nUid:\t0\t1\t2\t3\nGid:\t5\t5\t5\t5\n\
        SigBlk:\t0000000000000000\nCapBnd:\t000001ffffffffff\nNoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t1\n";

    #[test]
    fn fields_are_looked_up_by_their_full_name() {
        let status = Status(SAMPLE);
        assert_eq!(status.octal("Umask"), Some(0o22));
        assert_eq!(status.ids("Uid"), Some([0, 1, 2]));
        assert_eq!(status.hex("CapBnd"), Some(0x1ff_ffff_ffff));
        assert_eq!(status.number("Seccomp"), Some(2));
        assert_eq!(status.field("Sec"), None);
        assert_eq!(status.number("State"), None);
    }

    #[test]
    fn arbitrary_bytes_do_not_panic() {
        arbtest::arbtest(|u| {
            let bytes: Vec<u8> = u.arbitrary()?;
            let status = Status(&bytes);
            let _ = (status.ids("Uid"), status.hex(""), status.octal("a"), status.number("Pid"));
            Ok(())
        });
    }
}
