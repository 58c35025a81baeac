use super::super::find;
use super::super::model::{ModelTree, config, name};
use super::*;

fn lines(model: &ModelTree, text: &str, module: &str, request: &LoadRequest) -> Vec<String> {
    let config = config(text);
    let hit = find(model, &config, module.as_bytes()).unwrap().hits.remove(0);
    let plan = load_plan(model, &config, &hit, request);
    let shown = |step: &LoadStep| {
        let line = step.line().unwrap_or_else(|| b"none".to_vec());
        format!("{}{}", if step.required { "" } else { "~" }, String::from_utf8(line).unwrap())
    };
    plan.steps.iter().map(shown).collect()
}

fn order(model: &ModelTree, text: &str, module: &str) -> String {
    let lines = lines(model, text, module, &LoadRequest::default());
    let short = |line: &String| line.replace("insmod /m/", "").replace(".ko ", "");
    lines.iter().map(short).collect::<Vec<_>>().join(" ")
}

#[test]
fn dependencies_are_loaded_from_right_to_left() {
    let model = ModelTree::new(&["m: c b a", "c: b a", "b: a", "a:"]);
    assert_eq!(order(&model, "", "m"), "a b c m");
}

#[test]
fn an_incomplete_line_of_modules_dep_is_completed() {
    assert_eq!(order(&ModelTree::new(&["m: c", "c: b", "b: a", "a:"]), "", "m"), "a b c m");
    assert_eq!(order(&ModelTree::new(&["m: c"]), "", "m"), "c m");
}

#[test]
fn soft_dependencies_are_loaded_around_their_module_and_are_not_required() {
    let model = ModelTree::new(&["m: d", "d:", "p: q", "q:", "o:", "e:"]);
    let config = "softdep m pre: p nosuch post: o\nsoftdep d pre: e\n";
    assert_eq!(order(&model, config, "m"), "~e d ~q ~p m ~o");
}

#[test]
fn cycles_of_soft_dependencies_end() {
    let model = ModelTree::new(&["a:", "b:", "c:"]);
    assert_eq!(order(&model, "softdep a pre: b\nsoftdep b pre: c\nsoftdep c pre: a", "a"), "~c ~b a");
    assert_eq!(order(&model, "softdep a pre: a post: a", "a"), "a");
    assert_eq!(order(&model, "softdep a post: b\nsoftdep b post: a", "a"), "a ~b");
}

#[test]
fn a_dependency_is_loaded_first_even_if_a_soft_dependency_leads_back_to_it() {
    let model = ModelTree::new(&["m: d", "d:", "x: d"]);
    assert_eq!(order(&model, "softdep d pre: x", "m"), "d ~x m");
    let model = ModelTree::new(&["m: d", "d:", "z: m"]);
    assert_eq!(order(&model, "softdep d pre: z", "m"), "d m ~z");
}

#[test]
fn cycles_of_dependencies_end() {
    assert_eq!(order(&ModelTree::new(&["a: b", "b: a"]), "", "a"), "b a");
    assert_eq!(order(&ModelTree::new(&["a: a"]), "", "a"), "a");
}

#[test]
fn a_plan_without_memory_for_a_line_has_no_steps() {
    let mut model = ModelTree::new(&["m: d", "d: e", "e:", "p:"]);
    model.too_large = Some(name("d"));
    let hit = Hit { module: name("m"), alias: None };
    let plan = load_plan(&model, &config("softdep m pre: p"), &hit, &LoadRequest::default());
    assert!(plan.out_of_memory && plan.steps.is_empty());
    assert_eq!(plan.problems[0].to_string(), "could not read /m/modules.dep: Cannot allocate memory");
}

#[test]
fn an_install_command_replaces_the_insertion_even_with_soft_dependencies() {
    let model = ModelTree::new(&["m: d", "d:", "p:"]);
    let config = "install m echo $CMDLINE_OPTS\ninstall d true\noptions m a=1\noptions d z\nsoftdep m pre: p";
    let request = LoadRequest { arguments: b"b=2".to_vec(), ..LoadRequest::default() };
    let expected = ["install true z ", "~insmod /m/p.ko ", "install echo $CMDLINE_OPTS a=1 b=2"];
    assert_eq!(lines(&model, config, "m", &request), expected);
    let request = LoadRequest { ignore_commands: true, ..request };
    assert_eq!(lines(&model, config, "m", &request), ["install true z ", "insmod /m/m.ko a=1 b=2"]);
}

#[test]
fn built_in_modules_and_modules_without_a_file_are_distinguished() {
    let mut model = ModelTree::new(&[]);
    model.builtin("bi");
    assert_eq!(lines(&model, "", "bi", &LoadRequest::default()), ["builtin bi"]);
    model.builtin_alias("unlisted", "known_by_its_alias");
    assert_eq!(lines(&model, "", "unlisted", &LoadRequest::default()), ["builtin known_by_its_alias"]);
    assert_eq!(lines(&model, "alias x y", "x", &LoadRequest::default()), ["none"]);
}

