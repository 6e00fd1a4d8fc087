//! What the tests share: a message, and the two engines that every promise is tested on.

#![allow(dead_code)] // each test binary uses a part of it
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by panicking

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use smtp_proto::command::Command;
use smtp_spool::{Due, Envelope, MemoryDisk, MessageId, Options, OsDisk, Reader, Recipient, Spool, Store, StoreError};

/// An id.
pub(crate) fn id(text: &str) -> MessageId {
    text.parse().unwrap()
}

/// An envelope from a sender to some recipients.
pub(crate) fn envelope(from: &str, to: &[&str]) -> Envelope {
    let Ok(Command::Mail { reverse_path, parameters: mail }) = Command::parse(format!("MAIL FROM:{from}").as_bytes())
    else {
        panic!("{from}")
    };
    let recipients = to.iter().map(|to| match Command::parse(format!("RCPT TO:{to}").as_bytes()) {
        Ok(Command::Rcpt { forward_path, parameters }) => Recipient { forward_path, parameters },
        other => panic!("{to}: {other:?}"),
    });
    Envelope { reverse_path, mail, recipients: recipients.collect(), received_at_unix_seconds: 1_763_880_000 }
}

/// The envelope of most tests, with what a sender may say about reports.
pub(crate) fn usual_envelope() -> Envelope {
    envelope(
        "<alice@example.org> BODY=8BITMIME RET=HDRS ENVID=e+20f",
        &["<bob@example.net>", "<carol@example.com> NOTIFY=SUCCESS,DELAY ORCPT=utf-8;kârôl@example.com"],
    )
}

/// Puts a whole message into a store.
pub(crate) fn put(store: &dyn Store, name: &str, content: &[u8], due: Due) -> Result<(), StoreError> {
    let mut incoming = store.begin(Some(content.len() as u64))?;
    // An error of writing comes back from the commit.
    let _ = incoming.write_all(content);
    incoming.commit(&id(name), &usual_envelope(), due)
}

/// The whole content of a stored message.
pub(crate) fn content(reader: &Reader, name: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    reader.content(&id(name)).unwrap().read_to_end(&mut octets).unwrap();
    octets
}

/// The ids in a spool.
pub(crate) fn ids(reader: &Reader) -> Vec<String> {
    reader.list().unwrap().map(|(id, _)| id.to_string()).collect()
}

/// Octets that are not all the same.
pub(crate) fn octets(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place * 31 + place / 251) as u8).collect()
}

/// A spool and a way to look into it.
pub(crate) struct Fixture {
    pub(crate) spool: Spool,
    pub(crate) reader: Reader,
    pub(crate) name: &'static str,
    medium: Medium,
    options: Options,
}

enum Medium {
    Directory { _parent: tempfile::TempDir, path: PathBuf },
    Memory(MemoryDisk),
}

impl Fixture {
    pub(crate) fn in_directory(options: Options) -> Self {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("spool");
        let (spool, _) = Spool::open(&path, options).unwrap();
        let reader = Reader::open(&path).unwrap();
        Fixture { spool, reader, name: "directory", medium: Medium::Directory { _parent: parent, path }, options }
    }

    pub(crate) fn in_memory(options: Options) -> Self {
        let disk = MemoryDisk::new();
        let (spool, _) = Spool::open_on(Arc::new(disk.clone()), options).unwrap();
        let reader = Reader::on(Arc::new(disk.clone()));
        Fixture { spool, reader, name: "memory", medium: Medium::Memory(disk), options }
    }

    /// Closes the spool and opens it again.
    pub(crate) fn reopened(self) -> Self {
        let Fixture { spool, reader, name, medium, options } = self;
        drop(spool);
        let opened = match &medium {
            Medium::Directory { path, .. } => Spool::open(path, options),
            Medium::Memory(disk) => Spool::open_on(Arc::new(disk.clone()), options),
        };
        Fixture { spool: opened.unwrap().0, reader, name, medium, options }
    }

    /// A second view of the medium, not locked.
    pub(crate) fn disk(&self) -> Arc<dyn smtp_spool::disk::Disk> {
        match &self.medium {
            Medium::Directory { path, .. } => Arc::new(OsDisk::open(path).unwrap()),
            Medium::Memory(disk) => Arc::new(disk.clone()),
        }
    }
}

/// Runs a test on each engine.
pub(crate) fn on_every_engine(test: impl Fn(Fixture)) {
    with_options(Options::default(), test);
}

/// Runs a test on each engine with options.
pub(crate) fn with_options(options: Options, test: impl Fn(Fixture)) {
    test(Fixture::in_memory(options));
    test(Fixture::in_directory(options));
}

/// A segment without the zeros that were filled in behind what is written.
pub(crate) fn without_zeros(segment: &[u8]) -> &[u8] {
    let end = segment.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
    &segment[..end]
}
