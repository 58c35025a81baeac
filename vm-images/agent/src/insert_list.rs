//! The list of modules that the agent inserts before it answers the host, as a file of the initramfs: one line for each,
//! its path and its parameters.

/// The file with the list. Without it nothing is inserted.
pub const LIST: &str = "/lib/kmodlab/insert";

/// A module of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Module<'a> {
    /// The path in the guest.
    pub path: &'a [u8],
    /// The parameters, separated by spaces.
    pub parameters: &'a [u8],
}

impl<'a> Module<'a> {
    /// Returns the name: that of the file, without its suffix.
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        let file = self.path.rsplit(|&byte| byte == b'/').next().unwrap_or(self.path);
        file.split(|&byte| byte == b'.').next().unwrap_or(file)
    }
}

/// Returns the modules of a list. Empty lines are ignored.
pub fn parse(list: &[u8]) -> impl Iterator<Item = Module<'_>> {
    let lines = list.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| match line.iter().position(|&byte| byte == b' ') {
        Some(at) => Module { path: &line[..at], parameters: &line[at + 1..] },
        None => Module { path: line, parameters: b"" },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_path_and_parameters() {
        let list = b"/lib/kmodlab/rust_kmod.ko policy=ancestry earlier=3\n\n/a\n";
        let modules: Vec<Module<'_>> = parse(list).collect();
        assert_eq!(modules.len(), 2);
        assert_eq!(modules[0].name(), b"rust_kmod");
        assert_eq!(modules[0].parameters, b"policy=ancestry earlier=3");
        assert_eq!(modules[1], Module { path: b"/a", parameters: b"" });
    }
}
