//! Tests the reader and the writer against a naive model, and the reader on malformed files.

use super::*;
use crate::name::fnmatch;

/// A key, a value and a priority to insert.
type Insertion = (Vec<u8>, Vec<u8>, u32);

fn build(insertions: &[Insertion]) -> Index {
    let mut writer = IndexWriter::new();
    for (key, value, priority) in insertions {
        writer.insert(key, value, *priority).unwrap();
    }
    Index::parse(writer.to_bytes().unwrap()).unwrap()
}

/// The expected result of `entries`: keys in byte order, values by priority, the later one first.
fn model(insertions: &[Insertion]) -> Vec<(Vec<u8>, Value)> {
    let mut entries: Vec<_> = insertions.iter().rev().cloned().collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0).then(a.2.cmp(&b.2)));
    entries.into_iter().map(|(key, bytes, priority)| (key, Value { priority, bytes })).collect()
}

fn some_insertions(u: &mut arbitrary::Unstructured<'_>, alphabet: &[u8]) -> arbitrary::Result<Vec<Insertion>> {
    (0..u.int_in_range(0..=20)?)
        .map(|_| {
            let key = some_key(u, alphabet)?;
            let value = [b"x", &some_key(u, b"abc")?[..]].concat();
            Ok((key, value, u.int_in_range(0..=3)?))
        })
        .collect()
}

fn some_key(u: &mut arbitrary::Unstructured<'_>, alphabet: &[u8]) -> arbitrary::Result<Vec<u8>> {
    (0..u.int_in_range(0..=8)?).map(|_| u.choose(alphabet).copied()).collect()
}

#[test]
fn a_written_index_reads_back() {
    arbtest::arbtest(|u| {
        let insertions = some_insertions(u, b"ab_\x01\x7f")?;
        let index = build(&insertions);
        let entries = model(&insertions);
        assert_eq!(index.entries().unwrap(), entries);
        for (key, _) in &entries {
            let first = entries.iter().find(|(k, _)| k == key).map(|(_, value)| value.bytes.clone());
            assert_eq!(index.get(key).unwrap(), first);
        }
        let key = some_key(u, b"ab_")?;
        let first = entries.iter().find(|(k, _)| *k == key).map(|(_, value)| value.bytes.clone());
        assert_eq!(index.get(&key).unwrap(), first);
        Ok(())
    });
}

#[test]
fn a_wildcard_search_finds_the_same_as_fnmatch_on_every_key() {
    arbtest::arbtest(|u| {
        let insertions = some_insertions(u, b"ab*?[]")?;
        let index = build(&insertions);
        let name = some_key(u, b"ab")?;
        let mut expected: Vec<Value> =
            model(&insertions).into_iter().filter(|(key, _)| fnmatch(key, &name)).map(|(_, value)| value).collect();
        let mut found = index.matches(&name).unwrap();
        assert!(found.is_sorted_by_key(|value| value.priority));
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
        Ok(())
    });
}

#[test]
fn arbitrary_bytes_do_not_make_the_reader_panic_or_loop() {
    arbtest::arbtest(|u| {
        let mut bytes = [MAGIC, VERSION].map(u32::to_be_bytes).concat();
        if u.arbitrary()? {
            // A real index with a few changed bytes reaches deeper code.
            let insertions = some_insertions(u, b"ab*")?;
            let mut writer = IndexWriter::new();
            for (key, value, priority) in &insertions {
                writer.insert(key, value, *priority).unwrap();
            }
            bytes = writer.to_bytes().unwrap();
            for _ in 0..u.int_in_range(0..=4)? {
                let at = u.choose_index(bytes.len())?;
                bytes[at] = u.arbitrary()?;
            }
        } else {
            bytes.extend(u.arbitrary::<Vec<u8>>()?);
        }
        if let Ok(index) = Index::parse(bytes) {
            let _ = index.entries();
            let _ = index.get(b"ab");
            let _ = index.matches(b"abab");
        }
        Ok(())
    });
}

fn raw(words: &[&[u8]]) -> Index {
    Index::parse([&MAGIC.to_be_bytes(), &VERSION.to_be_bytes(), words.concat().as_slice()].concat()).unwrap()
}

