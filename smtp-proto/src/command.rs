//! One command line, read and printed (RFC 5321, 4.1.1).
//!
//! Reading is generous where the list of things "tolerated on receipt, never sent" says so: lower case, white space at
//! the end of the line and behind the colon, missing angle brackets, a dot at the end of a domain, and a HELO argument
//! that is not a domain. Printing gives the one strict form, without the CRLF.

mod auth;

use std::fmt;

use crate::address::{self, AddressError, Domain, ForwardPath, ReversePath};
use crate::cursor::Cursor;
use crate::limits;
use crate::parameter::{MailParameters, ParameterError, RcptParameters};
use crate::printable::is_printable_ascii;
pub use auth::{Auth, NotBase64};

/// A command and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `EHLO client.example`: hello, and which extensions have you?
    Ehlo(HelloName),
    /// `HELO client.example`: hello, in the words of 1982.
    Helo(HelloName),
    /// `MAIL FROM:<...>`: opens a transaction.
    Mail {
        /// Whom to tell of a failure.
        reverse_path: ReversePath,
        /// `SIZE=` and the like.
        parameters: MailParameters,
    },
    /// `RCPT TO:<...>`: one recipient.
    Rcpt {
        /// The recipient.
        forward_path: ForwardPath,
        /// `NOTIFY=` and the like.
        parameters: RcptParameters,
    },
    /// `DATA`: content follows once the server says 354.
    Data,
    /// `RSET`: forget the transaction.
    Rset,
    /// `VRFY name`: is there such a mailbox?
    Vrfy(Argument),
    /// `HELP [topic]`
    Help(Option<Argument>),
    /// `NOOP [anything]`
    Noop(Option<Argument>),
    /// `QUIT`: the last command.
    Quit,
    /// `STARTTLS` (RFC 3207).
    StartTls,
    /// `AUTH mechanism [initial-response]` (RFC 4954).
    Auth(Auth),
    /// `BDAT size [LAST]` (RFC 3030).
    Bdat {
        /// Octets of the chunk behind the line.
        size: u64,
        /// Whether it is the last chunk of the message.
        is_last: bool,
    },
    /// `EXPN`, `TURN`, `ETRN`, `SEND`, `SAML`, `SOML`: known by name, offered by nobody here (RFC 5321, 4.2.4: 502).
    Unoffered,
}

/// How a client named itself with EHLO or HELO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HelloName {
    /// A domain name or an address literal, as it must be (RFC 5321, 4.1.1.1).
    Domain(Domain),
    /// Something else in printable ASCII. Tolerated, since the name proves nothing in any case (RFC 5321, 4.1.4).
    Other(Argument),
}

/// A printable text on one line: not empty, no control characters, no space at either end, and short enough for a command
/// line of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument(String);

/// Why a line is not a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// The line holds a control character or broken UTF-8.
    Octets,
    /// No such verb. RFC 5321, 4.2.4: 500.
    UnknownVerb,
    /// The first words of another protocol, most likely sent on by a web browser made to attack us (ALPACA and its
    /// elders). There is no mail to be had from such a peer.
    ForeignProtocol,
    /// The arguments do not fit the verb; what would.
    Arguments(&'static str),
    /// The path of MAIL is wrong.
    ReversePath(AddressError),
    /// The path of RCPT is wrong.
    ForwardPath(AddressError),
    /// A parameter is wrong.
    Parameter(ParameterError),
    /// A BDAT that cannot be read. What stands behind it is a chunk of unknown size, and must not be read as commands.
    Chunk,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandError::Octets => f.write_str("the line holds a control character or broken UTF-8"),
            CommandError::UnknownVerb => f.write_str("there is no such command"),
            CommandError::ForeignProtocol => f.write_str("this is not SMTP"),
            CommandError::Arguments(usage) => write!(f, "the arguments do not fit; the form is {usage}"),
            CommandError::ReversePath(error) => write!(f, "sender: {error}"),
            CommandError::ForwardPath(error) => write!(f, "recipient: {error}"),
            CommandError::Parameter(error) => error.fmt(f),
            CommandError::Chunk => f.write_str("this is no chunk; the form is BDAT size [LAST]"),
        }
    }
}

