use super::*;
use vm_images::Catalogue;

fn names() -> Names {
    Names::new(&Catalogue::builtin().unwrap()).and_subjects(&["./mine".to_owned()])
}

const ENTRY: &str = r#"
[[deviation]]
behaviour = "path.newline"
fact = "result"
subject = "kmod-*"
kernels = ">=5.10, <6.4"
instead = ["2", ""]
reason = "because"
reference = "kmod issue 446"
"#;

fn parsed(text: &str) -> Deviations {
    Deviations::parse("own.toml", text, Origin::User, &names()).unwrap()
}

fn error(text: &str) -> String {
    Deviations::parse("own.toml", text, Origin::User, &names()).unwrap_err().to_string()
}

fn scope<'a>(subject: &'a str, like: Option<&'a str>, release: &'a str) -> Scope<'a> {
    Scope { behaviour: "path.newline", subject, like, release, probes: &[("cutoff", "wait-queue")] }
}

#[test]
fn the_shipped_table_is_valid() {
    Deviations::builtin(&Names::new(&Catalogue::builtin().unwrap())).unwrap();
}

#[test]
fn an_entry_is_parsed_with_its_position() {
    let table = parsed(&format!("# comment\n{ENTRY}"));
    let [entry] = table.entries() else { panic!("{table:?}") };
    assert_eq!(entry.place.to_string(), "own.toml:3");
    assert_eq!((entry.subject.as_str(), entry.reason.as_str()), ("kmod-*", "because"));
    assert_eq!(entry.instead, ["2", ""]);
    let minimal =
        "[[deviation]]\nbehaviour = \"path.newline\"\nfact = \"a\"\ninstead = \"\"\nreason = \"r\"\nreference = \"\"\n";
    let table = parsed(minimal);
    let entry = &table.entries()[0];
    assert_eq!((entry.subject.as_str(), entry.kernels.len(), entry.reference.as_str()), ("*", 0, ""));
}

#[test]
fn an_entry_applies_to_its_behaviour_subject_and_kernels() {
    let table = parsed(ENTRY);
    let applies = |scope: &Scope<'_>| !table.of(scope).is_empty();
    assert!(applies(&scope("kmod-34", None, "6.1.0-1")));
    assert!(!applies(&scope("ours", None, "6.1.0-1")));
    assert!(!applies(&scope("kmod-34", None, "6.12.1")));
    assert!(!applies(&Scope { behaviour: "path.empty-disables", ..scope("kmod-34", None, "6.1.0-1") }));
    let probed = parsed(&ENTRY.replace("\">=5.10, <6.4\"", "[\"=7.0\", \"cutoff=wait-queue\"]"));
    assert!(!probed.of(&scope("kmod-34", None, "6.12.1")).is_empty());
}

#[test]
fn a_subject_like_another_one_has_its_shipped_deviations_and_its_own_ones() {
    let shipped = Deviations::parse("shipped.toml", ENTRY, Origin::Shipped, &names()).unwrap();
    let every =
        Deviations::parse("s.toml", &ENTRY.replace("subject = \"kmod-*\"\n", ""), Origin::Shipped, &names()).unwrap();
    let own = parsed(&ENTRY.replace("kmod-*", "./mine"));
    let must_occur = |table: &Deviations, subject, like| {
        table.of(&scope(subject, like, "6.1.0-1")).first().map(|listed| listed.must_occur)
    };
    assert_eq!(must_occur(&shipped, "./mine", Some("kmod-34")), Some(false));
    assert_eq!(must_occur(&shipped, "kmod-30", Some("ours")), None);
    assert_eq!(must_occur(&every, "./mine", Some("ours")), Some(true), "a deviation of the kernel");
    assert_eq!(must_occur(&own, "./mine", Some("kmod-34")), Some(true));
    assert_eq!(must_occur(&parsed(ENTRY), "./mine", Some("kmod-34")), Some(true));
    assert_eq!(must_occur(&own, "ours", None), None);
}

#[test]
fn the_users_entries_take_precedence() {
    let shipped = Deviations::parse("shipped.toml", ENTRY, Origin::Shipped, &names()).unwrap();
    let table = shipped.and(parsed(&ENTRY.replace("because", "mine")));
    let reasons: Vec<&str> =
        table.of(&scope("kmod-34", None, "6.1.0")).iter().map(|listed| listed.deviation.reason.as_str()).collect();
    assert_eq!(reasons, ["mine", "because"]);
}

#[test]
fn the_traits_of_the_users_subject_are_parsed() {
    assert_eq!(
        parsed("[subject]\ntraits = [\"modprobe --wait\"]\n").traits(),
        Some(&["modprobe --wait".to_owned()][..])
    );
    assert_eq!(parsed(ENTRY).traits(), None);
}

#[test]
fn an_error_names_the_file_and_the_line() {
    let cases = [
        ENTRY.replace("path.newline", "path.newlin"),
        ENTRY.replace("kmod-*", "kmod-35"),
        ENTRY.replace("kmod-*", "lazybox*"),
        ENTRY.replace("<6.4", "6.4"),
        ENTRY.replace("<6.4", "cutof=semaphore"),
        ENTRY.replace("<6.4", "cutoff=never"),
        ENTRY.replace("instead", "insted"),
        ENTRY.replace("instead = [\"2\", \"\"]\n", ""),
        ENTRY.replace("[\"2\", \"\"]", "[]"),
        ENTRY.replace("[\"2\", \"\"]", "2"),
        ENTRY.replace("\"because\"", "\" \""),
        ENTRY.replace("\"because\"", "true"),
        ENTRY.replace("fact = \"result\"\n", ""),
        ENTRY.replace("[[deviation]]", "[deviation]"),
        ENTRY.replace("[[deviation]]", "[[deviations]]"),
        ENTRY.replace("\"result\"", "\"result"),
        format!("{ENTRY}{ENTRY}"),
        "[subject]\n".to_owned(),
        "[subject]\ntraits = [\"modprobe --wat\"]\n".to_owned(),
        "[subject]\nname = \"x\"\n".to_owned(),
        "subject = 1\n".to_owned(),
    ];
    insta::assert_snapshot!(cases.map(|text| error(&text)).join("\n"));
}

#[test]
fn a_shipped_entry_needs_a_reference_and_has_no_traits() {
    let error = |text: &str| Deviations::parse("s.toml", text, Origin::Shipped, &names()).unwrap_err().to_string();
    assert_eq!(error(&ENTRY.replace("reference = \"kmod issue 446\"\n", "")), "s.toml line 2: missing key 'reference'");
    assert_eq!(error(&ENTRY.replace("kmod issue 446", "")), "s.toml line 9: 'reference' is empty");
    assert_eq!(error("[subject]\ntraits = []\n"), "s.toml line 1: [subject] is only allowed in your own table");
}

#[test]
fn a_mistyped_name_has_a_suggestion() {
    let nearest = |text: &str| match Deviations::parse("x", text, Origin::User, &names()).unwrap_err().problem {
        Problem::Unknown { nearest, .. } | Problem::NoSubject { nearest, .. } => nearest,
        other => panic!("{other}"),
    };
    assert_eq!(nearest(&ENTRY.replace("path.newline", "path.newlin")).as_deref(), Some("path.newline"));
    assert_eq!(nearest(&ENTRY.replace("kmod-*", "kmod-35")).as_deref(), Some("kmod-30"));
    assert_eq!(nearest(&ENTRY.replace("reason", "reson")).as_deref(), Some("reason"));
}
