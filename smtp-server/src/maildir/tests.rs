//! Deliveries into real directories: what arrives, what a crash leaves at each step, what an attacker who may write
//! below the mailboxes can do, and what addresses can.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use smtp_proto::address::{Domain, LocalPart};

use super::*;

const CONTENT: &[u8] = b"Received: by here\r\nReturn-Path: <old@x>\r\nSubject: hello\r\n\r\nIt is me.\r\n";
const BOB: &str = "bob@example.org";

struct Place {
    directory: tempfile::TempDir,
    maildir: Maildir,
}

impl Place {
    fn new() -> Self {
        Place::with(Layout::LocalPart)
    }

    fn with(layout: Layout) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let maildir = Maildir::open(&directory.path().join("mail"), layout).unwrap();
        Place { directory, maildir }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join("mail").join(name)
    }

    fn deliver(&self, address: &str, number: usize) -> Result<Delivered, MaildirError> {
        self.maildir.deliver(&address.parse().unwrap(), &sender(), &mut &*CONTENT, &name(number))
    }

    /// The files in a folder, in order.
    fn names(&self, folder: &str) -> Vec<String> {
        let names = fs::read_dir(self.at(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        let names: BTreeSet<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.into_iter().collect()
    }

    /// How many messages bob has, for a reader.
    fn messages(&self) -> usize {
        self.names("bob/new").len() + self.names("bob/cur").len()
    }
}

fn sender() -> ReversePath {
    "<alice@example.net>".parse().unwrap()
}

fn name(number: usize) -> UniqueName {
    UniqueName::new(&"id-1".parse().unwrap(), 1_763_880_000, number, &"mx.example.org".parse().unwrap())
}

#[test]
fn what_arrives_is_a_file_in_new() {
    let place = Place::new();
    let delivered = place.deliver("Bob+lists@example.org", 0).unwrap();
    assert_eq!(delivered, Delivered { file_name: name(0).as_str().to_owned(), was_there: false });
    let path = place.at("bob/new").join(&delivered.file_name);
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "Return-Path: <alice@example.net>\nDelivered-To: Bob+lists@example.org\n\
         Received: by here\nSubject: hello\n\nIt is me.\n"
    );
    for (name, mode) in [("", 0o700), ("bob", 0o700), ("bob/tmp", 0o700), ("bob/new", 0o700), ("bob/cur", 0o700)] {
        assert_eq!(fs::metadata(place.at(name)).unwrap().permissions().mode() & 0o777, mode, "{name}");
    }
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!((place.names("bob/tmp").len(), place.names("bob/cur").len()), (0, 0));
}

#[test]
fn addresses_and_their_directories() {
    let by_domain = Place::with(Layout::DomainAndLocalPart);
    by_domain.deliver("Bob@Example.ORG", 0).unwrap();
    assert_eq!(by_domain.names("example.org/bob/new").len(), 1);
    by_domain.deliver("bob@b\u{fc}cher.example", 0).unwrap();
    by_domain.deliver("bob@XN--bcher-kva.example", 1).unwrap();
    assert_eq!(by_domain.names("xn--bcher-kva.example/bob/new").len(), 2);

    let Place { maildir, directory } = Place::new();
    let mut maildir = maildir;
    for (separator, address, expected) in [
        (Some('+'), "bob+a+b@x", "bob"),
        (Some('+'), "bob+@x", "bob"),
        (Some('+'), "+bob@x", "+bob"),
        (Some('+'), "\"..+x\"@x", "%2E."),
        (Some('-'), "bob-x+y@x", "bob"),
        (None, "bob+a@x", "bob+a"),
    ] {
        maildir = maildir.with_separator(separator);
        let found = maildir.directory_of(&address.parse().unwrap()).unwrap();
        assert_eq!(found, directory.path().join("mail").join(expected), "{address}");
    }
}

/// The name is permanent, all else may be mended.
#[test]
fn an_address_without_a_directory_is_refused_for_good() {
    let place = Place::new();
    let long = format!("{}@x", "\u{4e2d}".repeat(29));
    for address in ["\"\"@x", &long] {
        let error = place.deliver(address, 0).unwrap_err();
        assert!(matches!(error, MaildirError::Name(_)) && !error.is_transient(), "{error}");
        assert!(error.to_string().contains("can have no mailbox here"), "{error}");
    }
    assert!(place.names("").is_empty());
}

#[test]
fn what_was_delivered_before_is_not_delivered_again() {
    for marks in [None, Some(":2,"), Some(":2,RS"), Some(",S=5:2,S")] {
        let place = Place::new();
        let first = place.deliver(BOB, 0).unwrap();
        if let Some(marks) = marks {
            let read = place.at("bob/cur").join(format!("{}{marks}", first.file_name));
            fs::rename(place.at("bob/new").join(&first.file_name), read).unwrap();
        }
        let again = place.deliver(BOB, 0).unwrap();
        assert_eq!(again, Delivered { was_there: true, ..first });
        assert_eq!(place.messages(), 1);
        // The same message for another recipient is another.
        assert!(!place.deliver("bob+other@example.org", 1).unwrap().was_there);
        assert_eq!(place.messages(), 2);
    }
}

