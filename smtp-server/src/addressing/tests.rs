//! What addresses mean, and where their mail goes: tables, and a property of every alias file.

use std::collections::HashSet;
use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use crate::aliases::MOST_TARGETS;

/// Two domains, these mailboxes, these aliases.
fn host(recipients: Option<&str>, aliases: &str) -> LocalAddressing {
    let addressing = LocalAddressing::new(["us.example".parse().unwrap(), "two.example".parse().unwrap()]);
    let addressing = addressing.with_aliases(Aliases::parse(aliases).unwrap());
    match recipients {
        Some(recipients) => addressing.with_recipients(Recipients::parse(recipients).unwrap()),
        None => addressing,
    }
}

fn path(text: &str) -> ForwardPath {
    text.parse().unwrap()
}

fn meaning(host: &LocalAddressing, text: &str) -> String {
    match host.look_up(&path(text)) {
        Meaning::Mailbox(mailbox) => mailbox.to_string(),
        Meaning::Alias { alias, domain } => format!("{} at {domain}", alias.name()),
        Meaning::Elsewhere => "elsewhere".to_owned(),
        Meaning::Odd => "odd".to_owned(),
        Meaning::NoDirectory => "no directory".to_owned(),
        Meaning::Unknown => "unknown".to_owned(),
    }
}

/// The ends of an expansion, as the address and what it is.
fn ends(host: &LocalAddressing, text: &str) -> Vec<String> {
    let shown = |step: &Step<'_>| match &step.outcome {
        Outcome::Mailbox(mailbox) => format!("{} in {mailbox}", step.address),
        Outcome::Relay => format!("{} relayed", step.address),
        Outcome::Refused(refusal) => format!("{} {refusal:?}", step.address),
        Outcome::Alias(_) => "not an end".to_owned(),
    };
    host.expand(&path(text)).ends().map(shown).collect()
}

/// Rows N015, N020, N218, N219.
#[test]
fn the_nearest_meaning() {
    let listed = "bob\nann@us.example\n\"John Smith\"\nexact+tag\nodd%name\n";
    let aliases = "sales: bob\nBOTH: ann\nboth+tag: bob\nann@two.example: bob\nodd!alias: bob\nbob+alias: ann\n\
                   @two.example: ann\n";
    let host = host(Some(listed), aliases);
    for (text, expected) in [
        ("<bob@us.example>", "bob@us.example"),
        ("<BOB@US.example>", "bob@us.example"),
        ("<@route.example:bob@us.example>", "bob@us.example"),
        ("<bob@two.example>", "bob@two.example"),
        ("<ann@us.example>", "ann@us.example"),
        ("<\"john smith\"@us.example>", "\"john smith\"@us.example"),
        ("<Ann@two.example>", "ann@two.example at two.example"),
        ("<Sales@us.example>", "sales at us.example"),
        ("<sales@Two.example>", "sales at two.example"),
        ("<nobody@us.example>", "unknown"),
        ("<nobody@two.example>", "@two.example at two.example"),
        // What stands behind the +.
        ("<Bob+x@us.example>", "bob@us.example"),
        ("<bob+x+y@us.example>", "bob@us.example"),
        ("<bob+@us.example>", "bob@us.example"),
        ("<+bob@us.example>", "unknown"),
        ("<exact+TAG@us.example>", "exact+tag@us.example"),
        ("<exact+other@us.example>", "unknown"),
        ("<exact@us.example>", "unknown"),
        ("<sales+x@us.example>", "sales at us.example"),
        ("<both+x@us.example>", "BOTH at us.example"),
        ("<both+tag@us.example>", "both+tag at us.example"),
        ("<bob+alias@us.example>", "bob+alias at us.example"),
        // Routes in the local part.
        ("<odd%name@us.example>", "odd%name@us.example"),
        ("<odd!alias@us.example>", "odd!alias at us.example"),
        ("<a%b@us.example>", "odd"),
        ("<a%b@two.example>", "odd"),
        ("<\"a@b\"@us.example>", "odd"),
        ("<bob+a%b@us.example>", "odd"),
        ("<\"bob+@b\"@us.example>", "odd"),
        // Elsewhere.
        ("<bob@three.example>", "elsewhere"),
        ("<bob@sub.us.example>", "elsewhere"),
        ("<bob@[127.0.0.1]>", "elsewhere"),
        ("<postmaster@three.example>", "elsewhere"),
        // Postmaster goes before the catch-all.
        ("<Postmaster>", "postmaster@us.example"),
        ("<POSTMASTER@two.example>", "postmaster@two.example"),
        ("<postmaster+x@two.example>", "postmaster@two.example"),
    ] {
        assert_eq!(meaning(&host, text), expected, "{text}");
    }
}

