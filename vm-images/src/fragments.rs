//! Fragments of kernel configurations: those of `configs/`, how several are laid over each other, and what of them a made
//! configuration holds.

/// The fragments that have names.
pub const NAMES: [&str; 4] = ["tiny", "modular-unix", "kcov-kasan", "test-kmod"];

/// The text of a fragment in `configs/`.
pub(crate) fn fragment(name: &str) -> Option<&'static str> {
    match name {
        "tiny" => Some(include_str!("../configs/tiny")),
        "modular-unix" => Some(include_str!("../configs/modular-unix")),
        "kcov-kasan" => Some(include_str!("../configs/kcov-kasan")),
        "test-kmod" => Some(include_str!("../configs/test-kmod")),
        _ => None,
    }
}

/// A fragment by its name, with the one that it stands on.
pub(crate) fn whole(name: &str) -> Option<Vec<&'static str>> {
    let stands_on = matches!(name, "kcov-kasan" | "test-kmod").then_some("tiny");
    stands_on.into_iter().chain([name]).map(fragment).collect()
}

/// Fragments laid over each other: of several lines about one option the last stays.
pub(crate) fn merge(fragments: &[String]) -> String {
    let lines: Vec<&str> =
        fragments.iter().flat_map(|text| text.lines()).filter(|line| option(line).is_some()).collect();
    let is_last = |at: usize| !lines[at + 1..].iter().any(|later| option(later) == option(lines[at]));
    let kept = lines.iter().enumerate().filter(|(at, _)| is_last(*at));
    kept.fold(String::new(), |text, (_, line)| text + line + "\n")
}

/// The option that a line is about.
fn option(line: &str) -> Option<&str> {
    match line.strip_prefix("# ") {
        Some(rest) => rest.strip_suffix(" is not set"),
        None => line.split_once('=').map(|(option, _)| option),
    }
    .filter(|option| option.starts_with("CONFIG_"))
}

/// The lines of a fragment that a made configuration does not hold.
pub(crate) fn without_effect(fragment: &str, config: &str) -> Vec<String> {
    let made: std::collections::HashSet<&str> = config.lines().collect();
    let mut lost = Vec::new();
    for line in fragment.lines() {
        let unset = line.strip_prefix("# ").and_then(|rest| rest.strip_suffix(" is not set"));
        let kept = match unset {
            // An option whose parents are off is not even mentioned.
            Some(option) => {
                !config.lines().any(|made| made.strip_prefix(option).is_some_and(|rest| rest.starts_with('=')))
            }
            None => !line.starts_with("CONFIG_") || made.contains(line),
        };
        if !kept {
            lost.push(line.to_owned());
        }
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_had_no_effect_is_found() {
        let fragment =
            "# a comment\nCONFIG_A=y\nCONFIG_B=m\nCONFIG_GONE=y\n# CONFIG_C is not set\n# CONFIG_D is not set\n";
        let config = "CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=y\nCONFIG_DD=y\n";
        assert_eq!(without_effect(fragment, config), ["CONFIG_B=m", "CONFIG_GONE=y", "# CONFIG_C is not set"]);
    }

    #[test]
    fn of_several_lines_about_an_option_the_last_stays() {
        let under = "# words\nCONFIG_A=y\nCONFIG_B=\"x\"\n# CONFIG_C is not set\n".to_owned();
        let over = "CONFIG_B=\"y\"\nCONFIG_C=m\n# CONFIG_A is not set\n".to_owned();
        assert_eq!(merge(&[under, over]), "CONFIG_B=\"y\"\nCONFIG_C=m\n# CONFIG_A is not set\n");
    }

    #[test]
    fn every_name_has_its_text_and_no_other() {
        assert!(NAMES.iter().all(|name| whole(name).is_some()));
        assert_eq!(whole("huge"), None);
        assert_eq!(whole("kcov-kasan").map(|parts| parts.len()), Some(2));
    }
}
