//! Mailboxes that were made while another number of domains was served: they are where nobody delivers any more.
//!
//! A mailbox is a directory that has `tmp`, `new` and `cur`, none of which is itself a mailbox: `DIR/example.org` also has all
//! three if people are called so there. Only what is certainly of the other layout counts, since a server does not start beside
//! it. Directories below that of a domain are asked for where the domain is served; any other may be of somebody's own making,
//! such as `DIR/bob/Maildir`.

use std::fs;
use std::path::{Path, PathBuf};

use smtp_proto::address::{Domain, DomainName};

use super::{Layout, directory_name};
use crate::domain_key::domain_key;

impl Layout {
    /// A mailbox below `root` that was made by a server with the other layout, if there is one. Changes nothing. What cannot be
    /// read is passed over: whoever opens it to deliver says why.
    pub fn find_other(self, root: &Path, domains: &[DomainName]) -> Option<PathBuf> {
        match self {
            Layout::DomainAndLocalPart => mailbox_in(root),
            Layout::LocalPart => domains
                .iter()
                .filter_map(|domain| directory_name(&domain_key(&Domain::Name(domain.clone()))))
                .map(|name| root.join(name))
                .filter(|directory| is_directory(directory) && !is_mailbox(directory))
                .find_map(|directory| mailbox_in(&directory)),
        }
    }
}

fn mailbox_in(directory: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?;
    entries.flatten().map(|entry| entry.path()).find(|path| is_mailbox(path))
}

fn is_mailbox(path: &Path) -> bool {
    has_folders(path) && !FOLDERS.iter().any(|folder| has_folders(&path.join(folder)))
}

fn has_folders(path: &Path) -> bool {
    is_directory(path) && FOLDERS.iter().all(|folder| is_directory(&path.join(folder)))
}

const FOLDERS: [&str; 3] = ["tmp", "new", "cur"];

/// Links are not followed, as in a delivery.
fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(root: &Path, mailbox: &str) {
        for folder in FOLDERS {
            fs::create_dir_all(root.join(mailbox).join(folder)).unwrap();
        }
    }

    #[test]
    fn only_what_is_certainly_of_the_other_layout() {
        let domains = ["example.org".parse().unwrap(), "Two.example".parse().unwrap()];
        // The mailboxes there are; one that nobody delivers to with one domain, and with several.
        for (mailboxes, with_one, with_several) in [
            (&[][..], None, None),
            (&["bob"], None, Some("bob")),
            (&["example.org/bob"], Some("example.org/bob"), None),
            (&["two.example/bob"], Some("two.example/bob"), None),
            // People with odd names.
            (&["example.org/tmp", "example.org/new", "example.org/cur"], Some("example.org/"), None),
            (&["example.org"], None, Some("example.org")),
            (&["new", "bob/.Archive"], None, Some("new")),
            // A folder of somebody's own making, and mail of a domain that is served no more.
            (&["bob/Maildir"], None, None),
            (&["gone.example/bob"], None, None),
        ] {
            let place = tempfile::tempdir().unwrap();
            mailboxes.iter().for_each(|mailbox| make(place.path(), mailbox));
            for (layout, expected) in [(Layout::LocalPart, with_one), (Layout::DomainAndLocalPart, with_several)] {
                let found = layout.find_other(place.path(), &domains);
                let found = found.as_deref().map(|path| path.strip_prefix(place.path()).unwrap().display().to_string());
                let is_right = match (&found, expected) {
                    (Some(found), Some(expected)) => found.starts_with(expected),
                    (found, expected) => found.is_none() && expected.is_none(),
                };
                assert!(is_right, "{mailboxes:?} {layout:?}: {found:?}");
            }
        }
        assert_eq!(Layout::DomainAndLocalPart.find_other(Path::new("/nonexistent"), &domains), None);
    }
}