/// Without a list, every local part exists.
#[test]
fn without_a_list_of_recipients() {
    let host = host(None, "sales: bob\npostmaster@two.example: bob\n@us.example: bob\n");
    for (text, expected) in [
        ("<Anybody+x@us.example>", "anybody@us.example"),
        ("<+x@us.example>", "+x@us.example"),
        ("<sales@us.example>", "sales at us.example"),
        ("<a%b@us.example>", "odd"),
        ("<a+b%c@us.example>", "odd"),
        ("<Postmaster>", "postmaster@us.example"),
        ("<postmaster@two.example>", "postmaster@two.example at two.example"),
    ] {
        assert_eq!(meaning(&host, text), expected, "{text}");
    }
    assert_eq!(meaning(&LocalAddressing::new([]), "<Postmaster>"), "postmaster@localhost");
}

/// Row X156: one domain, whichever of its spellings stands in the settings, in a list, in an alias, or comes in RCPT.
#[test]
fn a_domain_in_all_its_spellings() {
    let spellings = ["b\u{fc}cher.example", "B\u{dc}CHER.Example", "xn--bcher-kva.example", "XN--BCHER-KVA.EXAMPLE"];
    for served in spellings {
        for written in spellings {
            let addressing =
                LocalAddressing::new([served.parse().unwrap()]).with_hostname("mx.example".parse().unwrap());
            let recipients = Recipients::parse_for(&format!("bob@{written}\n"), &addressing).unwrap();
            let aliases = format!("sales@{written}: bob@{served}, bob\n@{written}: catcher@far.example\n");
            let aliases = Aliases::parse_for(&aliases, addressing.domains()).unwrap();
            let host = addressing.with_recipients(recipients).with_aliases(aliases).with_relaying();
            assert_eq!(host.check(), Ok(()), "{served} {written}");
            for asked in spellings {
                let at = |local_part: &str| format!("<{local_part}@{asked}>");
                assert_eq!(meaning(&host, &at("bob")), format!("bob@{served}"), "{written} {asked}");
                assert_eq!(meaning(&host, &at("postmaster")), format!("postmaster@{served}"), "{written} {asked}");
                assert_eq!(ends(&host, &at("sales")), [format!("<bob@{served}> in bob@{served}")], "{written} {asked}");
                assert_eq!(ends(&host, &at("eve")), ["<catcher@far.example> relayed"], "{written} {asked}");
                assert_eq!(meaning(&host, &format!("<bob@mail.{asked}>")), "elsewhere");
            }
        }
    }
    // Elsewhere too, one place gets one copy.
    let host = host(None, "all: ann@b\u{fc}cher.example, ann@XN--bcher-kva.example\n").with_relaying();
    assert_eq!(ends(&host, "<all@us.example>").len(), 1);
}

