//! Who needs whom, and in which order. Pure, and without recursion.

use std::collections::HashMap;

use super::load::parallel;
use super::loaded::Loaded;
use super::search::Found;
use super::{DepmodError, Notice, Options};
use crate::hash::SeededState;
use crate::name::ModuleName;

/// Names that linkers make up: no module gives them, and none is missed.
const MADE_UP: [&[u8]; 3] = [b"__this_module", b"_GLOBAL_OFFSET_TABLE_", b"TOC."];

/// The dependencies of all modules. Modules are their places in the list.
#[derive(Debug)]
pub(super) struct Graph<'m> {
    /// What each module needs directly.
    direct: Vec<Vec<u32>>,
    /// The place of each module in an order in which a module stands before all that it needs.
    rank: Vec<u32>,
    /// Exported symbols and the module that has each, by name.
    pub(super) symbols: Vec<(&'m [u8], u32)>,
}

#[derive(Debug, Clone, Copy)]
struct Symbol {
    /// The module; none for the kernel itself.
    owner: Option<u32>,
    crc: Option<u64>,
}

type Symbols<'m> = HashMap<&'m [u8], Symbol, SeededState>;

impl<'m> Graph<'m> {
    pub(super) fn new(
        found: &[Found],
        modules: &'m [Loaded],
        options: &'m Options,
        notify: &mut dyn FnMut(Notice),
    ) -> Result<Self, DepmodError> {
        let symbols = symbols(modules, options);
        let needs = parallel(modules.len(), options, |place| needs(place, found, &modules[place], &symbols, options));
        let (mut direct, mut notices) = (Vec::with_capacity(needs.len()), Vec::new());
        for (owners, told) in needs {
            direct.push(owners);
            notices.extend(told);
        }
        notices.into_iter().for_each(notify);
        let rank = rank(&direct);
        if rank.contains(&UNRANKED) {
            return Err(cycles(&direct, &rank, found));
        }
        let owned = |(name, symbol): (&'m [u8], Symbol)| Some((name, symbol.owner?));
        let mut symbols: Vec<_> = symbols.into_iter().filter_map(owned).collect();
        symbols.sort_unstable();
        Ok(Self { direct, rank, symbols })
    }

    /// For each module all that it needs, also indirectly, ordered so that loading from the end on works.
    pub(super) fn all_dependencies(&self) -> impl Iterator<Item = Vec<u32>> {
        // Which module last met each module: a set that need not be emptied.
        let mut met = vec![u32::MAX; self.direct.len()];
        (0..self.direct.len() as u32).map(move |module| {
            let mut all = self.direct[module as usize].clone();
            all.iter().for_each(|&dep| met[dep as usize] = module);
            let mut next = 0;
            while let Some(&dep) = all.get(next) {
                next += 1;
                for &further in &self.direct[dep as usize] {
                    if met[further as usize] != module {
                        met[further as usize] = module;
                        all.push(further);
                    }
                }
            }
            all.sort_unstable_by_key(|&dep| self.rank[dep as usize]);
            all
        })
    }
}

/// Who exports what. Of two modules with one symbol the later one counts, and any module rather than the kernel.
fn symbols<'m>(modules: &'m [Loaded], options: &'m Options) -> Symbols<'m> {
    let count = modules.iter().map(|module| module.exports().count()).sum();
    let mut symbols = Symbols::with_capacity_and_hasher(count, SeededState::default());
    if let Some(kernel) = &options.kernel_symbols {
        symbols.extend(kernel.symbols.iter().map(|(name, crc)| (trim(name, None), Symbol { owner: None, crc: *crc })));
        symbols.extend(MADE_UP.map(|name| (trim(name, None), Symbol { owner: None, crc: None })));
    }
    for (owner, module) in (0_u32..).zip(modules) {
        for (name, crc) in module.exports() {
            symbols.insert(trim(name, options.symbol_prefix), Symbol { owner: Some(owner), crc });
        }
    }
    symbols
}

/// On 64-bit PowerPC `.f` is the code of the function `f`.
fn trim(name: &[u8], prefix: Option<u8>) -> &[u8] {
    let name = name.strip_prefix(b".").unwrap_or(name);
    match prefix {
        Some(prefix) => name.strip_prefix(&[prefix]).unwrap_or(name),
        None => name,
    }
}

/// The modules that one module needs, each once, in the order of its symbols; and what is to be told.
fn needs(
    place: usize,
    found: &[Found],
    module: &Loaded,
    symbols: &Symbols<'_>,
    options: &Options,
) -> (Vec<u32>, Vec<Notice>) {
    let (mut owners, mut notices) = (Vec::new(), Vec::new());
    let path = &found[place].path;
    let strict = options.kernel_symbols.as_ref();
    for import in module.imports() {
        let symbol = import.name.to_vec();
        let Some(given) = symbols.get(trim(import.name, None)) else {
            if strict.is_some_and(|kernel| kernel.tell_unknown) && !import.weak {
                notices.push(Notice::UnknownSymbol { path: path.clone(), symbol });
            }
            continue;
        };
        if strict.is_some_and(|kernel| kernel.has_versions) {
            if let (Some(wanted), Some(crc)) = (import.crc, given.crc) {
                if wanted != crc {
                    notices.push(Notice::SymbolVersion { path: path.clone(), symbol: symbol.clone() });
                }
            }
        }
        let Some(owner) = given.owner.filter(|owner| *owner as usize != place) else { continue };
        // Linear, but few modules need more than a dozen others.
        if owners.contains(&owner) {
            continue;
        }
        owners.push(owner);
        if options.show_needs {
            let owner = found[owner as usize].path.clone();
            notices.push(Notice::Needs { path: path.clone(), symbol, owner });
        }
    }
    (owners, notices)
}

const UNRANKED: u32 = u32::MAX;

/// An order in which a module stands before all that it needs; what is in a cycle or only needed by one stays unranked.
///
/// The order is the one that C kmod's depmod has, so that the lists can be compared: a stack of modules that nobody needs any more.
fn rank(direct: &[Vec<u32>]) -> Vec<u32> {
    let mut users = vec![0_u32; direct.len()];
    direct.iter().flatten().for_each(|&dep| users[dep as usize] += 1);
    let mut free: Vec<u32> = (0..direct.len() as u32).filter(|&module| users[module as usize] == 0).collect();
    let mut rank = vec![UNRANKED; direct.len()];
    let mut next = 0;
    while let Some(module) = free.pop() {
        rank[module as usize] = next;
        next += 1;
        for &dep in &direct[module as usize] {
            users[dep as usize] -= 1;
            if users[dep as usize] == 0 {
                free.push(dep);
            }
        }
    }
    rank
}

/// One cycle of each knot of modules that need each other.
fn cycles(direct: &[Vec<u32>], rank: &[u32], found: &[Found]) -> DepmodError {
    let knots = knots(direct, rank);
    let name = |module: &u32| -> ModuleName { found[*module as usize].name.clone() };
    let cycles = knots.iter().map(|knot| shortest_cycle(direct, knot).iter().map(name).collect()).collect();
    DepmodError::Cycles { cycles, modules: knots.iter().map(Vec::len).sum() }
}

/// The sets of two and more unranked modules that all need each other (Tarjan's strongly connected components, with a stack
/// of its own).
fn knots(direct: &[Vec<u32>], rank: &[u32]) -> Vec<Vec<u32>> {
    const NEW: u32 = u32::MAX;
    let count = direct.len();
    let (mut number, mut low, mut on_stack) = (vec![NEW; count], vec![0_u32; count], vec![false; count]);
    let (mut stack, mut knots, mut next) = (Vec::new(), Vec::new(), 0);
    for start in (0..count as u32).filter(|&module| rank[module as usize] == UNRANKED) {
        if number[start as usize] != NEW {
            continue;
        }
        // The way to the current module: each with the number of its dependencies already looked at.
        let mut way: Vec<(u32, usize)> = vec![(start, 0)];
        while let Some((module, looked)) = way.last_mut() {
            let at = *module as usize;
            if *looked == 0 && number[at] == NEW {
                (number[at], low[at]) = (next, next);
                next += 1;
                stack.push(*module);
                on_stack[at] = true;
            }
            if let Some(&dep) = direct[at].get(*looked) {
                *looked += 1;
                if number[dep as usize] == NEW {
                    way.push((dep, 0));
                } else if on_stack[dep as usize] {
                    low[at] = low[at].min(number[dep as usize]);
                }
                continue;
            }
            let module = *module;
            way.pop();
            if let Some((above, _)) = way.last() {
                low[*above as usize] = low[*above as usize].min(low[at]);
            }
            if low[at] == number[at] {
                let from = stack.iter().rposition(|&m| m == module).unwrap_or(0);
                let mut knot = stack.split_off(from);
                knot.iter().for_each(|&m| on_stack[m as usize] = false);
                if knot.len() > 1 {
                    knot.sort_unstable();
                    knots.push(knot);
                }
            }
        }
    }
    knots.sort_unstable();
    knots
}

/// The shortest way from the first module of a knot back to itself.
fn shortest_cycle(direct: &[Vec<u32>], knot: &[u32]) -> Vec<u32> {
    let Some(&start) = knot.first() else { return Vec::new() };
    // From which module each was first met.
    let mut before: HashMap<u32, u32> = HashMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(module) = queue.pop_front() {
        for &dep in &direct[module as usize] {
            if dep == start {
                let mut cycle = vec![module];
                while let Some(&earlier) = cycle.last().filter(|m| **m != start).and_then(|m| before.get(m)) {
                    cycle.push(earlier);
                }
                cycle.reverse();
                return cycle;
            }
            if knot.binary_search(&dep).is_ok() && !before.contains_key(&dep) {
                before.insert(dep, module);
                queue.push_back(dep);
            }
        }
    }
    knot.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_graph(u: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<Vec<Vec<u32>>> {
        let count = u.int_in_range(1..=8)?;
        (0..count)
            .map(|module| {
                let deps: std::collections::BTreeSet<u32> =
                    (0..u.int_in_range(0..=3)?).map(|_| u.int_in_range(0..=count - 1)).collect::<Result<_, _>>()?;
                Ok(deps.into_iter().filter(|dep| *dep != module).collect())
            })
            .collect()
    }

    /// Whether a way of at least one step leads from one module to another.
    fn reaches(direct: &[Vec<u32>], from: u32, to: u32) -> bool {
        let mut seen = vec![false; direct.len()];
        let mut waiting = direct[from as usize].clone();
        while let Some(module) = waiting.pop() {
            if !std::mem::replace(&mut seen[module as usize], true) {
                waiting.extend(&direct[module as usize]);
            }
        }
        seen[to as usize]
    }

    #[test]
    fn dependencies_are_complete_and_loadable_from_the_end() {
        arbtest::arbtest(|u| {
            let direct = some_graph(u)?;
            let rank = rank(&direct);
            let all: Vec<u32> = (0..direct.len() as u32).collect();
            let cyclic = all.iter().any(|&m| reaches(&direct, m, m));
            assert_eq!(cyclic, rank.contains(&UNRANKED));
            if !cyclic {
                let graph = Graph { direct: direct.clone(), rank, symbols: Vec::new() };
                for (module, deps) in (0_u32..).zip(graph.all_dependencies()) {
                    for &other in &all {
                        assert_eq!(deps.contains(&other), reaches(&direct, module, other));
                    }
                    for (place, &dep) in deps.iter().enumerate() {
                        assert!(direct[dep as usize].iter().all(|needed| deps[place + 1..].contains(needed)));
                    }
                }
            }
            Ok(())
        });
    }

    #[test]
    fn every_knot_is_found_and_shown_as_a_real_cycle() {
        arbtest::arbtest(|u| {
            let direct = some_graph(u)?;
            let knots = knots(&direct, &rank(&direct));
            for module in 0..direct.len() as u32 {
                let knot = knots.iter().find(|knot| knot.contains(&module));
                assert_eq!(knot.is_some(), reaches(&direct, module, module));
                for other in 0..direct.len() as u32 {
                    let together = reaches(&direct, module, other) && reaches(&direct, other, module);
                    assert_eq!(together, knot.is_some_and(|knot| knot.contains(&other)), "{module} and {other}");
                }
            }
            for knot in &knots {
                let cycle = shortest_cycle(&direct, knot);
                let next = cycle.iter().cycle().skip(1);
                assert!(
                    cycle.iter().zip(next).all(|(a, b)| direct[*a as usize].contains(b)),
                    "{cycle:?} of {direct:?}"
                );
            }
            Ok(())
        });
    }

    #[test]
    fn a_long_chain_needs_no_deep_stack() {
        let count = 60_000_u32;
        let mut direct: Vec<Vec<u32>> = (1..count).map(|next| vec![next]).collect();
        direct.push(vec![0]);
        let knots = knots(&direct, &rank(&direct));
        assert_eq!(knots.iter().map(Vec::len).collect::<Vec<_>>(), [60_000]);
        assert_eq!(shortest_cycle(&direct, &knots[0]).len(), 60_000);
    }
}
