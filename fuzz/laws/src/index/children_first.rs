//! A second index writer: children first, like depmod up to version 33, and in layouts that the format allows but no depmod
//! writes.

use super::oracle::Entry;
use arbitrary::Arbitrary;
use kmod::index::{MAGIC, VERSION, Value};
use std::collections::BTreeMap;

const PREFIX: u32 = 0x8000_0000;
const VALUES: u32 = 0x4000_0000;
const CHILDREN: u32 = 0x2000_0000;

/// Nodes of one byte are written down to this depth only, which limits the recursion.
const DEEPEST: usize = 64;

/// The layout, where the format leaves a choice.
#[derive(Debug, Arbitrary)]
pub(super) struct Shape {
    /// Each byte of a key has its own node.
    one_byte_nodes: bool,
    /// The number of unused bytes before each node.
    gap: u8,
    /// Whether gaps are large, so that nodes are far from each other.
    wide: bool,
    /// The number of absent children on either side of a node's range.
    spare: u8,
    minor_version: u8,
}

/// A node with its subtree.
#[derive(Default)]
struct Node<'e> {
    prefix: Vec<u8>,
    children: BTreeMap<u8, Node<'e>>,
    values: Vec<&'e Value>,
}

/// The bytes of an index with these sorted entries.
pub(super) fn write(entries: &[Entry], shape: &Shape) -> Vec<u8> {
    let mut root = Node::default();
    for (key, value) in entries {
        let mut node = &mut root;
        for byte in key {
            node = node.children.entry(*byte).or_default();
        }
        node.values.push(value);
    }
    let mut out = [MAGIC, VERSION & !0xff | u32::from(shape.minor_version), 0].map(u32::to_be_bytes).concat();
    let at = root.write(shape, 0, &mut out);
    out[8..12].copy_from_slice(&at.to_be_bytes());
    out
}

impl<'e> Node<'e> {
    /// Merges a chain of only children into this node's prefix.
    fn merge(&mut self) {
        while self.values.is_empty() && self.children.len() == 1 {
            let Some((byte, child)) = self.children.pop_first() else { return };
            self.prefix.push(byte);
            self.prefix.extend(child.prefix);
            (self.children, self.values) = (child.children, child.values);
        }
    }

    /// Writes the node after its children, and returns its offset with flags.
    fn write(&mut self, shape: &Shape, depth: usize, out: &mut Vec<u8>) -> u32 {
        if !shape.one_byte_nodes || depth >= DEEPEST {
            self.merge();
        }
        let offsets: BTreeMap<u8, u32> =
            self.children.iter_mut().map(|(byte, child)| (*byte, child.write(shape, depth + 1, out))).collect();
        out.extend(std::iter::repeat_n(0xee, usize::from(shape.gap % 8) * if shape.wide { 601 } else { 1 }));
        let mut at = out.len() as u32;
        if !self.prefix.is_empty() {
            at |= PREFIX;
            out.extend_from_slice(&self.prefix);
            out.push(0);
        }
        if let (Some((first, _)), Some((last, _))) = (offsets.first_key_value(), offsets.last_key_value()) {
            at |= CHILDREN;
            let spare = shape.spare % 4;
            let (first, last) = (first.saturating_sub(spare), last.saturating_add(spare).min(0x7f));
            out.extend([first, last]);
            (first..=last).for_each(|byte| out.extend(offsets.get(&byte).copied().unwrap_or_default().to_be_bytes()));
        }
        if !self.values.is_empty() {
            at |= VALUES;
            out.extend((self.values.len() as u32).to_be_bytes());
            for value in &self.values {
                out.extend(value.priority.to_be_bytes());
                out.extend_from_slice(&value.bytes);
                out.push(0);
            }
        }
        at
    }
}
