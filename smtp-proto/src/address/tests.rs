//! Rows N015, N020, N036, N099, N110, N111, N135, N138, N139, N141, N142, N144, N218, N224, N313.

use proptest::prelude::*;

use super::*;
use crate::strategies;

/// Every text of the table is read as a forward-path and printed.
#[track_caller]
fn check(table: &[(&str, Result<&str, AddressError>)]) {
    for (text, expected) in table {
        let printed = text.parse::<ForwardPath>().map(|path| path.to_string());
        assert_eq!(printed, expected.map(str::to_owned), "{text:?}");
    }
}

/// RFC 5321, 4.1.2 (row N099). Case is kept (rows N020, N021).
#[test]
fn dot_strings() {
    check(&[
        ("<alice@example.com>", Ok("<alice@example.com>")),
        ("<MiXeD@ExAmPlE.com>", Ok("<MiXeD@ExAmPlE.com>")),
        ("<a.b.c@example.com>", Ok("<a.b.c@example.com>")),
        ("<!#$%&'*+-/=?^_`{|}~@example.com>", Ok("<!#$%&'*+-/=?^_`{|}~@example.com>")),
        ("<1@2>", Ok("<1@2>")),
        ("<.a@b>", Err(AddressError::LocalPart)),
        ("<a.@b>", Err(AddressError::LocalPart)),
        ("<a..b@c>", Err(AddressError::LocalPart)),
        ("<.@b>", Err(AddressError::LocalPart)),
        ("<a(comment)@b>", Err(AddressError::LocalPart)),
        ("<a,b@c>", Err(AddressError::LocalPart)),
        ("<a\\@b@c>", Err(AddressError::LocalPart)),
        ("< a@b>", Err(AddressError::LocalPart)),
        ("<a b@c>", Err(AddressError::NoDomain)),
        ("<@b>", Err(AddressError::Route)),
        ("<a>", Err(AddressError::NoDomain)),
        ("<a@>", Err(AddressError::Domain)),
        ("<a@b@c>", Err(AddressError::Domain)),
        ("<a@b >", Err(AddressError::Unclosed)),
    ]);
}

/// RFC 5321, 4.1.2: "the sending system SHOULD transmit the form that uses the minimum quoting possible" (rows N138, N139).
#[test]
fn quoted_strings_lose_their_quotes_where_they_can() {
    check(&[
        ("<\"alice\"@b>", Ok("<alice@b>")),
        ("<\"a.b\"@c>", Ok("<a.b@c>")),
        ("<\"\\a\\l\\i\\c\\e\"@b>", Ok("<alice@b>")),
        ("<\"John Smith\"@b>", Ok("<\"John Smith\"@b>")),
        ("<\"John\\ Smith\"@b>", Ok("<\"John Smith\"@b>")),
        ("<\"a@b\"@c>", Ok("<\"a@b\"@c>")),
        ("<\"a>b\"@c>", Ok("<\"a>b\"@c>")),
        ("<\".a\"@b>", Ok("<\".a\"@b>")),
        ("<\"a..b\"@c>", Ok("<\"a..b\"@c>")),
        ("<\"\"@b>", Ok("<\"\"@b>")),
        ("<\"\\\"\\\\\"@b>", Ok("<\"\\\"\\\\\"@b>")),
        ("<\"a\"b@c>", Err(AddressError::LocalPart)),
        ("<\"a\".b@c>", Err(AddressError::LocalPart)),
        ("<\"a@b>", Err(AddressError::Quoting)),
        ("<\"a\\\"@b>", Err(AddressError::Quoting)),
        ("<\"a\\é\"@b>", Err(AddressError::Quoting)),
        ("<\"a\tb\"@c>", Err(AddressError::Quoting)),
    ]);
}

/// Row N142; the dot at the end is tolerated and never sent.
#[test]
fn domain_names() {
    check(&[
        ("<a@example.com.>", Ok("<a@example.com>")),
        ("<a@x-y.example>", Ok("<a@x-y.example>")),
        ("<a@xn--e1afmkfd.example>", Ok("<a@xn--e1afmkfd.example>")),
        ("<a@127.0.0.1>", Ok("<a@127.0.0.1>")),
        ("<a@example..com>", Err(AddressError::Domain)),
        ("<a@example.com..>", Err(AddressError::Domain)),
        ("<a@.example>", Err(AddressError::Domain)),
        ("<a@.>", Err(AddressError::Domain)),
        ("<a@-x.example>", Err(AddressError::Domain)),
        ("<a@x-.example>", Err(AddressError::Domain)),
        ("<a@under_score.example>", Err(AddressError::Domain)),
        ("<a@exa mple>", Err(AddressError::Unclosed)),
        // RFC 5321, F.4 (row N313): numbers of hosts.
        ("<a@#123>", Err(AddressError::Domain)),
        ("<a@[#123]>", Err(AddressError::Literal)),
    ]);
}

