//! `smtp-client queue`: messages into the maildrop of a spool, to be sent later by whoever owns it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use argh::FromArgs;
use smtp_client::content::Content;
use smtp_client::proto::address::{ForwardPath, ReversePath};
use smtp_client::proto::parameter::{Body, Notify, Ret};
use smtp_client::proto::xtext::Xtext;
use smtp_client::spool::{Envelope, IdSource, Maildrop, MessageId};

use super::{default_spool, failed, not_opened, not_stored};
use crate::messages::{self, Stopped, Wishes};
use crate::{arguments, complain, exit, say};

/// Puts messages into the queue of a spool, and says under which ids. No server is called: `smtp-client flush` sends them, or
/// the server that owns the spool. Files, sender and recipients are found as `smtp-client send` finds them.
#[derive(FromArgs, Debug)]
#[argh(
    subcommand,
    name = "queue",
    help_triggers("-h", "--help", "help"),
    example = "smtp-client queue message.eml && smtp-client flush --server mx.example.org:25",
    note = "A message that cannot be sent is found before anything is queued. The spool belongs to one user, and only that user can queue.",
    error_code(0, "every message is on disk"),
    error_code(64, "the command line is wrong"),
    error_code(65, "a message cannot be sent as it is"),
    error_code(66, "a file cannot be opened"),
    error_code(73, "the spool cannot be made"),
    error_code(74, "a file cannot be read or written"),
    error_code(75, "there is no room"),
    error_code(77, "the spool belongs to another user")
)]
pub(crate) struct Queue {
    /// the spool directory (default ./outgoing); made if there is none
    #[argh(option, arg_name = "dir", default = "default_spool()")]
    spool: PathBuf,
    /// the sender; an empty text or <> is the null reverse-path
    #[argh(option, arg_name = "address", from_str_fn(arguments::reverse_path))]
    from: Option<ReversePath>,
    /// a recipient; may be given several times
    #[argh(option, arg_name = "address", from_str_fn(arguments::forward_path))]
    to: Vec<ForwardPath>,
    /// in which cases to report: never, or any of success,failure,delay (DSN, RFC 3461)
    #[argh(option, arg_name = "cases", from_str_fn(arguments::notify))]
    notify: Option<Notify>,
    /// what a report gives back: full or hdrs (DSN)
    #[argh(option, arg_name = "part", from_str_fn(arguments::ret))]
    ret: Option<Ret>,
    /// a name of yours for the messages, which reports repeat (DSN)
    #[argh(option, arg_name = "name", from_str_fn(arguments::envid))]
    envid: Option<Xtext>,
    /// the messages go on under TLS only, on the whole way, or come back (REQUIRETLS, RFC 8689)
    #[argh(switch)]
    requiretls: bool,
    /// the messages (default: one from standard input, which may also be named -)
    #[argh(positional, arg_name = "file")]
    files: Vec<PathBuf>,
}

/// Runs the command.
pub(crate) fn run(queue: Queue) -> ExitCode {
    match queue.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, text)) => {
            complain(&text);
            ExitCode::from(code)
        }
    }
}

impl Queue {
    fn run(self) -> Result<(), Stopped> {
        let nothing_queued = |(code, text): Stopped| (code, format!("{text}; nothing was queued"));
        let files = messages::files(&self.files, None).map_err(nothing_queued)?;
        let Queue { from, to, notify, ret, envid, requiretls, .. } = self;
        let wishes = Wishes { from, to, notify, ret, envid, requiretls };
        let prepared = messages::prepare(&files, &wishes, None).map_err(nothing_queued)?;
        let maildrop = Maildrop::open(&self.spool).map_err(|error| not_opened(&error))?;
        let ids = IdSource::new(0).map_err(|error| failed(&error))?;
        for (name, message) in prepared.names.iter().zip(prepared.messages) {
            let told = |(code, text): Stopped| (code, format!("{name}: {text}; it is not queued"));
            let content = message.source.open();
            let content = content.map_err(|error| told((exit::of_content_error(&error), error.to_string())))?;
            let (id, now) = new_id(&ids);
            let envelope = envelope(message.transaction, &content, now);
            let put = maildrop.put(&id, &envelope, content.canonical_reader());
            put.map_err(|error| told(not_stored(&error)))?;
            say(&format!("{name}: queued as {id}"));
        }
        Ok(())
    }
}

fn new_id(ids: &IdSource) -> (MessageId, i64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let id = ids.next(u64::try_from(now.as_micros()).unwrap_or(u64::MAX));
    (id, i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
}

/// As a client would have said it to a server. Whoever sends the message later does not look into its header again.
fn envelope(
    transaction: smtp_client::proto::transaction::Transaction,
    content: &Content,
    received_at_unix_seconds: i64,
) -> Envelope {
    let mut mail = transaction.parameters;
    mail.smtputf8 = content.has_utf8_header() || !transaction.reverse_path.is_ascii();
    mail.smtputf8 |= !transaction.recipients.iter().all(|recipient| recipient.forward_path.is_ascii());
    mail.body = content.is_eight_bit().then_some(Body::EightBitMime);
    Envelope {
        reverse_path: transaction.reverse_path,
        mail,
        recipients: transaction.recipients,
        received_at_unix_seconds,
    }
}
