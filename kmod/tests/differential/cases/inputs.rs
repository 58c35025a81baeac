//! Inputs of depmod: module files, and the lists of the kernel build.

use super::{cases, module, patched};
use crate::case::Case;
use crate::testing::TinyModule;
use std::io::Write as _;

cases![
    classes_and_byte_orders,
    symbols_without_checksum,
    relative_checksums,
    many_sections,
    no_modinfo,
    odd_modinfo,
    dotted_symbols,
    long_symbols,
    compressed,
    zstd_that_tells_no_size,
    wrong_suffix,
    gzip,
    cut_compressed,
    empty_and_garbage,
    cut_elf,
    sections_out_of_the_file,
    names_of_sections_are_missing,
    strings_without_end,
    aliases_with_odd_bytes,
    aliases_with_blanks,
    long_aliases,
    softdeps,
    weakdeps,
    order_is_missing,
    order_names_some,
    order_with_duplicates,
    order_of_compressed_modules,
    order_with_odd_lines,
    order_with_other_suffixes,
    builtin_is_missing,
    builtin_with_odd_lines,
    builtin_with_duplicates,
    builtin_modinfo_is_missing,
    builtin_modinfo_odd,
    builtin_modinfo_cut,
    builtin_modinfo_without_builtin,
    devname,
    devname_wrong,
    devname_odd_numbers,
    spaces_in_names,
];

fn classes_and_byte_orders() -> Case {
    let of = |is_32: bool, is_big: bool, name: &str| {
        TinyModule { is_32, is_big, ..module(name) }
            .info(&format!("alias=al-{name}"))
            .exports(&[name])
            .imports(&["base"])
    };
    Case::new()
        .ko("kernel/base.ko", &module("base").exports(&["base"]))
        .ko("kernel/le32.ko", &of(true, false, "le32"))
        .ko("kernel/be32.ko", &of(true, true, "be32"))
        .ko("kernel/be64.ko", &of(false, true, "be64"))
        .ko("kernel/le64.ko", &of(false, false, "le64"))
        .run("depmod")
        .queries(&["modprobe -D be32", "modprobe -R al-be64", "modprobe -R symbol:le32", "modprobe -c"])
}

fn symbols_without_checksum() -> Case {
    let plain = TinyModule { plain_exports: vec!["p".into(), "q".into()], ..module("plain") };
    let both = TinyModule { plain_exports: vec!["r".into()], ..module("both") }.exports(&["s"]);
    Case::new()
        .ko("kernel/plain.ko", &plain)
        .ko("kernel/both.ko", &both)
        .ko("kernel/user.ko", &module("user").imports(&["p", "r", "s"]))
        .run("depmod")
        .queries(&["modprobe -D user", "modprobe -c"])
}

fn relative_checksums() -> Case {
    let made = TinyModule { crcs_in_section: true, ..module("a") }.exports(&["x", "y"]);
    Case::new()
        .ko("kernel/a.ko", &made)
        .run("depmod")
        .query("modprobe -c")
        .run("modprobe --show-exports /lib/modules/REL/kernel/a.ko")
}

fn many_sections() -> Case {
    let made = TinyModule { many_sections: true, ..module("a") }.info("alias=al").exports(&["x"]);
    Case::new().ko("kernel/a.ko", &made).ko("kernel/b.ko", &module("b")).run("depmod").query("modprobe -R al")
}

fn no_modinfo() -> Case {
    Case::new()
        .ko("kernel/a.ko", &TinyModule::default())
        .ko("kernel/b.ko", &TinyModule::default().exports(&["s"]))
        .run("depmod")
        .query("modprobe -D a")
}

fn odd_modinfo() -> Case {
    Case::new()
        .ko(
            "kernel/a.ko",
            &module("a")
                .info("alias")
                .info("alias=")
                .info("=x")
                .info("")
                .info("aliasx=y")
                .info(" alias=z")
                .info("alias=a=b"),
        )
        .ko("kernel/b.ko", &module("b").info("ALIAS=q").info("softdep").info("softdep=").info("weakdep="))
        .run("depmod")
        .query("modprobe -c")
}

