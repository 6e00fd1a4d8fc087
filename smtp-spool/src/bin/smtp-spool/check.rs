//! `check`: every file is read whole and compared with its checksum; what is bad gets a line that says what becomes of it.

use std::io::Write;
use std::path::Path;

use argh::FromArgs;
use smtp_spool::disk::Folder;
use smtp_spool::{Due, MessageId, ReadError, Reader};

use crate::failure::Failure;

/// Read every message whole and compare its checksum. Prints a line for each bad file: what is wrong, and what becomes
/// of it.
#[derive(FromArgs)]
#[argh(subcommand, name = "check", help_triggers("-h", "--help", "help"))]
pub(crate) struct Check {}

impl Check {
    pub(crate) fn run(&self, spool: &Path, output: &mut dyn Write) -> Result<(), Failure> {
        let reader = Reader::open(spool)?;
        let unreadable = |error| Failure::input_output(format!("listing the spool: {error}"));
        let (mut whole, mut corrupt, mut failed) = (0, 0, 0);
        for (id, _) in reader.list().map_err(unreadable)? {
            let error = match reader.verify(&id) {
                Ok(()) => {
                    whole += 1;
                    continue;
                }
                Err(ReadError::Missing) => continue,
                Err(error) => error,
            };
            match error {
                ReadError::Failed(_) => failed += 1,
                _ => corrupt += 1,
            }
            writeln!(output, "{id} in {}: {error}; {}", reader.entry(&id), fate(&reader, &id))
                .map_err(Failure::output)?;
        }
        for (entry, damage) in reader.damage().map_err(unreadable)? {
            corrupt += 1;
            writeln!(output, "{entry}: {damage}; the next start of the server moves them to corrupt")
                .map_err(Failure::output)?;
        }
        let strangers = reader.strangers().map_err(unreadable)?;
        for entry in strangers.iter().filter(|entry| entry.folder != Folder::Corrupt) {
            corrupt += 1;
            writeln!(output, "{entry}: it is not a message; left alone").map_err(Failure::output)?;
        }
        let set_aside = strangers.iter().filter(|entry| entry.folder == Folder::Corrupt).count();
        writeln!(output, "{whole} whole, {corrupt} bad, {failed} unreadable; {set_aside} files set aside in corrupt")
            .and_then(|()| output.flush())
            .map_err(Failure::output)?;
        match (corrupt, failed) {
            (0, 0) => Ok(()),
            (0, _) => Err(Failure::input_output("some files cannot be read")),
            _ => Err(Failure::corrupt("some files are bad; the line of each says what becomes of it")),
        }
    }
}

/// What becomes of a message that is not whole. A start looks at the two ends of a file and compares no checksum; that is
/// compared when somebody is to deliver the message, and a kept one is never delivered.
fn fate(reader: &Reader, id: &MessageId) -> String {
    match reader.summary(id).map(|summary| summary.due) {
        Ok(Due::Kept) => format!("it stays where it is until it is removed (smtp-spool remove {id})"),
        Ok(Due::At(_) | Due::Withheld(_)) => "it is moved to corrupt when it is to be delivered".to_owned(),
        Err(ReadError::Corrupt(_)) => "the next start of the server moves it to corrupt".to_owned(),
        Err(ReadError::Missing | ReadError::Failed(_)) => "left alone".to_owned(),
    }
}
