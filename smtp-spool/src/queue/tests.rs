//! The queue against a list of what should be due, and the order in which it gives out claims.

use super::*;
use crate::claim::{Outcome, Owes};

fn queue(messages: &[(&str, &[i64])]) -> Queue {
    let mut queue = Queue::default();
    for (id, due) in messages {
        let recipients = due.iter().map(|at| RecipientState::new(*at)).collect();
        queue.insert(id.parse().unwrap(), recipients);
    }
    queue
}

fn worker(name: &str) -> WorkerId {
    WorkerId(name.to_owned())
}

fn take(queue: &mut Queue, max: usize, now: i64) -> Vec<(String, Vec<usize>)> {
    let taken = queue.take(&worker("w"), &Lane::unrouted(), max, now);
    taken
        .into_iter()
        .map(|taken| (taken.id.to_string(), taken.recipients.into_iter().map(|(number, _)| number).collect()))
        .collect()
}

#[test]
fn gives_out_what_is_due_and_only_once() {
    let mut queue = queue(&[("a", &[5, 7, 5]), ("b", &[6])]);
    assert_eq!(queue.next_due(), Some(5));
    assert!(queue.due_lanes(4).is_empty());
    assert_eq!(take(&mut queue, 9, 4), []);
    assert_eq!(take(&mut queue, 9, 6), [("a".to_owned(), vec![0, 2]), ("b".to_owned(), vec![0])]);
    assert_eq!(queue.next_due(), Some(7));
    assert_eq!(take(&mut queue, 9, 6), []);
    // The second claim on the same message stands beside the first.
    assert_eq!(take(&mut queue, 9, 7), [("a".to_owned(), vec![1])]);
    assert_eq!(queue.claim_count(), 3);
}

#[test]
fn a_message_due_at_two_times_is_one_claim() {
    let mut queue = queue(&[("a", &[1, 2, 3]), ("b", &[9])]);
    assert_eq!(take(&mut queue, 2, 9), [("a".to_owned(), vec![0, 1, 2]), ("b".to_owned(), vec![0])]);
}

#[test]
fn a_recipient_that_changes_lanes_leaves_the_claim() {
    let mut queue = queue(&[("a", &[0, 0])]);
    let id: MessageId = "a".parse().unwrap();
    let lane = Lane::new("example.net").unwrap();
    let token = queue.take(&worker("w"), &Lane::unrouted(), 1, 0)[0].token;
    queue.apply(&id, 0, &Change::Outcome(Outcome::Routed(lane.clone())));
    assert_eq!(queue.open_recipients(token), [1]);
    assert_eq!(queue.due_lanes(0), [(lane.clone(), 1)]);
    queue.end(token);
    assert_eq!(queue.due_lanes(0), [(lane, 1), (Lane::unrouted(), 1)]);
}

#[test]
fn releasing_a_worker_ends_its_claims_and_no_others() {
    let mut queue = queue(&[("a", &[0]), ("b", &[0])]);
    let lost = queue.take(&worker("lost"), &Lane::unrouted(), 1, 0)[0].token;
    let good = queue.take(&worker("good"), &Lane::unrouted(), 1, 0)[0].token;
    queue.release(&worker("lost"));
    assert!(!queue.is_open(lost) && queue.is_open(good));
    let again = queue.take(&worker("new"), &Lane::unrouted(), 9, 0);
    assert_eq!(again.iter().map(|taken| taken.id.as_str()).collect::<Vec<_>>(), ["a"]);
    assert!(again[0].token > good, "tokens are never used twice");
}

#[test]
fn what_is_finished_or_held_is_not_due() {
    let mut queue = queue(&[("a", &[0, 0, 0])]);
    let id: MessageId = "a".parse().unwrap();
    queue.apply(&id, 0, &Change::Outcome(Outcome::Delivered("250 ok".to_owned(), Owes::Nothing)));
    queue.apply(&id, 1, &Change::Outcome(Outcome::Failed("550 no".to_owned(), Owes::Nothing)));
    queue.apply(&id, 2, &Change::Held);
    assert_eq!(queue.next_due(), None);
    assert!(!queue.is_finished(&id));
    queue.apply(&id, 2, &Change::RetryAt(5));
    assert_eq!(queue.next_due(), Some(5));
    queue.apply(&id, 2, &Change::Outcome(Outcome::Failed("550 no".to_owned(), Owes::Nothing)));
    assert!(queue.is_finished(&id));
    queue.apply(&id, 2, &Change::RetryAt(6));
    assert!(queue.is_finished(&id), "what is finished stays finished");
    queue.remove(&id);
    assert_eq!(queue.message_count(), 0);
}

#[test]
fn nothing_breaks_for_a_message_that_is_gone() {
    let mut queue = Queue::default();
    let id: MessageId = "a".parse().unwrap();
    queue.apply(&id, 3, &Change::Held);
    queue.remove(&id);
    queue.end(7);
    assert!(!queue.is_finished(&id) && queue.record(&id).is_none() && queue.open_recipients(7).is_empty());
}
