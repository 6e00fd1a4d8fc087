//! Every reply the server's side gives of itself, in the order of a conversation. The codes are those that RFC 5321,
//! 4.2.3 and 4.3.2 list, the enhanced ones those of RFC 3463 and its registry; the text says what to do.

use std::borrow::Cow;

use super::CloseReason;
use crate::address::{AddressError, Domain};
use crate::command::CommandError;
use crate::extension::Extensions;
use crate::parameter::ParameterError;
use crate::reply::{Class, Code, EnhancedCode, Reply};

/// RFC 2034, 4: no enhanced code in the greeting, in replies to EHLO and HELO, and in 3yz.
fn bare<const CODE: u16>(text: impl Into<Cow<'static, str>>) -> Reply {
    Reply::new(Code::literal::<CODE>(), None, text)
}

// ---- The connection ------------------------------------------------------------------------------------------------

pub(super) fn greeting(hostname: &Domain) -> Reply {
    bare::<220>(format!("{hostname} ESMTP ready"))
}

/// RFC 5321, 3.1: a host that will not serve this client says 554, and why; one that cannot now says 421 and closes, since
/// a 554 would make the client give its mail back.
pub(super) fn refused_greeting(refusal: Reply) -> Reply {
    let text = text(&refusal);
    match refusal.class() {
        Class::Transient => bare::<421>(text),
        _ if refusal.is_closing() => bare::<521>(text),
        _ => bare::<554>(text),
    }
}

/// What a policy says to EHLO or HELO: as it is, without the enhanced code.
pub(super) fn refused_hello(refusal: Reply) -> Reply {
    Reply::new(refusal.code(), None, text(&refusal))
}

fn text(reply: &Reply) -> String {
    reply.lines().collect::<Vec<_>>().join("\n")
}

pub(super) fn refused_session() -> Reply {
    Reply::literal::<503>(5, 1, "No mail is taken from you here; only QUIT is left")
}

pub(super) fn early_talker() -> Reply {
    Reply::literal::<554>(
        5,
        0,
        "You spoke before you were answered; wait for the greeting and for the replies to EHLO and STARTTLS",
    )
}

pub(super) fn foreign_protocol() -> Reply {
    Reply::literal::<554>(5, 1, "This is an SMTP server, and that was not SMTP")
}

pub(super) fn closing(reason: CloseReason) -> Reply {
    match reason {
        CloseReason::Drain => Reply::literal::<421>(3, 2, "The server is being stopped; come back later"),
        CloseReason::Evict => {
            Reply::literal::<421>(3, 2, "Others are waiting and this connection was idle; come back later")
        }
        CloseReason::Deadline => Reply::literal::<421>(4, 2, "That took too long; come back later"),
        CloseReason::Failure => Reply::literal::<421>(3, 0, "Something broke on our side; come back later"),
    }
}

pub(super) fn goodbye() -> Reply {
    Reply::literal::<221>(0, 0, "Goodbye")
}

// ---- Lines and commands --------------------------------------------------------------------------------------------

pub(super) fn bare_line_feed() -> Reply {
    // RFC 7504, 3: 521 is final, and the connection ends with it.
    Reply::literal::<521>(5, 2, "Lines must end in CRLF; a bare LF is not a line end (RFC 5321, 2.3.8)")
}

pub(super) fn line_too_long() -> Reply {
    Reply::literal::<500>(5, 2, "The line is too long")
}

pub(super) fn endless_line() -> Reply {
    Reply::literal::<421>(7, 0, "The line does not end")
}

pub(super) fn too_many_errors() -> Reply {
    Reply::literal::<421>(7, 0, "Too many errors")
}

pub(super) fn too_many_commands() -> Reply {
    Reply::literal::<421>(7, 0, "Too many commands that move no mail")
}