#[test]
fn options_of_the_alias_are_used_under_the_name_of_the_request_or_the_pattern_of_the_configuration() {
    let mut model = ModelTree::new(&["m:"]);
    model.alias("in_index_*", "m");
    let config = "alias al-* m\noptions al-x k=1\noptions al-* i=0\noptions in_index_x h=1\noptions in_index_* g=1\noptions m j=2";
    assert_eq!(lines(&model, config, "al-x", &LoadRequest::default()), ["insmod /m/m.ko i=0 j=2 "]);
    assert_eq!(lines(&model, config, "in-index-x", &LoadRequest::default()), ["insmod /m/m.ko h=1 j=2 "]);
}

#[test]
fn the_blacklist_applies_to_aliases_to_names_on_request_and_not_to_dependencies() {
    let model = ModelTree::new(&["m: d", "d:"]);
    let config = config("blacklist m\nblacklist d\nalias al m");
    let plan = |name: &str, use_blacklist| {
        let hit = find(&model, &config, name.as_bytes()).unwrap().hits.remove(0);
        let plan = load_plan(&model, &config, &hit, &LoadRequest { use_blacklist, ..LoadRequest::default() });
        (plan.blacklisted, plan.steps.len())
    };
    assert_eq!(plan("al", false), (true, 0));
    assert_eq!(plan("m", false), (false, 2));
    assert_eq!(plan("m", true), (true, 0));
}

#[test]
fn a_mask_applies_to_each_step_that_depends_on_the_module() {
    let model = ModelTree::new(&["m: d", "d: e", "e:", "s: e", "t:"]);
    let mut config = config("softdep m pre: s t");
    config.masks.add_file(std::path::Path::new("k.conf"), b"mask e\n", &mut Vec::new());
    let hit = Hit { module: name("m"), alias: None };
    let plan = load_plan(&model, &config, &hit, &LoadRequest::default());
    let shown = |step: usize| {
        let masked = plan.masked(step).into_iter().map(|masked| format!("{} by {}", masked.module, masked.mask));
        format!("{}: {}", plan.steps[step].module, masked.collect::<Vec<_>>().join(", "))
    };
    let by = "e by k.conf line 1";
    let expected = [format!("e: {by}"), format!("d: {by}"), format!("s: {by}"), "t: ".into(), format!("m: {by}")];
    assert_eq!((0..plan.steps.len()).map(shown).collect::<Vec<_>>(), expected);
}

#[test]
fn a_module_is_masked_under_the_names_in_its_file() {
    let mut model = ModelTree::new(&["m: d", "d:"]);
    model.names_in_file("d", &["d", "re-al"]).names_in_file("m", &["m"]);
    let mut config = config("");
    config.masks.add_file(std::path::Path::new("k.conf"), b"mask real\n", &mut Vec::new());
    let hit = Hit { module: name("m"), alias: None };
    let plan = load_plan(&model, &config, &hit, &LoadRequest::default());
    let masked: Vec<_> = plan.masked(1).into_iter().map(|masked| masked.module.to_string()).collect();
    assert_eq!(masked, ["re_al"; 0]);
    config.masks.add_file(std::path::Path::new("k.conf"), b"mask re-al\n", &mut Vec::new());
    let plan = load_plan(&model, &config, &hit, &LoadRequest::default());
    let masked: Vec<_> = plan.masked(1).into_iter().map(|masked| masked.module.to_string()).collect();
    assert_eq!(masked, ["re_al"]);
}

#[test]
fn a_given_file_replaces_the_one_in_the_directory() {
    let model = ModelTree::new(&["m: d", "d:"]);
    let request = LoadRequest { file: Some(PathBuf::from("/t/m.ko")), ..LoadRequest::default() };
    assert_eq!(lines(&model, "", "m", &request), ["insmod /m/d.ko ", "insmod /t/m.ko "]);
}

#[test]
fn every_plan_is_finite_and_has_each_module_once_after_its_dependencies() {
    const NAMES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
    arbtest::arbtest(|u| {
        // Dependencies point to later letters only, so that an order exists; soft ones point anywhere.
        let mut deps = Vec::new();
        let mut text = String::new();
        for (index, module) in NAMES.iter().enumerate() {
            let later: Vec<&str> = NAMES[index + 1..].to_vec();
            let chosen: Vec<&str> = later.into_iter().filter(|_| u.ratio(1, 3).unwrap_or(false)).collect();
            deps.push((module, chosen));
            for mark in ["pre:", "post:"] {
                if u.ratio(1, 2)? {
                    text += &format!("softdep {module} {mark} {} {}\n", u.choose(&NAMES)?, u.choose(&NAMES)?);
                }
            }
        }
        let lines: Vec<String> = deps.iter().map(|(module, deps)| format!("{module}: {}", deps.join(" "))).collect();
        let model = ModelTree::new(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let target = Hit { module: name(u.choose(&NAMES)?), alias: None };
        let plan = load_plan(&model, &config(&text), &target, &LoadRequest::default());
        let order: Vec<String> = plan.steps.iter().map(|step| step.module.to_string()).collect();
        let at = |module: &str| order.iter().position(|other| other == module);
        assert!(at(&target.module.to_string()).is_some());
        for (module, deps) in &deps {
            assert!(order.iter().filter(|other| other == module).count() <= 1, "{order:?} for\n{lines:?}\n{text}");
            if let Some(position) = at(module) {
                for dep in deps {
                    let before = at(dep).is_some_and(|dep| dep < position);
                    assert!(before, "{dep} is not before {module} in {order:?} for\n{lines:?}\n{text}");
                }
            }
        }
        Ok(())
    });
}
