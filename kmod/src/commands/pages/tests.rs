//! Tests that the generated files are complete. Every file is a snapshot.

use super::tools::{SUBCOMMANDS, TOOLS};
use super::*;

fn tool(name: &str) -> &'static Tool {
    TOOLS.iter().find(|tool| tool.page.name == name).unwrap()
}

#[test]
fn every_page_and_every_completion_has_a_snapshot() {
    for (path, text) in all() {
        let text = text.replace(&format!("kmodlab {}", env!("CARGO_PKG_VERSION")), "kmodlab VERSION");
        insta::assert_snapshot!(path.replace('/', "."), text);
    }
}

#[test]
fn every_option_is_in_the_page_and_the_completions_of_its_tool() {
    for tool in TOOLS {
        let name = tool.page.name;
        let page = roff::page(tool.page, Some(tool)).replace("\\-", "-");
        let (bash, zsh, fish) = (shells::bash(tool), shells::zsh(tool), shells::fish(tool));
        for entry in (tool.options)() {
            let long = format!("--{}", entry.long);
            for old in entry.old {
                assert!(page.contains(&format!("--{old}")), "{name}.8: --{old}");
            }
            assert!(page.contains(&format!("\\fB{long}\\fR")), "{name}.8: {long}");
            assert!(bash.contains(&format!(" {long}")), "bash, {name}: {long}");
            assert!(zsh.contains(&long), "zsh, {name}: {long}");
            assert!(fish.contains(&format!("-l {} ", entry.long)), "fish, {name}: {long}");
            if let Some(short) = entry.short {
                assert!(page.contains(&format!("\\fB-{short}\\fR")), "{name}.8: -{short}");
                assert!(bash.contains(&format!(" -{short}")), "bash, {name}: -{short}");
                assert!(zsh.contains(&format!("-{short}")), "zsh, {name}: -{short}");
                assert!(fish.contains(&format!("-s {short} ")), "fish, {name}: -{short}");
            }
        }
    }
}

#[test]
fn the_options_of_commands_are_in_their_page_and_the_completions_of_kmod() {
    let kmod = tool("kmod");
    let page = roff::page(SUBCOMMANDS[0].page, Some(&SUBCOMMANDS[0])).replace("\\-", "-");
    for text in [page, shells::bash(kmod), shells::zsh(kmod)] {
        assert!(text.contains("--format") && text.contains("--output"), "{text}");
    }
    assert!(shells::fish(kmod).contains("-l format "));
}

#[test]
fn every_text_about_an_option_has_an_option() {
    for tool in TOOLS.iter().chain(SUBCOMMANDS) {
        let entries = (tool.options)();
        for (long, _) in tool.more {
            assert!(entries.iter().any(|entry| entry.long == *long), "{}: {long}", tool.page.name);
        }
    }
}

#[test]
fn every_related_page_exists() {
    let pages = || TOOLS.iter().chain(SUBCOMMANDS).map(|tool| tool.page).chain(files::PAGES.iter());
    for page in pages() {
        for (name, section) in page.see_also {
            assert!(pages().any(|other| other.name == *name && other.section == *section), "{}: {name}", page.name);
        }
    }
}

#[test]
fn paths_are_unique_and_every_file_ends_with_a_newline() {
    let mut paths: Vec<_> = all().into_iter().map(|(path, text)| (path, text.ends_with('\n'))).collect();
    assert!(paths.iter().all(|(_, ends)| *ends));
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), all().len());
}

#[test]
fn the_term_of_an_item_is_on_one_line() {
    for file in files::PAGES {
        let page = roff::page(file, None).replace("\\fB", "").replace("\\fR", "").replace("\\-", "-");
        for block in file.sections.iter().flat_map(|section| section.blocks) {
            if let Block::Item(term, _) = block {
                assert!(page.contains(&format!(".TP\n{}\n", term.replace('`', ""))), "{}: {term}", file.name);
            }
        }
    }
}

#[test]
fn back_quotes_are_paired() {
    let texts = |page: &Page| -> Vec<&'static str> {
        let blocks = page.sections.iter().flat_map(|section| section.blocks);
        let text = |block: &Block| match *block {
            Block::Text(text) => vec![text],
            Block::Item(term, text) => vec![term, text],
            Block::Example(_) | Block::Options => vec![],
        };
        blocks.flat_map(text).chain([page.about]).collect()
    };
    let pages = TOOLS.iter().chain(SUBCOMMANDS).map(|tool| tool.page).chain(files::PAGES.iter());
    let more = TOOLS.iter().chain(SUBCOMMANDS).flat_map(|tool| tool.more).map(|(_, text)| *text);
    for text in pages.flat_map(texts).chain(more) {
        assert!(text.matches('`').count() % 2 == 0, "{text}");
    }
}
