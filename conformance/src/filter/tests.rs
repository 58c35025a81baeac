use super::*;
use crate::behaviours;
use arbitrary::Unstructured;

fn ids(text: &str) -> Vec<&'static str> {
    let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{error}"));
    behaviours::all().into_iter().filter(|behaviour| filter.matches(behaviour)).map(|behaviour| behaviour.id).collect()
}

fn told(text: &str) -> String {
    match Filter::parse(text) {
        Ok(filter) => filter.check_terms(&behaviours::all()).expect_err("it is wrong").to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn each_term_looks_at_its_own_text() {
    assert_eq!(ids("id(path.newline)"), ["path.newline"]);
    assert_eq!(ids("catalogue(PATH-06)"), ["path.empty-disables"]);
    assert!(ids("group(load)").iter().all(|id| id.starts_with("load.")), "unload is another group");
    assert_eq!(ids("all()").len(), behaviours::all().len());
    assert_eq!(ids("about(kernel) | about(both)"), ids("all()"));
    assert_eq!(ids("needs(depmod)"), behaviours_that_need("depmod"));
    assert_eq!(ids("!needs(*)"), behaviours_that_need(""));
}

fn behaviours_that_need(command: &str) -> Vec<&'static str> {
    let needs = |behaviour: &&Behaviour| match command {
        "" => behaviour.needs.is_empty(),
        _ => behaviour.needs.iter().any(|need| matches!(need, Need::Command(name) if *name == command)),
    };
    behaviours::all().into_iter().filter(needs).map(|behaviour| behaviour.id).collect()
}

#[test]
fn and_binds_before_or_and_minus_takes_away() {
    assert_eq!(
        ids("group(path) | group(loop) & id(*.cut-at-50)"),
        ids("group(path) | (group(loop) & id(*.cut-at-50))")
    );
    assert_eq!(ids("group(loop) - id(/cut/)"), ids("group(loop) & !id(/cut/)"));
    assert_eq!(ids("!!id(path.newline)"), ["path.newline"]);
    assert!(ids("(group(loop) | group(path)) & id(*.cut-at-50)").iter().all(|id| id.starts_with("loop.")));
}

#[test]
fn a_regular_expression_finds_a_glob_covers_and_equals_is_letter_by_letter() {
    assert_eq!(ids("id(/^path\\.new/)"), ids("id(path.new*)"));
    assert_eq!(ids("id(newline)"), Vec::<&str>::new());
    assert_eq!(ids("id(*newline)"), ["path.newline"]);
    assert_eq!(ids("id(path.newlin?)"), ["path.newline"]);
    assert_eq!(ids("id(=path.newlin?)"), Vec::<&str>::new());
    assert_eq!(ids("id(/a\\/b/)"), Vec::<&str>::new());
}

#[test]
fn what_is_wrong_is_shown_where_it_stands() {
    let expressions = [
        "",
        "group(loop) &",
        "grop(loop)",
        "group(loop",
        "(group(loop)",
        "group(loop))",
        "id()",
        "id(/x",
        "id(/(/)",
        "group(loop) id(x)",
        "all(x)",
        "id(path.a & id(b))",
        "group(path) & id(newline)",
        "é & x",
    ];
    insta::assert_snapshot!(expressions.map(told).join("\n"));
}

#[test]
fn an_expression_reads_back_as_it_is_written() {
    arbtest::arbtest(|u| {
        let text = expression(u, 0)?;
        let filter = Filter::parse(&text).unwrap_or_else(|error| panic!("{error}"));
        let again = Filter::parse(&filter.to_string()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(again.to_string(), filter.to_string(), "{text}");
        for behaviour in behaviours::all() {
            assert_eq!(again.matches(behaviour), filter.matches(behaviour), "{text} on {}", behaviour.id);
        }
        Ok(())
    });
}

#[test]
fn no_text_is_read_with_a_panic_and_every_error_has_its_column() {
    arbtest::arbtest(|u| {
        const PARTS: &[&str] =
            &["group(", "id(", "/", "\\", "=", "(", ")", "&", "|", "!", "-", " ", "loop", "é", "all()", "*", "\n"];
        let mut text = String::new();
        for _ in 0..u.int_in_range(0..=20)? {
            text.push_str(u.choose(PARTS)?);
        }
        if let Err(error) = Filter::parse(&text) {
            assert!((1..=text.chars().count() + 1).contains(&error.column()), "{text:?}: {error}");
        }
        Ok(())
    });
}

#[test]
fn depth_is_bounded_and_length_is_not() {
    let deep = |depth: usize| format!("{}all(){}", "(".repeat(depth), ")".repeat(depth));
    assert!(Filter::parse(&deep(DEPTH)).is_ok());
    assert!(Filter::parse(&deep(DEPTH + 1)).unwrap_err().to_string().contains("more than 64 deep"));
    assert!(Filter::parse(&deep(100_000)).is_err());
    assert!(Filter::parse(&format!("{}all()", "!".repeat(100_000))).is_ok());
    assert!(Filter::parse(&vec!["all()"; 10_000].join(" & ")).is_ok());
    assert!(Filter::parse(&format!("id(/{}/)", "(a{1000}){1000}")).is_err(), "a regular expression has its limit");
}

#[test]
fn a_glob_is_what_a_slow_one_says() {
    fn slow(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|taken| slow(rest, &text[taken..])),
            Some((&c, rest)) => {
                text.split_first().is_some_and(|(&t, after)| (c == b'?' || c == t) && slow(rest, after))
            }
        }
    }
    arbtest::arbtest(|u| {
        let mut word = |letters: &[u8]| -> arbitrary::Result<String> {
            (0..u.int_in_range(0..=7)?).map(|_| Ok(char::from(*u.choose(letters)?))).collect()
        };
        let (pattern, text) = (word(b"ab*?")?, word(b"ab")?);
        assert_eq!(glob(&pattern, &text), slow(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        Ok(())
    });
}

/// An expression that can be read.
fn expression(u: &mut Unstructured<'_>, depth: usize) -> arbitrary::Result<String> {
    const TERMS: &[&str] = &[
        "all()",
        "group(loop)",
        "id( path.* )",
        "id(/^path\\.[a-m]/)",
        "catalogue(=PATH-06)",
        "about(kernel)",
        "needs(CONFIG_*)",
        "id(/a\\/b|\\\\/)",
        "id(?oop*)",
    ];
    if depth == 4 || u.ratio(1, 3)? {
        return Ok((*u.choose(TERMS)?).to_owned());
    }
    Ok(match u.int_in_range(0..=4)? {
        0 => format!("!{}", expression(u, depth + 1)?),
        1 => format!("({})", expression(u, depth + 1)?),
        n => {
            let sign = ["&", " | ", " - "][n - 2];
            format!("{}{sign}{}", expression(u, depth + 1)?, expression(u, depth + 1)?)
        }
    })
}
