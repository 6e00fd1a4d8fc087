//! A word on each line of a dialogue.
//!
//! A line is looked up by what it begins with. The first entry that fits counts, so longer beginnings stand in front.

/// What a line begins with, and what it means.
const MEANINGS: &[(&str, &str)] = &[
    ("C: <opens", "The client starts everything, by connecting (RFC 5321, 3.1)."),
    ("C: EHLO", "Hello, and please tell me what you can do (RFC 5321, 4.1.1.1)."),
    ("C: HELO", "Hello, in the old way (RFC 5321, 4.1.1.1)."),
    ("C: MAIL FROM", "A new message. Reports go to this address (RFC 5321, 4.1.1.2)."),
    ("C: RCPT TO", "It is for this mailbox. One command for each (RFC 5321, 4.1.1.3)."),
    ("C: DATA", "May I send the message itself? (RFC 5321, 4.1.1.4)"),
    ("C: <", "The message with its header, then a dot alone on a line."),
    ("C: QUIT", "That was all. Nobody just hangs up (RFC 5321, 4.1.1.10)."),
    ("C: RSET", "Forget what we began (RFC 5321, 4.1.1.5)."),
    ("S: 220", "The server is ready and says its name (RFC 5321, 4.2)."),
    ("S: 250-SIZE", "I can: messages up to so many octets (RFC 1870)."),
    ("S: 250 SIZE", "I can: messages up to so many octets (RFC 1870)."),
    ("S: 250-PIPELINING", "I can: several commands at once (RFC 2920)."),
    ("S: 250-8BITMIME", "I can: octets above 127 in the message (RFC 6152)."),
    ("S: 250-SMTPUTF8", "I can: addresses in any script (RFC 6531)."),
    ("S: 250-ENHANCEDSTATUSCODES", "I can: a finer code behind the first (RFC 2034)."),
    ("S: 250 ENHANCEDSTATUSCODES", "I can: a finer code behind the first (RFC 2034)."),
    ("S: 250-CHUNKING", "I can: a message as so many octets, by BDAT (RFC 3030)."),
    ("S: 250-LIMITS", "And no more than this: messages in all, recipients of each (RFC 9422)."),
    ("S: 250 HELP", "I can: HELP. A space, not a hyphen: the last line of this reply."),
    ("S: 250-HELP", "I can: HELP."),
    ("S: 250-", "Hello. A hyphen behind the code: more lines follow (RFC 5321, 4.2.1)."),
    ("S: 250 2.1.0", "The sender is noted (RFC 3463: 2 = success, 1 = addresses)."),
    ("S: 250 2.1.5", "This recipient is fine, I take mail for it."),
    ("S: 354", "Yes: go on. The only 3yz reply in this conversation."),
    ("S: 250 2.0.0 queued as", "It is on disk under this name. From here on it is the server's."),
    ("S: 250 2.6.0", "It is on disk under this name. From here on it is the server's."),
    ("S: 250 2.0.0", "It is done. If it was a message: from here on it is the server's."),
    ("S: 550 5.7.1", "No. 5yz is for good; 5.7.1: it is not allowed (RFC 3463)."),
    ("S: 550 5.1.1", "No such mailbox here. 5yz is for good: do not try again (RFC 5321, 4.2.1)."),
    ("S: 550", "No, for good: do not try again (RFC 5321, 4.2.1)."),
    ("S: 554", "No, for good: do not try again (RFC 5321, 4.2.1)."),
    ("S: 421", "Not now: I close, come back later (RFC 5321, 3.8)."),
    ("S: 4", "Not now: the same may work later (RFC 5321, 4.2.1)."),
    ("S: 221", "Goodbye; now both close the TCP connection (RFC 5321, 4.1.1.10)."),
];

/// What the line means, if there is anything to say.
pub(super) fn meaning(line: &str) -> &'static str {
    MEANINGS.iter().find(|(beginning, _)| line.starts_with(beginning)).map_or("", |(_, meaning)| meaning)
}
