//! A host that delivers: the server program with a spool, Maildirs and files of its own, and a look into all of them.

use std::path::PathBuf;

use smtp_spool::Reader;
use tempfile::TempDir;

use crate::processes::{ServerProcess, run};
use crate::wait_until;

/// A place for a server that may be started again and again.
pub struct Site {
    directory: TempDir,
    domain: String,
}

impl Site {
    /// A place for a server of this domain, whose name is `mx.` and the domain.
    pub fn new(domain: &str) -> Self {
        Site { directory: tempfile::tempdir().expect("a directory"), domain: domain.to_owned() }
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file. Returns its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).expect("a file");
        self.text(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).into_os_string().into_string().expect("UTF-8")
    }

    /// Starts a server that delivers into the Maildirs, with these options more.
    pub fn start(&self, options: &[&str]) -> ServerProcess {
        self.start_at("127.0.0.1:0", options)
    }

    /// The same at an address that others know already.
    pub fn start_at(&self, address: &str, options: &[&str]) -> ServerProcess {
        let mail = format!("maildir:{}", self.text("mail"));
        self.start_with(&[&["--listen", address, "--deliver", &mail], options].concat())
    }

    /// The same with mailboxes that a server of LMTP has.
    pub fn start_before_lmtp(&self, lmtp: &str, options: &[&str]) -> ServerProcess {
        let lmtp = format!("lmtp:{lmtp}");
        self.start_with(&[&["--listen", "127.0.0.1:0", "--deliver", &lmtp], options].concat())
    }

    fn start_with(&self, options: &[&str]) -> ServerProcess {
        let (spool, name) = (self.text("spool"), format!("mx.{}", self.domain));
        let own = ["--spool", &spool, "--domain", &self.domain, "--hostname", &name];
        ServerProcess::start_as(&[&own[..], options].concat())
    }

    /// The same as a host that passes mail of everybody on this machine on to this server.
    pub fn start_relay(&self, smart_host: &str) -> ServerProcess {
        self.start(&["--relay", &format!("smart:{smart_host}"), "--relay-from", "127.0.0.0/8"])
    }

    /// What lies in a mailbox and was not read yet, in the order of its arrival.
    pub fn mail(&self, mailbox: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.mail_directory(mailbox).join("new")) else { return Vec::new() };
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        let read = |path: &PathBuf| String::from_utf8_lossy(&std::fs::read(path).expect("a message")).into_owned();
        paths.iter().map(read).collect()
    }

    /// The Maildir of a mailbox, whether it is there or not.
    pub fn mail_directory(&self, mailbox: &str) -> PathBuf {
        self.path("mail").join(mailbox)
    }

    /// The only message in a mailbox, once nothing is on its way any more.
    pub fn only_mail(&self, mailbox: &str) -> String {
        wait_until(&format!("mail for {mailbox}"), || !self.mail(mailbox).is_empty());
        self.wait_until_done();
        let mut mail = self.mail(mailbox);
        assert_eq!(mail.len(), 1, "one message for {mailbox}: {mail:#?}");
        mail.remove(0)
    }

    /// Messages in the spool, whatever becomes of them.
    pub fn spooled(&self) -> usize {
        Reader::open(self.path("spool")).expect("a spool").list().expect("it can be listed").count()
    }

    /// Waits until nothing is left in the spool, neither mail nor reports.
    pub fn wait_until_done(&self) {
        wait_until("the spool is empty", || self.spooled() == 0);
    }

    /// What `smtp-spool` says with these words.
    pub fn spool_tool(&self, words: &[&str]) -> String {
        let output = run("smtp-spool", &[&["--spool", &self.text("spool")], words].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("it writes UTF-8")
    }

    /// The messages in all mailboxes. What a kill has left half written in `tmp` is none.
    pub fn all_mail(&self) -> usize {
        let Ok(mailboxes) = std::fs::read_dir(self.path("mail")) else { return 0 };
        let names = mailboxes.map(|mailbox| mailbox.expect("an entry").file_name());
        names.map(|name| self.mail(&name.to_string_lossy()).len()).sum()
    }
}

/// Hands a message to a server, which must take it. `from` and `to` are what stands behind `MAIL FROM:` and `RCPT TO:`.
pub fn hand_over(server: &ServerProcess, from: &str, to: &[&str], content: impl AsRef<[u8]>) {
    let mut peer = server.greeted();
    peer.agree(&format!("MAIL FROM:{from}"));
    for to in to {
        peer.agree(&format!("RCPT TO:{to}"));
    }
    peer.agree("DATA");
    peer.send([content.as_ref(), b".\r\n"].concat());
    let reply = peer.reply();
    assert!(reply.starts_with("250 "), "{reply}");
    peer.agree("QUIT");
}
