//! Every form at its borders: what is written is read, and nothing else is.

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

fn encoded(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, value);
    out
}

fn read(bytes: &[u8]) -> Result<u64, &'static str> {
    let mut reader = Reader::new(bytes);
    let value = reader.varint()?;
    assert!(reader.is_empty(), "{bytes:02x?} has more than its varint");
    Ok(value)
}

/// Each power of two and its neighbours, and the last values of each length.
fn borders() -> impl Iterator<Item = u64> {
    let powers = (0..53).map(|bit| 1 << bit).flat_map(|power: u64| [power - 1, power, power + 1]);
    powers.chain([MAX - 1, MAX])
}

#[test]
fn what_is_written_is_read_and_as_long_as_told() {
    for value in borders().chain(0..70_000) {
        let bytes = encoded(value);
        assert_eq!(read(&bytes), Ok(value), "{bytes:02x?}");
        assert_eq!(bytes.len(), len(value), "{value}");
        for cut in 0..bytes.len() {
            assert_eq!(Reader::new(&bytes[..cut]).varint(), Err(TRUNCATED), "{value} after {cut} bytes");
        }
    }
}

#[test]
fn each_length_begins_where_the_shorter_one_ends() {
    for (length, first, last) in [(1, 0, 63), (2, 64, 16_383), (4, 16_384, (1 << 30) - 1), (8, 1 << 30, MAX)]
    {
        assert_eq!((len(first), len(last)), (length, length));
    }
}

#[test]
fn all_forms_of_one_and_two_bytes_are_the_shortest_or_refused() {
    for first in 0..=0x3f {
        assert_eq!(read(&[first]), Ok(u64::from(first)));
    }
    for word in 0x4000..=0x7fff_u16 {
        let value = u64::from(word & 0x3fff);
        let expected = if value < 64 { Err("not shortest") } else { Ok(value) };
        assert_eq!(read(&word.to_be_bytes()), expected, "{word:04x}");
    }
}

#[test]
fn longer_forms_of_a_short_value_are_refused() {
    for value in borders() {
        for (bytes, tag) in [(2, 1), (4, 2), (8, 3_u64)] {
            let shift = 64 - 8 * bytes;
            if len(value) < bytes {
                let long = (value << shift | tag << 62).to_be_bytes();
                assert_eq!(read(&long[..bytes]), Err("not shortest"), "{value} in {bytes} bytes");
            }
        }
    }
}

#[test]
fn numbers_that_javascript_does_not_hold_are_neither_read_nor_written() {
    for value in [MAX + 1, MAX + 2, (1 << 62) - 1] {
        assert_eq!(read(&(value | 3 << 62).to_be_bytes()), Err("above 2^53-1"), "{value}");
        assert_eq!(encoded(value), encoded(MAX));
        assert_eq!(len(value), 8);
    }
    assert_eq!(encoded(u64::MAX), encoded(MAX));
}

#[test]
fn a_reader_gives_each_byte_once() {
    let mut reader = Reader::new(&[1, 2, 3, 0x40, 0x41, 5, 6, 7]);
    assert_eq!(reader.u8(), Ok(1));
    assert_eq!(reader.u16(), Ok(0x0203));
    assert_eq!(reader.varint(), Ok(0x41));
    assert_eq!((reader.take(1), reader.remaining()), (Ok(&[5_u8][..]), 2));
    assert_eq!(reader.rest(), Ok(&[6_u8, 7][..]));
    assert!(reader.is_empty());
    assert_eq!(reader.rest(), Ok(&[][..]));
    assert_eq!((reader.u8(), reader.u16()), (Err(TRUNCATED), Err(TRUNCATED)));
}

#[test]
fn a_length_beyond_all_memory_is_one_beyond_the_end() {
    for length in [9, 1 << 32, MAX, u64::MAX] {
        assert_eq!(Reader::new(&[0; 8]).take(length), Err(TRUNCATED), "{length}");
    }
    assert_eq!(Reader::new(&[0xff]).u16(), Err(TRUNCATED));
}