fn error_text<T: std::fmt::Debug>(result: Result<T, IndexError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_node_that_is_its_own_child_is_an_error() {
    let root = (12 | CHILDREN).to_be_bytes();
    let index = raw(&[&root, b"**", &root]);
    assert!(error_text(index.entries()).contains("form a cycle"), "{}", error_text(index.entries()));
    assert!(error_text(index.matches(b"a")).contains("form a cycle"));
    assert_eq!(index.get(b"**").unwrap(), None);
}

#[test]
fn children_shared_by_two_nodes_are_an_error() {
    // Each level points to the next one twice: 2^20 keys in a file of a few hundred bytes.
    let mut bytes = Vec::new();
    for level in 0..20_u32 {
        let next = ((12 + 10 * (level + 1)) | CHILDREN).to_be_bytes();
        bytes.extend([&b"ab"[..], &next, &next].concat());
    }
    bytes.extend(b"ab\0\0\0\0\0\0\0\0");
    assert!(error_text(raw(&[&(12 | CHILDREN).to_be_bytes(), &bytes]).entries()).contains("share"));
}

/// Returns an index whose root has the same node as all of its 26 children; the node has a prefix or a value of 4000 bytes.
fn shared_leaf(flags: u32, leaf: &[u8]) -> Index {
    let children = (b'a'..=b'z').flat_map(|_| ((16 + 2 + 4 * 26) | flags).to_be_bytes()).collect::<Vec<_>>();
    raw(&[&(16 | CHILDREN).to_be_bytes(), &[0; 4], b"az", &children, leaf])
}

#[test]
fn a_shared_node_with_a_long_prefix_or_value_is_an_error() {
    let long = [&[b'x'; 4000][..], b"\0"].concat();
    let value = [&1_u32.to_be_bytes()[..], &[0; 4], &long].concat();
    for index in [shared_leaf(PREFIX, &long), shared_leaf(VALUES, &value)] {
        assert!(error_text(index.entries()).contains("share"));
    }
    // Reached once, it is valid.
    let once = raw(&[&(16 | VALUES).to_be_bytes(), &[0; 4], &value]);
    assert_eq!(once.entries().unwrap()[0].1.bytes.len(), 4000);
}

#[test]
fn the_bytes_of_emitted_keys_are_bounded() {
    // 6000 values of one key take 30 KB in the file and 24 MB as keys.
    let prefix = [&[b'k'; 4000][..], b"\0"].concat();
    let values = [&6000_u32.to_be_bytes()[..], &[0; 6000 * 5]].concat();
    let index = raw(&[&(16 | PREFIX | VALUES).to_be_bytes(), &[0; 4], &prefix, &values]);
    assert!(error_text(index.entries()).contains("share"));
}

#[test]
fn a_value_longer_than_a_block_is_read_completely() {
    let mut writer = IndexWriter::new();
    for key in [b"a", b"b", b"c"] {
        writer.insert(key, &[key[0]; 20_000], 0).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("long.bin");
    std::fs::write(&path, writer.to_bytes().unwrap()).unwrap();
    let index = Index::read(&path).unwrap();
    for key in [b"a", b"b", b"c"] {
        assert_eq!(index.get(key).unwrap().unwrap(), [key[0]; 20_000]);
    }
}

#[test]
fn a_key_beyond_the_limit_is_an_error() {
    let index = |length: usize| {
        let prefix = [&vec![b'k'; length][..], b"\0"].concat();
        raw(&[&(16 | PREFIX | VALUES).to_be_bytes(), &[0; 4], &prefix, &1_u32.to_be_bytes(), &[0; 4], b"v\0"])
    };
    assert_eq!(index(KEY_LIMIT).entries().unwrap().len(), 1);
    for length in [KEY_LIMIT + 1, KEY_LIMIT + 2] {
        assert!(error_text(index(length).entries()).contains("a key is too long"));
    }
}

#[test]
fn a_file_beyond_the_reach_of_offsets_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sparse.bin");
    let error = |size: u64| {
        std::fs::File::create(&path).unwrap().set_len(size).unwrap();
        Index::read(&path).unwrap_err().kind.to_string()
    };
    assert_eq!(error(1 << 28), "magic check fail: 0 instead of b007f457; run depmod");
    for size in [(1 << 28) + 1, (1 << 28) + 2] {
        assert_eq!(error(size), "could not be read: larger than 268435456 bytes");
    }
}

#[test]
fn malformed_nodes_are_errors_with_their_offset() {
    let children = (12 | CHILDREN).to_be_bytes();
    let values = (12 | VALUES).to_be_bytes();
    let prefix = (12 | PREFIX).to_be_bytes();
    for (index, expected) in [
        (raw(&[&children, b"ba", &[0; 4]]), "corrupt at offset 0xc: a range of children that is not within 7 bits"),
        (raw(&[&children, b"a\xff", &[0; 4]]), "corrupt at offset 0xc: a range of children that is not within 7 bits"),
        (raw(&[&children, b"ab", &[0; 4]]), "corrupt at offset 0xc: the children end behind the file"),
        (raw(&[&values, b"\xff\xff\xff\xff"]), "corrupt at offset 0x10: the values end behind the file"),
        (raw(&[&values, b"\0\0\0\x01\0\0\0\0abc"]), "corrupt at offset 0x14: a string without its closing NUL"),
        (raw(&[&prefix, b"abc"]), "corrupt at offset 0xc: a string without its closing NUL"),
        (raw(&[&(0x0fff_0000 | CHILDREN).to_be_bytes()]), "corrupt at offset 0xfff0000: the children end behind"),
        (raw(&[&(4 | PREFIX).to_be_bytes()]), "corrupt at offset 0x4: a node inside the header"),
    ] {
        let got = error_text(index.entries());
        assert!(got.contains(expected), "{got} is not {expected}");
    }
}

#[test]
fn headers_are_checked() {
    let error = |bytes: &[u8]| Index::parse(bytes.to_vec()).unwrap_err().kind.to_string();
    assert_eq!(error(b"\xb0\x07\xf4\x57"), "has 4 bytes, fewer than the 12 of an index's header; run depmod");
    assert_eq!(error(&[0; 12]), "magic check fail: 0 instead of b007f457; run depmod");
    assert_eq!(error(b"\xb0\x07\xf4\x57\0\x03\0\x01\0\0\0\0"), "major version check fail: 3 instead of 2; run depmod");
    assert_eq!(Index::parse(b"\xb0\x07\xf4\x57\0\x02\0\x09\0\0\0\0".to_vec()).unwrap().entries().unwrap(), []);
}

#[test]
fn an_index_written_children_first_is_read_too() {
    // "a" -> "1", "ab" -> "2": the child at 12 and its parent after it, as written by depmod up to version 33.
    let child = [&1_u32.to_be_bytes()[..], &7_u32.to_be_bytes(), b"2\0"].concat();
    let parent = [&b"bb"[..], &(16 | VALUES).to_be_bytes(), &1_u32.to_be_bytes(), &[0; 4], b"1\0"].concat();
    let root = [&b"aa"[..], &((16 + child.len()) as u32 | VALUES | CHILDREN).to_be_bytes()].concat();
    let root_at = (16 + child.len() + parent.len()) as u32 | CHILDREN;
    // Four bytes of padding make the offsets easier to read.
    let index = raw(&[&root_at.to_be_bytes(), &[0; 4], &child, &parent, &root]);
    assert_eq!(
        index.entries().unwrap(),
        [
            (b"a".to_vec(), Value { priority: 0, bytes: b"1".to_vec() }),
            (b"ab".to_vec(), Value { priority: 7, bytes: b"2".to_vec() })
        ]
    );
}

#[test]
fn keys_that_are_not_7_bit_are_rejected() {
    let mut writer = IndexWriter::new();
    let error = writer.insert(b"caf\xc3\xa9", b"x", 0).unwrap_err();
    assert_eq!(error.to_string(), "bad character 0xc3 in caf\\xc3\\xa9: only 7-bit ASCII is supported in an index");
    assert!(writer.insert(&[b'a'; 4097], b"", 0).is_err());
    assert!(IndexWriter::new().insert(&[b'a'; 4096], b"", 0).is_ok());
    assert!(writer.insert(b"a", b"\0", 0).is_err());
    assert_eq!(Index::parse(writer.to_bytes().unwrap()).unwrap().entries().unwrap(), []);
}

#[test]
fn each_duplicate_is_returned_once() {
    let mut writer = IndexWriter::new();
    for (key, value) in ["b1", "a1", "b2", "b1", "c1", "a1", "b1", "a0"].map(|pair| pair.split_at(1)) {
        writer.insert(key.as_bytes(), value.as_bytes(), 0).unwrap();
    }
    assert_eq!(writer.duplicates().unwrap(), [(&b"a"[..], &b"1"[..]), (b"b", b"1")]);
}
