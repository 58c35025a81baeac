//! Fragments of kernel configurations: those in `configs/`, merging several, and finding lines without effect.

/// The names of the fragments in `configs/`.
pub const NAMES: [&str; 6] = ["tiny", "catalogue", "modular-unix", "kcov-kasan", "test-kmod", "autoload-dups"];

/// Returns the text of a fragment in `configs/`.
pub(crate) fn fragment(name: &str) -> Option<&'static str> {
    match name {
        "tiny" => Some(include_str!("../../configs/tiny")),
        "catalogue" => Some(include_str!("../../configs/catalogue")),
        "modular-unix" => Some(include_str!("../../configs/modular-unix")),
        "kcov-kasan" => Some(include_str!("../../configs/kcov-kasan")),
        "test-kmod" => Some(include_str!("../../configs/test-kmod")),
        "autoload-dups" => Some(include_str!("../../configs/autoload-dups")),
        _ => None,
    }
}

/// Returns a fragment, preceded by the one it is based on.
pub(crate) fn with_base(name: &str) -> Option<Vec<&'static str>> {
    let base = matches!(name, "catalogue" | "kcov-kasan" | "test-kmod" | "autoload-dups").then_some("tiny");
    base.into_iter().chain([name]).map(fragment).collect()
}

/// Returns a fragment merged over the one it is based on.
pub(crate) fn merged(name: &str) -> Option<String> {
    let parts: Vec<String> = with_base(name)?.into_iter().map(str::to_owned).collect();
    Some(merge(&parts))
}

/// Merges fragments: of several lines for an option, the last is kept.
pub(crate) fn merge(fragments: &[String]) -> String {
    let lines: Vec<&str> =
        fragments.iter().flat_map(|text| text.lines()).filter(|line| option(line).is_some()).collect();
    let is_last = |at: usize| !lines[at + 1..].iter().any(|later| option(later) == option(lines[at]));
    let kept = lines.iter().enumerate().filter(|(at, _)| is_last(*at));
    kept.fold(String::new(), |text, (_, line)| text + line + "\n")
}

/// Returns the option that a line sets or unsets.
fn option(line: &str) -> Option<&str> {
    match line.strip_prefix("# ") {
        Some(rest) => rest.strip_suffix(" is not set"),
        None => line.split_once('=').map(|(option, _)| option),
    }
    .filter(|option| option.starts_with("CONFIG_"))
}

/// Returns the lines of a fragment that are not effective in a configuration.
pub(crate) fn without_effect(fragment: &str, config: &str) -> Vec<String> {
    let made: std::collections::HashSet<&str> = config.lines().collect();
    let mut lost = Vec::new();
    for line in fragment.lines() {
        let unset = line.strip_prefix("# ").and_then(|rest| rest.strip_suffix(" is not set"));
        let kept = match unset {
            // An option whose dependencies are off does not appear in the configuration.
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
    fn lines_without_effect_are_found() {
        let fragment =
            "# a comment\nCONFIG_A=y\nCONFIG_B=m\nCONFIG_GONE=y\n# CONFIG_C is not set\n# CONFIG_D is not set\n";
        let config = "CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=y\nCONFIG_DD=y\n";
        assert_eq!(without_effect(fragment, config), ["CONFIG_B=m", "CONFIG_GONE=y", "# CONFIG_C is not set"]);
    }

    #[test]
    fn of_several_lines_for_an_option_the_last_is_kept() {
        let under = "# a comment\nCONFIG_A=y\nCONFIG_B=\"x\"\n# CONFIG_C is not set\n".to_owned();
        let over = "CONFIG_B=\"y\"\nCONFIG_C=m\n# CONFIG_A is not set\n".to_owned();
        assert_eq!(merge(&[under, over]), "CONFIG_B=\"y\"\nCONFIG_C=m\n# CONFIG_A is not set\n");
    }

    #[test]
    fn every_listed_name_has_a_text() {
        assert!(NAMES.iter().all(|name| with_base(name).is_some()));
        assert_eq!(with_base("huge"), None);
        assert_eq!(with_base("kcov-kasan").map(|parts| parts.len()), Some(2));
        let whole = merged("autoload-dups").unwrap();
        assert!(whole.contains("CONFIG_MODULES=y\n") && whole.contains("CONFIG_LOCALVERSION=\"-autoload-dups\"\n"));
    }

    #[test]
    fn every_fragment_named_in_the_catalogue_exists() {
        for entry in crate::Catalogue::builtin().unwrap().kernels() {
            if let Some(config) = &entry.config {
                assert!(merged(config).is_some(), "{config}");
            }
        }
    }
}