impl std::error::Error for CommandError {}

impl Argument {
    /// A text for the wire. `None` if it is empty, too long, holds a control character, or begins or ends with a space,
    /// which a command line does not carry.
    pub fn new(text: &str) -> Option<Self> {
        const TEXT_OCTETS: usize = limits::COMMAND_LINE_OCTETS - "VRFY \r\n".len();
        let is_plain = !text.is_empty() && !text.chars().any(char::is_control);
        let is_trimmed = !text.starts_with(' ') && !text.ends_with(' ');
        (is_plain && is_trimmed && text.len() <= TEXT_OCTETS).then(|| Argument(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Command {
    /// Reads a line without its CRLF.
    pub fn parse(line: &[u8]) -> Result<Self, CommandError> {
        // Whatever is wrong with a BDAT, this is what matters.
        Command::read(line).map_err(|error| if is_bdat(line) { CommandError::Chunk } else { error })
    }

    fn read(line: &[u8]) -> Result<Self, CommandError> {
        let line = std::str::from_utf8(line).map_err(|_| CommandError::Octets)?;
        if !is_printable_ascii(line.as_bytes())
            && line.chars().any(|character| character.is_control() && character != '\t')
        {
            return Err(CommandError::Octets);
        }
        // RFC 5321, 4.1.1: "receivers SHOULD tolerate trailing white space before the terminating <CRLF>".
        let mut cursor = Cursor::new(line.trim_end_matches([' ', '\t']));
        let verb = cursor.take_while(|character| !matches!(character, ' ' | '\t')).to_ascii_uppercase();
        cursor.skip_spaces();
        match verb.as_str() {
            "EHLO" => hello_name(cursor, "EHLO client.example").map(Command::Ehlo),
            "HELO" => hello_name(cursor, "HELO client.example").map(Command::Helo),
            "MAIL" => mail(cursor),
            "RCPT" => rcpt(cursor),
            "DATA" => alone(cursor, Command::Data, "DATA"),
            "RSET" => alone(cursor, Command::Rset, "RSET"),
            "VRFY" => argument(cursor).map(Command::Vrfy).ok_or(CommandError::Arguments("VRFY name")),
            "HELP" => Ok(Command::Help(argument(cursor))),
            "NOOP" => Ok(Command::Noop(argument(cursor))),
            "QUIT" => alone(cursor, Command::Quit, "QUIT"),
            "STARTTLS" => alone(cursor, Command::StartTls, "STARTTLS"),
            "AUTH" => Auth::parse(cursor)
                .map(Command::Auth)
                .ok_or(CommandError::Arguments("AUTH mechanism [initial-response]")),
            "BDAT" => bdat(cursor),
            "EXPN" | "TURN" | "ETRN" | "SEND" | "SAML" | "SOML" => Ok(Command::Unoffered),
            "GET" | "POST" | "PUT" | "HEAD" | "CONNECT" | "OPTIONS" | "PRI" => Err(CommandError::ForeignProtocol),
            _ => Err(CommandError::UnknownVerb),
        }
    }
}

fn alone(cursor: Cursor<'_>, command: Command, usage: &'static str) -> Result<Command, CommandError> {
    if cursor.is_at_end() { Ok(command) } else { Err(CommandError::Arguments(usage)) }
}

fn argument(cursor: Cursor<'_>) -> Option<Argument> {
    Argument::new(&cursor.rest().replace('\t', " "))
}

fn hello_name(cursor: Cursor<'_>, usage: &'static str) -> Result<HelloName, CommandError> {
    let name = cursor.rest();
    if let Ok(domain) = name.parse::<Domain>()
        && name.is_ascii()
    {
        return Ok(HelloName::Domain(domain));
    }
    // RFC 6531, 3.7.1: the name given with EHLO is ASCII, whatever the extension.
    Argument::new(&name.replace('\t', " "))
        .filter(|name| name.0.is_ascii() && name.0.len() <= limits::DOMAIN_OCTETS)
        .map(HelloName::Other)
        .ok_or(CommandError::Arguments(usage))
}

fn mail(mut cursor: Cursor<'_>) -> Result<Command, CommandError> {
    if !cursor.take_keyword("FROM:") {
        return Err(CommandError::Arguments("MAIL FROM:<sender@example.org>"));
    }
    cursor.skip_spaces();
    let reverse_path = address::reverse_path(&mut cursor).map_err(CommandError::ReversePath)?;
    behind_path(cursor).map_err(CommandError::ReversePath)?;
    let parameters = MailParameters::parse(&mut cursor).map_err(CommandError::Parameter)?;
    Ok(Command::Mail { reverse_path, parameters })
}

fn rcpt(mut cursor: Cursor<'_>) -> Result<Command, CommandError> {
    if !cursor.take_keyword("TO:") {
        return Err(CommandError::Arguments("RCPT TO:<recipient@example.org>"));
    }
    cursor.skip_spaces();
    let forward_path = address::forward_path(&mut cursor).map_err(CommandError::ForwardPath)?;
    behind_path(cursor).map_err(CommandError::ForwardPath)?;
    let parameters = RcptParameters::parse(&mut cursor).map_err(CommandError::Parameter)?;
    Ok(Command::Rcpt { forward_path, parameters })
}

/// A path ends at the end of the line or at a space.
fn behind_path(cursor: Cursor<'_>) -> Result<(), AddressError> {
    match cursor.peek() {
        None | Some(' ' | '\t') => Ok(()),
        Some(_) => Err(AddressError::Trailing),
    }
}

/// Whether these octets are, or begin, a BDAT line, well formed or not.
pub(crate) fn is_bdat(line: &[u8]) -> bool {
    has_verb(line, b"BDAT")
}

/// The same of AUTH.
pub(crate) fn is_auth(line: &[u8]) -> bool {
    has_verb(line, b"AUTH")
}

/// The same of MAIL.
pub(crate) fn is_mail(line: &[u8]) -> bool {
    has_verb(line, b"MAIL")
}

fn has_verb(line: &[u8], expected: &[u8]) -> bool {
    let (verb, behind) = line.split_at_checked(expected.len()).unwrap_or_default();
    verb.eq_ignore_ascii_case(expected) && !behind.first().is_some_and(u8::is_ascii_alphabetic)
}

fn bdat(mut cursor: Cursor<'_>) -> Result<Command, CommandError> {
    let size = cursor.take_while(|character| character.is_ascii_digit());
    let size = size.parse().map_err(|_| CommandError::Chunk)?;
    let before = cursor.rest().len();
    cursor.skip_spaces();
    let is_last = cursor.rest().len() < before && cursor.take_keyword("LAST");
    if cursor.is_at_end() { Ok(Command::Bdat { size, is_last }) } else { Err(CommandError::Chunk) }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Command::Ehlo(name) => write!(f, "EHLO {name}"),
            Command::Helo(name) => write!(f, "HELO {name}"),
            Command::Mail { reverse_path, parameters } => write!(f, "MAIL FROM:{reverse_path}{parameters}"),
            Command::Rcpt { forward_path, parameters } => write!(f, "RCPT TO:{forward_path}{parameters}"),
            Command::Data => f.write_str("DATA"),
            Command::Rset => f.write_str("RSET"),
            Command::Vrfy(name) => write!(f, "VRFY {name}"),
            Command::Help(None) => f.write_str("HELP"),
            Command::Help(Some(topic)) => write!(f, "HELP {topic}"),
            Command::Noop(None) => f.write_str("NOOP"),
            Command::Noop(Some(text)) => write!(f, "NOOP {text}"),
            Command::Quit => f.write_str("QUIT"),
            Command::StartTls => f.write_str("STARTTLS"),
            Command::Auth(auth) => auth.fmt(f),
            Command::Bdat { size, is_last: false } => write!(f, "BDAT {size}"),
            Command::Bdat { size, is_last: true } => write!(f, "BDAT {size} LAST"),
            Command::Unoffered => f.write_str("EXPN"),
        }
    }
}

impl fmt::Display for HelloName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HelloName::Domain(domain) => domain.fmt(f),
            HelloName::Other(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
