//! `cargo xtask demo`: a server, a client, real mail between them, and what it all means.
//!
//! Nothing here is staged: the two programs are started as anybody would start them, and what is shown is what they
//! printed. Each scene is a function; they come in the order in which one would explain SMTP. `cargo xtask demo relay` has
//! scenes of its own, with a second server.

mod explain;
mod show;
mod relay;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::workshop::dialogue::Dialogue;
use crate::workshop::failure::{ensure, fail};
use crate::workshop::letter::letter;
use crate::workshop::process::{self, Finished, Running, must_run};
use crate::workshop::programs::Programs;
use crate::workshop::scratch::Scratch;
use crate::workshop::server::Server;
use crate::workshop::stored::names;
use crate::workshop::{OrFail, Outcome};

/// How long any one step may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// How a message ends in the journal.
const END_MARK: &[u8] = b" END\r\n";

const SIMPLE: &str = "From: Alice <alice@example.org>
To: Bob <bob@localhost>
Subject: The first letter

Dear Bob,
this went through a real TCP connection.
Alice
";

const DOTTED: &str = "From: Alice <alice@example.org>
To: Bob <bob@localhost>
Subject: Dots

.
.hidden files begin with a dot
and the line above the last one was a dot alone.
";

/// What the scenes share.
struct Stage {
    programs: Programs,
    scratch: Scratch,
    spool: PathBuf,
    mailboxes: PathBuf,
}

/// Plays all scenes.
pub(crate) fn run(options: &[String]) -> Outcome {
    match options.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => one_server(),
        ["relay"] => relay::run(),
        _ => fail("write `cargo xtask demo` or `cargo xtask demo relay`"),
    }
}

fn one_server() -> Outcome {
    let programs = Programs::build()?;
    let scratch = Scratch::new("demo")?;
    let (spool, mailboxes) = (scratch.at("spool"), scratch.file("mailboxes", "bob\ncarol\npostmaster\n")?);
    let stage = Stage { programs, scratch, spool, mailboxes };
    let server = stage.a_server_listens()?;
    stage.a_message_travels(server.address)?;
    stage.one_recipient_is_refused(server.address)?;
    stage.several_over_one_connection(server.address)?;
    stage.dots(server.address)?;
    stage.no_relay(server.address)?;
    stage.on_disk()?;
    let address = stage.stop_while_somebody_is_there(server)?;
    let server = stage.come_back_later(address)?;
    stage.the_end(server)
}

impl Stage {
    fn a_server_listens(&self) -> Outcome<Server> {
        show::scene("A server listens");
        show::say("Mail moves because one side pushes it. The client has a message and starts everything; the server");
        show::say("waits. Here is a server that knows three mailboxes: bob, carol and postmaster.");
        let server = self.start("127.0.0.1:0")?;
        show::output(&[format!("listening on {}", server.address)]);
        show::say("It is ready when it says so, and not before: the port is bound, the spool is open and in order.");
        Ok(server)
    }

    fn start(&self, address: &str) -> Outcome<Server> {
        let mailboxes = self.mailboxes.display().to_string();
        let options = ["--hostname", "mail.example.test", "--domain", "localhost", "--recipients", &mailboxes];
        let options = [&options[..], &["--listen", address]].concat();
        let command = Server::command(&self.programs, &self.spool, &options);
        show::command_line(&command, &self.scratch);
        Server::start_by(command)
    }

    fn a_message_travels(&self, address: SocketAddr) -> Outcome {
        show::scene("A message travels");
        show::say(
            "Alice has a file. Its header says From and To, so the client needs to be told nothing but the server:",
        );
        show::output(&lines(SIMPLE));
        let finished = self.send(address, &[], &[("simple.eml", SIMPLE.as_bytes())], 0)?;
        show::say("C: is the client, S: the server, as in the examples at the end of RFC 5321.");
        show::dialogue(&finished.stderr);
        show::say("And in one line, what the client has to report:");
        show::output(&results(&finished));
        Ok(())
    }

