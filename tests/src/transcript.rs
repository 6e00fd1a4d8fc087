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
    /// How many MAIL commands the server announces to take (RFC 9422): the server that it is held with must do so.
    pub announced_mails: Option<usize>,
    /// The last line of each reply.
    replies: Vec<String>,
}

impl Transcript {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, DialogueError> {
        let text = std::fs::read(path).expect("the transcript can be read");
        let mut dialogue = Dialogue::read(Cursor::new(text))?;
        let (mut replies, mut announced_mails) = (Vec::new(), None);
        for step in dialogue.steps()? {
            let Ok((_, Step::Hear(expected))) = step else { continue };
            let lines = expected.lines.iter().map(|line| String::from_utf8_lossy(line).into_owned());
            let lines: Vec<String> = lines.collect();
            let mails = |line: &String| line.split_once("LIMITS MAILMAX=")?.1.split(' ').next()?.parse().ok();
            announced_mails = announced_mails.or_else(|| lines.iter().find_map(mails));
            replies.extend(lines.into_iter().last());
        }
        let title = dialogue.title().expect("a title on top").to_owned();
        Ok(Transcript { title, dialogue, announced_mails, replies })
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