fn dotted_symbols() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").exports(&["f", ".g"]))
        .ko("kernel/b.ko", &module("b").imports(&[".f"]))
        .ko("kernel/c.ko", &module("c").imports(&["g", "TOC.", "__this_module"]))
        .file("/map", "")
        .run("depmod -e -F /map")
        .queries(&["modprobe -D b", "modprobe -D c"])
}

fn long_symbols() -> Case {
    let long = "s".repeat(900);
    Case::new()
        .ko("kernel/a.ko", &module("a").exports(&[&long]))
        .ko("kernel/b.ko", &module("b").imports(&[&long]))
        .run("depmod")
        .query("modprobe -D b")
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut writer = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

/// Returns a zstd frame of raw blocks that contains its size: C kmod reads only those.
fn zstd(bytes: &[u8]) -> Vec<u8> {
    let size = u32::try_from(bytes.len()).unwrap();
    let mut frame = [&[0x28, 0xb5, 0x2f, 0xfd, 0xa0][..], &size.to_le_bytes()].concat();
    let blocks = bytes.chunks(1 << 16);
    let last = blocks.len() - 1;
    for (number, block) in blocks.enumerate() {
        let header = (u32::try_from(block.len()).unwrap() << 3) | u32::from(number == last);
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.extend_from_slice(block);
    }
    frame
}

fn zstd_without_size(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn compressed() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").exports(&["a"]))
        .raw("kernel/b.ko.xz", xz(&module("b").exports(&["b"]).imports(&["a"]).info("alias=al-b").build()))
        .raw("kernel/c.ko.zst", zstd(&module("c").imports(&["b"]).info("alias=al-c").build()))
        .run("depmod")
        .queries(&["modprobe -D c", "modprobe -R al-b", "modprobe -R al-c", "modprobe -c", "modinfo b", "modinfo c"])
        .run("modprobe --show-exports /lib/modules/REL/kernel/b.ko.xz")
}

fn zstd_that_tells_no_size() -> Case {
    Case::new()
        .raw("kernel/a.ko.zst", zstd_without_size(&module("a").info("alias=al").build()))
        .run("depmod")
        .query("modprobe -R al")
}

fn wrong_suffix() -> Case {
    Case::new()
        .raw("kernel/a.ko", xz(&module("a").info("alias=al-a").build()))
        .raw("kernel/b.ko.xz", zstd(&module("b").info("alias=al-b").build()))
        .ko("kernel/c.ko.zst", &module("c").info("alias=al-c"))
        .raw("kernel/d.ko.zst", xz(&module("d").info("alias=al-d").build()))
        .run("depmod")
        .query("modprobe -c")
}

/// Not supported by packaged versions of C kmod.
fn gzip() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").exports(&["a"]))
        .raw("kernel/b.ko.gz", gz(&module("b").imports(&["a"]).info("alias=al-b").build()))
        .run("depmod")
        .run("modprobe -D b")
        .run("modprobe -R al-b")
}

fn cut_compressed() -> Case {
    let cut = |mut bytes: Vec<u8>| {
        bytes.truncate(bytes.len() * 2 / 3);
        bytes
    };
    Case::new()
        .raw("kernel/a.ko.xz", cut(xz(&module("a").build())))
        .raw("kernel/b.ko.zst", cut(zstd(&module("b").build())))
        .raw("kernel/c.ko.xz", b"\xfd7zXZ\0garbage".as_slice())
        .raw("kernel/d.ko.zst", b"\x28\xb5\x2f\xfdgarbage".as_slice())
        .ko("kernel/e.ko", &module("e"))
        .run("depmod")
        .query("modprobe -D a")
}

fn empty_and_garbage() -> Case {
    Case::new()
        .raw("kernel/a.ko", "")
        .raw("kernel/b.ko", "garbage")
        .raw("kernel/c.ko", "\x7fELF")
        .raw("kernel/d.ko", [0; 4096])
        .raw("kernel/e.ko.xz", "")
        .ko("kernel/f.ko", &module("f"))
        .run("depmod")
        .queries(&["modprobe -D a", "modprobe -D f"])
        .run("modinfo a b c d e f")
}

