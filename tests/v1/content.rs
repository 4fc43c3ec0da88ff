//! What items contain: the number of the item, and something that is different everywhere.

use std::sync::OnceLock;

use crate::random::Random;

/// Bytes of the number at the beginning. An item that is shorter has none.
pub(crate) const NUMBER: usize = 8;

/// More than the largest item.
const POOL: usize = 800_000;

/// Copied from and compared with, as making it anew for each item would take most of the time of a run.
fn pool(is_text: bool) -> &'static [u8] {
    static POOLS: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    let [bytes, text] = POOLS.get_or_init(|| {
        let mut random = Random::new(5, 0);
        let bytes = (0..POOL).map(|_| random.bits() as u8).collect();
        // Characters of two bytes, so that chunks end inside of some.
        let text = (0..POOL / 2).flat_map(|_| random.of(&["é", "ß", "Ω", "Я"]).bytes()).collect();
        [bytes, text]
    });
    if is_text { text } else { bytes }
}

/// The part of the pool that is behind the number, and what is left of it as text.
fn rest(id: usize, len: usize, is_text: bool) -> (&'static [u8], &'static [u8]) {
    let odd = if is_text { len % 2 } else { 0 };
    let from = id * 14 % 10_000;
    (&pool(is_text)[from..from + len - odd], &b"."[..odd])
}

/// What an item of this size contains.
pub(crate) fn content(which: usize, id: usize, bytes: u64, is_text: bool) -> Vec<u8> {
    let bytes = bytes as usize;
    if bytes < NUMBER {
        return vec![b'x'; bytes];
    }
    let (middle, last) = rest(id, bytes - NUMBER, is_text);
    [format!("{which}{id:07}").as_bytes(), middle, last].concat()
}

/// Whether an item has arrived as it was sent.
pub(crate) fn is_content(which: usize, id: usize, is_text: bool, content: &[u8]) -> bool {
    if content.len() < NUMBER {
        return content.iter().all(|byte| *byte == b'x');
    }
    let (number, content) = content.split_at(NUMBER);
    let (middle, last) = rest(id, content.len(), is_text);
    number == format!("{which}{id:07}").as_bytes()
        && &content[..middle.len()] == middle
        && &content[middle.len()..] == last
}

/// The number of the item that begins so.
pub(crate) fn number(which: usize, content: &[u8]) -> Option<usize> {
    let number = std::str::from_utf8(content.get(..NUMBER)?).ok()?;
    number.strip_prefix(["0", "1"][which])?.parse().ok()
}
