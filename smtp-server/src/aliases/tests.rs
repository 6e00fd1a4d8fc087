//! Alias files: what is read, and what is refused with its line.

use super::*;

fn entries(text: &str) -> Vec<(usize, String, Vec<String>)> {
    let aliases = Aliases::parse(text).unwrap();
    let shown = |alias: &&Alias| {
        let targets = alias.targets().iter().map(Target::to_string).collect();
        (alias.line(), alias.name().to_string(), targets)
    };
    aliases.entries().iter().map(shown).collect()
}

/// Row N094.
#[test]
fn reads_what_aliases_5_describes() {
    for (text, expected) in [
        ("", vec![]),
        ("# nobody\n\n   \n  # nor here\n", vec![]),
        ("a: b", vec![(1, "a", vec!["b"])]),
        ("\u{feff}a:b\r\nc :\td ,e\r\n", vec![(1, "a", vec!["b"]), (2, "c", vec!["d", "e"])]),
        ("a: b,\n  c\n\t, d\n", vec![(1, "a", vec!["b", "c", "d"])]),
        ("a:\n b,\n\n# in between\n c\n", vec![(1, "a", vec!["b", "c"])]),
        ("\"John: Smith\": \"a, b\"@x, \"c\\\"d\"\n", vec![(1, "\"John: Smith\"", vec!["\"a, b\"@x", "\"c\\\"d\""])]),
        ("\"a\": \"b\"\n", vec![(1, "a", vec!["b"])]),
        ("\"a@b\": \"c@d\"\n", vec![(1, "\"a@b\"", vec!["\"c@d\""])]),
        (
            "A@Example.ORG: B@[192.0.2.1]\n@Example.org: c\n",
            vec![(1, "A@Example.ORG", vec!["B@[192.0.2.1]"]), (2, "@Example.org", vec!["c"])],
        ),
        (
            "a+b: a%b, c!d, j\u{f6}rg, \"|x\"@y, \"/x\"@y\n",
            vec![(1, "a+b", vec!["a%b", "c!d", "j\u{f6}rg", "|x@y", "/x@y"])],
        ),
        ("\"#a\": \"#b\", b#\n", vec![(1, "#a", vec!["#b", "b#"])]),
    ] {
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(line, name, targets)| {
                (line, name.to_owned(), targets.into_iter().map(str::to_owned).collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(entries(text), expected, "{text:?}");
    }
}

#[test]
fn names_the_line_that_is_wrong() {
    use AliasesReason::*;
    for (text, line, reason) in [
        ("  a: b\n", 1, NothingToContinue),
        ("# c\n\n\ta\n", 3, NothingToContinue),
        (": b\n", 1, NoName),
        (":include:/etc/list\n", 1, NoName),
        ("a: b\nc\n", 2, NoColon),
        ("a b: c\n", 1, NoColon),
        ("a \"b\": c\n", 1, NoColon),
        ("\"a: b\n", 1, Unbalanced),
        ("a: b\nc: d,\n  \"e\n", 3, Unbalanced),
        ("a: \"b\\\"\n", 1, Unbalanced),
        ("a:\nb: c\n", 1, NoTargets),
        ("b: c\na: \n # nothing\n", 2, NoTargets),
        ("a: ,b\n", 1, EmptyTarget),
        ("a: b,,c\n", 1, EmptyTarget),
        ("a: b\n ,\n , c\n", 3, EmptyTarget),
        ("x: y\na: b,\n", 2, EmptyTarget),
        ("a: b c\n", 1, NoComma),
        ("a: b\n c\n", 2, NoComma),
        ("a: b # c\n", 1, Comment),
        ("a: b, #c\n", 1, Comment),
        ("a: b\nc: d\nA: e\n", 3, Duplicate { first_line: 1 }),
        ("a@x: b\n\"A\"@X: c\n", 2, Duplicate { first_line: 1 }),
        ("@x: b\n@X.: c\n", 2, Duplicate { first_line: 1 }),
        ("a: b@\n", 1, Address(AddressError::Domain)),
        ("a: b\n c.: d\n", 2, NoComma),
        ("a..b: c\n", 1, Address(AddressError::LocalPart)),
        ("a@b@c: d\n", 1, Address(AddressError::Domain)),
        ("@: d\n", 1, Address(AddressError::Domain)),
        ("a: b\u{7}\n", 1, Address(AddressError::LocalPart)),
        ("a: <b@x>\n", 1, AngleBrackets),
        ("a: Bob <b@x>\n", 1, AngleBrackets),
        ("<a@x>: b\n", 1, AngleBrackets),
        ("a: :include:/etc/list\n", 1, Include),
        ("a: \":include:/etc/list of\"\n", 1, Include),
        ("a: b,\n :include: /etc/list\n", 2, Include),
        ("a: |program\n", 1, Command),
        ("a: |program with words\n", 1, Command),
        ("a: \"|program with, words\"\n", 1, Command),
        ("a: /var/mail/a\n", 1, File),
        ("a: /dev/null, b\n", 1, File),
        ("a: \"/var/mail/a b\"\n", 1, File),
        ("a: /x@y\n", 1, File),
        ("a: \\a, b\n", 1, Backslash),
    ] {
        let error = Aliases::parse(text).map(|_| ());
        assert_eq!(error, Err(AliasesError { line, reason }), "{text:?}");
    }
}

#[test]
fn says_what_to_do() {
    let domains = ["example.org".parse().unwrap()];
    for (text, expected) in [
        ("a@example.net: b\n", "line 1: example.net is not served here; add --domain"),
        ("@sub.example.org: b\n", "line 1: sub.example.org is not served here; add --domain"),
        ("a@[192.0.2.1]: b\n", "line 1: [192.0.2.1] is not served here; add --domain"),
        ("a: b\na: c\n", "line 2: the name was given on line 1 already; put all targets there"),
        ("a: |b\n", "line 1: |command is not supported; let the program fetch the mail from a mailbox"),
    ] {
        assert_eq!(Aliases::parse_for(text, &domains).unwrap_err().to_string(), expected);
    }
    assert!(Aliases::parse_for("a@EXAMPLE.org: b\n@example.ORG: a\nc: d\n", &domains).is_ok());
}

#[test]
fn limits() {
    let with_targets = |count: usize| format!("x: y\na: {}\n", vec!["b"; count].join(",\n "));
    assert!(Aliases::parse(&with_targets(MOST_TARGETS)).is_ok());
    let error = AliasesError { line: 2 + MOST_TARGETS, reason: AliasesReason::TooManyTargets };
    assert_eq!(Aliases::parse(&with_targets(MOST_TARGETS + 1)).map(|_| ()), Err(error));

    let of_size = |octets: usize| format!("a: b\n#{}", "x".repeat(octets - "a: b\n#".len()));
    assert!(Aliases::parse(&of_size(MOST_OCTETS)).is_ok());
    for octets in [MOST_OCTETS + 1, 2 * MOST_OCTETS] {
        let error = AliasesError { line: 2, reason: AliasesReason::TooLarge };
        assert_eq!(Aliases::parse(&of_size(octets)).map(|_| ()), Err(error));
    }
}

/// Row N020: names are found in any case, targets keep theirs.
#[test]
fn finds_the_nearest_name() {
    let text = "Info: A\nINFO@one.example: B\n@one.example: C\n";
    let aliases = Aliases::parse(text).unwrap();
    let found = |local_part: &str, domain: &str| {
        let (local_part, domain) = (LocalPart::new(local_part).unwrap(), domain.parse().unwrap());
        aliases.find(&local_part, &domain).map(|alias| alias.targets()[0].to_string())
    };
    assert_eq!(found("iNFO", "One.Example"), Some("B".to_owned()));
    assert_eq!(found("iNFO", "two.example"), Some("A".to_owned()));
    assert_eq!(found("other", "one.example"), None);
    assert_eq!(aliases.catch_all(&"ONE.example".parse().unwrap()).map(Alias::line), Some(3));
    assert_eq!(aliases.catch_all(&"two.example".parse().unwrap()), None);
}
