//! Files that are not modules, or damaged ones.

use crate::catalogue::entry::Check;
use crate::check::errno;
use crate::check::lab::{Lab, LabError, SCRATCH};
use crate::check::module_file::{
    Change, FILE_TYPE, FLAGS, LINK, MACHINE, ModuleFile, NAME, NAMES, OFFSET, SECTION_COUNT, SECTION_LENGTH, SECTIONS,
    SIZE, TYPE, finit, set,
};
use crate::check::xz::Check as XzCheck;
use agent::proto::Action;

/// The line about any invalid ELF file of kernels without specific messages.
const GENERIC: &str = "<3> Module has invalid ELF structures";
const MAGIC: &str = "<3> Invalid ELF header magic: != \\x7fELF";
const OVERFLOW: &str = "<3> Invalid ELF section header overflow";

/// Returns the line that the kernel logs about an invalid ELF file.
fn line<'a>(lab: &Lab<'_>, specific: &'a str) -> Result<&'a str, LabError> {
    Ok(if lab.probe("elf-messages")? == "generic" { GENERIC } else { specific })
}

pub(super) fn short_file(lab: &mut Lab<'_>) -> Check {
    let path = format!("{SCRATCH}/short.ko");
    lab.mark_kmsg()?;
    lab.write(&path, b"")?;
    lab.expect_load("empty file", finit(&path, ""), errno::EINVAL, &[])?;
    for length in [4_usize, 63] {
        let header = [b"\x7fELF".as_slice(), &vec![0; length - 4]].concat();
        lab.write(&path, &header)?;
        let specific = format!("<3> Invalid ELF header len {length}");
        let expected = line(lab, &specific)?;
        lab.expect_load(&format!("{length} bytes"), finit(&path, ""), errno::ENOEXEC, &[expected])?;
    }
    // One byte more is a header.
    lab.write(&path, &[b"\x7fELF".as_slice(), &[0; 60]].concat())?;
    let expected = line(lab, "<3> Invalid ELF header type: 0 != 1")?;
    lab.expect_load("64 bytes", finit(&path, ""), errno::ENOEXEC, &[expected])?;
    // init_module(2) copies the file itself. It logs nothing for such a length.
    let image = Action::InitModule { image: b"\x7fELF".to_vec(), params: Vec::new() };
    lab.expect_load("init_module(2), 4 bytes", image, errno::ENOEXEC, &[])
}

pub(super) fn not_elf(lab: &mut Lab<'_>) -> Check {
    let path = format!("{SCRATCH}/text.ko");
    let magic = line(lab, MAGIC)?;
    lab.mark_kmsg()?;
    for (what, bytes) in [("text", b"not a module\n".repeat(8)), ("zeros", vec![0; 4096])] {
        lab.write(&path, &bytes)?;
        lab.expect_load(what, finit(&path, ""), errno::ENOEXEC, &[magic])?;
    }
    let file = lab.write_xz("nls_utf8", XzCheck::Crc32)?;
    lab.expect_load("xz without the flag", finit(&file, ""), errno::ENOEXEC, &[magic])?;
    let file = lab.unsigned_module("nls_utf8")?;
    for at in 0..4 {
        let what = format!("byte {at} of the magic number");
        lab.expect_load_changed(&what, &file, &[(at, vec![b'x'])], errno::ENOEXEC, &[magic])?;
    }
    Ok(())
}

pub(super) fn truncated(lab: &mut Lab<'_>) -> Check {
    let overflow = line(lab, OVERFLOW)?;
    let file = lab.unsigned_module("nls_utf8")?;
    let path = format!("{SCRATCH}/truncated.ko");
    lab.mark_kmsg()?;
    lab.write(&path, b"")?;
    let image = file.image();
    let lengths = [("the header alone", 64), ("half", image.len() / 2), ("all but a byte", image.len() - 1)];
    let mut written = 0;
    for (what, length) in lengths {
        lab.change(&path, &[(written, image[written..length].to_vec())])?;
        lab.expect_load(what, finit(&path, ""), errno::ENOEXEC, &[overflow])?;
        written = length;
    }
    lab.change(&path, &[(written, image[written..].to_vec())])?;
    lab.expect_load("all", finit(&path, ""), 0_u32, &[])
}