/// What can be no directory has no mailbox where mailboxes are directories, and may still be a name for others.
#[test]
fn names_that_can_be_no_directory() {
    let long = "\u{4e2d}".repeat(29);
    let paths = ["<\"\"@us.example>".to_owned(), format!("<{long}@us.example>"), format!("<{long}+x@us.example>")];
    let elsewhere = host(None, "");
    let in_maildirs = host(None, "").with_maildirs();
    for path_text in &paths {
        assert_eq!(elsewhere.accepts(&path(path_text)), Ok(()), "{path_text}");
        assert_eq!(meaning(&in_maildirs, path_text), "no directory");
        assert_eq!(in_maildirs.accepts(&path(path_text)), Err(Refusal::NoDirectory));
        let reply = Refusal::NoDirectory.reply();
        assert!(!reply.is_transient() && reply.to_string().starts_with("550 5.1.1 "), "{reply}");
    }
    assert_eq!(meaning(&in_maildirs, "<\"+x\"@us.example>"), "+x@us.example");

    let error = host(None, &format!("sales: bob, {long}\n")).with_maildirs().check().unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("line 1: sales leads to <{long}@us.example>, which can be no directory")),
        "{error}"
    );
    let named = host(Some("bob"), &format!("\"\": bob\n{long}: bob\n@us.example: bob\n")).with_maildirs();
    assert_eq!(named.check(), Ok(()));
    for path_text in &paths {
        assert_eq!(ends(&named, path_text), ["<bob@us.example> in bob@us.example"], "{path_text}");
    }
}

/// Rows N094, N218.
#[test]
fn expansions() {
    let listed = "bob\nann\ncarl@two.example\n";
    let aliases = "one: Bob+Lists\nteam: bob, Ann@US.example, BOB+x, one\nall: team, carl@two.example, all2\n\
                   all2: team, all\nbob@two.example: bob, bob@far.example\nfar: X@far.example, x@FAR.example, X@FAR.example\n\
                   here: carl\ndead: nobody, bob\na: b\nb: a\nodd: a%b\npostmaster: a\n@two.example: ann\nann+own: ann+own, bob\n";
    let local = host(Some(listed), aliases);
    let relaying = host(Some(listed), aliases).with_relaying();
    for (text, expected) in [
        ("<bob@us.example>", &["<bob@us.example> in bob@us.example"][..]),
        ("<Bob+Tag@us.example>", &["<Bob+Tag@us.example> in bob@us.example"]),
        ("<nobody@us.example>", &["<nobody@us.example> Unknown"]),
        ("<one@us.example>", &["<Bob+Lists@us.example> in bob@us.example"]),
        // Each mailbox once, in the order in which it is named; the nearest first.
        ("<team@us.example>", &["<bob@us.example> in bob@us.example", "<Ann@US.example> in ann@us.example"]),
        (
            "<all@us.example>",
            &[
                "<carl@two.example> in carl@two.example",
                "<bob@us.example> in bob@us.example",
                "<Ann@US.example> in ann@us.example",
            ],
        ),
        // A local target belongs to the domain of the name.
        ("<here@two.example>", &["<carl@two.example> in carl@two.example"]),
        ("<here@us.example>", &["<carl@us.example> Unknown"]),
        ("<any@two.example>", &["<ann@two.example> in ann@two.example"]),
        // What is found under its own name is the mailbox of that name.
        ("<ann+own@us.example>", &["<ann+own@us.example> in ann@us.example", "<bob@us.example> in bob@us.example"]),
        ("<bob@two.example>", &["<bob@two.example> in bob@two.example", "<bob@far.example> relayed"]),
        // The case of a local part elsewhere is not ours to judge.
        ("<far@us.example>", &["<X@far.example> relayed", "<x@FAR.example> relayed"]),
        ("<u@far.example>", &["<u@far.example> relayed"]),
        ("<dead@us.example>", &["<nobody@us.example> Unknown", "<bob@us.example> in bob@us.example"]),
        ("<odd@us.example>", &["<a%b@us.example> Odd"]),
        ("<a@us.example>", &["<a@us.example> Circle"]),
        // Postmaster leads into a circle, and is read all the same.
        ("<postmaster@us.example>", &["<postmaster@us.example> in postmaster@us.example"]),
        ("<Postmaster>", &["<Postmaster> in postmaster@us.example"]),
    ] {
        assert_eq!(ends(&relaying, text), expected, "{text}");
    }
    for (text, expected) in [
        ("<bob@two.example>", &["<bob@two.example> in bob@two.example", "<bob@far.example> NotRelayed"][..]),
        ("<far@us.example>", &["<X@far.example> NotRelayed", "<x@FAR.example> NotRelayed"]),
        ("<u@far.example>", &["<u@far.example> Elsewhere"]),
    ] {
        assert_eq!(ends(&local, text), expected, "{text}");
    }
}

