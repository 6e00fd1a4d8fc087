//! The octets of one conversation that were read and are not used up yet.
//!
//! There is little room while commands come, and much once a read has filled that: then a message is on its way. Between
//! transactions the large room is given back, so that a thread whose peer says nothing holds no memory for it.

/// Room for the commands of a group, and for a short message whole.
const SMALL_OCTETS: usize = 4 * 1024;

/// What one read of a longer message takes from the kernel. An AUTH line, the longest that is looked at as a whole, fits in.
const LARGE_OCTETS: usize = 32 * 1024;

/// The input buffer.
#[derive(Debug)]
pub(crate) struct Input {
    room: Vec<u8>,
    /// So many octets from the start of it have been read.
    end: usize,
}

impl Input {
    pub(crate) fn new() -> Self {
        Input { room: vec![0; SMALL_OCTETS], end: 0 }
    }

    /// What has been read, without so many octets that are used up.
    pub(crate) fn behind(&self, used: usize) -> &[u8] {
        self.room.get(used..self.end).unwrap_or_default()
    }

    /// Forgets what is used up.
    pub(crate) fn forget(&mut self, used: usize) {
        let was_filled = self.end == self.room.len();
        self.room.copy_within(used.min(self.end)..self.end, 0);
        self.end = self.end.saturating_sub(used);
        if was_filled && self.room.len() < LARGE_OCTETS {
            self.room.resize(LARGE_OCTETS, 0);
        }
    }

    /// Gives the large room back, if nothing is in it.
    pub(crate) fn give_back(&mut self) {
        if self.end == 0 && self.room.len() > SMALL_OCTETS {
            self.room = vec![0; SMALL_OCTETS];
        }
    }

    /// Where the next octets go. There is room behind [`Input::forget`], unless nothing was used up and all was full.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        self.room.get_mut(self.end..).unwrap_or_default()
    }

    /// Forgets everything. All of the room, for what nobody will look at.
    pub(crate) fn clear(&mut self) -> &mut [u8] {
        self.end = 0;
        &mut self.room
    }

    /// So many octets were read into [`Input::room`].
    pub(crate) fn add(&mut self, count: usize) {
        self.end = self.room.len().min(self.end + count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &mut Input, octets: &[u8]) -> usize {
        let room = input.room();
        let count = room.len().min(octets.len());
        room[..count].copy_from_slice(&octets[..count]);
        input.add(count);
        count
    }

    #[test]
    fn what_is_not_used_up_stays_in_whatever_room() {
        let octets: Vec<u8> = (0..100_000_u32).map(|number| (number % 251) as u8).collect();
        let (mut input, mut seen, mut rest) = (Input::new(), Vec::new(), octets.as_slice());
        let mut used = 0;
        while !rest.is_empty() {
            input.forget(used);
            rest = &rest[read(&mut input, rest)..];
            // All but some octets, as a line that is not complete.
            used = input.behind(0).len().saturating_sub(7);
            seen.extend_from_slice(&input.behind(0)[..used]);
        }
        seen.extend_from_slice(input.behind(used));
        assert!(seen == octets);
    }

    #[test]
    fn the_room_grows_once_it_is_full_and_shrinks_once_it_is_empty() {
        let mut input = Input::new();
        read(&mut input, &[1; SMALL_OCTETS - 1]);
        input.forget(SMALL_OCTETS - 1);
        assert_eq!(input.room().len(), SMALL_OCTETS);
        read(&mut input, &[1; SMALL_OCTETS]);
        input.forget(0);
        assert_eq!((input.behind(0).len(), input.room().len()), (SMALL_OCTETS, LARGE_OCTETS - SMALL_OCTETS));
        input.give_back();
        assert_eq!(input.behind(0).len(), SMALL_OCTETS, "what is there stays");
        input.forget(SMALL_OCTETS);
        assert_eq!(input.room().len(), LARGE_OCTETS);
        input.give_back();
        assert_eq!(input.room().len(), SMALL_OCTETS);
    }
}
