//! Answers that still count, those that say "nothing" included.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::message::{Answer, Question, Reply};

/// How many answers are kept. Behind us is a server with a cache of its own; this one spares the ways there.
pub(super) const ENTRIES: usize = 1_024;

/// An answer with more records is used and not kept: so the memory is bounded, whatever a domain publishes.
pub(super) const RECORDS: usize = 100;

/// Shared by threads; the lock is held to look and to put down, never while a question is under way.
#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: Mutex<HashMap<Question, Entry>>,
}

#[derive(Debug)]
struct Entry {
    reply: Reply,
    expires: Instant,
}

impl Cache {
    /// The answer to a question, if it still counts.
    pub(super) fn get(&self, question: &Question, now: Instant) -> Option<Reply> {
        let entries = self.lock();
        entries.get(question).filter(|entry| now < entry.expires).map(|entry| entry.reply.clone())
    }

    /// Keeps an answer for as long as it counts. The one that ends first makes room.
    pub(super) fn put(&self, question: Question, reply: &Reply, now: Instant) {
        let is_small = !matches!(&reply.answer, Answer::Records(records) if records.len() > RECORDS);
        let Some(expires) = now.checked_add(reply.lifetime).filter(|expires| is_small && *expires > now) else {
            return;
        };
        let mut entries = self.lock();
        if entries.len() >= ENTRIES && !entries.contains_key(&question) {
            entries.retain(|_, entry| now < entry.expires);
            let first = entries.iter().min_by_key(|(_, entry)| entry.expires).map(|(question, _)| question.clone());
            if let Some(first) = first.filter(|_| entries.len() >= ENTRIES) {
                entries.remove(&first);
            }
        }
        entries.insert(question, Entry { reply: reply.clone(), expires });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Question, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dns::message::{Kind, Record};

    fn question(number: usize) -> Question {
        Question { name: format!("host-{number}.example.org").parse().unwrap(), kind: Kind::A }
    }

    fn reply(seconds: u64, addresses: usize) -> Reply {
        let record = Record::Address([192, 0, 2, 1].into());
        let answer = if addresses == 0 { Answer::NoName } else { Answer::Records(vec![record; addresses]) };
        Reply { aliases: 0, answer, lifetime: Duration::from_secs(seconds) }
    }

    #[test]
    fn an_answer_counts_for_its_time_and_no_longer() {
        let (cache, now) = (Cache::default(), Instant::now());
        for (number, reply) in [reply(60, 1), reply(60, 0)].iter().enumerate() {
            assert_eq!(cache.get(&question(number), now), None);
            cache.put(question(number), reply, now);
            assert_eq!(cache.get(&question(number), now + Duration::from_millis(59_999)).as_ref(), Some(reply));
            assert_eq!(cache.get(&question(number), now + Duration::from_secs(60)), None);
            let other = Question { kind: Kind::Aaaa, ..question(number) };
            assert_eq!(cache.get(&other, now), None);
        }
        cache.put(question(2), &reply(0, 1), now);
        assert_eq!(cache.get(&question(2), now), None);
    }

    #[test]
    fn neither_many_answers_nor_large_ones_fill_the_memory() {
        let (cache, now) = (Cache::default(), Instant::now());
        for number in 0..ENTRIES {
            cache.put(question(number), &reply(1_000 + number as u64, 1), now);
        }
        assert!(cache.get(&question(0), now).is_some());
        cache.put(question(ENTRIES), &reply(10, 1), now);
        assert_eq!(cache.get(&question(0), now), None, "it would have ended first");
        assert!(cache.get(&question(ENTRIES), now).is_some());
        // The same question again takes no further room.
        cache.put(question(ENTRIES), &reply(20, 1), now);
        assert!(cache.get(&question(1), now).is_some());
        // Of those that are over, none stays.
        let later = now + Duration::from_secs(1_000 + ENTRIES as u64);
        cache.put(question(0), &reply(60, 1), later);
        assert_eq!(cache.lock().len(), 1);
        cache.put(question(1), &reply(60, RECORDS), later);
        cache.put(question(2), &reply(60, RECORDS + 1), later);
        assert!(cache.get(&question(1), later).is_some() && cache.get(&question(2), later).is_none());
    }
}