pub(super) fn elf_header(lab: &mut Lab<'_>) -> Check {
    let file = damaged_module(lab)?;
    let length = file.image().len() as u64;
    let one_too_many = (length - file.number(0, SECTIONS)? as u64) / 64 + 1;
    let names =
        |index: u64| format!("<3> Invalid ELF section name index: {index} || e_shstrndx ({index}) >= e_shnum (COUNT)");
    let cases = [
        case("e_type: executable", set(0, FILE_TYPE, 2), "<3> Invalid ELF header type: 2 != 1"),
        case("e_machine: AArch64", set(0, MACHINE, 183), "<3> Invalid architecture in ELF header: 183"),
        case("e_shentsize too small", set(0, SECTION_LENGTH, 63), "<3> Invalid ELF section header size"),
        case("e_shoff after the end", set(0, SECTIONS, length), OVERFLOW),
        case("e_shoff too large to add to", set(0, SECTIONS, u64::MAX - 63), OVERFLOW),
        case("e_shnum one too large", set(0, SECTION_COUNT, one_too_many), OVERFLOW),
        case("e_shstrndx 0", set(0, NAMES, 0), &names(0)),
        case("e_shstrndx reserved", set(0, NAMES, 0xff00), &names(0xff00)),
    ];
    expect_all_refused(lab, &file, &cases)
}

pub(super) fn section_headers(lab: &mut Lab<'_>) -> Check {
    const SYMBOL_TABLE: usize = 2;
    const ALLOCATED: usize = 2;
    let mut file = damaged_module(lab)?;
    let first = file.section(0)?;
    let (number, symbols) = file.find_section(TYPE, |kind| kind == SYMBOL_TABLE)?;
    file.label(format!("(section {number} type 2)"), "(section NUMBER type 2)");
    let (number, allocated) = file.find_section(FLAGS, |flags| flags & ALLOCATED != 0)?;
    file.label(format!("(section {number} type {})", file.number(allocated, TYPE)?), "(section NUMBER type TYPE)");
    let names = file.section(file.number(0, NAMES)?)?;
    let end_of_names = file.number(names, OFFSET)? + file.number(names, SIZE)? - 1;
    let past_the_end = (file.image().len() - file.number(symbols, SIZE)? + 1) as u64;
    let outside = "<3> Invalid ELF section in module (section NUMBER type 2)";
    let no_name = "<3> Invalid ELF section name in module (section NUMBER type TYPE)";
    let first_not_null = "<3> ELF Spec violation: section 0 type(1)!=SH_NULL or non-zero len or addr";
    let first_not_empty = "<3> ELF Spec violation: section 0 type(0)!=SH_NULL or non-zero len or addr";
    let unterminated = "<3> ELF Spec violation: section name table isn't null terminated";
    let link =
        |link: u64| format!("<3> Invalid ELF sh_link!=SHN_UNDEF({link}) or (sh_link({link}) >= hdr->e_shnum(COUNT)");
    // These lines are older than the others: the generic message follows them.
    let with_both = |case: Case, generic| Case { before_generic: Some(generic), ..case };
    let cases = [
        case("type of section 0", set(first, TYPE, 1), first_not_null),
        case("length of section 0", set(first, SIZE, 1), first_not_empty),
        case("address of section 0", set(first, (16, 8), 1), first_not_empty),
        with_both(case("section one byte past the end", set(symbols, OFFSET, past_the_end), outside), outside),
        with_both(case("offset too large to add to", set(symbols, OFFSET, u64::MAX), outside), outside),
        case("symbols without names", set(symbols, LINK, 0), &link(0)),
        case("names of symbols in a missing section", set(symbols, LINK, 9999), &link(9999)),
        with_both(case("empty names of sections", set(names, SIZE, 0), "<3> empty section name table"), no_name),
        with_both(case("name outside the names", set(allocated, NAME, 1 << 30), no_name), no_name),
        case("unterminated names of sections", (end_of_names, vec![b'x']), unterminated),
    ];
    expect_all_refused(lab, &file, &cases)
}

