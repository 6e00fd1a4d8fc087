//! `cargo xtask bench micro`: the parts of the path of a message, each alone and without a socket. To see where the time goes,
//! not to compare with others.

use std::hint::black_box;
use std::io::Write;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use smtp_client::proto::address::ForwardPath;
use smtp_client::proto::client;
use smtp_client::proto::command;
use smtp_client::proto::content::{ContentDecoder, ContentEncoder, LineEnds, Piece};
use smtp_client::proto::server::{Config, Decision, Event, ServerSession};
use smtp_client::proto::transaction::Transaction;
use smtp_spool::{Due, Envelope, IdSource, MemoryDisk, Spool, Store};

use super::sheet::{Measure, Sheet};
use crate::workshop::failure::ensure;
use crate::workshop::letter::letter;
use crate::workshop::process::{is_installed, must_run};
use crate::workshop::scratch::Scratch;
use crate::workshop::{OrFail, Outcome};

/// How long one part is repeated in one round.
const TIME: Duration = Duration::from_millis(300);

const ROUNDS: usize = 5;

const PARTS: usize = 7;

/// How often a part is done under callgrind: what is only done the first time is in both.
const FEW: usize = 2;
const MORE: usize = 12;

const MEBIBYTE: usize = 1 << 20;

/// Transactions that one session sees.
const TRANSACTIONS: usize = 100;

/// One part: its name, and how to do it some times, which says how often it was done.
type Part<'a> = (&'static str, Box<dyn FnMut() -> Outcome<usize> + 'a>);

/// How long each part takes.
pub(super) fn run() -> Outcome {
    with_parts(|parts| {
        let mut sheet = Sheet::new(ROUNDS, false);
        for round in 0..ROUNDS {
            for (name, part) in &mut *parts {
                let (began, mut count) = (Instant::now(), 0);
                while began.elapsed() < TIME {
                    count += part()?;
                }
                let microseconds = began.elapsed().as_secs_f64() * 1e6 / count as f64;
                sheet.add("one after the other", name, round, &[(Measure::Microseconds, microseconds)]);
            }
        }
        println!("{}", sheet.table("one after the other"));
        Ok(())
    })
}

/// How many instructions each part takes, the kernel's not counted: figures that do not depend on what else the machine does.
/// Each part runs in a process of its own under callgrind, a few times and some more; the difference is what it takes.
pub(super) fn instructions() -> Outcome {
    ensure(is_installed("valgrind"), || "`bench micro instructions` wants valgrind: install it".to_owned())?;
    println!("| one after the other | instructions |\n| --- | --- |");
    for number in 0..PARTS {
        let [few, more] = [FEW, MORE].map(|times| under_callgrind(number, times));
        let (few, more) = (few?, more?);
        let each = more.instructions.saturating_sub(few.instructions) / (more.count - few.count).max(1);
        println!("| {} | {each} |", more.name);
    }
    Ok(())
}

/// One part that was done some times.
struct Counted {
    name: String,
    count: u64,
    instructions: u64,
}

fn under_callgrind(number: usize, times: usize) -> Outcome<Counted> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(std::env::current_exe().or_fail("finding this program")?);
    command.args(["bench", "micro", "part", &number.to_string(), &times.to_string()]);
    let finished = must_run(&mut command)?;
    let said = String::from_utf8_lossy(&finished.stdout);
    let (count, name) = said.trim().split_once(' ').or_fail("what a part says")?;
    let summary = String::from_utf8_lossy(&finished.stderr);
    let collected = summary.lines().find_map(|line| line.split_once("Collected :")).or_fail("what callgrind says")?;
    Ok(Counted {
        name: name.to_owned(),
        count: count.parse().or_fail("what a part says")?,
        instructions: collected.1.trim().parse().or_fail("what callgrind says")?,
    })
}

/// `bench micro part NUMBER TIMES`: one part, some times; says how often it was done, and its name.
pub(super) fn run_part(number: &str, times: &str) -> Outcome {
    let (number, times): (usize, usize) = (number.parse().or_fail("a number")?, times.parse().or_fail("a number")?);
    with_parts(|parts| {
        let (name, part) = parts.get_mut(number).or_fail("there is no such part")?;
        let mut count = 0;
        for _ in 0..times {
            count += part()?;
        }
        println!("{count} {name}");
        Ok(())
    })
}