/// With tens of thousands of messages in `cur`, to look through it would take longer than the delivery.
#[test]
fn nobody_looks_for_an_earlier_try_when_there_was_none() {
    let place = Place::new();
    let deliver = |earlier| {
        let prepared = place.maildir.prepare(&BOB.parse().unwrap(), &sender(), &mut &*CONTENT, &name(0), earlier);
        publish_all(vec![prepared]).remove(0).unwrap()
    };
    let first = deliver(Earlier::Excluded);
    // What stands in `new` is found out without a look, when the name is to be taken.
    deliver(Earlier::Excluded);
    assert_eq!(place.messages(), 1);
    fs::rename(place.at("bob/new").join(&first.file_name), place.at("bob/cur").join(&first.file_name)).unwrap();
    assert!(deliver(Earlier::Possible).was_there);
    assert!(!deliver(Earlier::Excluded).was_there);
    assert_eq!(place.messages(), 2);
}

/// What is on disk if the process dies behind any of the steps. The next delivery of the same message finishes it.
#[test]
fn a_crash_at_any_step_is_mended_by_the_next_delivery() {
    let temporary = format!("bob/tmp/{}.P{}Q", name(0).as_str(), std::process::id());
    let directories: [&[&str]; 5] =
        [&[], &["bob"], &["bob", "bob/new"], &["bob", "bob/new", "bob/cur"], &["bob", "bob/new", "bob/cur", "bob/tmp"]];
    for made in directories {
        let place = Place::new();
        made.iter().for_each(|name| fs::create_dir(place.at(name)).unwrap());
        assert!(!place.deliver(BOB, 0).unwrap().was_there);
        assert_eq!(place.messages(), 1);
    }
    // Half a file under any name that this process would take next; a whole one that has both names already.
    for is_linked in [false, true] {
        let place = Place::new();
        ["bob", "bob/new", "bob/cur", "bob/tmp"].iter().for_each(|name| fs::create_dir(place.at(name)).unwrap());
        (0..900).for_each(|count| fs::write(place.at(&format!("{temporary}{count}")), "half").unwrap());
        if is_linked {
            fs::hard_link(place.at(&format!("{temporary}0")), place.at("bob/new").join(name(0).as_str())).unwrap();
        }
        assert_eq!(place.deliver(BOB, 0).unwrap().was_there, is_linked);
        assert_eq!((place.messages(), place.names("bob/tmp").len()), (1, 900));
    }
}

/// A message that cannot be read to its end, at any octet.
#[test]
fn half_a_message_leaves_nothing() {
    let place = Place::new();
    for octets in 0..CONTENT.len() {
        let mut content = CONTENT[..octets].chain(Broken);
        let error = place.maildir.deliver(&BOB.parse().unwrap(), &sender(), &mut content, &name(0)).unwrap_err();
        assert!(matches!(error, MaildirError::Content(_)) && error.is_transient(), "{error}");
        assert_eq!((place.messages(), place.names("bob/tmp").len()), (0, 0));
    }
    assert!(!place.deliver(BOB, 0).unwrap().was_there);
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the medium failed"))
    }
}

#[test]
fn leftovers_go_when_they_are_old_and_nothing_else_goes() {
    let mut place = Place::new();
    place.deliver(BOB, 0).unwrap();
    let file = |name: &str, hours: u64| {
        let file = fs::File::create(place.at(name)).unwrap();
        let then = SystemTime::now() - Duration::from_secs(3_600 * hours);
        file.set_modified(then).unwrap();
    };
    file("bob/tmp/young", 35);
    file("bob/tmp/old", 37);
    file("bob/cur/old:2,S", 100_000);
    file("outside", 100_000);
    fs::create_dir(place.at("bob/tmp/directory")).unwrap();
    symlink(place.at("outside"), place.at("bob/tmp/link")).unwrap();
    // Somebody has looked just now.
    place.deliver(BOB, 1).unwrap();
    assert_eq!(place.names("bob/tmp"), ["directory", "link", "old", "young"]);
    place.maildir = Maildir::open(&place.at(""), Layout::LocalPart).unwrap();
    place.deliver(BOB, 2).unwrap();
    assert_eq!(place.names("bob/tmp"), ["directory", "link", "young"]);
    assert_eq!(place.names("bob/cur"), ["old:2,S"]);
    assert!(place.at("outside").exists());
}

