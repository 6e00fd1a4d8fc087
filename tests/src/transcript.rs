//! Dialogues in the notation of the RFC, held with a real server.
//!
//! ```text
//! # What this dialogue teaches.
//!
//! S: 220 mx.example.org ESMTP ready
//! C: QUIT
//! S: 221 2.0.0 Goodbye
//! ```
//!
//! `C:` lines that stand together are sent in one piece; a blank line or a comment between them changes nothing. `...` at
//! the end of an `S:` line stands for whatever comes there. Behind the last line the server must have closed, if it said
//! 221, 421, 521 or a final 554, and must have nothing more to say.

use std::path::Path;

use crate::peer::Peer;
use crate::server::TestServer;

/// Who speaks, and one line of what is said.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    Server(String),
    Client(String),
}

/// A dialogue.
#[derive(Clone, Debug)]
pub struct Transcript {
    /// The first line of the comment on top.
    pub title: String,
    lines: Vec<Line>,
}

impl Transcript {
    /// Reads a file.
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("the transcript can be read");
        let title = text.lines().next().and_then(|line| line.strip_prefix("# ")).expect("a title on top").to_owned();
        let is_said = |line: &&str| !line.is_empty() && !line.starts_with('#');
        let lines = text.lines().filter(is_said).map(|line| {
            let said = line.get(2..).unwrap_or_default();
            let said = said.strip_prefix(' ').unwrap_or(said).to_owned();
            match line.get(..2) {
                Some("S:") => Line::Server(said),
                Some("C:") => Line::Client(said),
                _ => panic!("{}: neither S: nor C: in {line:?}", path.display()),
            }
        });
        Transcript { title, lines: lines.collect() }
    }

    /// Holds the dialogue. Returns the first difference.
    pub fn play(&self, server: &TestServer) -> Result<(), String> {
        let mut peer = server.connect();
        let mut heard: Vec<String> = Vec::new();
        let mut said = String::new();
        for line in &self.lines {
            match line {
                Line::Client(line) => {
                    said.push_str(line);
                    said.push_str("\r\n");
                }
                Line::Server(expected) => {
                    if !said.is_empty() {
                        peer.send(std::mem::take(&mut said));
                    }
                    if heard.is_empty() {
                        let reply = peer.try_reply().map_err(|what| format!("for {expected:?}: {what}"))?;
                        heard = reply.lines().rev().map(str::to_owned).collect();
                    }
                    let line = heard.pop().unwrap_or_default();
                    if !is_like(&line, expected) {
                        return Err(format!("S: {line}\n  where this was expected:\nS: {expected}"));
                    }
                }
            }
        }
        if !heard.is_empty() || !said.is_empty() {
            return Err(format!("the transcript ends before the reply does: {heard:?} {said:?}"));
        }
        self.end(&mut peer)
    }

    fn end(&self, peer: &mut Peer) -> Result<(), String> {
        peer.finish_sending();
        match peer.rest() {
            (rest, true) if rest.is_empty() => Ok(()),
            (rest, is_in_order) => Err(format!("behind the end: {rest:?}, closed in order: {is_in_order}")),
        }
    }

    /// How many MAIL commands the server announces to take (RFC 9422): the server that it is held with must do so.
    pub fn announced_mails(&self) -> Option<usize> {
        self.lines.iter().find_map(|line| match line {
            Line::Server(text) => text.split_once("LIMITS MAILMAX=")?.1.split(' ').next()?.parse().ok(),
            Line::Client(_) => None,
        })
    }

    /// How many messages the server takes over in it.
    pub fn accepted_messages(&self) -> usize {
        let is_acceptance =
            |line: &&Line| matches!(line, Line::Server(text) if text.starts_with("250 2.0.0 queued as"));
        self.lines.iter().filter(is_acceptance).count()
    }

    /// Whether the server ends the conversation in it, as it must in a whole one.
    pub fn is_whole(&self) -> bool {
        let closing = ["221 ", "421 ", "521 ", "554 "];
        matches!(self.lines.last(), Some(Line::Server(text)) if closing.iter().any(|code| text.starts_with(code)))
    }
}

fn is_like(line: &str, expected: &str) -> bool {
    match expected.strip_suffix("...") {
        Some(start) => line.starts_with(start),
        None => line == expected,
    }
}