fn with_parts(then: impl FnOnce(&mut [Part<'_>; PARTS]) -> Outcome) -> Outcome {
    let scratch = Scratch::new("micro")?;
    super::spread_out(&scratch)?;
    let large = letter(1, MEBIBYTE);
    let mut wire = Vec::new();
    encode(&large, &mut wire)?;
    let session = one_session();
    let (on_disk, _) = Spool::open(scratch.at("spool"), smtp_spool::Options::default()).or_fail("opening a spool")?;
    let in_memory = Arc::new(MemoryDisk::new());
    let (in_memory, _) = Spool::open_on(in_memory, smtp_spool::Options::default()).or_fail("opening a spool")?;
    let ids = IdSource::new(0).or_fail("ids")?;
    let small = letter(1, 1_024);
    then(&mut [
        ("a command is read", Box::new(read_command)),
        ("1 MiB of content is decoded", Box::new(|| decode(&wire))),
        ("1 MiB of content is encoded", Box::new(|| encode(&large, &mut Vec::with_capacity(2 * MEBIBYTE)))),
        ("a transaction of 1 KiB in the session", Box::new(|| transactions(&session))),
        ("a message of 1 KiB in the client's session", Box::new(|| messages(&small))),
        ("a commit of 1 KiB, in memory", Box::new(|| commit(&in_memory, &ids, &small))),
        ("a commit of 1 KiB, on disk", Box::new(|| commit(&on_disk, &ids, &small))),
    ])
}

fn read_command() -> Outcome<usize> {
    for _ in 0..1_000 {
        command::Command::parse(black_box(b"MAIL FROM:<alice@example.org> SIZE=1024 BODY=8BITMIME"))
            .or_fail("a command")?;
    }
    Ok(1_000)
}

fn encode(content: &[u8], output: &mut Vec<u8>) -> Outcome<usize> {
    let mut encoder = ContentEncoder::default();
    encoder.encode(black_box(content), output).or_fail("encoding")?;
    encoder.finish(output).or_fail("encoding")?;
    black_box(output);
    Ok(1)
}

fn decode(wire: &[u8]) -> Outcome<usize> {
    let (mut decoder, mut rest, mut octets) = (ContentDecoder::new(LineEnds::Strict), black_box(wire), 0);
    loop {
        let (used, piece) = decoder.decode(rest);
        rest = rest.get(used..).unwrap_or_default();
        match piece {
            Piece::Octets(piece) => octets += black_box(piece).len(),
            Piece::End => break,
            Piece::NeedInput | Piece::Stalled => return super::fail("the content has no end"),
        }
    }
    ensure(octets >= MEBIBYTE, || format!("only {octets} octets were decoded"))?;
    Ok(1)
}

/// Behind the greeting, and alone: whoever speaks earlier, or says more in the same breath, is turned away.
const HELLO: &[u8] = b"EHLO client.example.org\r\n";

/// Everything that a client says behind its name.
fn one_session() -> Vec<u8> {
    let mut text = Vec::new();
    for number in 0..TRANSACTIONS as u64 {
        text.extend_from_slice(b"MAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@localhost>\r\nDATA\r\n");
        text.extend_from_slice(&letter(number, 1_024));
        text.extend_from_slice(b".\r\n");
    }
    text.extend_from_slice(b"QUIT\r\n");
    text
}

fn transactions(session: &[u8]) -> Outcome<usize> {
    let mut server = ServerSession::new(Config::new("mx.example.org".parse().or_fail("a name")?));
    let mut octets = 0;
    for said in [&[], HELLO, session] {
        let mut rest = said;
        loop {
            let (used, event) = server.handle(rest, Duration::ZERO);
            rest = rest.get(used..).unwrap_or_default();
            match event {
                Event::Question => server.decide(Decision::Accept, Duration::ZERO),
                Event::Content(piece) => octets += black_box(piece).len(),
                Event::NeedInput | Event::Close => break,
                _ => return super::fail("the session wants something else than an answer"),
            }
            black_box(server.output());
            server.clear_output();
        }
    }
    ensure(octets >= TRANSACTIONS * 1_024, || format!("only {octets} octets of content came"))?;
    Ok(TRANSACTIONS)
}

/// The client's side of many messages over one connection, with a server that takes them all.
fn messages(letter: &[u8]) -> Outcome<usize> {
    let config = client::Config::new("client.example.org".parse().or_fail("a name")?);
    let mut session = client::ClientSession::new(config);
    let mut transaction = Transaction::new("<alice@example.org>".parse().or_fail("an address")?);
    transaction.recipients.push("<bob@localhost>".parse::<ForwardPath>().or_fail("an address")?.into());
    for (said, count) in [(&b"220 mx\r\n"[..], 0), (b"250-mx\r\n250 PIPELINING\r\n", 1)] {
        hear(&mut session, said, |event| usize::from(*event == client::Event::Ready), count)?;
    }
    for _ in 0..TRANSACTIONS {
        session.start(transaction.clone(), Duration::ZERO).or_fail("a transaction")?;
        session.clear_output();
        let is_content = |event: &client::Event| usize::from(*event == client::Event::WantContent);
        hear(&mut session, b"250 2.1.0 yes\r\n250 2.1.5 yes\r\n354 go on\r\n", is_content, 1)?;
        session.write_content(black_box(letter), Duration::ZERO).or_fail("content")?;
        session.finish_content(Duration::ZERO).or_fail("content")?;
        black_box(session.output());
        session.clear_output();
        let is_taken = |event: &client::Event| match event {
            client::Event::Finished(outcome) => outcome.recipients.iter().filter(|one| one.result.is_ok()).count(),
            _ => 0,
        };
        hear(&mut session, b"250 2.0.0 taken\r\n", is_taken, 1)?;
    }
    Ok(TRANSACTIONS)
}

/// Lets a client hear this, which has to lead to so many of the wanted events.
fn hear(
    session: &mut client::ClientSession,
    mut said: &[u8],
    wanted: impl Fn(&client::Event) -> usize,
    count: usize,
) -> Outcome {
    let mut found = 0;
    loop {
        let (used, event) = session.handle(black_box(said), Duration::ZERO);
        said = said.get(used..).unwrap_or_default();
        found += wanted(&event);
        if matches!(event, client::Event::NeedInput | client::Event::WantContent | client::Event::Ready) {
            break;
        }
    }
    session.clear_output();
    ensure(found == count, || format!("a client heard {found} of {count}"))
}

fn commit(spool: &Spool, ids: &IdSource, letter: &[u8]) -> Outcome<usize> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).or_fail("the time")?;
    let id = ids.next(u64::try_from(now.as_micros()).or_fail("the time")?);
    let text = format!("RECEIVED {}\r\nMAIL FROM:<alice@here.test>\r\nRCPT TO:<bob@localhost>\r\n", now.as_secs());
    let envelope = Envelope::parse(&text).or_fail("an envelope")?;
    let mut incoming = spool.begin(None).or_fail("beginning a message")?;
    incoming.write_all(letter).or_fail("writing a message")?;
    incoming.commit(&id, &envelope, Due::Kept).or_fail("committing a message")?;
    Ok(1)
}
