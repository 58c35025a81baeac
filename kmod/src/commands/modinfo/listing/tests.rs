//! Tests of listings for people and programs.

use super::*;
use crate::object::Modinfo;

const MODULE: &[u8] = b"license=GPL\0parm=x:the x\0parmtype=y:int\0parmtype=x:charp\0parm=z:only text\0parm=nocolon\0\
    parm=x:the last x\0a_key_of_fifteen=1\0a_key_of_fiftee=2\0a_key_of_fourt=3\0noequals\0alias=pci:*\0alias=b\0\
    name=y\0parmtype=:\0parm=xx:y:z\0parmtype=xx:a:b\0";

fn signature() -> Signature<'static> {
    Signature {
        id_type: crate::object::signature::IdType::Pkcs7,
        signer: b"A key",
        key: b"\x01\xff"[..].into(),
        hash: "sha256".into(),
        bytes: &[0xab; 41],
    }
}

fn style(field: &str, null: bool) -> Style {
    Style { field: (!field.is_empty()).then(|| field.into()), null }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap().replace('\0', "|").replace('\t', "<tab>")
}

fn listed(style: &Style, module: &[u8]) -> String {
    text(&style.list(Modinfo::new(module).iter(), Some(&signature())).text)
}

#[test]
fn a_listing_has_columns_and_ends_with_the_parameters() {
    insta::assert_snapshot!(listed(&Style::default(), MODULE), @r"
    license:        GPL
    a_key_of_fifteen:1
    a_key_of_fiftee:2
    a_key_of_fourt: 3
    noequals:       
    alias:          pci:*
    alias:          b
    name:           y
    sig_id:         PKCS#7
    signer:         A key
    sig_key:        01:FF
    sig_hashalgo:   sha256
    signature:      AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:
    <tab><tab>AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:
    <tab><tab>AB
    parm:           xx:y:z (a:b)
    parm:           :
    parm:           z:only text
    parm:           y:int
    parm:           x:the last x (charp)
    ");
}

#[test]
fn a_parameter_without_a_colon_is_invalid_and_omitted() {
    let listing = Style::default().list(Modinfo::new(MODULE).iter(), None);
    assert_eq!(listing.invalid, [b"parm=nocolon"]);
    assert!(!text(&listing.text).contains("nocolon"));
    // Unless the raw field is selected.
    let listing = style("parmtype", false).list(Modinfo::new(&b"parmtype=nocolon"[..]).iter(), None);
    assert_eq!((text(&listing.text).as_str(), listing.invalid.len()), ("nocolon\n", 0));
}

#[test]
fn one_field_is_printed_without_its_key() {
    let field = |field: &str| listed(&style(field, false), MODULE);
    assert_eq!(field("alias"), "pci:*\nb\n");
    assert_eq!(field("noequals"), "\n");
    assert_eq!(field("name"), "y\n");
    assert_eq!(field("nosuch"), "");
    assert_eq!(field("parmtype"), "y:int\nx:charp\n:\nxx:a:b\n");
    assert_eq!(field("parm"), "xx:y:z (a:b)\n: ()\nz:only text\ny: (int)\nx:the last x (charp)\n");
    assert_eq!(field("signer"), "A key\n");
    let line = [&"AB:".repeat(20)[..], "\n<tab><tab>"].concat();
    assert_eq!(field("signature"), format!("{line}{line}AB\n"));
}

#[test]
fn null_separated_entries_are_key_and_value() {
    insta::assert_snapshot!(listed(&style("", true), b"license=GPL\0bare\0parm=x:y\0a=b\nc"), @r"
    license=GPL|bare=|a=b
    c|sig_id=PKCS#7|signer=A key|sig_key=01:FF|sig_hashalgo=sha256|signature=AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:
    <tab><tab>AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:
    <tab><tab>AB|parm:           x:y|
    ");
    assert_eq!(listed(&style("alias", true), MODULE), "pci:*|b|");
}

#[test]
fn the_heading_is_the_file_or_the_name_of_a_built_in_module() {
    let heading = |field, path| text(&style(field, false).heading(b"x", path));
    assert_eq!(heading("", Some(&b"/m/x.ko"[..])), "filename:       /m/x.ko\n");
    assert_eq!(heading("", None), "name:           x\nfilename:       (builtin)\n");
    assert_eq!(heading("filename", Some(b"/m/x.ko")), "/m/x.ko\n");
    assert_eq!(heading("filename", None), "(builtin)\n");
    assert_eq!(heading("name", Some(b"/m/x.ko")), "");
    assert_eq!(heading("name", None), "x\n");
    assert_eq!(heading("license", None), "");
    assert_eq!(text(&style("", true).heading(b"x", None)), "name:           x|filename:       (builtin)|");
}

#[test]
fn values_cannot_send_escape_sequences_or_imitate_a_key() {
    let readable = |bytes: &[u8]| readable(bytes).into_owned();
    assert_eq!(readable(b"a\x1b[2J\x7f\0\rb\tc\\d"), b"a\\x1b[2J\\x7f\\x00\\x0db\tc\\d");
    assert_eq!(readable(b"one\nlicense: GPL"), b"one\n\t\tlicense: GPL");
    assert_eq!(readable("Jérôme 模块".as_bytes()), "Jérôme 模块".as_bytes());
    // U+009B begins an escape sequence; alone in Latin-1 as well.
    assert_eq!(readable("\u{9b}2J".as_bytes()), b"\\xc2\\x9b2J");
    assert_eq!(readable(b"J\xe9r\xf4me\x9b2J"), b"J\xe9r\xf4me\\x9b2J");
    let module = b"ke\ny=v\x1b\0parm=p:d\x1b";
    assert_eq!(listed(&style("", false), module).lines().next(), Some("ke"));
    // For programs the bytes are unchanged.
    assert_eq!(style("parm", false).list(Modinfo::new(&module[..]).iter(), None).text, b"p:d\x1b\n");
}

#[test]
fn no_input_puts_a_control_character_into_a_listing() {
    arbtest::arbtest(|u| {
        let (module, null): (Vec<u8>, bool) = u.arbitrary()?;
        let modinfo = Modinfo::new(&module);
        let listing = style("", null).list(modinfo.iter(), Some(&signature()));
        if null {
            return Ok(());
        }
        for line in listing.text.split(|byte| *byte == b'\n') {
            assert!(line.iter().all(|byte| !byte.is_ascii_control() || *byte == b'\t'), "{line:?}");
        }
        let (once, key) = (readable(&module), u.arbitrary::<Vec<u8>>()?);
        assert_eq!(readable(&once), once);
        let _ = style(&String::from_utf8_lossy(&key), null).list(modinfo.iter(), None);
        Ok(())
    });
}
