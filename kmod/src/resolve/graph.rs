//! The dependencies of the modules of a plan. In the lines that depmod writes for a chain of modules, each one is the end of the
//! next: such modules share a list, so that the graph does not grow with the square of their number. Pure.

use crate::tree::ModuleLine;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// The dependencies in a line of modules.dep.
#[derive(Debug, Default)]
pub(super) struct DepList {
    /// The nodes of the dependencies, in load order: from right to left of the line.
    nodes: Vec<usize>,
    /// Where the word of each ends in `text`.
    ends: Vec<usize>,
    /// The line after the colon; `None` if its parts must not be shared.
    text: Option<Vec<u8>>,
}

impl DepList {
    /// Starts a list without dependencies, for [`DepList::add`] in the order of the line.
    pub(super) fn new(line: &ModuleLine) -> Self {
        Self { text: line.text().map(<[u8]>::to_vec), ..Self::default() }
    }

    pub(super) fn add(&mut self, node: usize, end: usize) {
        self.nodes.push(node);
        self.ends.push(end);
    }

    /// Leaves out a word of the line.
    pub(super) fn skip(&mut self) {
        self.text = None;
    }

    pub(super) fn finish(mut self) -> Deps {
        self.nodes.reverse();
        self.ends.reverse();
        if self.text.is_some() && self.nodes.iter().collect::<HashSet<_>>().len() < self.nodes.len() {
            self.text = None;
        }
        let length = self.nodes.len();
        Deps { list: Rc::new(self), length }
    }
}

/// The dependencies of one module: the beginning of a list.
#[derive(Debug, Clone, Default)]
pub(super) struct Deps {
    pub(super) list: Rc<DepList>,
    length: usize,
}

impl Deps {
    /// Returns the dependencies of the module at a position of a list, if its line is the end of the list's line.
    pub(super) fn shared(list: &Rc<DepList>, position: usize, line: &ModuleLine) -> Option<Self> {
        let end = list.text.as_ref()?.get(*list.ends.get(position)?..)?;
        (end.trim_ascii() == line.text()?.trim_ascii()).then(|| Self { list: Rc::clone(list), length: position })
    }

    /// Whether all dependencies precede a position of a list.
    pub(super) fn is_within(&self, list: &Rc<DepList>, position: usize) -> bool {
        Rc::ptr_eq(&self.list, list) && self.length <= position
    }

    pub(super) fn get(&self, position: usize) -> Option<usize> {
        self.list.nodes.get(position).copied().filter(|_| position < self.length)
    }

    /// Returns the dependencies in load order.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = usize> + ExactSizeIterator + '_ {
        self.list.nodes.iter().take(self.length).copied()
    }
}

/// The dependencies of each node.
#[derive(Debug, Default)]
pub(super) struct Graph(Vec<Deps>);

impl Graph {
    pub(super) fn new(deps: impl Iterator<Item = Deps>) -> Self {
        Self(deps.collect())
    }

    /// Returns a node and its direct and indirect dependencies, each once.
    pub(super) fn closure(&self, node: usize) -> Vec<usize> {
        let mut found = vec![node];
        let mut seen = vec![false; self.0.len()];
        if let Some(seen) = seen.get_mut(node) {
            *seen = true;
        }
        // How much of each list was read.
        let mut read: HashMap<*const DepList, usize> = HashMap::new();
        let mut next = 0;
        while let Some(&node) = found.get(next) {
            next += 1;
            let Some(deps) = self.0.get(node) else { continue };
            let start = read.entry(Rc::as_ptr(&deps.list)).or_default();
            for dep in deps.iter().skip(*start) {
                if seen.get_mut(dep).is_some_and(|seen| !std::mem::replace(seen, true)) {
                    found.push(dep);
                }
            }
            *start = (*start).max(deps.length);
        }
        found
    }
}
