//! Mailboxes that stay open between deliveries, so that not each of them opens what the last one has just closed, and those
//! that go on at the same time can share a sync.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::directory::Directory;
use super::error::MaildirError;
use super::folders::Folders;

/// Mailboxes that are kept. Each has four directories open, or five where several domains are served.
const KEPT: usize = 64;

/// The mailboxes to which something was delivered last, the last one behind.
#[derive(Debug, Default)]
pub(super) struct OpenMailboxes {
    kept: Mutex<Vec<Arc<Folders>>>,
}

impl OpenMailboxes {
    /// The mailbox to which these names lead now. It is made if there is none.
    pub(super) fn get(&self, root: &Directory, names: &[String]) -> Result<Arc<Folders>, MaildirError> {
        if let Some(folders) = self.find(names) {
            // One look for each of them costs less than opening them, and finds the same.
            if folders.are_current(root) {
                return Ok(folders);
            }
            self.kept().retain(|kept| !Arc::ptr_eq(kept, &folders));
        }
        let opened = Arc::new(Folders::open(root, names)?);
        let mut kept = self.kept();
        // Somebody else may have opened it meanwhile. Then one of the two is used this once.
        if !kept.iter().any(|folders| folders.are_at(names)) {
            if kept.len() >= KEPT {
                kept.remove(0);
            }
            kept.push(Arc::clone(&opened));
        }
        Ok(opened)
    }

    fn find(&self, names: &[String]) -> Option<Arc<Folders>> {
        let mut kept = self.kept();
        let place = kept.iter().rposition(|folders| folders.are_at(names))?;
        let folders = kept.remove(place);
        kept.push(Arc::clone(&folders));
        Some(folders)
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Arc<Folders>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::folders::open_root;
    use super::*;

    #[test]
    fn as_many_are_kept_as_may_be_and_the_longest_unused_goes_first() {
        let place = tempfile::tempdir().unwrap();
        let root = open_root(place.path()).unwrap();
        let open = OpenMailboxes::default();
        let get = |number: usize| open.get(&root, &[number.to_string()]).unwrap();
        let (first, second) = (get(0), get(1));
        (2..KEPT).for_each(|number| drop(get(number)));
        assert!(Arc::ptr_eq(&first, &get(0)));
        drop(get(KEPT));
        assert_eq!(open.kept().len(), KEPT);
        assert!(Arc::ptr_eq(&first, &get(0)));
        assert!(!Arc::ptr_eq(&second, &get(1)));
    }

    /// As a restore from a backup does it.
    #[test]
    fn a_mailbox_in_whose_place_another_one_stands_is_opened_anew() {
        for replaced in ["bob", "bob/tmp", "bob/new", "bob/cur"] {
            let place = tempfile::tempdir().unwrap();
            let root = open_root(place.path()).unwrap();
            let open = OpenMailboxes::default();
            let get = || open.get(&root, &["bob".to_owned()]).unwrap();
            let before = get();
            assert!(Arc::ptr_eq(&before, &get()));
            std::fs::rename(place.path().join(replaced), place.path().join("away")).unwrap();
            let after = get();
            assert!(!Arc::ptr_eq(&before, &after) && Arc::ptr_eq(&after, &get()), "{replaced}");
        }
    }
}
