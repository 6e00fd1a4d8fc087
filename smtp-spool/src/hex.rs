//! Numbers in lower-case hexadecimal with a fixed number of digits. A message in the journal has six of them, so this is worth
//! more than the general way to print one.

/// Appends the lowest so many digits, 16 at most.
pub(crate) fn push(text: &mut String, number: u64, digits: u32) {
    let digit = |place: u32| char::from_digit((number >> (4 * place)) as u32 & 0xf, 16).unwrap_or_default();
    text.extend((0..digits).rev().map(digit));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_general_way_prints_them() {
        for number in [0, 1, 0x9a, 0xdead_beef, u64::MAX, 0x0123_4567_89ab_cdef] {
            let mut text = "x".to_owned();
            push(&mut text, number, 16);
            push(&mut text, number & 0xffff_ffff, 8);
            assert_eq!(text, format!("x{number:016x}{:08x}", number & 0xffff_ffff));
        }
    }
}
