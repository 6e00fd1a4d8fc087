//! The dialogues in `transcripts/`, held with a real server: the notation of [`smtp_client::dialogue`], word for word.

use std::io::Cursor;
use std::path::Path;
use std::time::Instant;

use smtp_client::dialogue::{Dialogue, DialogueError, Step};
use smtp_client::replay::{self, Comparison};
use smtp_client::transcript::Unobserved;

use crate::PATIENCE;
use crate::server::TestServer;

/// A dialogue.
#[derive(Debug)]
pub struct Transcript {
    /// The first line of the comment on top.
    pub title: String,
    dialogue: Dialogue<Cursor<Vec<u8>>>,
    /// The last line of each reply.
    replies: Vec<String>,
}

impl Transcript {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, DialogueError> {
        let text = std::fs::read(path).expect("the transcript can be read");
        let mut dialogue = Dialogue::read(Cursor::new(text))?;
        let last_line = |step| match step {
            Ok((_, Step::Hear(expected))) => {
                expected.lines.last().map(|line| String::from_utf8_lossy(line).into_owned())
            }
            _ => None,
        };
        let replies = dialogue.steps()?.filter_map(last_line).collect();
        let title = dialogue.title().expect("a title on top").to_owned();
        Ok(Transcript { title, dialogue, replies })
    }

    /// Holds the dialogue. Returns the first difference.
    pub fn play(&mut self, server: &TestServer) -> Result<(), String> {
        let options = replay::Options {
            comparison: Comparison::Texts,
            connect_timeout: PATIENCE,
            give_up_at: Some(Instant::now() + PATIENCE),
            observer: Box::new(|| Box::new(Unobserved)),
        };
        let name = server.address.to_string().parse().expect("an address names a server");
        let played = replay::play(&mut self.dialogue, &name, &options);
        let replies = played.map_err(|deviation| format!("line {}: {deviation}", deviation.line))?;
        assert_eq!(replies, self.replies.len());
        Ok(())
    }

    /// How many messages the server takes over in it.
    pub fn accepted_messages(&self) -> usize {
        self.replies.iter().filter(|line| line.starts_with("250 2.0.0 queued as")).count()
    }

    /// Whether the server ends the conversation in it, as it must in a whole one.
    pub fn is_whole(&self) -> bool {
        let closing = ["221 ", "421 ", "521 ", "554 "];
        self.replies.last().is_some_and(|line| closing.iter().any(|code| line.starts_with(code)))
    }
}
