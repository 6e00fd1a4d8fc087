//! The messages of a command line: found, each looked at once from end to end, and given its envelope.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
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
use smtp_client::source::{self, FindError, Found};

use crate::arguments::{STANDARD_INPUT, is_standard_input, shown};
use crate::exit;

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
}

/// Messages that are ready to be sent, in three lists of the same length; no keys where there is no journal.
pub(crate) struct Prepared {
    pub(crate) names: Vec<String>,
    pub(crate) messages: Vec<Message>,
    pub(crate) keys: Vec<Key>,
}

/// The files that are named on the command line and in the list. Without any, standard input.
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
    Ok(files)
}

/// Names that end in NUL, which no name holds. Behind the last one it may be missing.
fn read_list(list: &Path) -> Result<Vec<PathBuf>, Stopped> {
    let failed = |error: io::Error| (exit::of_io_error(&error), format!("{}: {error}", shown(list)));
    let mut octets = Vec::new();
    if is_standard_input(list) {
        io::stdin().lock().read_to_end(&mut octets).map_err(failed)?;
    } else {
        File::open(list).and_then(|mut file| file.read_to_end(&mut octets)).map_err(failed)?;
    }
    let names = octets.strip_suffix(b"\0").unwrap_or(&octets);
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let names = names.split(|octet| *octet == 0).map(|name| match name {
        b"" => Err((exit::DATA, format!("{}: a name in the list is empty", shown(list)))),
        b"-" => Ok(STANDARD_INPUT.into()),
        name => Ok(OsString::from_vec(name.to_vec()).into()),
    });
    names.collect()
}

/// Where the journal of a batch lies that begins with this file.
pub(crate) fn beside(first: &Path) -> PathBuf {
    // Without the slash that may stand behind a directory.
    let mut path: OsString = first.components().collect::<PathBuf>().into();
    path.push(journal::SUFFIX);
    path.into()
}

/// Reads every message once. The first that cannot be sent ends it.
pub(crate) fn prepare(files: &[PathBuf], wishes: &Wishes, has_journal: bool) -> Result<Prepared, Stopped> {
    let mut prepared = Prepared { names: Vec::new(), messages: Vec::new(), keys: Vec::new() };
    let mut keys = Keys::default();
    for file in files {
        for Found { name, source } in find(file)? {
            let failed = |code, error: &dyn std::fmt::Display| (code, format!("{name}: {error}"));
            let content = source.open().map_err(|error| failed(exit::of_content_error(&error), &error))?;
            let transaction = transaction(&content, wishes).map_err(|error| failed(exit::DATA, &error))?;
            if has_journal {
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
    transaction.recipients = recipients.into_iter().map(|path| recipient(path, wishes.notify)).collect();
    Ok(transaction)
}

/// RFC 3461, 4.2: whoever submits a message and asks for reports says for whom it was, in the very words of RCPT.
fn recipient(forward_path: ForwardPath, notify: Option<Notify>) -> Recipient {
    let orcpt = notify.and(forward_path.mailbox()).and_then(OriginalRecipient::of);
    Recipient { forward_path, parameters: RcptParameters { notify, orcpt } }
}