/// Links in the place of everything that is opened, to a place outside that would be fit.
#[test]
fn links_lead_nowhere() {
    for planted in ["bob", "bob/tmp", "bob/new", "bob/cur"] {
        let place = Place::new();
        let outside = place.directory.path().join("outside");
        for name in ["", "tmp", "new", "cur"] {
            fs::create_dir_all(outside.join(name)).unwrap();
        }
        place.deliver(BOB, 0).unwrap();
        let victim = place.at(planted);
        fs::rename(&victim, place.directory.path().join("away")).unwrap();
        symlink(&outside, &victim).unwrap();
        let error = place.deliver(BOB, 1).unwrap_err();
        assert!(error.is_transient() && error.to_string().contains("links are not followed"), "{error}");
        assert!(error.to_string().contains(planted), "{error}");
        for name in ["tmp", "new", "cur"] {
            assert_eq!(fs::read_dir(outside.join(name)).unwrap().count(), 0, "{planted}");
        }
    }
}

/// A link under the very name that a message is to have: it is neither followed nor taken for the message.
#[test]
fn something_that_is_no_message_has_its_name() {
    let place = Place::new();
    place.deliver(BOB, 0).unwrap();
    symlink("/dev/null", place.at("bob/new").join(name(1).as_str())).unwrap();
    fs::create_dir(place.at("bob/new").join(name(2).as_str())).unwrap();
    for number in [1, 2] {
        let error = place.deliver(BOB, number).unwrap_err();
        assert!(error.is_transient() && error.to_string().contains("something that is no message"), "{error}");
    }
    assert!(place.names("bob/tmp").is_empty());
}

/// The operator may put DIR wherever the disk is large.
#[test]
fn the_directory_itself_may_be_a_link() {
    let place = Place::new();
    let link = place.directory.path().join("link");
    symlink(place.at(""), &link).unwrap();
    let maildir = Maildir::open(&link, Layout::LocalPart).unwrap();
    maildir.deliver(&BOB.parse().unwrap(), &sender(), &mut &*CONTENT, &name(0)).unwrap();
    assert_eq!(place.messages(), 1);
    let error = Maildir::open(&place.at("none/at/all"), Layout::LocalPart).unwrap_err();
    assert!(error.to_string().contains("none/at/all"), "{error}");
}

/// Several threads, one of whose mailboxes is just being made; each message once, however many try.
#[test]
fn many_deliver_at_once() {
    let place = Place::new();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let place = &place;
            scope.spawn(move || {
                for number in 0..20 {
                    // Two threads each deliver the same messages, and all of them number 1,000.
                    place.deliver(BOB, thread / 2 * 100 + number).unwrap();
                    place.deliver(BOB, 1_000).unwrap();
                }
            });
        }
    });
    assert_eq!((place.messages(), place.names("bob/tmp").len()), (4 * 20 + 1, 0));
}

/// All that lies below a directory.
fn tree(directory: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(tree(&entry.path()));
        }
        found.insert(entry.path());
    }
    found
}

fn local_part() -> impl Strategy<Value = LocalPart> {
    let dangerous =
        prop::sample::select(vec!["/", "..", ".", "\\", "+", "%", "%2F", "~", ":", "new", "\u{2215}", "\""]);
    let any = prop::char::any().prop_map(String::from);
    let piece = prop_oneof![3 => dangerous.prop_map(str::to_owned), 1 => any];
    let text = prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    text.prop_filter_map("no local part", |text| LocalPart::new(&text).ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the address: one directory below DIR, and in it the three folders and the message.
    #[test]
    fn no_address_leaves_the_directory(local_part in local_part()) {
        let place = Place::new();
        let domain: Domain = "example.org".parse().unwrap();
        let mailbox = Mailbox::new(local_part, domain).unwrap();
        match place.maildir.deliver(&mailbox, &sender(), &mut &*CONTENT, &name(0)) {
            Ok(_) => {
                let mailboxes: Vec<OsString> =
                    fs::read_dir(place.at("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
                prop_assert_eq!(mailboxes.len(), 1);
                let directory = place.maildir.directory_of(&mailbox).unwrap();
                let top = place.directory.path().join("mail");
                prop_assert_eq!(directory.parent(), Some(top.as_path()));
                let expected = ["", "tmp", "cur", "new"].map(|name| directory.join(name));
                let message = directory.join("new").join(name(0).as_str());
                let all = expected.into_iter().chain([message, top]);
                let all: BTreeSet<_> = all.map(|path| path.components().collect::<PathBuf>()).collect();
                prop_assert_eq!(tree(place.directory.path()), all);
            }
            Err(error) => {
                prop_assert!(matches!(error, MaildirError::Name(_)), "{}", error);
                prop_assert_eq!(tree(place.directory.path()).len(), 1);
            }
        }
    }

    /// Two mailboxes share a directory only if they differ in nothing but the case of ASCII letters.
    #[test]
    fn different_mailboxes_have_different_directories(one in local_part(), other in local_part()) {
        let names = [&one, &other].map(|part| directory_name(part.as_str()));
        if let [Some(one_name), Some(other_name)] = names {
            prop_assert_eq!(one_name == other_name, one.as_str().eq_ignore_ascii_case(other.as_str()));
        }
    }
}
