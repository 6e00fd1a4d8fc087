//! `cargo xtask bench micro`: the parts of the path of a message, each alone and without a socket. To see where the time goes,
//! not to compare with others.

use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use smtp_client::proto::command::Command;
use smtp_client::proto::content::{ContentDecoder, ContentEncoder, LineEnds, Piece};
use smtp_client::proto::server::{Config, Decision, Event, ServerSession};
use smtp_spool::{Due, Envelope, IdSource, MemoryDisk, Spool, Store};

use super::sheet::{Measure, Sheet};
use crate::workshop::failure::ensure;
use crate::workshop::letter::letter;
use crate::workshop::scratch::Scratch;
use crate::workshop::{OrFail, Outcome};

/// How long one part is repeated in one round.
const TIME: Duration = Duration::from_millis(300);

const ROUNDS: usize = 5;

const MEBIBYTE: usize = 1 << 20;

/// Transactions that one session sees.
const TRANSACTIONS: usize = 100;

/// One part: its name, and how to do it some times, which says how often it was done.
type Part<'a> = (&'static str, Box<dyn FnMut() -> Outcome<usize> + 'a>);

pub(super) fn run() -> Outcome {
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
    let mut parts: [Part<'_>; 6] = [
        ("a command is read", Box::new(read_command)),
        ("1 MiB of content is decoded", Box::new(|| decode(&wire))),
        ("1 MiB of content is encoded", Box::new(|| encode(&large, &mut Vec::with_capacity(2 * MEBIBYTE)))),
        ("a transaction of 1 KiB in the session", Box::new(|| transactions(&session))),
        ("a commit of 1 KiB, in memory", Box::new(|| commit(&in_memory, &ids, &small))),
        ("a commit of 1 KiB, on disk", Box::new(|| commit(&on_disk, &ids, &small))),
    ];
    let mut sheet = Sheet::new(ROUNDS, false);
    for round in 0..ROUNDS {
        for (name, part) in &mut parts {
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
}

fn read_command() -> Outcome<usize> {
    for _ in 0..1_000 {
        Command::parse(black_box(b"MAIL FROM:<alice@example.org> SIZE=1024 BODY=8BITMIME")).or_fail("a command")?;
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
