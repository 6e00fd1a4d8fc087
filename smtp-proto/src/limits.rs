//! Every size the protocol core knows: the RFC's minimum, our value, the reason.
//!
//! RFC 5321, 4.5.3.1 calls its sizes the *least* that everybody must be able to receive, and adds: "To the maximum extent
//! possible, implementation techniques that impose no limits on the length of these objects should be used." Ours are
//! larger where that costs nothing and finite everywhere, since an unbounded object is a way to use up a host.

/// Octets of a local part. RFC 5321, 4.5.3.1.1: at least 64. 255, since real tags and encoded bounce addresses exceed 64.
pub const LOCAL_PART_OCTETS: usize = 255;

/// Octets of a domain name or address literal. RFC 5321, 4.5.3.1.2: at least 255, which is also all that DNS can hold.
pub const DOMAIN_OCTETS: usize = 255;

/// Octets of one label of a domain name (RFC 1035, 2.3.4).
pub const LABEL_OCTETS: usize = 63;

/// Octets of a path with its brackets and source route. RFC 5321, 4.5.3.1.3: at least 256.
pub const PATH_OCTETS: usize = 512;

/// Octets of a command line with its CRLF. RFC 5321, 4.5.3.1.4: at least 512; DSN asks for 1,036 (RFC 3461, 5.4).
pub const COMMAND_LINE_OCTETS: usize = 2_048;

/// Octets of an AUTH command and of each answer in its dialogue, with their CRLF. RFC 4954, 4: 12,288 are enough for every
/// mechanism in use.
pub const AUTH_LINE_OCTETS: usize = 12_288;

/// Octets of a command line to which an initial response may be added (RFC 4954, 4: no longer than
/// SMTP has them, which is 512). A longer one is sent when the server asks for it.
pub const INITIAL_RESPONSE_LINE_OCTETS: usize = 512;

/// Octets of a command line that is being skipped because it is too long, before the connection is ended.
pub const SKIPPED_LINE_OCTETS: usize = 1 << 20;

/// Octets of a reply line that we send, with its CRLF. RFC 5321, 4.5.3.1.5: everybody can receive 512.
pub const REPLY_LINE_OCTETS: usize = 512;

/// Octets of a reply line that we accept: many times what a server may send, since some do send more, and since a challenge
/// in AUTH may have so many (RFC 4954, 4).
pub const RECEIVED_REPLY_LINE_OCTETS: usize = 12_288;

/// Octets of a whole reply that we accept, all lines together.
pub const RECEIVED_REPLY_OCTETS: usize = 64 * 1_024;

/// Lines of a reply that we accept. The longest honest ones are EHLO lists of some twenty lines.
pub const RECEIVED_REPLY_LINES: usize = 256;

/// Recipients of one transaction. RFC 5321, 4.5.3.1.8: at least 100.
pub const RECIPIENTS: usize = 1_000;

/// Octets of one message. RFC 5321, 4.5.3.1.7: at least 64 KiB; announced with SIZE.
pub const MESSAGE_OCTETS: u64 = 64 << 20;

/// `Received:` fields at which a message counts as going round in circles (RFC 5321, 6.3: "at least 100").
pub const RECEIVED_FIELDS: usize = 100;

/// Commands that the client lets wait for their replies in one group. With [`OUTSTANDING_OCTETS`] it keeps a group smaller
/// than any TCP window, so that both sides cannot block on a full one (RFC 2920, 3.1).
pub const OUTSTANDING_COMMANDS: usize = 64;

/// Octets of the commands that wait for their replies in one group.
pub const OUTSTANDING_OCTETS: usize = 4_096;

/// Characters of an ENVID value (RFC 3461, 4.4).
pub const ENVID_OCTETS: usize = 100;

/// Characters of an ORCPT value (RFC 3461, 4.2).
pub const ORCPT_OCTETS: usize = 500;

/// Octets of a message that a failure report gives back whole although nobody asked for it. RFC 3461, 6.2 leaves the limit
/// to us; this is what every host takes (RFC 5321, 4.5.3.1.7).
pub const RETURNED_OCTETS: u64 = 64 * 1_024;

/// The same if the sender asked for it with RET=FULL.
pub const RETURNED_OCTETS_IF_ASKED: u64 = 1 << 20;

/// Octets of a header section that a report gives back. Honest ones seldom have a quarter of it.
pub const RETURNED_HEADER_OCTETS: usize = 64 * 1_024;

/// Octets of what a server said that a report repeats: the longest honest replies, a few lines with a link to a page. A
/// report names up to [`RECIPIENTS`], each with its own.
pub const DIAGNOSTIC_OCTETS: usize = 1_000;

/// Octets of the name of another host in a report: a domain name and an address in brackets.
pub const REMOTE_MTA_OCTETS: usize = 320;
