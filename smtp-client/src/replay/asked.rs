//! What the server has been asked and has not answered yet, so that a reply can be told by what it is the answer to.
//!
//! It is a guess that changes nothing: names in what people read, and how the wire behaves while it writes.

use std::collections::VecDeque;

use smtp_proto::command::Command;
use smtp_proto::reply::Code;

use crate::wire::Kind;

/// Questions whose names are kept. A client that asks more without listening is told less.
const QUESTIONS: usize = 1_000;

/// The line with a dot alone, behind the content.
const END_OF_CONTENT: &str = "end of content";

/// The questions in the order in which they went out.
#[derive(Debug)]
pub(super) struct Asked {
    questions: VecDeque<&'static str>,
    reading: Reading,
}

/// What the next octets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Commands,
    /// Behind 354, up to the lone dot.
    Content,
    /// Behind BDAT.
    Chunk(u64),
}

impl Default for Asked {
    fn default() -> Self {
        Asked { questions: VecDeque::from(["greeting"]), reading: Reading::Commands }
    }
}

impl Asked {
    /// What a piece is that begins with this line.
    pub(super) fn kind_of_piece(&self, line: &[u8]) -> Kind {
        match self.reading {
            Reading::Content | Reading::Chunk(_) => Kind::Content,
            Reading::Commands if announced_octets(line).is_some() => Kind::Chunk,
            Reading::Commands => Kind::Commands,
        }
    }

    /// The client says a line.
    pub(super) fn handle_said(&mut self, line: &[u8]) {
        match self.reading {
            Reading::Chunk(left) if (line.len() as u64) < left => {
                self.reading = Reading::Chunk(left - line.len() as u64)
            }
            Reading::Chunk(left) => {
                self.reading = Reading::Commands;
                let behind = usize::try_from(left).ok().and_then(|left| line.get(left..)).unwrap_or_default();
                if !behind.is_empty() {
                    self.handle_said(behind);
                }
            }
            Reading::Content if line == b".\r\n" => {
                self.reading = Reading::Commands;
                self.push(END_OF_CONTENT);
            }
            Reading::Content => {}
            Reading::Commands => {
                self.push(name(line));
                if let Some(octets) = announced_octets(line).filter(|octets| *octets > 0) {
                    self.reading = Reading::Chunk(octets);
                }
            }
        }
    }

    fn push(&mut self, question: &'static str) {
        if self.questions.len() < QUESTIONS {
            self.questions.push_back(question);
        }
    }

    /// How many replies are to come.
    pub(super) fn outstanding(&self) -> usize {
        self.questions.len()
    }

    /// Whether the client has not said all of a message yet.
    pub(super) fn is_in_content(&self) -> bool {
        self.reading != Reading::Commands
    }

    /// What the next reply answers.
    pub(super) fn stage(&self) -> &'static str {
        self.questions.front().copied().unwrap_or("idle")
    }

    /// The server has answered. What a client in a hurry said behind DATA is content if the answer is 354.
    pub(super) fn handle_reply(&mut self, code: Code) {
        let answered = self.questions.pop_front();
        if answered != Some("DATA") || code.number() != 354 {
            return;
        }
        match self.questions.iter().position(|question| *question == END_OF_CONTENT) {
            Some(end) => drop(self.questions.drain(..end)),
            None => {
                self.questions.clear();
                self.reading = Reading::Content;
            }
        }
    }
}

/// A verb, or the dot that ends the content.
fn name(line: &[u8]) -> &'static str {
    const VERBS: [&str; 14] = [
        "EHLO", "HELO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "VRFY", "EXPN", "HELP", "QUIT", "AUTH",
        "STARTTLS",
    ];
    if line == b".\r\n" {
        return END_OF_CONTENT;
    }
    let verb = line.split(|octet| matches!(octet, b' ' | b'\r' | b'\n')).next().unwrap_or_default();
    VERBS.into_iter().find(|known| known.as_bytes().eq_ignore_ascii_case(verb)).unwrap_or("command")
}

fn announced_octets(line: &[u8]) -> Option<u64> {
    match Command::parse(line.strip_suffix(b"\r\n")?) {
        Ok(Command::Bdat { size, .. }) => Some(size),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says lines, and tells which questions the replies with these codes answer.
    fn stages(asked: &mut Asked, lines: &[&str], codes: &[u16]) -> Vec<&'static str> {
        lines.iter().for_each(|line| asked.handle_said(format!("{line}\r\n").as_bytes()));
        let answer = |code: &u16| {
            let stage = asked.stage();
            asked.handle_reply(Code::new(*code).unwrap());
            stage
        };
        codes.iter().map(answer).collect()
    }

    #[test]
    fn replies_and_what_they_answer() {
        let asked = &mut Asked::default();
        assert_eq!(stages(asked, &[], &[220]), ["greeting"]);
        assert_eq!(stages(asked, &["EHLO a"], &[250]), ["EHLO"]);
        assert_eq!(
            stages(asked, &["mail from:<>", "RCPT TO:<b@x>", "DATA"], &[250, 250, 354]),
            ["MAIL", "RCPT", "DATA"]
        );
        assert_eq!(asked.kind_of_piece(b"QUIT\r\n"), Kind::Content);
        assert_eq!(stages(asked, &["QUIT", "..", ".", "X"], &[250, 500]), [END_OF_CONTENT, "command"]);
        // A refused DATA is followed by commands.
        assert_eq!(stages(asked, &["DATA", "QUIT"], &[503, 221, 250]), ["DATA", "QUIT", "idle"]);
    }

    #[test]
    fn what_a_chunk_holds_is_no_question() {
        let asked = &mut Asked::default();
        assert_eq!(stages(asked, &[], &[220]), ["greeting"]);
        assert_eq!(asked.kind_of_piece(b"BDAT 7\r\n"), Kind::Chunk);
        assert_eq!(
            stages(asked, &["BDAT 7", "RSET", "aNOOP", "BDAT 0 LAST"], &[250, 250, 250]),
            ["BDAT", "NOOP", "BDAT"]
        );
        assert_eq!(asked.kind_of_piece(b"QUIT\r\n"), Kind::Commands);
    }

    /// A client that does not wait for 354.
    #[test]
    fn content_in_a_hurry() {
        let asked = &mut Asked::default();
        let lines = ["DATA", "Subject: x", "", ".", "QUIT"];
        assert_eq!(stages(asked, &lines, &[220, 354, 250, 221]), ["greeting", "DATA", END_OF_CONTENT, "QUIT"]);
    }

    #[test]
    fn questions_are_bounded() {
        let asked = &mut Asked::default();
        stages(asked, &vec!["NOOP"; 100 * QUESTIONS], &[]);
        assert_eq!(asked.questions.len(), QUESTIONS);
    }
}
