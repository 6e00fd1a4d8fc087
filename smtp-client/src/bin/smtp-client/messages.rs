//! The messages of a command line: found, each looked at once from end to end, and given its envelope.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use smtp_client::batch::Message;
use smtp_client::content::Content;
use smtp_client::header::{self, HeaderError};
use smtp_client::journal::{self, Key, Keys};
use smtp_client::proto::address::{ForwardPath, ReversePath};
use smtp_client::proto::parameter::{Notify, OriginalRecipient, RcptParameters, Ret};
use smtp_client::proto::transaction::{Recipient, Transaction};
use smtp_client::proto::xtext::Xtext;
use smtp_client::source::{self, FindError, Found, Source};

use crate::arguments::{STANDARD_INPUT, is_standard_input, shown};
use crate::exit;

/// Names in a list. A batch has a million messages at most, in all reason.
const LIST_NAMES: usize = 10_000_000;

/// Octets of a name in a list, with its NUL: PATH_MAX of Linux. No file has a longer one.
const NAME_OCTETS: usize = 4_096;

/// What stops a command before anybody is called: the exit code, and why.
pub(crate) type Stopped = (u8, String);

/// What the command line says of the envelopes. What it does not say, each message says for itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) from: Option<ReversePath>,
    pub(crate) to: Vec<ForwardPath>,
    pub(crate) notify: Option<Notify>,
    pub(crate) ret: Option<Ret>,
    pub(crate) envid: Option<Xtext>,
    pub(crate) requiretls: bool,
}

/// Messages that are ready to be sent, in three lists of the same length; no keys where there is no journal.
pub(crate) struct Prepared {
    pub(crate) names: Vec<String>,
    pub(crate) messages: Vec<Message>,
    pub(crate) keys: Vec<Key>,
}

/// The files that are named on the command line and in the list. Without any, standard input. Journals are left out: a
/// pattern such as `mail/*` finds those, too, that earlier runs have left there.
pub(crate) fn files(named: &[PathBuf], list: Option<&Path>) -> Result<Vec<PathBuf>, Stopped> {
    let mut files = named.to_vec();
    if let Some(list) = list {
        files.extend(read_list(list)?);
    } else if files.is_empty() {
        files.push(STANDARD_INPUT.into());
    }
    let inputs = files.iter().map(PathBuf::as_path).chain(list).filter(|path| is_standard_input(path));
    if inputs.count() > 1 {
        return Err((exit::USAGE, "standard input can be read once only".to_owned()));
    }
    let has_journal = files.iter().any(|file| journal::is_named_like_one(file));
    files.retain(|file| !journal::is_named_like_one(file));
    if has_journal && files.is_empty() {
        return Err((exit::USAGE, format!("a file *{} is a journal, and no message", journal::SUFFIX)));
    }
    Ok(files)
}

/// Names that end in NUL, which no name holds. Behind the last one it may be missing.
fn read_list(list: &Path) -> Result<Vec<PathBuf>, Stopped> {
    let failed = |error: io::Error| (exit::of_io_error(&error), format!("{}: {error}", shown(list)));
    let names = match is_standard_input(list) {
        true => read_names(io::stdin().lock()),
        false => read_names(BufReader::new(File::open(list).map_err(failed)?)),
    };
    names.map_err(failed)?.map_err(|text| (exit::DATA, format!("{}: {text}", shown(list))))
}

/// One by one, so that what is no list is found out before it fills the memory. The inner error says what is wrong with it.
fn read_names(mut input: impl BufRead) -> io::Result<Result<Vec<PathBuf>, &'static str>> {
    let mut names: Vec<PathBuf> = Vec::new();
    loop {
        let mut name = Vec::new();
        if input.by_ref().take(NAME_OCTETS as u64).read_until(0, &mut name)? == 0 {
            return Ok(Ok(names));
        }
        if name.len() == NAME_OCTETS && !name.ends_with(b"\0") {
            return Ok(Err("a name in the list is too long; each ends in NUL, as find -print0 writes them"));
        }
        match name.strip_suffix(b"\0").unwrap_or(&name) {
            b"" => return Ok(Err("a name in the list is empty")),
            b"-" => names.push(STANDARD_INPUT.into()),
            name => names.push(OsString::from_vec(name.to_vec()).into()),
        }
        if names.len() > LIST_NAMES {
            return Ok(Err("the list is too long"));
        }
    }
}

/// Reads every message once. The first that cannot be sent ends it. The journal, if there is one already, is none of them,
/// wherever it lies and whatever it is called.
pub(crate) fn prepare(files: &[PathBuf], wishes: &Wishes, journal: Option<&Path>) -> Result<Prepared, Stopped> {
    let journal_file = journal.and_then(|path| fs::metadata(path).ok());
    let is_in_use =
        |source: &Source| journal_file.as_ref().zip(source.file()).is_some_and(|(file, seen)| seen.is(file));
    let mut prepared = Prepared { names: Vec::new(), messages: Vec::new(), keys: Vec::new() };
    let mut keys = Keys::default();
    for file in files {
        for Found { name, source } in find(file)?.into_iter().filter(|found| !is_in_use(&found.source)) {
            let failed = |code, error: &dyn std::fmt::Display| (code, format!("{name}: {error}"));
            let content = source.open().map_err(|error| failed(exit::of_content_error(&error), &error))?;
            if journal::is_journal(&content).map_err(|error| failed(exit::IO, &error))? {
                return Err(failed(exit::DATA, &"this is a journal of smtp-client, and no message"));
            }
            let transaction = transaction(&content, wishes).map_err(|error| failed(exit::DATA, &error))?;
            if journal.is_some() {
                let key = keys.next(&transaction.reverse_path, &content);
                prepared.keys.push(key.map_err(|error| failed(exit::IO, &error))?);
            }
            prepared.names.push(name);
            prepared.messages.push(Message { transaction, source });
        }
    }
    Ok(prepared)
}

fn find(file: &Path) -> Result<Vec<Found>, Stopped> {
    let found = match is_standard_input(file) {
        true => source::find_in_stream("-", io::stdin().lock()),
        false => source::find(file),
    };
    found.map_err(|FindError { name, error }| (exit::of_content_error(&error), format!("{name}: {error}")))
}

fn transaction(content: &Content, wishes: &Wishes) -> Result<Transaction, HeaderError> {
    let header = content.header();
    let reverse_path = match &wishes.from {
        Some(path) => path.clone(),
        None => header.reverse_path()?,
    };
    let recipients = match wishes.to.as_slice() {
        [] => header.forward_paths()?,
        given => header::each_once(given.iter().cloned()),
    };
    let mut transaction = Transaction::new(reverse_path);
    transaction.parameters.ret = wishes.ret;
    transaction.parameters.envid = wishes.envid.clone();
    transaction.parameters.require_tls = wishes.requiretls;
    transaction.recipients = recipients.into_iter().map(|path| recipient(path, wishes.notify)).collect();
    Ok(transaction)
}

/// RFC 3461, 4.2: whoever submits a message and asks for reports says for whom it was, in the very words of RCPT.
fn recipient(forward_path: ForwardPath, notify: Option<Notify>) -> Recipient {
    let orcpt = notify.and(forward_path.mailbox()).and_then(OriginalRecipient::of);
    Recipient { forward_path, parameters: RcptParameters { notify, orcpt } }
}