    fn one_recipient_is_refused(&self, address: SocketAddr) -> Outcome {
        show::scene("Two recipients, and one does not exist");
        show::say("The server checks each recipient by itself, and answers for each. What counts on the way is the");
        show::say("envelope, MAIL and RCPT; the To: field in the message is for people.");
        let words = ["--from", "alice@example.org", "--to", "carol@localhost", "--to", "nobody@localhost"];
        let finished = self.send(address, &words, &[("simple.eml", SIMPLE.as_bytes())], 67)?;
        show::part_of_dialogue(&finished.stderr, "C: MAIL", "C: QUIT");
        show::say(
            "Carol has her mail. Nobody's copy was refused before it was sent, and the client says so, exit code 67:",
        );
        show::output(&results(&finished));
        Ok(())
    }

    fn several_over_one_connection(&self, address: SocketAddr) -> Outcome {
        show::scene("Three messages, one connection");
        show::say(
            "To call and to greet takes time, so a connection is used again: each message begins with its own MAIL.",
        );
        let letters: Vec<_> = (1..=3).map(|number| (format!("letter-{number}.eml"), letter(number, 600))).collect();
        let letters: Vec<_> = letters.iter().map(|(name, octets)| (name.as_str(), octets.as_slice())).collect();
        let finished = self.send(address, &[], &letters, 0)?;
        show::part_of_dialogue(&finished.stderr, "C: MAIL", "nothing ends it early");
        show::say(
            "Commands stand in groups since the server offers PIPELINING (RFC 2920): they do not wait for each answer.",
        );
        Ok(())
    }

    fn dots(&self, address: SocketAddr) -> Outcome {
        show::scene("A line that is only a dot");
        show::say("A dot alone on a line ends the message. What if the message itself has such a line?");
        show::output(&lines(DOTTED));
        let finished = self.send(address, &[], &[("dots.eml", DOTTED.as_bytes())], 0)?;
        show::say("The sender puts another dot in front of every line that begins with one, and the receiver takes it");
        show::say(
            "away again (RFC 5321, 4.5.2). So these octets went over the wire, each line with CR and LF at its end:",
        );
        show::output(&lines(&DOTTED.replace("\n.", "\n..")).into_iter().chain([".".to_owned()]).collect::<Vec<_>>());
        show::say("And this is what the server keeps (its own trace field first):");
        let id = crate::workshop::sender::queue_id(&String::from_utf8_lossy(&finished.stdout));
        let shown = self.spool_tool(&["show", &id])?;
        show::output(&lines(&String::from_utf8_lossy(&shown.stdout)));
        Ok(())
    }

    fn no_relay(&self, address: SocketAddr) -> Outcome {
        show::scene("A stranger's mail for somewhere else");
        show::say("A server that passes on mail from anybody to anywhere is an open relay, and is soon full of spam.");
        show::say("This one takes mail for its own domain only, whoever asks and however the address is dressed up:");
        let words =
            ["--from", "alice@example.org", "--to", "victim@example.net", "--to", "victim%example.net@localhost"];
        let finished = self.send(address, &words, &[("simple.eml", SIMPLE.as_bytes())], 77)?;
        show::part_of_dialogue(&finished.stderr, "C: MAIL", "C: QUIT");
        show::say("The client had asked for DATA in the same breath. With no recipient left, that is refused as well.");
        Ok(())
    }

    fn on_disk(&self) -> Outcome {
        show::scene("The mail as it lies on disk");
        show::say(
            "250 was said only after the message was on disk: written to the journal of the spool, and the journal",
        );
        show::say("synced. From that moment the server answers for it (RFC 5321, 4.1.1.4).");
        let listed = self.spool_tool(&["list"])?;
        show::output(&lines(&String::from_utf8_lossy(&listed.stdout)));
        show::say("The messages lie one behind the other, in the order in which they came:");
        let folder = self.spool.join("journal");
        let mut segments = Vec::new();
        for name in names(&folder)? {
            let octets = std::fs::metadata(folder.join(&name)).or_fail("looking at the journal")?.len();
            segments.push(format!("spool/journal/{name}   {octets} octets"));
        }
        show::output(&segments);
        show::say("The beginning, octet for octet (\\r\\n is the end of a line):");
        let name = names(&folder)?.into_iter().next().or_fail("the journal is empty")?;
        let octets = std::fs::read(folder.join(name)).or_fail("reading the journal")?;
        let end = octets.windows(END_MARK.len()).position(|window| window == END_MARK);
        let end = end.or_fail("the journal has no whole message")? + END_MARK.len();
        show::octets(octets.get(..end).unwrap_or_default());
        show::say(
            "In front how long it is, and what it is; then the message as it came, under a Received: field with which",
        );
        show::say(
            "each server on the way signs (RFC 5321, 4.4); then the envelope; and lengths, a checksum and an end mark,",
        );
        show::say("by which half a message would be told from a whole one.");
        Ok(())
    }

