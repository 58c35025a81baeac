//! The body of the fuzz target `resolve`.

mod laws;
mod recipe;
mod run;

use arbitrary::{Arbitrary, Unstructured};
use kmod::resolve::{LoadRequest, RemovalRequest, find, load_plan, removal_plan};
use recipe::Recipe;

/// The input is the parameters of a module directory, a configuration and a request.
///
/// # Panics
/// Panics if a promise about the resolution of a request is broken.
pub fn resolve(data: &[u8]) {
    let Ok(recipe) = Recipe::arbitrary(&mut Unstructured::new(data)) else { return };
    let (tree, config) = (recipe.tree(), recipe.config());
    let name = recipe.name();
    let found = find(&tree, &config, &name).unwrap_or_else(|error| panic!("{name:?} is rejected: {error}"));
    assert!(found.problems.is_empty());
    assert_eq!(found.hits, laws::hits(&tree, &config, &name), "the modules that match the name");
    for hit in &found.hits {
        let request = LoadRequest {
            arguments: b"given=1".to_vec(),
            ignore_commands: recipe.ignore_commands,
            use_blacklist: recipe.use_blacklist,
            file: None,
        };
        let plan = load_plan(&tree, &config, hit, &request);
        let oracle = laws::Oracle::new(&tree, &config, hit, &request);
        oracle.check_load(&plan);
        let removal = RemovalRequest { ignore_commands: recipe.ignore_commands, holders: Vec::new() };
        let removal = removal_plan(&tree, &config, hit, &removal);
        oracle.check_removal(&removal);
        run::check_both(&recipe, &oracle, &plan, &removal);
    }
}
