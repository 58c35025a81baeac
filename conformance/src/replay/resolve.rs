//! The body of the fuzz target `resolve`.

mod laws;
mod recipe;
mod run;

use arbitrary::{Arbitrary, Unstructured};
use kmod::resolve::{LoadRequest, RemovalRequest, find, load_plan, removal_plan};
use recipe::Recipe;

/// The input makes a module directory, a configuration and a request.
///
/// # Panics
/// When a promise about what a request means is broken.
pub fn resolve(data: &[u8]) {
    let Ok(recipe) = Recipe::arbitrary(&mut Unstructured::new(data)) else { return };
    let (tree, config) = (recipe.tree(), recipe.config());
    let name = recipe.name();
    let found = find(&tree, &config, &name).unwrap_or_else(|error| panic!("{name:?} is refused: {error}"));
    assert!(found.problems.is_empty());
    assert_eq!(found.hits, laws::hits(&tree, &config, &name), "what the name stands for");
    for hit in &found.hits {
        let request = LoadRequest {
            arguments: b"given=1".to_vec(),
            ignore_commands: recipe.ignore_commands,
            use_blacklist: recipe.use_blacklist,
            file: None,
        };
        let plan = load_plan(&tree, &config, hit, &request);
        let wishes = laws::Wishes::new(&tree, &config, hit, &request);
        wishes.load_holds(&plan);
        let removal = RemovalRequest { ignore_commands: recipe.ignore_commands, holders: Vec::new() };
        let removal = removal_plan(&tree, &config, hit, &removal);
        wishes.removal_holds(&removal);
        run::both(&recipe, &wishes, &plan, &removal);
    }
}
