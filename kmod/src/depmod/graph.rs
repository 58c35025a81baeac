//! The dependency graph: which modules need which, and in which order. Pure, and without recursion.

use std::collections::HashMap;

use super::load::parallel;
use super::loaded::Loaded;
use super::search::Found;
use super::{DepmodError, Notice, Options};
use crate::hash::SeededState;
use crate::name::ModuleName;

/// Symbols that the linker or the module loader provides: no module exports them.
const PROVIDED: [&[u8]; 3] = [b"__this_module", b"_GLOBAL_OFFSET_TABLE_", b"TOC."];

/// The dependencies of all modules. A module is identified by its position in the list.
#[derive(Debug)]
pub(super) struct Graph<'m> {
    /// The direct dependencies of each module.
    direct: Vec<Vec<u32>>,
    /// The topological position of each module: every module precedes its dependencies.
    rank: Vec<u32>,
    /// Exported symbols, sorted by name, each with the module that exports it.
    pub(super) symbols: Vec<(&'m [u8], u32)>,
}

#[derive(Debug, Clone, Copy)]
struct Symbol {
    /// The module that exports the symbol; `None` for the kernel itself.
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
        let symbols = symbols(modules, options)?;
        let needs = parallel(modules.len(), options, |place| needs(place, found, &modules[place], &symbols, options));
        let (mut direct, mut notices) = (Vec::with_capacity(needs.len()), Vec::new());
        for (owners, reported) in needs {
            direct.push(owners);
            notices.extend(reported);
        }
        notices.into_iter().for_each(notify);
        let rank = rank(&direct);
        if rank.contains(&UNRANKED) {
            return Err(cycles(&direct, &rank, found));
        }
        let owned = |(name, symbol): (&'m [u8], Symbol)| Some((name, symbol.owner?));
        let mut sorted: Vec<_> = Vec::new();
        sorted.try_reserve_exact(symbols.len()).map_err(out_of_memory)?;
        sorted.extend(symbols.into_iter().filter_map(owned));
        sorted.sort_unstable();
        Ok(Self { direct, rank, symbols: sorted })
    }

    /// Returns for each module its transitive dependencies, in an order that can be loaded from the last to the first.
    pub(super) fn all_dependencies(&self) -> impl Iterator<Item = Vec<u32>> {
        // The module whose traversal last reached each module: a visited set that is never cleared.
        let mut seen_by = vec![u32::MAX; self.direct.len()];
        (0..self.direct.len() as u32).map(move |module| {
            let mut all = self.direct[module as usize].clone();
            all.iter().for_each(|&dep| seen_by[dep as usize] = module);
            let mut next = 0;
            while let Some(&dep) = all.get(next) {
                next += 1;
                for &further in &self.direct[dep as usize] {
                    if seen_by[further as usize] != module {
                        seen_by[further as usize] = module;
                        all.push(further);
                    }
                }
            }
            all.sort_unstable_by_key(|&dep| self.rank[dep as usize]);
            all
        })
    }
}

/// Collects all exported symbols. If two modules export a symbol, the later one counts; a module takes precedence over the kernel.
fn symbols<'m>(modules: &'m [Loaded], options: &'m Options) -> Result<Symbols<'m>, DepmodError> {
    let kernel = options.kernel_symbols.as_ref().map_or(0, |kernel| kernel.symbols.len() + PROVIDED.len());
    let count: usize = modules.iter().map(|module| module.exports().len()).sum();
    let mut symbols = Symbols::with_hasher(SeededState::default());
    symbols.try_reserve(kernel + count).map_err(out_of_memory)?;
    if let Some(kernel) = &options.kernel_symbols {
        symbols.extend(kernel.symbols.iter().map(|(name, crc)| (trim(name, None), Symbol { owner: None, crc: *crc })));
        symbols.extend(PROVIDED.map(|name| (trim(name, None), Symbol { owner: None, crc: None })));
    }
    for (owner, module) in (0_u32..).zip(modules) {
        for (name, crc) in module.exports() {
            symbols.insert(trim(name, options.symbol_prefix), Symbol { owner: Some(owner), crc });
        }
    }
    Ok(symbols)
}

fn out_of_memory<E>(_: E) -> DepmodError {
    DepmodError::Memory("the table of symbols")
}

/// Removes the leading dot of 64-bit PowerPC, where `.f` is the code of the function `f`, and the given prefix.
fn trim(name: &[u8], prefix: Option<u8>) -> &[u8] {
    let name = name.strip_prefix(b".").unwrap_or(name);
    match prefix {
        Some(prefix) => name.strip_prefix(&[prefix]).unwrap_or(name),
        None => name,
    }
}