/// What RCPT hears from somebody who may not relay, and what a report would say: the same, so that nothing is accepted of
/// which all comes back.
#[test]
fn refusals() {
    let aliases = "dead: nobody\nhalf: nobody, bob\nfar: x@far.example\na: b\nb: a\npostmaster: dead\n";
    let local = host(Some("bob\n"), aliases);
    for (text, expected) in [
        ("<bob@us.example>", None),
        ("<half@us.example>", None),
        ("<postmaster@us.example>", None),
        ("<nobody@us.example>", Some("550 5.1.1 ")),
        ("<dead@us.example>", Some("550 5.1.1 ")),
        ("<far@us.example>", Some("550 5.7.1 ")),
        ("<x@far.example>", Some("550 5.7.1 ")),
        ("<x%far.example@us.example>", Some("550 5.7.1 ")),
        ("<a@us.example>", Some("451 4.2.4 ")),
    ] {
        let refusal = local.accepts(&path(text)).err();
        let reply = refusal.map(|refusal| refusal.reply().to_string());
        assert_eq!(reply.as_ref().map(|reply| &reply[..10]), expected, "{text}");
        let expansion = local.expand(&path(text));
        let destinations = expansion.ends().filter(|end| end.is_destination()).count();
        assert_eq!(destinations > 0, expected.is_none(), "{text}");
    }
    let relaying = local.with_relaying();
    assert_eq!(relaying.accepts(&path("<far@us.example>")), Ok(()));
    assert_eq!(
        relaying.accepts(&path("<x@far.example>")),
        Err(Refusal::Elsewhere),
        "to relay is for the policy to allow"
    );
}

#[test]
fn limits() {
    let chain = |length: usize| (0..length).fold(String::new(), |text, n| text + &format!("a{n}: a{}\n", n + 1));
    let of_chain = |length: usize| ends(&host(Some(&format!("a{length}\n")), &chain(length)), "<a0@us.example>");
    assert_eq!(of_chain(MOST_DEPTH), [format!("<a{MOST_DEPTH}@us.example> in a{MOST_DEPTH}@us.example")]);
    for length in [MOST_DEPTH + 1, 100 * MOST_DEPTH] {
        assert_eq!(of_chain(length), [format!("<a{MOST_DEPTH}@us.example> TooDeep")]);
    }

    // Ten names of a thousand mailboxes are behind `all`, which makes ten addresses too many.
    let wide = |names: usize, last: usize| {
        let mut text = String::from("all: n0");
        (1..names).for_each(|name| write!(text, ", n{name}").unwrap());
        for name in 0..names {
            let targets = if name + 1 == names { last } else { MOST_TARGETS };
            write!(text, "\nn{name}: m{name}x0").unwrap();
            (1..targets).for_each(|target| write!(text, ", m{name}x{target}").unwrap());
        }
        text
    };
    let of_wide = |names, last| ends(&host(None, &wide(names, last)), "<all@us.example>");
    assert_eq!(of_wide(10, MOST_TARGETS - 10).len(), MOST_ADDRESSES - 10);
    assert_eq!(of_wide(10, MOST_TARGETS - 9), ["<all@us.example> TooMany"]);
    assert_eq!(of_wide(100, MOST_TARGETS), ["<all@us.example> TooMany"]);
}

