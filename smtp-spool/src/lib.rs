//! A durable queue of messages in a directory: the buffer in which a mail server keeps what it has taken over.
//!
//! **The promise.** When [`Incoming::commit`] says `Ok`, the message is on disk, whole, and a power cut in the next
//! instant does not take it away. When it says anything else, this process delivers nothing of it. Delivery is *at least
//! once*.
//!
//! There are no sockets, no SMTP dialogue, no DNS and no clock in here: time is an argument, and where a message goes
//! next is a word ([`Lane`]) that somebody else gives a meaning. The one exception is [`control`], which stands beside all
//! that and which nothing else here knows of: a Unix socket at which the owner of a spool takes an operator's wishes.
//!
//! ```
//! use std::io::Write as _;
//! use std::sync::Arc;
//! use smtp_spool::{Due, Envelope, IdSource, MemoryDisk, Options, Reader, Spool, Store as _};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let disk = Arc::new(MemoryDisk::new());
//! let (spool, _) = Spool::open_on(disk.clone(), Options::default())?; // or Spool::open("./spool", ...)
//! let id = IdSource::new(0)?.next(1_763_880_000_000_000);
//! let envelope = Envelope::parse("RECEIVED 1763880000\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\n")?;
//!
//! let mut incoming = spool.begin(None)?;
//! incoming.write_all(b"Subject: hello\r\n\r\nworld\r\n")?;
//! incoming.commit(&id, &envelope, Due::Kept)?; // now, and not before, somebody may say 250
//!
//! assert_eq!(std::io::read_to_string(Reader::on(disk).content(&id)?)?, "Subject: hello\r\n\r\nworld\r\n");
//! # Ok(())
//! # }
//! ```
//!
//! # The directory
//!
//! | entry | holds |
//! | --- | --- |
//! | `owner.lock` | an empty file; the process that has it locked owns the spool |
//! | `control` | a Unix socket at which the owner takes requests ([`control`]); without an owner, what is left of one |
//! | `journal/NUMBER-NONCE` | a *segment*: whole messages, one behind the other, as they were committed |
//! | `journal/NUMBER-NONCE.gone-0` | which of them do not count any more; `.gone-1` and `.gone-2` if that file failed |
//! | `journal/NUMBER-NONCE.end` | how many octets of the segment count; none as long as it is being written |
//! | `tmp/NUMBER` | a message that is coming in and is longer than 64 KiB (128 KiB, unless many are), or is being committed |
//! | `new/ID` | a whole message that is too large for the journal, came by the maildrop, or moved out of a segment that is mostly dead |
//! | `state/ID` | what became of the recipients of a message that is to be delivered; none before the first outcome |
//! | `state/.lifetime` | how long a message is tried, as whoever runs the queue has said; none as long as it is five days |
//! | `maildrop/ID` | a whole message of somebody who does not own the spool, for the owner to adopt |
//! | `maildrop/.ID.NUMBER` | the same, not whole yet |
//! | `corrupt/...` | what did not prove itself, under its old name (records with `.state` behind it), perhaps numbered |
//!
//! Directories have mode 0700 and files 0600 when we make them. An ID is 1 to 32 letters, digits and hyphens, no hyphen
//! first ([`MessageId`]). There is one owner; readers ([`Reader`]) need no lock, and neither do submitters ([`Maildrop`]),
//! who put messages into `maildrop/` and touch nothing else; whoever wants to change something asks the owner, or becomes
//! it. As the directories are closed to others, readers and submitters are the user to whom the spool belongs.
//!
//! # A message
//!
//! The same octets in a file of its own and in the journal.
//!
//! | octets | field | content |
//! | --- | --- | --- |
//! | 14 | header | `smtp-spool 1` CRLF: kind of file, version |
//! | any | content | the message, octet for octet as it was written |
//! | any | envelope | lines that end in CRLF: `ID` and the name of the file; `DUE` and `KEPT` or Unix seconds; `RECEIVED` and Unix seconds; the MAIL command; one RCPT command or more |
//! | 54 | trailer | `LENGTHS`, octets of content (16 hexadecimal digits), of envelope (8); `CRC32`, checksum (8) of all octets before it; `END` CRLF; single spaces between them |
//!
//! What differs from this in one octet is corrupt. It is written once and never changed. A record in `state/` has a
//! line for each step of a recipient: CRC-32 of the rest, number of the recipient, step. It is only appended to; a line
//! that does not verify counts as never written. `state/.lifetime` has lines of the same kind, the last of which counts, and so
//! have the files beside a segment: `gone` and where a message begins, `end` and a number of octets.
//!
//! In a segment there is a line before each message: `MESSAGE`, the nonce of the segment (16 hexadecimal digits), the octets of
//! the message (8), CRC-32 of the line so far (8), CRLF. The nonce is random and stands in the name of the file, so no message can
//! hold such a line: where a segment is damaged, the next line with the nonce is where messages go on. Behind the last message
//! there may be zeros: the next ones are written over them, so that a sync has their octets to write and no new length.
//!
//! # The states of a message on disk
//!
//! Most messages are small and go to the journal. All who commit at the same moment are one batch: one of them writes and syncs
//! for all. A batch is begun only when the one before it is synced.
//!
//! | state | segment | beside it | the call that leads to the next state | what recovery does |
//! | --- | --- | --- | --- | --- |
//! | J1 coming in | - | - | `writev` of the batch → J2 | nothing: it is in memory |
//! | J2 written | whole | - | **`fdatasync` of the segment commits → J3** | takes it as J3 if it is whole: syncs the segment, writes `.end` |
//! | J2' refused | perhaps a part | - | the sync failed: `write` and `fdatasync` of `.end` before the batch, then a new segment → nothing left | as J2 |
//! | J3 kept, due or under way | whole, durable | - | as in 5, 6 and 7 below, with a record in `state/`; when no recipient is left → J4 | counts or queues it |
//! | J4 finished or removed | whole | - | `write` and `fdatasync` of a line in `.gone-0`, together with others → J5 | the same |
//! | J5 gone | whole, or removed | its line | when all of a closed segment is gone: `unlinkat` of the segment, `fsync` of `journal/`, then `unlinkat` of what lies beside it | the same |
//! | J6 left over in a segment that is mostly dead | whole, durable | - | the way of a file from 2 to 6, then the call of J4 | if there is a whole file in `new/`, the call of J4 |
//!
//! A large message has a file of its own:
//!
//! | state | `tmp/` | `new/` | `state/` | the call that leads to the next state | what recovery does |
//! | --- | --- | --- | --- | --- | --- |
//! | 1 coming in | - | - | - | `openat(O_CREAT\|O_EXCL\|O_NOFOLLOW)` in `tmp/` → 2 | nothing: it is in memory |
//! | 2 being written | part | - | - | `write`s, then `fdatasync` of the file → 3 | removes the file in `tmp/` |
//! | 3 written | whole, durable | - | - | `renameat2(RENAME_NOREPLACE)` to `new/` → 4 | removes the file in `tmp/` |
//! | 4 named | - (or still there, after a cut) | whole | - | **`fsync` of `new/` commits → 5 or 6** | takes it as 5 or 6, syncs `new/` |
//! | 5 kept | - | whole, durable | - | `unlinkat` by `remove` → 9 | counts it |
//! | 6 due | - | whole, durable | - | first outcome: `openat(O_EXCL)` and `write` in `state/`, `fdatasync` of the file and `fsync` of `state/` → 7 | queues all recipients |
//! | 7 under way | - | whole, durable | some recipients open | `write` at the end and `fdatasync` of the record → 7; when no recipient is left → 8 | queues the open recipients, where the record says |
//! | 8 finished | - | whole, durable | no recipient open | `unlinkat` in `new/`, `fsync` of `new/` → 9 | the same two calls |
//! | 9 removed | - | - | - or a rest | `unlinkat` in `state/` → nothing left | removes the record |
//!
//! A message that comes by the maildrop takes another way to state 6:
//!
//! | state | `maildrop/` | `new/` | the call that leads to the next state | what recovery does |
//! | --- | --- | --- | --- | --- |
//! | A being written | part, `.ID.NUMBER` | - | `write`s, `fdatasync` of the file → B | removes it, if no submitter is at work |
//! | B written | whole, durable, `.ID.NUMBER` | - | `renameat2(RENAME_NOREPLACE)` to `ID` → C | the same |
//! | C named | whole, `ID` | - | **`fsync` of `maildrop/` commits → D** | takes it as D |
//! | D put | whole, durable, `ID` | - | the owner: checks everything, `linkat` to `new/`, `fsync` of `new/` → E | the same |
//! | E in both | whole, durable, `ID` | whole, durable | `unlinkat` in `maildrop/`, `fsync` of `maildrop/` → 6 | queues it, then the same two calls |
//!
//! It cannot be claimed before state 6, so that a name which comes back after a power cut is never that of a message which
//! was delivered. What begins
//! as a message in `maildrop/` and does not prove itself, checksum included, goes to `corrupt/` when the owner comes to it; what
//! does not begin as one stays.
//!
//! A refused message goes back from 2, 3 or 4 to nothing by `unlinkat`. From 4 that may fail on a failing disk: then the
//! file stays, this process neither delivers it nor takes it for stored, and the next start finds state 4. In state 2 and
//! 3 that makes no difference. Routing, targets of aliases, retry times, holds and reports are steps in the record like outcomes; an outcome
//! that finishes the message is not recorded, since its removal says the same. Claims are in memory
//! only: after a restart nobody holds one. Recovery moves to `corrupt/` what has the name of a message in `new/` and is
//! not a plain file with a header, an end mark, lengths that add up and an envelope that can be read, and copies there what
//! is damaged in a segment. A segment that was not closed is read whole and every checksum compared, so its end is where the last
//! whole message ends; what is torn behind it was never acknowledged. Other checksums are
//! compared when a message is claimed, shown, exported or checked. Before anything is accepted all folders are
//! synced; what recovery cannot read or does not know stays where it is and is reported.
//!
//! # What is not promised
//!
//! * *That a message is delivered once.* A crash between the delivery and its record delivers again, and so does a record
//!   that could not be written; a message that was refused because a sync failed may come back after a crash.
//! * *That a listing shows accepted messages only.* In states J2 and 4 a message is seen by readers before it is acknowledged.
//! * *That a damaged end is told from a torn one.* Behind the last whole message of a segment that was not closed, because the
//!   process was killed or the power cut, octets that do not prove themselves count as never committed. They stay in the file.
//!   Before it they count as damaged and are copied to `corrupt/`, though after a power cut they may be a part of the last batch,
//!   which was never acknowledged.
//! * *That a message which could not be put into the maildrop is not delivered.* If the sync in state C fails, the owner may
//!   have adopted it already.
//! * *That the same id counts once for ever.* It does as long as the message is there.
//!
//! # What is assumed of the medium
//!
//! * After a successful `fdatasync` of a file and `fsync` of a folder the octets or names are safe; the device does not lie about its cache.
//! * A rename within one file system happens or does not. `tmp/` and `new/` may change independently of each other.
//! * The file system has hard links. Without them nothing is lost, and what lies in `maildrop/` stays there.
//! * What is written again as it was, since it shares a sector with what comes behind it, is not spoiled when the power goes.
//! * After a failed sync nothing is known, and a second one proves nothing. It is never tried on a message file, a segment or
//!   what lies beside it; a record that goes on after one costs a repeated delivery at worst.
//! * Octets do not change by themselves; if they do, CRC-32 finds it, as it is no defence against malice.
//! * Nobody but the owner of the directory can write in it.
//!
//! [`MemoryDisk`] takes away everything that is not assumed, at every operation, and the tests look at what is left.

