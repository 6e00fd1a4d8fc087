//! Memory of messages that have been written, for those that come next.
//!
//! The thread that writes a batch is seldom the one that has gathered a message of it, and memory that is taken in one thread
//! and given back in another is what allocators are worst at.

use std::sync::Mutex;

use crate::engine::lock;

/// Buffers that are kept, at most.
const BUFFERS: usize = 64;

/// Octets of each of them, at most. Most messages are smaller.
const BUFFER_OCTETS: usize = 16 << 10;

/// Empty buffers.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    empty: Mutex<Vec<Vec<u8>>>,
}

impl Buffers {
    /// One of them, or a new one.
    pub(super) fn take(&self) -> Vec<u8> {
        lock(&self.empty).pop().unwrap_or_default()
    }

    /// Takes back those that are not needed any more.
    pub(super) fn give_back(&self, buffers: impl Iterator<Item = Vec<u8>>) {
        let mut empty = lock(&self.empty);
        for mut buffer in buffers {
            if empty.len() < BUFFERS && buffer.capacity() <= BUFFER_OCTETS {
                buffer.clear();
                empty.push(buffer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_few_buffers_and_small_ones() {
        let buffers = Buffers::default();
        buffers.give_back([vec![0; BUFFER_OCTETS + 1], b"secret".to_vec()].into_iter());
        let taken = buffers.take();
        assert!(taken.is_empty() && taken.capacity() >= 6);
        assert_eq!(buffers.take().capacity(), 0, "the large one was not kept");
        buffers.give_back((0..2 * BUFFERS).map(|_| vec![0; 10]));
        assert_eq!(lock(&buffers.empty).len(), BUFFERS);
    }
}