pub(super) fn command_error(error: CommandError) -> Reply {
    let text = capitalised(&error.to_string());
    match error {
        // RFC 5321, 4.1.2: "MUST reject that command with a 501 response".
        CommandError::Octets => Reply::literal::<501>(5, 2, text),
        CommandError::UnknownVerb => Reply::literal::<500>(5, 1, text),
        CommandError::ForeignProtocol => foreign_protocol(),
        CommandError::Chunk => unreadable_chunk(),
        CommandError::Arguments(usage) if usage.starts_with("EHLO") || usage.starts_with("HELO") => bare::<501>(text),
        CommandError::Arguments(_) => Reply::literal::<501>(5, 4, text),
        // RFC 5321, 4.5.3.1.10: a path that is too long is 501.
        CommandError::ReversePath(AddressError::TooLong) => Reply::literal::<501>(5, 2, text),
        CommandError::ForwardPath(AddressError::TooLong) => Reply::literal::<501>(5, 2, text),
        CommandError::ReversePath(_) => Reply::literal::<501>(1, 7, text),
        CommandError::ForwardPath(_) => Reply::literal::<501>(1, 3, text),
        CommandError::Parameter(ParameterError::Unknown) => Reply::literal::<555>(5, 4, text),
        CommandError::Parameter(_) => Reply::literal::<501>(5, 4, text),
    }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(characters).collect()
}

pub(super) fn not_offered() -> Reply {
    Reply::literal::<502>(5, 1, "That command is not offered here")
}

// ---- Hello and the small commands ----------------------------------------------------------------------------------

pub(super) fn ehlo(hostname: &Domain, extensions: &Extensions) -> Reply {
    let mut text = format!("{hostname} greets you");
    for extension in extensions.iter() {
        text.push('\n');
        text.push_str(&extension.to_string());
    }
    bare::<250>(text)
}

/// RFC 5321, 3.2: never the form with many lines.
pub(super) fn helo(hostname: &Domain) -> Reply {
    bare::<250>(format!("{hostname} greets you"))
}

/// RFC 3207, 4.
pub(super) fn start_tls() -> Reply {
    Reply::literal::<220>(0, 0, "Go on with TLS")
}

pub(super) fn tls_active() -> Reply {
    Reply::literal::<503>(5, 1, "This is said under TLS already")
}

pub(super) fn starttls_first() -> Reply {
    Reply::literal::<530>(7, 0, "Send STARTTLS first; nobody logs in here in clear")
}

// ---- AUTH: the codes are those of RFC 4954, 6 ----------------------------------------------------------------------

pub(super) fn auth_first() -> Reply {
    Reply::literal::<530>(7, 0, "Authentication is required; send AUTH first")
}

pub(super) fn is_authenticated() -> Reply {
    Reply::literal::<503>(5, 1, "You have authenticated already")
}

pub(super) fn auth_in_transaction() -> Reply {
    Reply::literal::<503>(5, 1, "AUTH cannot come in a transaction; send RSET first")
}

pub(super) fn unknown_mechanism() -> Reply {
    Reply::literal::<504>(5, 4, "That mechanism is not offered here; EHLO lists those that are")
}

pub(super) fn not_base64() -> Reply {
    Reply::literal::<501>(5, 2, "That is not base64")
}

pub(super) fn auth_cancelled() -> Reply {
    Reply::literal::<501>(7, 0, "Authentication cancelled")
}

pub(super) fn auth_line_too_long() -> Reply {
    Reply::literal::<500>(5, 6, "The line is too long for an authentication exchange")
}

pub(super) fn authenticated() -> Reply {
    Reply::literal::<235>(7, 0, "Authentication succeeded")
}

pub(super) fn no_auth_now() -> Reply {
    Reply::literal::<454>(7, 0, "Authentication is not possible now; try again later")
}

pub(super) fn too_many_auth_failures() -> Reply {
    Reply::literal::<421>(7, 0, "Authentication has failed too often over this connection")
}

// ---- The small commands --------------------------------------------------------------------------------------------

pub(super) fn reset() -> Reply {
    Reply::literal::<250>(0, 0, "The transaction is forgotten")
}

pub(super) fn noop() -> Reply {
    Reply::literal::<250>(0, 0, "OK")
}

/// RFC 5321, 3.5.3 and 7.3: 250 only for what was truly verified, and telling who exists helps those who guess.
pub(super) fn cannot_verify() -> Reply {
    Reply::literal::<252>(5, 0, "Addresses are not verified; send the message and it will be tried")
}

pub(super) fn help() -> Reply {
    Reply::literal::<214>(
        0,
        0,
        "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT\nThey are explained in RFC 5321 and RFC 3030\n\
         STARTTLS and AUTH, where EHLO names them, in RFC 3207 and RFC 4954",
    )
}

// ---- The transaction -----------------------------------------------------------------------------------------------

pub(super) fn hello_first() -> Reply {
    Reply::literal::<503>(5, 1, "Say EHLO first")
}

