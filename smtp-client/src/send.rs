//! `smtp-client send`: prepares every message, sends them over one connection, says what became of each.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use smtp_client::batch::{Batch, Delivery, Message, Retries};
use smtp_client::connection::{Connection, Options};
use smtp_client::content::Content;
use smtp_client::proto::transaction::Transaction;
use smtp_client::transcript::Transcript;

use crate::arguments::Send;
use crate::{complain, exit};

/// Runs the command. A message that cannot be sent is found before anything is sent.
pub(crate) fn run(arguments: Send) -> ExitCode {
    let names = match arguments.files.as_slice() {
        [] => vec![PathBuf::from("-")],
        files => files.to_vec(),
    };
    let mut messages = Vec::new();
    for name in &names {
        match prepare(name, &arguments) {
            Ok(message) => messages.push(message),
            Err((code, error)) => {
                complain(&format!("{}: {error}; nothing was sent", name.display()));
                return ExitCode::from(code);
            }
        }
    }
    let give_up_at = arguments.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut batch = Batch::new(messages);
    batch.send(&Retries::times(arguments.retries), give_up_at, || {
        let mut options = Options { hello_name: arguments.hello.clone(), give_up_at, ..Options::default() };
        if arguments.transcript {
            options.observer = Box::new(Transcript::new(io::stderr()));
        }
        Connection::open_to(&arguments.server, options)
    });
    report(&names, &batch)
}

fn prepare(name: &Path, arguments: &Send) -> Result<Message, (u8, String)> {
    let content = match name.to_str() {
        Some("-") => Content::from_reader(io::stdin().lock()),
        _ => Content::from_file(name),
    };
    let content = content.map_err(|error| (exit::of_content_error(&error), error.to_string()))?;
    let header = content.header();
    let data_error = |error: smtp_client::header::HeaderError| (exit::DATA, error.to_string());
    let reverse_path = match &arguments.from {
        Some(path) => path.clone(),
        None => header.reverse_path().map_err(data_error)?,
    };
    let recipients = match arguments.to.as_slice() {
        [] => header.forward_paths().map_err(data_error)?,
        given => given.to_vec(),
    };
    let mut transaction = Transaction::new(reverse_path);
    transaction.recipients = recipients.into_iter().map(Into::into).collect();
    Ok(Message { transaction, content })
}

/// A line for each recipient: acceptances to standard output, the rest to standard error.
fn report(names: &[PathBuf], batch: &Batch) -> ExitCode {
    for (place, recipient, delivery) in batch.deliveries() {
        let name = names.get(place).map(|name| name.display().to_string()).unwrap_or_default();
        let line = format!("{name}: {}: {delivery}", recipient.forward_path);
        match delivery {
            // Whether anybody reads the good news does not change it.
            Delivery::Accepted(_) => drop(writeln!(io::stdout(), "{}", smtp_client::logging::escape(&line))),
            Delivery::Failed(failure) if failure.is_uncertain() => {
                complain(&format!("{line}; the server may have it all the same"));
            }
            _ => complain(&line),
        }
    }
    ExitCode::from(exit::code(batch.deliveries().map(|(_, _, delivery)| delivery)))
}
