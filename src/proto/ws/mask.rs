//! Masking: XOR with a repeated key of four bytes.
//!
//! Not here: making the key. It must come from a cryptographic generator (RFC 6455 §10.3) and is
//! an argument everywhere.

/// XORs `data` in place with `key`, where `data` starts `offset` bytes into the payload.
///
/// `data[i] ^= key[(offset + i) % 4]`; masking twice gives the original. A payload may therefore
/// be masked piece by piece as it arrives or leaves.
///
/// # Specification
///
/// [RFC 6455 §5.3](https://www.rfc-editor.org/rfc/rfc6455#section-5.3).
///
/// # Examples
///
/// ```
/// use tidegate::proto::ws::mask;
/// let mut hello = *b"\x7f\x9f\x4d\x51\x58";
/// mask(&mut hello, [0x37, 0xfa, 0x21, 0x3d], 0);
/// assert_eq!(&hello, b"Hello");
/// ```
pub fn mask(data: &mut [u8], key: [u8; 4], offset: usize) {
    let key = rotated(key, offset);
    let [a, b, c, d] = key;
    let word_key = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut words = data.chunks_exact_mut(8);
    for word in &mut words {
        // Always `Ok`, which the compiler sees too: the chunks have 8 bytes.
        if let Ok(word) = <&mut [u8; 8]>::try_from(word) {
            *word = (u64::from_ne_bytes(*word) ^ word_key).to_ne_bytes();
        }
    }
    // 8 is a multiple of the key's length, so the rest starts with the key's first byte again.
    for (byte, key) in words.into_remainder().iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
}

/// Appends `source` to `target`, masked with `key`, where `source` starts `offset` bytes into the
/// payload.
///
/// # Specification
///
/// [RFC 6455 §5.3](https://www.rfc-editor.org/rfc/rfc6455#section-5.3).
pub fn copy_masked(source: &[u8], target: &mut Vec<u8>, key: [u8; 4], offset: usize) {
    let start = target.len();
    target.extend_from_slice(source);
    mask(target.get_mut(start..).unwrap_or_default(), key, offset);
}

/// The key as it stands `offset` bytes into the payload.
const fn rotated([a, b, c, d]: [u8; 4], offset: usize) -> [u8; 4] {
    match offset % 4 {
        0 => [a, b, c, d],
        1 => [b, c, d, a],
        2 => [c, d, a, b],
        _ => [d, a, b, c],
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests {
    use super::*;

    /// The definition, in one line.
    fn defined(data: &[u8], key: [u8; 4], offset: usize) -> Vec<u8> {
        data.iter().enumerate().map(|(i, byte)| byte ^ key[(offset + i) % 4]).collect()
    }

    #[test]
    fn equals_its_definition_at_every_length_offset_and_alignment() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let data: Vec<u8> = (0..=255).collect();
        for from in 0..8 {
            for len in 0..=80 {
                let input = &data[from..from + len];
                for offset in [0, 1, 2, 3, 4, 7, usize::MAX - 300] {
                    let expected = defined(input, key, offset);
                    let mut in_place = data.clone();
                    mask(&mut in_place[from..from + len], key, offset);
                    assert_eq!(&in_place[from..from + len], expected);
                    let mut copied = vec![9; from];
                    copy_masked(input, &mut copied, key, offset);
                    assert_eq!(&copied[from..], expected);
                }
            }
        }
    }

    #[test]
    fn pieces_give_the_same_as_the_whole() {
        let key = [1, 2, 3, 4];
        let data: Vec<u8> = (0..100).collect();
        for cut in 0..=data.len() {
            let mut pieces = data.clone();
            let (head, tail) = pieces.split_at_mut(cut);
            mask(head, key, 0);
            mask(tail, key, cut);
            assert_eq!(pieces, defined(&data, key, 0));
        }
    }
}