/// RFC 6531, 3.3. Control characters, line separators and broken surrogates have no place in any of it.
#[test]
fn internationalised() {
    check(&[
        ("<пользователь@пример.example>", Ok("<пользователь@пример.example>")),
        ("<\"д м\"@b>", Ok("<\"д м\"@b>")),
        ("<\"дм\"@b>", Ok("<дм@b>")),
        ("<a\u{85}@b>", Err(AddressError::LocalPart)),
        ("<\"a\u{85}\"@b>", Err(AddressError::Quoting)),
        ("<a\u{2028}@b>", Err(AddressError::LocalPart)),
        ("<a@b\u{2029}c>", Err(AddressError::Domain)),
    ]);
    assert!(!"<é@b>".parse::<ForwardPath>().unwrap().is_ascii());
    assert!(!"<a@é>".parse::<ReversePath>().unwrap().is_ascii());
    assert!("<a@[IPv6:::1]>".parse::<ReversePath>().unwrap().is_ascii());
    assert!(ForwardPath::Postmaster.is_ascii() && ReversePath::Null.is_ascii());
}

/// RFC 5321, 4.1.3 (row N144): the session refuses the kinds that nobody registered.
#[test]
fn address_literals() {
    check(&[
        ("<a@[192.0.2.1]>", Ok("<a@[192.0.2.1]>")),
        ("<a@[192.000.002.001]>", Ok("<a@[192.0.2.1]>")),
        ("<a@[255.255.255.255]>", Ok("<a@[255.255.255.255]>")),
        ("<a@[192.0.2.256]>", Err(AddressError::Literal)),
        ("<a@[192.0.2]>", Err(AddressError::Literal)),
        ("<a@[192.0.2.1.5]>", Err(AddressError::Literal)),
        ("<a@[192.0.2.0001]>", Err(AddressError::Literal)),
        ("<a@[192.0.2.+1]>", Err(AddressError::Literal)),
        ("<a@[192.0..2]>", Err(AddressError::Literal)),
        ("<a@[]>", Err(AddressError::Literal)),
        ("<a@[192.0.2.1>", Err(AddressError::Literal)),
        ("<a@[192.0.2.1]x>", Err(AddressError::Unclosed)),
        ("<a@[IPv6:2001:db8::1]>", Ok("<a@[IPv6:2001:db8::1]>")),
        ("<a@[ipV6:2001:DB8:0:0:0:0:0:1]>", Ok("<a@[IPv6:2001:db8::1]>")),
        ("<a@[IPv6:::]>", Ok("<a@[IPv6:::]>")),
        ("<a@[IPv6:::ffff:192.0.2.1]>", Ok("<a@[IPv6:::ffff:192.0.2.1]>")),
        ("<a@[IPv6:1:2:3:4:5:6:7:8:9]>", Err(AddressError::Literal)),
        ("<a@[IPv6:fe80::1%eth0]>", Err(AddressError::Literal)),
        ("<a@[IPv6:]>", Err(AddressError::Literal)),
        ("<a@[2001:db8::1]>", Ok("<a@[2001:db8::1]>")),
        ("<a@[foo:bar]>", Ok("<a@[foo:bar]>")),
        ("<a@[foo-:bar]>", Err(AddressError::Literal)),
        ("<a@[f_o:bar]>", Err(AddressError::Literal)),
        ("<a@[:bar]>", Err(AddressError::Literal)),
        ("<a@[foo:]>", Err(AddressError::Literal)),
        ("<a@[foo:b r]>", Err(AddressError::Literal)),
        ("<a@[foo:é]>", Err(AddressError::Literal)),
    ]);
    for (literal, is_unknown) in [("foo:bar", true), ("2001:db8::1", true), ("IPv6:::1", false), ("192.0.2.1", false)] {
        let mailbox: Mailbox = format!("a@[{literal}]").parse().unwrap();
        assert_eq!(mailbox.is_at_unknown_literal(), is_unknown, "{literal}");
    }
}

#[test]
fn the_literal_of_a_host() {
    for (address, literal) in
        [("192.0.2.1", "[192.0.2.1]"), ("2001:db8::1", "[IPv6:2001:db8::1]"), ("::ffff:192.0.2.1", "[192.0.2.1]")]
    {
        assert_eq!(AddressLiteral::from_ip(address.parse().unwrap()).to_string(), literal);
    }
}