fn cut_elf() -> Case {
    let whole = module("a").exports(&["s"]).build();
    [16, 40, 63, 64, 65, 200, 400]
        .iter()
        .fold(Case::new(), |case, &at| {
            let at = usize::min(at, whole.len());
            case.raw(format!("kernel/m{at}.ko"), &whole[..at])
        })
        .run("depmod")
}

/// Returns a 64-bit module with 8 bytes of a header replaced.
fn with_word(made: &TinyModule, at: usize, word: u64) -> Vec<u8> {
    let mut bytes = made.build();
    bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
    bytes
}

fn section_table(made: &TinyModule) -> usize {
    let bytes = made.build();
    u64::from_le_bytes(bytes[40..48].try_into().unwrap()) as usize
}

fn sections_out_of_the_file() -> Case {
    let made = module("a").exports(&["s"]).imports(&["t"]).info("alias=al");
    let table = section_table(&made);
    // e_shoff, and the offset and size of the first sections.
    Case::new()
        .raw("kernel/a.ko", with_word(&made, 40, 1 << 40))
        .raw("kernel/b.ko", with_word(&made, 40, u64::MAX))
        .raw("kernel/c.ko", with_word(&made, table + 64 + 24, 1 << 30))
        .raw("kernel/d.ko", with_word(&made, table + 64 + 32, u64::MAX))
        .raw("kernel/e.ko", with_word(&made, table + 3 * 64 + 32, 1 << 33))
        .ko("kernel/f.ko", &made)
        .run("depmod")
        .queries(&["modprobe -D a", "modprobe -R al"])
}

fn names_of_sections_are_missing() -> Case {
    let half = |at: usize, value: u16| {
        let mut bytes = module("a").info("alias=al").build();
        bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
        bytes
    };
    // e_shstrndx, e_shnum, e_shentsize; and files that are not relocatable.
    Case::new()
        .raw("kernel/entry.ko", half(58, 63))
        .raw("kernel/kind.ko", half(16, 3))
        .ko("kernel/good.ko", &module("good"))
        .run("depmod")
        .run("modinfo entry kind good")
        .file("kernel/index.ko", half(62, 0))
        .run("depmod -n")
}

fn strings_without_end() -> Case {
    let made = TinyModule { plain_exports: vec!["abc".into()], ..module("a") }.info("alias=tail");
    let table = section_table(&made);
    let shorter = |section: usize| {
        let bytes = made.build();
        let at = table + section * 64 + 32;
        let size = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        with_word(&made, at, size - 1)
    };
    Case::new().raw("kernel/modinfo.ko", shorter(1)).raw("kernel/strings.ko", shorter(3)).run("depmod").queries(&[
        "modprobe -R tail",
        "modprobe -R tai",
        "modprobe -c",
    ])
}

fn aliases_with_odd_bytes() -> Case {
    Case::new()
        .raw("kernel/a.ko", patched(&module("a").info("alias=e\x01f").info("alias=good"), 1, 0xfe))
        .ko("kernel/b.ko", &module("b").info("alias=e\x01f").info("alias=q\x7fr").info("alias=tab\there"))
        .run("depmod")
        .queries(&["modprobe -R good", "modprobe -R e\x01f", "modprobe -c"])
}

fn aliases_with_blanks() -> Case {
    Case::new()
        .ko(
            "kernel/a.ko",
            &module("a").info("alias=two words").info("alias= lead").info("alias=trail ").info("alias=#hash"),
        )
        .run("depmod")
        .queries(&["modprobe -R 'two words'", "modprobe -R ' lead'", "modprobe -R #hash", "modprobe -c"])
}

fn long_aliases() -> Case {
    Case::new()
        .ko(
            "kernel/a.ko",
            &module("a").info(&format!("alias={}", "x".repeat(4000))).info(&format!("alias={}", "y".repeat(4095))),
        )
        .ko("kernel/b.ko", &module("b").info(&format!("alias={}", "z".repeat(5000))).info("alias=good"))
        .run("depmod")
        .query("modprobe -R good")
}

