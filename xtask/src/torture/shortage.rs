//! Not enough disk, not enough descriptors: refused for now, before data is taken where that can be known; and the server
//! recovers by itself.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::kill::restart_and_compare;
use super::mount::Mount;
use crate::workshop::dialogue::Dialogue;
use crate::workshop::failure::ensure;
use crate::workshop::letter::letter;
use crate::workshop::programs::Programs;
use crate::workshop::scratch::Scratch;
use crate::workshop::sender::{Fate, queue_id};
use crate::workshop::server::Server;
use crate::workshop::stored::Account;
use crate::workshop::tally::Tally;
use crate::workshop::{OrFail, Outcome};

/// Three ways in which a disk is full.
pub(super) fn full_disk(programs: &Programs, tally: &mut Tally) {
    tally.check("full disk, known at MAIL", known_at_mail(programs, "size=24m", fill_with_octets));
    tally.check(
        "no room for more files, known at MAIL",
        known_at_mail(programs, "size=64m,nr_inodes=400", fill_with_files),
    );
    tally.check("full disk in the middle of a letter", in_the_middle(programs));
}

fn fill_with_octets(ballast: &Path) -> Outcome {
    fs::create_dir(ballast).or_fail("making ballast")?;
    fs::write(ballast.join("much"), vec![b'x'; 12 << 20]).or_fail("making ballast")
}

fn fill_with_files(ballast: &Path) -> Outcome {
    fs::create_dir(ballast).or_fail("making ballast")?;
    (0..200).try_for_each(|number| fs::write(ballast.join(number.to_string()), b"")).or_fail("making ballast")
}

/// One session: taken, refused while the disk is too full, taken again.
fn known_at_mail(programs: &Programs, options: &str, fill: fn(&Path) -> Outcome) -> Outcome<String> {
    let disk = Mount::tmpfs(options)?;
    let spool = disk.at("spool");
    let server = Server::start(programs, &spool, &[])?;
    let mut dialogue = Dialogue::greeted(server.address)?;
    let mut account = Account::default();
    take(&mut dialogue, &mut account, 1)?;
    fill(&disk.at("ballast"))?;
    let refused = dialogue.ask("MAIL FROM:<alice@example.org>", "452")?;
    dialogue.ask("NOOP", "250")?;
    fs::remove_dir_all(disk.at("ballast")).or_fail("removing ballast")?;
    take(&mut dialogue, &mut account, 2)?;
    dialogue.ask("QUIT", "221")?;
    server.stop()?;
    restart_and_compare(programs, &spool, &account)?;
    Ok(format!("`{refused}`, and taken again once there was room"))
}

/// The client does not say how large the letter is, so nobody knows before the disk does.
fn in_the_middle(programs: &Programs) -> Outcome<String> {
    let disk = Mount::tmpfs("size=24m")?;
    let spool = disk.at("spool");
    let server = Server::start(programs, &spool, &[])?;
    let mut dialogue = Dialogue::greeted(server.address)?;
    let mut account = Account::default();
    take(&mut dialogue, &mut account, 1)?;
    let refused = dialogue.send(&letter(2, 30 << 20), "452")?;
    take(&mut dialogue, &mut account, 3)?;
    let announced = dialogue.ask("MAIL FROM:<alice@example.org> SIZE=20000000", "452")?;
    dialogue.ask("QUIT", "221")?;
    server.stop()?;
    restart_and_compare(programs, &spool, &account)?;
    Ok(format!("`{refused}`; with SIZE before data is sent: `{announced}`"))
}

fn take(dialogue: &mut Dialogue, account: &mut Account, number: u64) -> Outcome {
    let letter = letter(number, 1_000);
    let reply = dialogue.send(&letter, "250")?;
    account.note(letter, Fate::Acknowledged(queue_id(&reply)));
    Ok(())
}

/// Descriptors that the server may have.
const DESCRIPTORS: usize = 40;

/// Twice as many connections as descriptors; then the visitors go.
pub(super) fn few_descriptors(programs: &Programs) -> Outcome<String> {
    let scratch = Scratch::new("descriptors")?;
    let spool = scratch.at("spool");
    let plain = Server::command(programs, &spool, &[]);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &format!("ulimit -n {DESCRIPTORS} && exec \"$0\" \"$@\"")]);
    command.arg(plain.get_program()).args(plain.get_args());
    let server = Server::start_by(command)?;
    let mut account = Account::default();
    let visitors: Outcome<Vec<_>> = (0..2 * DESCRIPTORS).map(|_| Dialogue::open(server.address)).collect();
    let mut visitors = visitors?;
    // The first of them is surely inside. Its letter may find no descriptor for a file; that is not its fault.
    let first = visitors.first_mut().or_fail("no visitor")?;
    first.expect("220")?;
    first.ask("EHLO client.example.org", "250")?;
    let answer = with_no_descriptor_left(first, &mut account)?;
    let before = server.processor_ticks()?;
    std::thread::sleep(Duration::from_secs(2));
    let ticks = server.processor_ticks()? - before;
    ensure(ticks <= 40, || format!("the server spins: {ticks} hundredths of a second in two seconds"))?;
    drop(visitors);
    let mut dialogue = Dialogue::greeted(server.address)?;
    take(&mut dialogue, &mut account, 7)?;
    dialogue.ask("QUIT", "221")?;
    drop(dialogue);
    server.stop()?;
    restart_and_compare(programs, &spool, &account)?;
    Ok(format!("`{answer}`; {ticks} hundredths of processor time in 2 s; takes mail again when the visitors are gone"))
}

/// Sends a letter in a session that is open. Taken or refused for now, at whichever step.
fn with_no_descriptor_left(dialogue: &mut Dialogue, account: &mut Account) -> Outcome<String> {
    let letter = letter(1, 1_000);
    let mut answer = String::new();
    for line in ["MAIL FROM:<alice@example.org>", "RCPT TO:<bob@localhost>", "DATA"] {
        answer = dialogue.ask(line, "")?;
        if answer.starts_with('4') {
            return Ok(answer);
        }
    }
    ensure(answer.starts_with("354"), || format!("with no descriptor left the server says `{answer}`"))?;
    dialogue.write(&letter)?;
    let answer = dialogue.ask(".", "")?;
    if answer.starts_with("250") {
        account.note(letter, Fate::Acknowledged(queue_id(&answer)));
    } else {
        ensure(answer.starts_with('4'), || format!("with no descriptor left the server says `{answer}`"))?;
    }
    Ok(answer)
}