    fn stop_while_somebody_is_there(&self, server: Server) -> Outcome<SocketAddr> {
        show::scene("The server is stopped, in order");
        show::say("Somebody is connected when the server gets SIGTERM. It takes no new connections, lets open");
        show::say("transactions finish, and tells whoever has none, with a code that means: come back later.");
        let address = server.address;
        let mut visitor = Dialogue::greeted(address)?;
        server.signal(nix::sys::signal::Signal::SIGTERM)?;
        let goodbye = visitor.expect("421")?;
        show::dialogue(format!("S: {goodbye}\n").as_bytes());
        drop(visitor);
        server.stop()?;
        show::say("It has ended, exit code 0.");
        Ok(address)
    }

    fn come_back_later(&self, address: SocketAddr) -> Outcome<Server> {
        show::scene("Nobody is there: the client comes back later");
        show::say("The client does not know that, and tries. It is refused, waits five seconds, and tries again.");
        let file = self.scratch.file("late.eml", letter(4, 600))?;
        let mut command = self.client(address);
        command.args(["--retries", "3", "--transcript"]).arg(&file);
        show::command_line(&command, &self.scratch);
        let mut client = Running::start("smtp-client", &mut command)?;
        let refused = client.wait_for_line(PATIENCE, |line| line.contains("next try").then(|| line.to_owned()))?;
        show::output(&[refused]);
        show::say("Meanwhile somebody starts the server again, on the same port and with the same spool:");
        let server = self.start(&address.to_string())?;
        show::output(&[format!("listening on {}", server.address)]);
        let status = client.wait(PATIENCE)?;
        ensure(status.success(), || client.complain("did not come back").to_string())?;
        show::part_of_dialogue(client.log().join("\n").as_bytes(), "S: 220", "nothing ends it early");
        Ok(server)
    }

    fn the_end(&self, server: Server) -> Outcome {
        show::scene("Nothing was lost on the way");
        show::say("The mail from before the restart is there as well, until somebody collects it:");
        let listed = self.spool_tool(&["list"])?;
        show::output(&lines(&String::from_utf8_lossy(&listed.stdout)));
        server.stop()?;
        show::say("The server has stopped, and this spool is thrown away now. To go on by hand:");
        show::output(&[
            "cargo run -p smtp-server".to_owned(),
            "printf 'Subject: hi\\n\\nHello\\n' | cargo run -p smtp-client -- send --from me@example.org --to you@localhost"
                .to_owned(),
            "cargo run -p smtp-spool -- list".to_owned(),
        ]);
        Ok(())
    }

    fn client(&self, address: SocketAddr) -> Command {
        let mut command = self.programs.client();
        command.args(["send", "--server", &address.to_string()]);
        command
    }

    /// Sends files over one connection; the client must end with this code.
    fn send(&self, address: SocketAddr, words: &[&str], files: &[(&str, &[u8])], code: i32) -> Outcome<Finished> {
        let mut command = self.client(address);
        command.args(words).arg("--transcript");
        for (name, octets) in files {
            command.arg(self.scratch.file(name, octets)?);
        }
        show::command_line(&command, &self.scratch);
        let finished = process::run(&mut command, PATIENCE)?;
        let words = || format!("the client ended with {}: {}", finished.status, finished.text());
        ensure(finished.status.code() == Some(code), words)?;
        Ok(finished)
    }

    fn spool_tool(&self, words: &[&str]) -> Outcome<Finished> {
        let mut command = self.programs.spool(&self.spool);
        command.args(words);
        show::command_line(&command, &self.scratch);
        must_run(&mut command)
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// What the client said that is not dialogue: one line for each recipient.
fn results(finished: &Finished) -> Vec<String> {
    let text = finished.text();
    text.lines().filter(|line| !line.starts_with("C: ") && !line.starts_with("S: ")).map(file_name_only).collect()
}

/// `/a/long/way/simple.eml: ...` as `simple.eml: ...`
fn file_name_only(line: &str) -> String {
    let last = |word| str::rsplit(word, '/').next().unwrap_or(word);
    let words = line.split(' ').map(|word| if word.contains(".eml") { last(word) } else { word });
    words.collect::<Vec<_>>().join(" ")
}