fn softdeps() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").info("softdep=pre: b post: c"))
        .ko("kernel/b.ko", &module("b").info("softdep=post: d").info("softdep=pre: e"))
        .ko("kernel/c-c.ko", &module("c_c").info("softdep=pre: x-y").info("softdep=bare"))
        .ko("kernel/d.ko", &module("d").info("softdep=  pre:   b  "))
        .run("depmod")
        .queries(&["modprobe -c", "modprobe -D a", "modprobe -D c-c", "modprobe -D d"])
}

fn weakdeps() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").info("weakdep=b"))
        .ko("kernel/b.ko", &module("b").info("weakdep=a c-d").info("weakdep=e"))
        .run("depmod")
        .queries(&["modprobe -c", "modprobe -D a"])
}

fn few() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").info("alias=same"))
        .ko("kernel/b.ko", &module("b").info("alias=same"))
        .ko("kernel/c.ko", &module("c").info("alias=same"))
}

fn order_is_missing() -> Case {
    let mut case = few().unordered();
    case = case.file("modules.order", "");
    case.run("depmod").queries(&["modprobe -R same"]).run("depmod -n")
}

fn order_names_some() -> Case {
    few().unordered().file("modules.order", "kernel/c.ko\nkernel/a.ko\n").run("depmod").query("modprobe -R same")
}

fn order_with_duplicates() -> Case {
    few()
        .file("modules.order", "kernel/c.ko\nkernel/a.ko\nkernel/c.ko\nkernel/b.ko\nkernel/a.ko\n")
        .run("depmod")
        .query("modprobe -R same")
}

fn order_of_compressed_modules() -> Case {
    Case::new()
        .raw("kernel/a.ko.xz", xz(&module("a").info("alias=same").build()))
        .raw("kernel/b.ko.zst", zstd(&module("b").info("alias=same").build()))
        .ko("kernel/c.ko", &module("c").info("alias=same"))
        .file("modules.order", "kernel/c.ko\nkernel/b.ko\nkernel/a.ko\n")
        .run("depmod")
        .query("modprobe -R same")
}

fn order_with_odd_lines() -> Case {
    few()
        .file(
            "modules.order",
            "\n\n  kernel/c.ko\nkernel/b.ko\n/kernel/a.ko\n./kernel/a.ko\nnosuch.ko\nkernel/a.ko\nkernel/c.ko",
        )
        .run("depmod")
        .query("modprobe -R same")
}

fn order_with_other_suffixes() -> Case {
    few()
        .unordered()
        .file("modules.order", "kernel/c.o\nkernel/b.ko.xz\nkernel/a\n")
        .run("depmod")
        .query("modprobe -R same")
}

fn builtin_is_missing() -> Case {
    few()
        .file("modules.order", "kernel/a.ko\nkernel/b.ko\nkernel/c.ko\n")
        .without("modules.builtin")
        .without("modules.builtin.modinfo")
        .run("depmod")
        .queries(&["modprobe -R same", "modprobe -R nosuch"])
}

fn builtin_with_odd_lines() -> Case {
    few()
        .file("modules.builtin", "kernel/x.ko\n\n1bad.ko\n/abs/y.ko\nbare.ko\nkernel/z\nkernel/no-suffix.o\n kernel/w.ko\nkernel/q.r.ko\nkernel/last.ko")
        .run("depmod")
        .queries(&["modprobe -R x", "modprobe -R y", "modprobe -R bare", "modprobe -R z", "modprobe -R w", "modprobe -R q", "modprobe -R last"])
}

fn builtin_with_duplicates() -> Case {
    few()
        .file("modules.builtin", "kernel/x.ko\nkernel/x.ko\nother/x.ko\nkernel/y-z.ko\nkernel/y_z.ko\n")
        .run("depmod -w")
        .query("modprobe -D y-z")
}