#[test]
fn an_alias_that_leads_nowhere_is_told_at_the_start() {
    let said = |recipients, aliases| host(recipients, aliases).check().map_err(|error| error.to_string());
    let listed = Some("bob\nann@us.example\n");
    for aliases in
        ["", "a: bob\n", "b: ann\n", "bob: bob\n", "c: d\nd: c, bob\n", "@us.example: ann\n", "postmaster: bob"]
    {
        assert_eq!(said(listed, aliases), Ok(()), "{aliases:?}");
    }
    assert_eq!(host(listed, "bob: bob, x@far.example\n").with_relaying().check(), Ok(()));
    for (recipients, aliases, expected) in [
        (
            listed,
            "a: bob\nb: bob, nobody\n",
            "line 2: b leads to <nobody@us.example>, which is nobody here; add it to the recipients or mend the line",
        ),
        (
            listed,
            "a: b\nb@us.example: bob,\n ann@two.example\n",
            "line 2: b@us.example leads to <ann@two.example>, which is nobody here; add it to the recipients or mend the \
             line",
        ),
        (listed, "ann: ann@two.example\nx: bob\nann@two.example: ann@two.example\n", "line 3: "),
        (
            listed,
            "a: x@far.example\n",
            "line 1: a leads to <x@far.example>, which is at a domain not served here, and nothing is relayed; see --relay",
        ),
        (listed, "a: b%c\n", "line 1: a leads to <b%c@us.example>, which holds a route; name the mailbox itself"),
        (listed, "x: bob\nc: d\nd: c\n", "line 2: c leads to itself and to nobody else; name a mailbox"),
        (
            None,
            "a: b\n@us.example: b\n",
            "line 2: @us.example catches nothing, since every local part has a mailbox; add --recipients",
        ),
    ] {
        let error = said(recipients, aliases).unwrap_err();
        assert!(error.starts_with(expected), "{aliases:?}: {error}");
    }
}

/// A local part that fits behind one domain may be too long behind another.
#[test]
fn a_target_that_becomes_too_long() {
    let long_domain = ["x".repeat(63), "y".repeat(63), "z".repeat(63), "w".repeat(61)].join(".");
    let addressing = LocalAddressing::new([long_domain.parse().unwrap()]);
    let aliases = format!("a: \"{}\"\n", " ".repeat(255));
    let addressing = addressing.with_aliases(Aliases::parse(&aliases).unwrap());
    assert_eq!(ends(&addressing, &format!("<a@{long_domain}>")), [format!("<a@{long_domain}> Unknown")]);
}

/// A few names that lead to each other, to mailboxes and away.
fn alias_files() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", "c", "d", "e", "f", "A", "b+x", "postmaster"]);
    let domain = prop::sample::select(vec!["", "@us.example", "@TWO.example", "@far.example"]);
    let target = (name.clone(), domain).prop_map(|(name, domain)| format!("{name}{domain}"));
    let key = (name, prop::sample::select(vec!["", "@us.example", "@two.example"]));
    let key = key.prop_map(|(name, domain)| format!("{name}{domain}").to_ascii_lowercase());
    let key = prop_oneof![8 => key, 1 => Just("@us.example".to_owned())];
    let entries = prop::collection::btree_map(key, prop::collection::vec(target, 1..6), 0..12);
    entries.prop_map(|entries| {
        let lines = entries.into_iter().map(|(name, targets)| format!("{name}: {}\n", targets.join(", ")));
        lines.collect()
    })
}

proptest! {
    /// Row N094: however names lead to each other, an expansion ends, says something, and says it once.
    #[test]
    fn expansions_end_and_name_each_place_once(
        aliases in alias_files(),
        list in prop::option::of(prop::sample::subsequence(vec!["a\n", "c\n", "d@us.example\n", "b+x\n"], 0..=4)),
        is_relaying in any::<bool>(),
        asked in prop::sample::select(vec!["a@us.example", "B@two.example", "b+x@us.example", "f+y@us.example", "postmaster"]),
    ) {
        let mut host = host(list.map(|lines| lines.concat()).as_deref(), &aliases);
        if is_relaying {
            host = host.with_relaying();
        }
        let asked = path(asked);
        let expansion = host.expand(&asked);
        let mut seen = HashSet::new();
        for end in expansion.ends() {
            let place = match &end.outcome {
                Outcome::Mailbox(mailbox) => mailbox.to_string(),
                _ => end.address.to_string(),
            };
            prop_assert!(seen.insert(place), "{} twice in {:?}", end.address, expansion);
            prop_assert!(is_relaying || end.outcome != Outcome::Relay);
        }
        prop_assert!((1..=MOST_ADDRESSES).contains(&seen.len()));
        // RCPT and the queue never disagree.
        let has_destination = expansion.ends().any(Step::is_destination);
        prop_assert_eq!(host.accepts(&asked).is_ok(), has_destination);
    }
}