/// A change for which a module is refused.
struct Case {
    what: &'static str,
    change: Change,
    /// The log line of kernels with specific messages.
    specific: String,
    /// The log line of the other kernels before the generic one.
    before_generic: Option<&'static str>,
}

fn case(what: &'static str, change: Change, specific: &str) -> Case {
    Case { what, change, specific: specific.to_owned(), before_generic: None }
}

/// Writes a module to change.
fn damaged_module(lab: &mut Lab<'_>) -> Result<ModuleFile, LabError> {
    let mut file = lab.unsigned_module("nls_utf8")?;
    let count = file.number(0, SECTION_COUNT)?;
    file.label(format!("e_shnum ({count})"), "e_shnum (COUNT)");
    file.label(format!("e_shnum({count})"), "e_shnum(COUNT)");
    Ok(file)
}

/// Loads the file with each of the changes, then without any.
fn expect_all_refused(lab: &mut Lab<'_>, file: &ModuleFile, cases: &[Case]) -> Check {
    let generic = lab.probe("elf-messages")? == "generic";
    lab.mark_kmsg()?;
    for case in cases {
        let lines = match generic {
            true => case.before_generic.into_iter().chain([GENERIC]).collect(),
            false => vec![&*case.specific],
        };
        let change = std::slice::from_ref(&case.change);
        lab.expect_load_changed(case.what, file, change, errno::ENOEXEC, &lines)?;
    }
    lab.expect_load("no change", finit(file.path(), ""), 0_u32, &[])
}

pub(super) fn decompression(lab: &mut Lab<'_>) -> Check {
    const NOT_XZ: &str = "<3> not an xz compressed module";
    let finit = |path: &str| Action::FinitModule { path: path.into(), params: Vec::new(), flags: 4 };
    let plain = lab.unsigned_module("nls_utf8")?;
    let unsupported = lab.write_xz("nls_utf8", XzCheck::Sha256)?;
    lab.mark_kmsg()?;
    let cases = [(plain.path(), "ELF", NOT_XZ), (&*unsupported, "SHA-256", "<3> decompression failed with status 6")];
    for (path, what, expected) in cases {
        lab.expect_load(what, finit(path), errno::EINVAL, &[expected])?;
    }
    let path = lab.write_xz("nls_utf8", XzCheck::Crc32)?;
    for at in [0_usize, 5] {
        let magic = b"\xfd7zXZ\0";
        lab.change(&path, &[(at, vec![b'x'])])?;
        lab.expect_load(&format!("byte {at} of the magic number"), finit(&path), errno::EINVAL, &[NOT_XZ])?;
        lab.change(&path, &[(at, vec![magic[at]])])?;
    }
    // A byte of the module, after the headers of the file, the block and the chunk.
    let at = 12 + 12 + 3;
    let changed = vec![!plain.image()[0]];
    lab.change(&path, &[(at, changed)])?;
    lab.expect_load("corrupt", finit(&path), errno::EINVAL, &["<3> decompression failed with status 7"])?;
    lab.change(&path, &[(at, vec![plain.image()[0]])])?;
    lab.expect_load("no change", finit(&path), 0_u32, &[])?;

    let short = format!("{SCRATCH}/short.ko.xz");
    lab.write(&short, b"")?;
    lab.expect_load("empty", finit(&short), errno::EINVAL, &[])?;
    lab.write(&short, b"\xfd7zXZ\0")?;
    lab.expect_load("truncated", finit(&short), errno::EINVAL, &["<3> decompression failed with status 0"])
}