/// Returns the modules that one module needs, each once, in the order of its imports, and what to report.
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
        let Some(export) = symbols.get(trim(import.name, None)) else {
            if strict.is_some_and(|kernel| kernel.report_unknown) && !import.weak {
                notices.push(Notice::UnknownSymbol { path: path.clone(), symbol });
            }
            continue;
        };
        if strict.is_some_and(|kernel| kernel.has_versions) {
            if let (Some(expected), Some(crc)) = (import.crc, export.crc) {
                if expected != crc {
                    notices.push(Notice::SymbolVersion { path: path.clone(), symbol: symbol.clone() });
                }
            }
        }
        let Some(owner) = export.owner.filter(|owner| *owner as usize != place) else { continue };
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

/// Sorts modules topologically: every module precedes its dependencies. Modules in a cycle, and those that only such modules need,
/// stay unranked.
///
/// Modules whose users all have a rank are on a stack, as in C kmod's depmod: this gives the same order, so that the lists
/// can be compared.
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

/// Builds the error: one cycle of each strongly connected component.
fn cycles(direct: &[Vec<u32>], rank: &[u32], found: &[Found]) -> DepmodError {
    let components = cyclic_components(direct, rank);
    let name = |module: &u32| -> ModuleName { found[*module as usize].name.clone() };
    let cycles = components.iter().map(|c| shortest_cycle(direct, c).iter().map(name).collect()).collect();
    DepmodError::Cycles { cycles, modules: components.iter().map(Vec::len).sum() }
}

/// Returns the strongly connected components of two and more unranked modules (Tarjan's algorithm with an explicit stack).
fn cyclic_components(direct: &[Vec<u32>], rank: &[u32]) -> Vec<Vec<u32>> {
    const NEW: u32 = u32::MAX;
    let count = direct.len();
    let (mut number, mut low, mut on_stack) = (vec![NEW; count], vec![0_u32; count], vec![false; count]);
    let (mut stack, mut components, mut next) = (Vec::new(), Vec::new(), 0);
    for start in (0..count as u32).filter(|&module| rank[module as usize] == UNRANKED) {
        if number[start as usize] != NEW {
            continue;
        }
        // The path to the current module: each module with the number of its dependencies already visited.
        let mut path: Vec<(u32, usize)> = vec![(start, 0)];
        while let Some((module, visited)) = path.last_mut() {
            let at = *module as usize;
            if *visited == 0 && number[at] == NEW {
                (number[at], low[at]) = (next, next);
                next += 1;
                stack.push(*module);
                on_stack[at] = true;
            }
            if let Some(&dep) = direct[at].get(*visited) {
                *visited += 1;
                if number[dep as usize] == NEW {
                    path.push((dep, 0));
                } else if on_stack[dep as usize] {
                    low[at] = low[at].min(number[dep as usize]);
                }
                continue;
            }
            let module = *module;
            path.pop();
            if let Some((parent, _)) = path.last() {
                low[*parent as usize] = low[*parent as usize].min(low[at]);
            }
            if low[at] == number[at] {
                let from = stack.iter().rposition(|&m| m == module).unwrap_or(0);
                let mut component = stack.split_off(from);
                component.iter().for_each(|&m| on_stack[m as usize] = false);
                if component.len() > 1 {
                    component.sort_unstable();
                    components.push(component);
                }
            }
        }
    }
    components.sort_unstable();
    components
}

/// Returns the shortest cycle through the first module of a component.
fn shortest_cycle(direct: &[Vec<u32>], component: &[u32]) -> Vec<u32> {
    let Some(&start) = component.first() else { return Vec::new() };
    // The module from which each was first reached.
    let mut reached_from: HashMap<u32, u32> = HashMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(module) = queue.pop_front() {
        for &dep in &direct[module as usize] {
            if dep == start {
                let mut cycle = vec![module];
                while let Some(&earlier) = cycle.last().filter(|m| **m != start).and_then(|m| reached_from.get(m)) {
                    cycle.push(earlier);
                }
                cycle.reverse();
                return cycle;
            }
            if component.binary_search(&dep).is_ok() && !reached_from.contains_key(&dep) {
                reached_from.insert(dep, module);
                queue.push_back(dep);
            }
        }
    }
    component.to_vec()
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

    /// Returns whether a path of at least one edge leads from one module to another.
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
    fn dependencies_are_complete_and_in_load_order() {
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
    fn every_cyclic_component_is_found_with_a_real_cycle() {
        arbtest::arbtest(|u| {
            let direct = some_graph(u)?;
            let components = cyclic_components(&direct, &rank(&direct));
            for module in 0..direct.len() as u32 {
                let component = components.iter().find(|component| component.contains(&module));
                assert_eq!(component.is_some(), reaches(&direct, module, module));
                for other in 0..direct.len() as u32 {
                    let together = reaches(&direct, module, other) && reaches(&direct, other, module);
                    assert_eq!(together, component.is_some_and(|c| c.contains(&other)), "{module} and {other}");
                }
            }
            for component in &components {
                let cycle = shortest_cycle(&direct, component);
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
        let components = cyclic_components(&direct, &rank(&direct));
        assert_eq!(components.iter().map(Vec::len).collect::<Vec<_>>(), [60_000]);
        assert_eq!(shortest_cycle(&direct, &components[0]).len(), 60_000);
    }
}
