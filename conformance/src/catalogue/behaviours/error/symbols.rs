//! Modules for another kernel: version magics, symbol versions, licences and symbols.

use crate::catalogue::entry::Check;
use crate::check::errno;
use crate::check::fact::List;
use crate::check::lab::{Lab, LabError};
use crate::check::module_file::{ModuleFile, finit};
use agent::proto::Action;

pub(super) fn version_magic(lab: &mut Lab<'_>) -> Check {
    const KEY: &[u8] = b"vermagic=";
    let file = lab.unsigned_module("dummy")?;
    let at = file.find(KEY)? + KEY.len();
    let magic = file.image()[at..].split(|&byte| byte == 0).next().unwrap_or_default();
    let magic = String::from_utf8_lossy(magic).into_owned();
    let Some((release, flags)) = magic.split_once(' ').filter(|(_, flags)| !flags.is_empty()) else {
        return Err(LabError::Need("a kernel whose version magic has flags".to_owned()));
    };
    let (other_release, other_flags) = (format!("x{}", &release[1..]), format!("x{}", &flags[1..]));
    let shown = |line: String| {
        let line = line
            .replace(&other_release, "OTHER-RELEASE")
            .replace(&format!("RELEASE {other_flags}"), "RELEASE OTHER-FLAGS");
        line.replace(flags, "FLAGS")
    };
    lab.mark_kmsg()?;

    lab.change(file.path(), &[(at + release.len() + 1, b"x".to_vec())])?;
    let got = lab.load_result(finit(file.path(), ""))?;
    lab.expect("other flags", got, errno::ENOEXEC);
    let lines = lab.new_lines()?.into_iter().map(shown).collect();
    let line = "<3> dummy: version magic 'RELEASE OTHER-FLAGS' should be 'RELEASE FLAGS'";
    lab.expect("other flags: kernel log", List(lines), List(vec![line]));

    lab.change(file.path(), &[(at, format!("{other_release} {flags}").into_bytes())])?;
    let got = lab.load_result(finit(file.path(), ""))?;
    let lines = lab.new_lines()?.into_iter().map(shown).collect();
    if lab.probe("modversions")? == "on" {
        lab.expect("other release", got, 0_u32);
        lab.expect("other release: kernel log", List(lines), List::<&str>(vec![]));
    } else {
        lab.expect("other release", got, errno::ENOEXEC);
        let line = "<3> dummy: version magic 'OTHER-RELEASE FLAGS' should be 'RELEASE FLAGS'";
        lab.expect("other release: kernel log", List(lines), List(vec![line]));
    }
    Ok(())
}

pub(super) fn symbol_versions(lab: &mut Lab<'_>) -> Check {
    let file = lab.unsigned_module("dummy")?;
    let layout = version(&file, "module_layout")?;
    let symbol = version(&file, "alloc_netdev_mqs")?;
    let flipped = |at: usize| vec![!file.image()[at]];
    lab.mark_kmsg()?;
    let line = "<4> dummy: disagrees about version of symbol module_layout";
    lab.expect_load_changed("module_layout", &file, &[(layout - 8, flipped(layout - 8))], errno::ENOEXEC, &[line])?;
    let lines = [
        "<4> dummy: disagrees about version of symbol alloc_netdev_mqs",
        "<4> dummy: Unknown symbol alloc_netdev_mqs (err -22)",
    ];
    lab.expect_load_changed("other version", &file, &[(symbol - 8, flipped(symbol - 8))], errno::EINVAL, &lines)?;
    let lines =
        ["<4> dummy: no symbol version for alloc_netdev_mqs", "<4> dummy: Unknown symbol alloc_netdev_mqs (err -22)"];
    lab.expect_load_changed("no version", &file, &[(symbol, b"x".to_vec())], errno::EINVAL, &lines)?;
    lab.expect_load("no change", finit(file.path(), ""), 0_u32, &[])
}