pub mod id;

pub mod envelope;

pub mod claim;
pub mod error;
pub mod store;

mod incoming;
mod message_file;
pub mod maildrop;

pub mod disk;
mod durable;
mod window;
mod group;
mod hex;
mod journal;
pub mod memory_disk;
pub mod os_disk;
pub mod rename;

mod engine;
pub mod recovery;
pub mod spool;

mod adoption;
mod delivery;
mod queue;
pub mod recipient_state;
mod state_record;
mod lifetime;
mod upkeep;

pub mod clock;
pub mod control;

pub mod reader;
pub mod listing;

pub mod command_line;

pub use claim::{Claim, Lane, Outcome, Owes, Settled, Settlement, WorkerId};
pub use envelope::{Envelope, Recipient};
pub use error::{OpenError, ReadError, StoreError};
pub use id::{IdSource, MessageId};
pub use lifetime::LIFETIME_SECONDS;
pub use maildrop::Maildrop;
pub use memory_disk::{Fault, MemoryDisk};
pub use message_file::Content;
pub use os_disk::OsDisk;
pub use reader::{MessageState, Reader, Summary};
pub use recipient_state::{RecipientState, Report, Status};
pub use recovery::{Finding, RecoveryReport};
pub use spool::{Options, Spool};
pub use store::{Due, Ended, Health, Incoming, Store};
pub use upkeep::Changed;
