//! Messages that can be told from each other, sent in bulk, and a count of those that have arrived.

use std::collections::BTreeMap;
use std::process::Output;

use crate::client::{errors, send};
use crate::server::TestServer;

/// A message that can be told from others.
pub fn letter(number: usize) -> String {
    format!("From: a@example.com\nTo: b@example.org\nSubject: number {number}\n\nhello {number}\n")
}

/// So many messages in one file.
pub fn mbox(numbers: impl IntoIterator<Item = usize>) -> Vec<u8> {
    let messages =
        numbers.into_iter().map(|number| format!("From a@example.com Mon Jan  1 12:00:00 2024\n{}\n", letter(number)));
    messages.collect::<String>().into_bytes()
}

/// How often each number has arrived.
pub fn arrived(server: &TestServer) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for stored in server.stored() {
        let text = String::from_utf8(stored.content).expect("it is one of ours");
        let number = text.split("number ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
        let number = number.expect("it has its number in it");
        assert_eq!(text, letter(number).replace('\n', "\r\n"));
        *counts.entry(number).or_default() += 1;
    }
    counts
}

/// Each of them once.
pub fn once_each(numbers: impl IntoIterator<Item = usize>) -> BTreeMap<usize, usize> {
    numbers.into_iter().map(|number| (number, 1)).collect()
}

/// `send` to this server.
pub fn send_to(server: &TestServer, arguments: &[&str], input: &[u8]) -> Output {
    send(&server.address.to_string(), arguments, input)
}

/// The last line on standard error.
pub fn summary(output: &Output) -> String {
    errors(output).lines().last().unwrap_or_default().to_owned()
}
