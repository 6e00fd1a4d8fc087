//! `cargo xtask torture`: is everything there that was acknowledged, whatever happens to the machine?
//!
//! What is acknowledged is known at the client's side: a letter, octet for octet, and the id in its 250. What is stored is
//! known through `smtp-spool export`. Between the two the process is killed, the power is cut, the disk is full or broken.
//! After every restart the same holds: each acknowledged letter is there once and unchanged; a letter whose answer got lost
//! may be there, once and whole; a refused one is not; and nothing unfinished or corrupt lies around.

mod strace;
mod order;
mod kill;
mod delivery;
mod maildrop;
mod mount;
mod power_cut;
mod unsafe_order;
mod shortage;
mod full_mailbox;
mod failing_disk;
mod batch;

use crate::workshop::Outcome;
use crate::workshop::process::{is_installed, must_run};
use crate::workshop::programs::Programs;
use crate::workshop::tally::Tally;
use mount::Mount;

/// All of it, in about half a minute. `--quick`: every second kill, one power cut under load.
pub(crate) fn run(options: &[String]) -> Outcome {
    let is_quick = options.iter().any(|option| option == "--quick");
    println!("torture needs: strace, and the right to trace our own processes (order of calls, kills, failing calls);");
    println!("               root, mkfs.ext4 and loop mounts (power cuts); root and tmpfs mounts (full disks)");
    let programs = Programs::build()?;
    let mut tally = Tally::new(options);
    match tracing() {
        Ok(()) => {
            println!("\n== what is synced before the 250");
            order::run(&programs, &mut tally)?;
            println!("\n== killed before every system call, then started again");
            kill::run(&programs, &mut tally, is_quick)?;
            println!("\n== killed while it delivers");
            delivery::run(&programs, &mut tally, is_quick)?;
            println!("\n== messages that others leave in the maildrop");
            maildrop::run(&programs, &mut tally, is_quick);
            println!("\n== a disk that fails");
            failing_disk::run(&programs, &mut tally);
        }
        Err(remedy) => ["order of calls", "kills", "deliveries", "maildrop", "failing disk"]
            .iter()
            .for_each(|name| tally.skip(name, remedy)),
    }
    match loop_mounts() {
        Ok(()) => {
            println!("\n== the power is cut");
            unsafe_order::run(&mut tally)?;
            power_cut::run(&programs, &mut tally, is_quick);
        }
        Err(remedy) => tally.skip("power cuts", remedy),
    }
    println!("\n== not enough of everything");
    match Mount::tmpfs("size=1m") {
        Ok(_) => {
            shortage::full_disk(&programs, &mut tally);
            tally.check("full disk in delivery", full_mailbox::run(&programs));
        }
        Err(_) => tally.skip("full disk", "run as root, with the right to mount a tmpfs"),
    }
    tally.check("few descriptors", shortage::few_descriptors(&programs));
    println!("\n== the client is killed in the middle of a batch");
    batch::run(&programs, &mut tally);
    tally.finish()
}

/// Whether strace is there and allowed to do its work; else what to do about it.
fn tracing() -> Result<(), &'static str> {
    if !is_installed("strace") {
        return Err("install strace");
    }
    let mut command = std::process::Command::new("strace");
    match must_run(command.args(["-o", "/dev/null", "true"])) {
        Ok(_) => Ok(()),
        Err(_) => Err("allow ptrace to this process"),
    }
}

fn loop_mounts() -> Result<(), &'static str> {
    if !is_installed("mkfs.ext4") {
        return Err("install e2fsprogs");
    }
    Mount::ext4_image().map(drop).map_err(|_| "run as root, with the right to mount loop devices")
}
