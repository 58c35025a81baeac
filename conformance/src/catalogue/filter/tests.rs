use super::*;
use crate::catalogue::behaviours;
use arbitrary::Unstructured;

fn ids(text: &str) -> Vec<&'static str> {
    let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{error}"));
    behaviours::all().into_iter().filter(|behaviour| filter.matches(behaviour)).map(|behaviour| behaviour.id).collect()
}

fn message(text: &str) -> String {
    match Filter::parse(text) {
        Ok(filter) => filter.check_terms(&behaviours::all()).expect_err("a term matches nothing").to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn each_term_matches_its_property() {
    assert_eq!(ids("id(path.newline)"), ["path.newline"]);
    assert_eq!(ids("catalogue(PATH-06)"), ["path.empty-disables"]);
    assert!(ids("group(load)").iter().all(|id| id.starts_with("load.")), "unload is another group");
    assert_eq!(ids("all()").len(), behaviours::all().len());
    assert_eq!(ids("about(kernel) | about(both)"), ids("all()"));
    assert_eq!(ids("needs(depmod)"), behaviours_that_need("depmod"));
    assert_eq!(ids("!needs(*)"), behaviours_that_need(""));
}

fn behaviours_that_need(command: &str) -> Vec<&'static str> {
    let needs = |behaviour: &&Entry| match command {
        "" => behaviour.needs.is_empty(),
        _ => behaviour.needs.iter().any(|need| matches!(need, Need::Command(name) if *name == command)),
    };
    behaviours::all().into_iter().filter(needs).map(|behaviour| behaviour.id).collect()
}

#[test]
fn and_binds_tighter_than_or_and_minus_excludes() {
    assert_eq!(
        ids("group(path) | group(loop) & id(*.cut-at-50)"),
        ids("group(path) | (group(loop) & id(*.cut-at-50))")
    );
    assert_eq!(ids("group(loop) - id(/cut/)"), ids("group(loop) & !id(/cut/)"));
    assert_eq!(ids("!!id(path.newline)"), ["path.newline"]);
    assert!(ids("(group(loop) | group(path)) & id(*.cut-at-50)").iter().all(|id| id.starts_with("loop.")));
}

#[test]
fn a_regex_matches_a_part_a_glob_the_whole_text_and_equals_is_literal() {
    assert_eq!(ids("id(/^path\\.new/)"), ids("id(path.new*)"));
    assert_eq!(ids("id(newline)"), Vec::<&str>::new());
    assert_eq!(ids("id(*newline)"), ["path.newline"]);
    assert_eq!(ids("id(path.newlin?)"), ["path.newline"]);
    assert_eq!(ids("id(=path.newlin?)"), Vec::<&str>::new());
    assert_eq!(ids("id(/a\\/b/)"), Vec::<&str>::new());
}

#[test]
fn an_invalid_expression_is_printed_with_its_column() {
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
    insta::assert_snapshot!(expressions.map(message).join("\n"));
}

#[test]
fn a_generated_expression_is_valid_and_prints_as_the_same_expression() {
    arbtest::arbtest(|u| {
        let text = expression(u, 0)?;
        assert!(check_any_text(&text), "{text}");
        Ok(())
    });
}

#[test]
fn any_text_is_an_expression_that_prints_as_itself_or_an_error_with_a_column() {
    const EXAMPLES: &[(&str, bool)] = &[
        ("id(=path.newline) | catalogue(PATH-0?)", true),
        ("(group(path) | about(both)) - needs(CONFIG_*)", true),
        ("group(loop) & !id(/kill/)", true),
        ("!!(all() - id(/a\\/b|\\\\/))", true),
        ("group(loop) & grop(", false),
    ];
    for (text, valid) in EXAMPLES {
        assert_eq!(check_any_text(text), *valid, "{text}");
    }
    arbtest::arbtest(|u| {
        const PARTS: &[&str] = &[
            "group(",
            "id(",
            "catalogue(",
            "about(",
            "needs(",
            "/",
            "\\",
            "=",
            "(",
            ")",
            "&",
            "|",
            "!",
            "-",
            " ",
            "loop",
            "path",
            "é",
            "all()",
            "*",
            "?",
            "\n",
        ];
        let mut text = String::new();
        for _ in 0..u.int_in_range(0..=20)? {
            text.push_str(u.choose(PARTS)?);
        }
        check_any_text(&text);
        Ok(())
    });
}

/// Whether the text is an expression. Checks that it then prints as the same expression, and that `all() - (x)` selects the
/// other behaviours; if it is not, that the error names a column of the text.
fn check_any_text(text: &str) -> bool {
    let filter = match Filter::parse(text) {
        Ok(filter) => filter,
        Err(error) => {
            let column = error.column();
            assert!((1..=text.chars().count() + 1).contains(&column), "{text:?}: column {column}");
            assert!(error.to_string().contains(&format!("column {column}: ")), "{text:?}: {error}");
            return false;
        }
    };
    let printed = filter.to_string();
    let again = Filter::parse(&printed).unwrap_or_else(|error| panic!("{text:?}, printed as {printed:?}: {error}"));
    assert_eq!(again.to_string(), printed, "{text:?}");
    // One more parenthesis may exceed the limit.
    let others = Filter::parse(&format!("all() - ({text})")).ok();
    for behaviour in behaviours::all() {
        let selected = filter.matches(behaviour);
        assert_eq!(again.matches(behaviour), selected, "{text:?}, printed as {printed:?}, on {}", behaviour.id);
        let other = others.as_ref().map(|others| others.matches(behaviour));
        assert_ne!(other, Some(selected), "all() - ({text}) on {}", behaviour.id);
    }
    true
}

#[test]
fn depth_is_bounded_but_length_is_not() {
    let deep = |depth: usize| format!("{}all(){}", "(".repeat(depth), ")".repeat(depth));
    assert!(Filter::parse(&deep(MAX_DEPTH)).is_ok());
    assert!(Filter::parse(&deep(MAX_DEPTH + 1)).unwrap_err().to_string().contains("more than 64 levels deep"));
    assert!(Filter::parse(&deep(100_000)).is_err());
    assert!(Filter::parse(&format!("{}all()", "!".repeat(100_000))).is_ok());
    assert!(Filter::parse(&vec!["all()"; 10_000].join(" & ")).is_ok());
    assert!(
        Filter::parse(&format!("id(/{}/)", "(a{1000}){1000}")).is_err(),
        "the size of a regular expression is limited"
    );
}

#[test]
fn a_glob_matches_like_a_naive_implementation() {
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|taken| naive(rest, &text[taken..])),
            Some((&c, rest)) => {
                text.split_first().is_some_and(|(&t, after)| (c == b'?' || c == t) && naive(rest, after))
            }
        }
    }
    arbtest::arbtest(|u| {
        let mut text_of = |letters: &[u8]| -> arbitrary::Result<String> {
            (0..u.int_in_range(0..=7)?).map(|_| Ok(char::from(*u.choose(letters)?))).collect()
        };
        let (pattern, text) = (text_of(b"ab*?")?, text_of(b"ab")?);
        assert_eq!(glob(&pattern, &text), naive(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        Ok(())
    });
}

/// Generates a valid expression.
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
            let operator = ["&", " | ", " - "][n - 2];
            format!("{}{operator}{}", expression(u, depth + 1)?, expression(u, depth + 1)?)
        }
    })
}