/// RFC 5321, 4.1.1.3 and C (rows N036, N110, N111, N135, N308): accepted, ignored, never printed.
#[test]
fn source_routes() {
    check(&[
        ("<@one:alice@b>", Ok("<alice@b>")),
        ("<@one,@two.example,@[192.0.2.1]:alice@b>", Ok("<alice@b>")),
        ("<@one.:alice@b>", Ok("<alice@b>")),
        ("<@one@two:alice@b>", Err(AddressError::Route)),
        ("<@one,two:alice@b>", Err(AddressError::Route)),
        ("<@one,:alice@b>", Err(AddressError::Route)),
        ("<@one alice@b>", Err(AddressError::Route)),
        ("<@:alice@b>", Err(AddressError::Route)),
        ("<@one:>", Err(AddressError::Empty)),
        ("<@one:@two:alice@b>", Err(AddressError::LocalPart)),
        ("<@one:postmaster>", Err(AddressError::NoDomain)),
        // A route without brackets is no address at all.
        ("@one:alice@b", Err(AddressError::LocalPart)),
    ]);
    assert_eq!("<@one:alice@b>".parse::<ReversePath>().unwrap().to_string(), "<alice@b>");
}

/// RFC 5321, 4.5.1 (rows N015, N218): without a domain, in any case of letters; and no other name so.
#[test]
fn the_bare_postmaster() {
    for text in ["<Postmaster>", "<postmaster>", "<POSTMASTER>", "<pOsTmAsTeR>", "postmaster"] {
        assert_eq!(text.parse(), Ok(ForwardPath::Postmaster), "{text}");
    }
    check(&[
        ("<postmaster@b>", Ok("<postmaster@b>")),
        ("<postmaster", Err(AddressError::Unclosed)),
        ("<postmasters>", Err(AddressError::NoDomain)),
        ("<post-master>", Err(AddressError::NoDomain)),
        ("<postmaster@>", Err(AddressError::Domain)),
        ("postmaster>", Err(AddressError::Trailing)),
    ]);
    assert_eq!("<postmaster>".parse::<ReversePath>(), Err(AddressError::NoDomain));
}

/// RFC 5321, 4.1.1.2 and 4.5.5: only a sender may be nobody.
#[test]
fn the_null_path() {
    assert_eq!("<>".parse(), Ok(ReversePath::Null));
    assert_eq!(ReversePath::Null.to_string(), "<>");
    assert_eq!(ReversePath::Null.mailbox(), None);
    check(&[("<>", Err(AddressError::Empty)), ("", Err(AddressError::Empty))]);
    for text in ["", "< >", "<", "<<>>", "<>x"] {
        assert!(text.parse::<ReversePath>().is_err(), "{text:?}");
    }
}

/// On the list "tolerated on receipt, never sent".
#[test]
fn brackets_may_be_missing_but_not_one_of_them() {
    check(&[
        ("alice@b", Ok("<alice@b>")),
        ("\"a b\"@c", Ok("<\"a b\"@c>")),
        ("<alice@b", Err(AddressError::Unclosed)),
        ("alice@b>", Err(AddressError::Trailing)),
        ("<alice@b>x", Err(AddressError::Trailing)),
        ("alice@b x", Err(AddressError::Trailing)),
        ("<<alice@b>>", Err(AddressError::LocalPart)),
    ]);
    assert_eq!("<alice@b>".parse::<Mailbox>(), Err(AddressError::LocalPart));
}

/// RFC 5321, 4.5.3.1 (row N224): the RFC's sizes are minima, ours are at the limit, one above, and far above.
#[test]
fn limits_hold() {
    let read = |text: String| text.parse::<ForwardPath>().map(|_| ());
    for (octets, expected) in
        [(64, Ok(())), (255, Ok(())), (256, Err(AddressError::TooLong)), (100_000, Err(AddressError::TooLong))]
    {
        assert_eq!(read(format!("<{}@b>", "a".repeat(octets))), expected, "local part of {octets}");
        assert_eq!(read(format!("<\"{}\"@b>", "a".repeat(octets))), expected, "quoted local part of {octets}");
        assert_eq!(LocalPart::new(&"a".repeat(octets)).map(|_| ()), expected);
        let name = format!("{}{}", "a.".repeat((octets - 1) / 2), if octets % 2 == 0 { "aa" } else { "a" });
        assert_eq!(name.len(), octets);
        assert_eq!(read(format!("<a@{name}>")), expected, "domain of {octets}");
        assert_eq!(read(format!("<a@[x:{}]>", "a".repeat(octets - 2))), expected, "literal of {octets}");
    }
    for (octets, expected) in [(63, Ok(())), (64, Err(AddressError::Domain)), (240, Err(AddressError::Domain))] {
        assert_eq!(read(format!("<a@{}.example>", "a".repeat(octets))), expected, "label of {octets}");
    }
    // RFC 5890, 4.2: the ASCII form counts, and it is the shorter one here.
    assert_eq!(read(format!("<a@{}.example>", "京".repeat(30))), Ok(()));
    for (octets, expected) in [(512, Ok(())), (513, Err(AddressError::TooLong)), (5_000, Err(AddressError::TooLong))] {
        let route = "@a,".repeat((octets - "<@a:a@bb>".len()) / 3);
        let path = format!("<{route}@a:a@{}>", "b".repeat(octets - route.len() - "<@a:a@>".len()));
        assert_eq!(path.len(), octets);
        assert_eq!(read(path), expected, "path of {octets}");
    }
}