/// Returns the offset of a symbol's name in `__versions`, where it is padded with NULs and follows the version.
fn version(file: &ModuleFile, symbol: &str) -> Result<usize, LabError> {
    file.find(&[symbol.as_bytes(), &[0; 16]].concat())
}

pub(super) fn licence(lab: &mut Lab<'_>) -> Check {
    let taints = lab.taints()? | 1 << TAINT_UNSIGNED;
    let file = lab.unsigned_module("nls_utf8")?;
    let at = file.find(b"license=Dual BSD/GPL\0")? + "license=".len();
    lab.mark_kmsg()?;
    for licence in ["GPL", "GPL v2", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"] {
        let padded = [licence.as_bytes(), &vec![0; "Dual BSD/GPL".len() - licence.len()]].concat();
        lab.expect_load_changed(licence, &file, &[(at, padded)], 0_u32, &[])?;
        lab.unload("nls_utf8")?;
    }
    lab.expect_new_taints("taint flags of GPL licences", taints, &[])?;

    let dummy = lab.unsigned_module("dummy")?;
    let licence_of_dummy = dummy.find(b"license=GPL\0")? + "license=".len();
    lab.change(dummy.path(), &[(licence_of_dummy, b"XXX".to_vec())])?;
    let got = lab.load_result(finit(dummy.path(), ""))?;
    lab.expect("GPL-only symbols", got, errno::ENOENT);
    let lines = lab.new_lines()?;
    let with = |text: &str| List(lines.iter().filter(|line| line.contains(text)).cloned().collect());
    lab.expect(
        "GPL-only symbols: licence",
        with("module license '"),
        List(vec!["<4> dummy: module license 'XXX' taints kernel."]),
    );
    for (symbol, gpl_only) in [("rtnl_link_unregister", true), ("alloc_netdev_mqs", false)] {
        let line = format!("<4> dummy: Unknown symbol {symbol} (err -2)");
        let expected = if gpl_only { vec![line] } else { vec![] };
        lab.expect(&format!("GPL-only symbols: {symbol}"), with(&format!(" {symbol} ")), List(expected));
    }
    lab.expect_new_taints("taint flags of another licence", taints, &["P"])?;

    // Without GPL-only symbols the licence does not matter, and the kernel is tainted already.
    lab.expect_load_changed("no GPL-only symbols", &file, &[(at, b"BSD\0".to_vec())], 0_u32, &[])?;
    let taints = lab.read("/sys/module/nls_utf8/taint")?;
    lab.expect("taint of the module", String::from_utf8_lossy(&taints).contains('P'), true);
    Ok(())
}

/// The bit of the taint flag of an unsigned module.
const TAINT_UNSIGNED: u32 = 13;

pub(super) fn unknown_symbols(lab: &mut Lab<'_>) -> Check {
    let file = lab.unsigned_module("garp")?;
    lab.mark_kmsg()?;
    let got = lab.load_result(finit(file.path(), ""))?;
    lab.expect("finit_module(2)", got, errno::ENOENT);
    let mut lines = lab.new_lines()?;
    lines.sort();
    let symbols = ["llc_mac_hdr_init", "stp_proto_register", "stp_proto_unregister"];
    let expected = symbols.map(|symbol| format!("<4> garp: Unknown symbol {symbol} (err -2)"));
    lab.expect("kernel log, sorted", List(lines), List(expected.to_vec()));
    lab.load("llc")?;
    lab.load("stp")?;
    lab.mark_kmsg()?;
    lab.expect_load("with its dependencies", finit(file.path(), ""), 0_u32, &[])
}

impl Lab<'_> {
    /// Removes a module, which must succeed.
    fn unload(&mut self, name: &str) -> Result<(), LabError> {
        self.arrange(Action::DeleteModule { name: name.as_bytes().to_vec(), flags: libc::O_NONBLOCK as u32 })?;
        Ok(())
    }
}