pub(super) fn nested_mail() -> Reply {
    Reply::literal::<503>(5, 1, "A transaction is open already; send RSET to drop it")
}

pub(super) fn mail_first() -> Reply {
    Reply::literal::<503>(5, 1, "Send MAIL first")
}

pub(super) fn no_recipients() -> Reply {
    Reply::literal::<554>(5, 1, "There is no valid recipient")
}

pub(super) fn parameter_not_offered() -> Reply {
    Reply::literal::<555>(5, 4, "A parameter belongs to an extension that is not offered here")
}

/// RFC 6531, 3.5.
pub(super) fn smtputf8_missing() -> Reply {
    Reply::literal::<553>(6, 7, "An address with non-ASCII characters needs SMTPUTF8 on MAIL")
}

/// RFC 1870, 6.1 and 6.3.
pub(super) fn message_too_big(limit_octets: u64) -> Reply {
    Reply::literal::<552>(3, 4, format!("A message may have {limit_octets} octets here, and no more"))
}

pub(super) fn too_many_recipients() -> Reply {
    Reply::literal::<452>(5, 3, "Too many recipients; send the message to these and again to the rest")
}

/// RFC 9422, 4.1. No registered code says it better than "other or undefined protocol status" (RFC 3463, 3.6).
pub(super) fn too_many_mails() -> Reply {
    Reply::literal::<421>(5, 0, "That is all for this connection; send the rest over another")
}

pub(super) fn sender_ok() -> Reply {
    Reply::literal::<250>(1, 0, "Sender OK")
}

pub(super) fn recipient_ok() -> Reply {
    Reply::literal::<250>(1, 5, "Recipient OK")
}

pub(super) fn start_content() -> Reply {
    bare::<354>("Send the message; end it with a line that holds a dot alone")
}

pub(super) fn accepted(text: Option<Cow<'static, str>>) -> Reply {
    Reply::literal::<250>(0, 0, text.unwrap_or(Cow::Borrowed("Accepted")))
}

/// RFC 3030, 4.1: with the number of octets.
pub(super) fn chunk_ok(octets: u64) -> Reply {
    Reply::literal::<250>(0, 0, format!("{octets} octets are here"))
}

/// Row X042: DATA, or a recipient, after the first chunk.
pub(super) fn chunks_under_way() -> Reply {
    Reply::literal::<503>(5, 1, "The message is coming in chunks; send BDAT, or RSET to drop it")
}

/// RFC 3030, 2: "A RSET command MUST be issued to clear the transaction before additional commands may be sent."
pub(super) fn reset_first() -> Reply {
    Reply::literal::<503>(5, 1, "A chunk was refused and the message is dropped; send RSET first")
}

pub(super) fn unreadable_chunk() -> Reply {
    // RFC 7504, 3: 521 is final, and the connection ends with it.
    Reply::literal::<521>(5, 4, "The form is BDAT size [LAST]; without a size nobody knows where the chunk ends")
}

pub(super) fn bare_line_end_in_content() -> Reply {
    Reply::literal::<550>(6, 11, "The message holds a bare CR or LF; lines must end in CRLF (RFC 5321, 2.3.8)")
}

/// RFC 5321, 6.3.
pub(super) fn mail_loop() -> Reply {
    Reply::literal::<554>(4, 6, "The message has passed through too many hosts; it is going round in circles")
}

pub(super) fn endless_content() -> Reply {
    Reply::literal::<421>(3, 4, "The message does not end")
}

/// What a policy refuses with must be a refusal. A 2yz or 3yz would tell the client the opposite of what was decided, so
/// it becomes the one thing that is always true then: the fault is ours (RFC 5321, 4.2.1: 4yz). One without an enhanced
/// code gets the one that says nothing more (RFC 3463, 3.1), since every refusal has one (RFC 2034, 4).
pub(super) fn refusal(refusal: Reply) -> Reply {
    match refusal.class() {
        Class::Transient | Class::Permanent if refusal.enhanced().is_some() => refusal,
        Class::Transient | Class::Permanent => {
            let class = if refusal.is_transient() { 4 } else { 5 };
            Reply::new(refusal.code(), Some(EnhancedCode::new(class, 0, 0)), text(&refusal))
        }
        Class::Positive | Class::Intermediate => {
            Reply::literal::<451>(3, 0, "Something is wrong on our side; try again later")
        }
    }
}