/// A local part of quotes is twice as long when printed, and it is the printed path that must fit.
#[test]
fn what_is_joined_fits_when_it_is_printed() {
    let quotes = LocalPart::new(&"\"".repeat(255)).unwrap();
    assert_eq!(Mailbox::new(quotes, "b".parse().unwrap()), Err(AddressError::TooLong));
    let letters = LocalPart::new(&"a".repeat(255)).unwrap();
    let name: Domain = "a.".repeat(126).parse().unwrap();
    assert!(Mailbox::new(letters, name).unwrap().to_string().len() + 2 <= limits::PATH_OCTETS);
}

/// Row N141: not one control character in not one place.
#[test]
fn control_characters_never_pass() {
    for control in (0_u8..=31).chain([127]).map(char::from).chain('\u{80}'..='\u{9f}') {
        for text in
            ["<C@b>", "<aC@b>", "<\"C\"@b>", "<\"\\C\"@b>", "<a@C>", "<a@bCc>", "<a@[C]>", "<a@[x:C]>", "<@C:a@b>", "C"]
        {
            let text = text.replace('C', &control.to_string());
            assert!(text.parse::<ForwardPath>().is_err(), "{text:?}");
            assert!(text.parse::<ReversePath>().is_err(), "{text:?}");
        }
        assert_eq!(LocalPart::new(&format!("a{control}")), Err(AddressError::Quoting));
        assert!(format!("a{control}").parse::<Domain>().is_err());
    }
}

/// RFC 5321, 2.4: the local part keeps its case, the domain has none.
#[test]
fn case_counts_before_the_at_sign_only() {
    assert_ne!("Alice@b".parse::<Mailbox>(), "alice@b".parse::<Mailbox>());
    let name: DomainName = "Example.ORG".parse().unwrap();
    assert!(name.is("eXAMPLE.org") && !name.is("example.com"));
    assert_eq!("[192.0.2.1]".parse::<DomainName>(), Err(AddressError::Domain));
}

/// Row N020: what the host of a mailbox may do, and nobody else.
#[test]
fn a_local_part_at_home() {
    for (value, folded, before) in [
        ("Bob", "bob", None),
        ("Bob+Lists+x", "bob+lists+x", Some("Bob")),
        ("+lists", "+lists", None),
        ("bob+", "bob+", Some("bob")),
        ("John Smith+\u{c9}", "john smith+\u{c9}", Some("John Smith")),
    ] {
        let local_part = LocalPart::new(value).unwrap();
        assert_eq!(local_part.folded().as_str(), folded);
        assert_eq!(local_part.before('+').as_ref().map(LocalPart::as_str), before, "{value}");
    }
    assert_eq!(LocalPart::postmaster().as_str(), "postmaster");
}

proptest! {
    #[test]
    fn what_is_printed_is_read_again(mailbox in strategies::mailbox(), sender in strategies::reverse_path(), recipient in strategies::forward_path()) {
        prop_assert_eq!(mailbox.to_string().parse(), Ok(mailbox));
        prop_assert_eq!(sender.to_string().parse(), Ok(sender));
        prop_assert_eq!(recipient.to_string().parse(), Ok(recipient));
    }

    /// Row N138: however a local part is quoted, it is the same.
    #[test]
    fn all_quoted_forms_are_one(value in "[ -~é]{0,30}", backslashes in any::<u32>()) {
        let mut quoted = String::new();
        for (place, character) in value.chars().enumerate() {
            let may_be_escaped = character.is_ascii() && backslashes >> (place % 32) & 1 == 1;
            if may_be_escaped || matches!(character, '"' | '\\') {
                quoted.push('\\');
            }
            quoted.push(character);
        }
        let mailbox: Mailbox = format!("\"{quoted}\"@b").parse().unwrap();
        prop_assert_eq!(mailbox.local_part().as_str(), value);
    }

    /// Whatever text goes in, no control character comes out.
    #[test]
    fn nothing_printed_holds_a_control_character(text in strategies::hostile_text()) {
        let printed = [
            text.parse::<Mailbox>().map(|value| value.to_string()),
            text.parse::<ReversePath>().map(|value| value.to_string()),
            text.parse::<ForwardPath>().map(|value| value.to_string()),
            text.parse::<Domain>().map(|value| value.to_string()),
            LocalPart::new(&text).map(|value| value.to_string()),
        ];
        for printed in printed.into_iter().flatten() {
            prop_assert!(!printed.chars().any(char::is_control), "{:?}", printed);
        }
    }
}