fn builtin_modinfo_is_missing() -> Case {
    few()
        .file("modules.builtin", "kernel/x.ko\n")
        .without("modules.builtin.modinfo")
        .run("depmod")
        .query("modprobe -R x")
}

fn builtin_modinfo_odd() -> Case {
    few()
        .file("modules.builtin", "kernel/x.ko\nkernel/y.ko\n")
        .file(
            "modules.builtin.modinfo",
            "x.alias=one\0y.alias=two\0x.alias=three\0nodot\0.alias=four\0x.=five\0z.alias=six\0x.alias=sev[en\0y-y.alias=eight\0\0x.file=a.b\0",
        )
        .run("depmod")
        .queries(&["modprobe -R one", "modprobe -R two", "modprobe -R three", "modprobe -R six", "modprobe -R eight", "modprobe -R four"])
        .run("modinfo x")
}

fn builtin_modinfo_cut() -> Case {
    few()
        .file("modules.builtin", "kernel/x.ko\n")
        .file("modules.builtin.modinfo", "x.alias=one\0x.alias=two")
        .run("depmod")
        .queries(&["modprobe -R one", "modprobe -R two"])
}

fn builtin_modinfo_without_builtin() -> Case {
    few().file("modules.builtin.modinfo", "x.alias=one\0").run("depmod").queries(&[
        "modprobe -R one",
        "modprobe -D one",
        "modprobe -R x",
    ])
}

fn devname() -> Case {
    Case::new()
        .ko("kernel/fuse.ko", &module("fuse").info("alias=devname:fuse").info("alias=char-major-10-229"))
        .ko(
            "kernel/loop.ko",
            &module("loop")
                .info("alias=block-major-7-*")
                .info("alias=char-major-10-237")
                .info("alias=devname:loop-control"),
        )
        .ko("kernel/snd.ko", &module("snd").info("alias=devname:snd/timer").info("alias=char-major-116-33"))
        .ko("kernel/blk.ko", &module("blk").info("alias=devname:blk").info("alias=block-major-8-1"))
        .run("depmod")
        .run("kmod static-nodes")
        .run("kmod static-nodes -f tmpfiles")
        .run("kmod static-nodes --format=devname -o /run/x/y")
}

fn devname_wrong() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").info("alias=devname:a"))
        .ko("kernel/b.ko", &module("b").info("alias=devname:b").info("alias=char-major-10-*"))
        .ko("kernel/c.ko", &module("c").info("alias=char-major-10-3"))
        .ko("kernel/d.ko", &module("d").info("alias=devname:").info("alias=char-major-10-4"))
        .ko(
            "kernel/e.ko",
            &module("e").info("alias=devname:one").info("alias=devname:two").info("alias=char-major-10-5"),
        )
        .ko(
            "kernel/f.ko",
            &module("f").info("alias=char-major-10-6").info("alias=block-major-9-7").info("alias=devname:f"),
        )
        .run("depmod")
}

fn devname_odd_numbers() -> Case {
    Case::new()
        .ko("kernel/a.ko", &module("a").info("alias=devname:a").info("alias=char-major-0-0"))
        .ko("kernel/b.ko", &module("b").info("alias=devname:b").info("alias=char-major-4096-1048576"))
        .ko("kernel/c.ko", &module("c").info("alias=devname:c").info("alias=char-major-10-3x"))
        .ko("kernel/d.ko", &module("d").info("alias=devname:d").info("alias=char-major-10"))
        .ko("kernel/e.ko", &module("e").info("alias=devname:e").info("alias=char-major--1-5"))
        .ko("kernel/f.ko", &module("f").info("alias=devname:f g").info("alias=char-major-1-5"))
        .run("depmod")
}

fn spaces_in_names() -> Case {
    Case::new()
        .ko("kernel/a b.ko", &module("a_b").exports(&["s"]).info("alias=al"))
        .ko("kernel/c.ko", &module("c").imports(&["s"]))
        .run("depmod")
        .queries(&["modprobe -R al", "modprobe -D c", "modprobe -D 'a b'"])
}
