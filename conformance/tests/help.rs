//! The help of every command, as a whole text.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

mod support;

use clap::CommandFactory as _;
use conformance::cli::Args;
use std::collections::BTreeSet;
use support::session::assert_text;
use support::{run, stdout};

/// Returns the arguments of every command and subcommand, as clap knows them.
fn commands() -> Vec<Vec<String>> {
    fn collect(command: &clap::Command, path: &[String], all: &mut Vec<Vec<String>>) {
        all.push(path.to_vec());
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            collect(sub, &[path, &[sub.get_name().to_owned()]].concat(), all);
        }
    }
    let mut all = Vec::new();
    collect(&Args::command(), &[], &mut all);
    all
}

/// Returns the name of the snapshot of a command.
fn name(command: &[String]) -> String {
    [&["kmodlab".to_owned()], command].concat().join("-")
}

#[test]
fn every_command_prints_its_help() {
    let commands = commands();
    assert!(commands.len() > 20, "{commands:?}");
    for command in &commands {
        let args: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
        let output = run(&args);
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        assert_text!(name(command), stdout(&output));
    }
}

#[test]
fn every_help_snapshot_belongs_to_a_command() {
    let expected: BTreeSet<String> = commands().iter().map(|command| format!("help__{}.snap", name(command))).collect();
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let found: BTreeSet<String> = files.filter(|file| file.starts_with("help__")).collect();
    assert_eq!(found, expected);
}

#[test]
fn every_option_and_argument_has_a_help_text() {
    fn check(command: &clap::Command) {
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(!help.is_empty() && !help.ends_with('.'), "{} {}: {help}", command.get_name(), argument.get_id());
        }
        command.get_subcommands().for_each(check);
    }
    check(&Args::command());
}

#[test]
fn help_and_version_are_not_errors() {
    for flag in ["--help", "-h", "--version", "-V"] {
        assert_eq!(run(&[flag]).status.code(), Some(0), "{flag}");
    }
}
