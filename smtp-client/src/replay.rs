//! Holds a conversation from a file again, and finds where it goes otherwise.
//!
//! The client's part is said word for word, whatever the server answers, for as long as it answers as it did: each reply
//! is compared with the one in the file, and the first that differs ends the replay. Behind the last line the client says
//! that it is done, and the server must have nothing more to say and close.
//!
//! Nothing is understood on the way, with one exception: which line a reply belongs to (`asked`), for the sake of whoever
//! reads what differs, and because a server that answers in the middle of the content will read no more of it.
//!
//! What the client says before it listens goes out in one piece, block by block. A piece of so many commands that their
//! replies fill the buffers of both hosts is never taken (RFC 2920, 3.1, forbids it); it ends with the time.

mod conversation;
mod comparison;
mod asked;
mod deviation;

use std::io::{Read, Seek};
use std::time::{Duration, Instant};

use crate::dialogue::{Dialogue, DialogueError, Step};
use crate::server_name::ServerName;
use crate::transcript::Observer;
pub use comparison::Comparison;
use conversation::Conversation;
pub use deviation::{Deviation, Difference};

/// How a conversation is held again.
pub struct Options {
    /// How much of a reply is compared.
    pub comparison: Comparison,
    /// How long each address of the server may take to accept a connection.
    pub connect_timeout: Duration,
    /// When everything must be over. `None`: when the server likes.
    pub give_up_at: Option<Instant>,
    /// Who watches, asked for each connection.
    pub observer: Box<dyn Fn() -> Box<dyn Observer>>,
}

/// Holds a conversation with a server. Returns the number of replies, which were all as they stand in the file; otherwise
/// the first thing that was not.
pub fn play<R: Read + Seek>(
    dialogue: &mut Dialogue<R>,
    server: &ServerName,
    options: &Options,
) -> Result<usize, Deviation> {
    let mut replies = 0;
    let mut last_line = 1;
    let mut open: Option<Conversation<'_>> = None;
    for step in dialogue.steps().map_err(Deviation::in_file)? {
        let (line, step) = step.map_err(Deviation::in_file)?;
        let at_line = |(stage, what)| Deviation { line, stage, what };
        match step {
            Step::Connect => finish(open.take(), last_line)?,
            Step::Say(octets) => opened(&mut open, server, options).and_then(|it| it.say(&octets)).map_err(at_line)?,
            Step::Hear(expected) => {
                opened(&mut open, server, options).and_then(|it| it.hear(&expected)).map_err(at_line)?;
                replies += 1;
            }
        }
        last_line = line;
    }
    finish(open, last_line)?;
    Ok(replies)
}

/// What differs, and at which stage.
type At = (&'static str, Difference);

/// A connection is opened when somebody has something to say on it.
fn opened<'a, 'b>(
    open: &'b mut Option<Conversation<'a>>,
    server: &ServerName,
    options: &'a Options,
) -> Result<&'b mut Conversation<'a>, At> {
    match open {
        Some(conversation) => Ok(conversation),
        None => Ok(open.insert(Conversation::open(server, options)?)),
    }
}

fn finish(open: Option<Conversation<'_>>, line: usize) -> Result<(), Deviation> {
    let finished = open.map_or(Ok(()), Conversation::finish);
    finished.map_err(|(stage, what)| Deviation { line, stage, what })
}

impl Deviation {
    /// It was whole when it was looked at, so it has changed since.
    fn in_file(error: DialogueError) -> Self {
        Deviation { line: error.line, stage: "file", what: Difference::File(error) }
    }
}
