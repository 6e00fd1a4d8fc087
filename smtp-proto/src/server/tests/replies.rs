//! Every reply that the server's side gives of itself. Rows N163, N169, N174, N190, X012, X013, X014, X147, X148.

use super::{codes, config};
use crate::address::AddressError;
use crate::command::CommandError;
use crate::parameter::ParameterError;
use crate::reply::{Class, Code, EnhancedCode, Reply};
use crate::server::replies::*;
use crate::server::{CloseReason, ServerSession};

/// RFC 5321, 4.2.3; 521 and 556 are RFC 7504's, 235, 454 and 530 RFC 4954's.
const LISTED: [u16; 29] = [
    235, 454, 530, 211, 214, 220, 221, 250, 251, 252, 354, 421, 450, 451, 452, 455, 500, 501, 502, 503, 504, 521, 550,
    551, 552, 553, 554, 555, 556,
];

fn with_enhanced_code() -> Vec<Reply> {
    let addresses = [
        AddressError::Empty,
        AddressError::LocalPart,
        AddressError::NoDomain,
        AddressError::Domain,
        AddressError::Literal,
        AddressError::Quoting,
        AddressError::Unclosed,
        AddressError::Route,
        AddressError::Trailing,
        AddressError::TooLong,
    ];
    let parameters =
        [ParameterError::Malformed, ParameterError::Unknown, ParameterError::Twice, ParameterError::Value("SIZE")];
    let errors = [
        CommandError::Octets,
        CommandError::UnknownVerb,
        CommandError::ForeignProtocol,
        CommandError::Arguments("DATA"),
    ];
    let errors = errors
        .into_iter()
        .chain(addresses.map(CommandError::ReversePath))
        .chain(addresses.map(CommandError::ForwardPath))
        .chain(parameters.map(CommandError::Parameter));
    let reasons = [CloseReason::Drain, CloseReason::Evict, CloseReason::Deadline, CloseReason::Failure];
    let others = [
        refused_session(),
        early_talker(),
        foreign_protocol(),
        goodbye(),
        bare_line_feed(),
        line_too_long(),
        endless_line(),
        too_many_errors(),
        too_many_commands(),
        too_many_mails(),
        not_offered(),
        reset(),
        noop(),
        cannot_verify(),
        help(),
        hello_first(),
        nested_mail(),
        start_tls(),
        tls_active(),
        starttls_first(),
        auth_first(),
        is_authenticated(),
        auth_in_transaction(),
        unknown_mechanism(),
        not_base64(),
        auth_cancelled(),
        auth_line_too_long(),
        authenticated(),
        no_auth_now(),
        too_many_auth_failures(),
        mail_first(),
        no_recipients(),
        parameter_not_offered(),
        smtputf8_missing(),
        message_too_big(u64::MAX),
        too_many_recipients(),
        sender_ok(),
        recipient_ok(),
        accepted(None),
        accepted(Some("Queued as 01J".into())),
        bare_line_end_in_content(),
        mail_loop(),
        endless_content(),
        refusal(Reply::new(Code::new(250).unwrap(), None, "yes")),
    ];
    errors.map(command_error).chain(reasons.map(closing)).chain(others).collect()
}

fn without_enhanced_code() -> Vec<Reply> {
    let hostname = "mx.example.org".parse().unwrap();
    let refusals = [550, 554, 521, 450, 421].map(|code| {
        let enhanced = EnhancedCode::new((code / 100) as u8, 7, 1);
        Reply::new(Code::new(code).unwrap(), Some(enhanced), "No\nreally not")
    });
    let mut replies = vec![
        greeting(&hostname),
        ehlo(&hostname, &ServerSession::new(config()).extensions()),
        helo(&hostname),
        start_content(),
        command_error(CommandError::Arguments("EHLO client.example")),
        command_error(CommandError::Arguments("HELO client.example")),
    ];
    replies.extend(refusals.clone().map(refused_greeting));
    replies.extend(refusals.map(refused_hello));
    replies
}

#[test]
fn every_reply_of_ours() {
    for reply in with_enhanced_code() {
        let enhanced = reply.enhanced().unwrap_or_else(|| panic!("{reply}"));
        assert_eq!(u16::from(enhanced.class), reply.code().number() / 100, "{reply}");
    }
    for reply in without_enhanced_code() {
        assert_eq!(reply.enhanced(), None, "{reply}");
    }
    for reply in with_enhanced_code().into_iter().chain(without_enhanced_code()) {
        assert!(LISTED.contains(&reply.code().number()), "{reply}");
        let mut wire = Vec::new();
        reply.write_to(&mut wire);
        let wire = String::from_utf8(wire).unwrap();
        assert_eq!(codes(&wire), [reply.code().number()]);
        assert!(reply.lines().all(|line| !line.is_empty()), "{reply}");
    }
}

/// RFC 5321, 4.3.2: what each answer may be to each command, as far as it is ours to choose.
#[test]
fn classes() {
    let not_now = [
        closing(CloseReason::Drain),
        closing(CloseReason::Evict),
        closing(CloseReason::Deadline),
        closing(CloseReason::Failure),
        too_many_recipients(),
        endless_content(),
        no_auth_now(),
        too_many_auth_failures(),
    ];
    for reply in not_now {
        assert_eq!(reply.class(), Class::Transient, "{reply}");
    }
    // Row N064: VRFY never says 250, since nothing was verified.
    assert_eq!(cannot_verify().code().number(), 252);
    assert_eq!(start_content().class(), Class::Intermediate);
}

/// A reply of ours that closes says so by its code.
#[test]
fn closing_codes() {
    let closing =
        [bare_line_feed(), endless_line(), too_many_errors(), too_many_commands(), too_many_mails(), endless_content()];
    for reply in closing {
        assert!(reply.is_closing(), "{reply}");
    }
    // Text of the driver's in a reply that is ours: one reply all the same.
    let mut wire = Vec::new();
    accepted(Some("a\r\n550 b\u{1b}".into())).write_to(&mut wire);
    assert_eq!(wire, b"250-2.0.0 a\r\n250 2.0.0 550 b\\u{1b}\r\n");
}
