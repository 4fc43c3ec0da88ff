//! Positions: what of its log each side sends again after a resume, and whether that is possible at all.
//!
//! | | must hold | or else |
//! |---|---|---|
//! | what the peer has | `own.tx_oldest <= peer.rx + 1 <= own.tx_next` | the own log lacks what the peer needs, or the peer claims more than was sent |
//! | what this side has | `peer.tx_oldest <= own.rx + 1 <= peer.tx_next` | likewise, the other way round |
//!
//! Not here: tokens, fencing, the log itself, and which error follows: a server refuses (`REPLAY_GAP`), a client ends the session
//! (`SEQ_MISMATCH`).

use core::ops::Range;

/// Where one side stands, as RESUME and RESUMED tell it. Numbers of sequenced records, which begin with 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// The last number accepted from the other side; 0 before the first.
    pub(super) rx: u64,
    /// The first number in the own log; `tx_next` if that is empty.
    pub(super) tx_oldest: u64,
    /// The number that the next record will have.
    pub(super) tx_next: u64,
}

/// The numbers that this side sends again, which are in its log; empty if the peer has everything. `None` if one side lacks
/// what the other needs, or a position contradicts the other: the session cannot go on.
///
/// # Specification
///
/// `docs/PROTOCOL.md`, section 8.2, steps 3 and 4.
pub(super) fn check(own: Position, peer: Position) -> Option<Range<u64>> {
    wanted(own, peer.rx).filter(|_| wanted(peer, own.rx).is_some())
}

/// Whether a client claims less than is known of it already: a RESUME that another one has overtaken, or a client that has
/// lost its memory. What is once so stays so, whatever else arrives.
pub(super) fn is_stale(own: Position, peer: Position) -> bool {
    peer.rx.saturating_add(1) < own.tx_oldest || peer.tx_next <= own.rx
}

/// What a side at `sender` has to send again to one that has accepted everything up to `rx`.
fn wanted(sender: Position, rx: u64) -> Option<Range<u64>> {
    let first = rx.checked_add(1)?;
    (sender.tx_oldest <= first && first <= sender.tx_next).then_some(first..sender.tx_next)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests {
    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    const VECTORS: &str = include_str!("../../../tests/vectors/tidegate-v1.json");

    /// What stands behind `key` and its colon.
    fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
        let (_, rest) = text.split_once(&alloc::format!("\"{key}\""))?;
        Some(rest.trim_start().strip_prefix(':').unwrap().trim_start())
    }

    fn leading_number(text: &str) -> u64 {
        let text = text.trim_start();
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text[..end].parse().unwrap()
    }

    fn position(text: &str, key: &str) -> Position {
        let object = value(text, key).unwrap().strip_prefix('{').unwrap();
        let (object, _) = object.split_once('}').unwrap();
        let number = |key| leading_number(value(object, key).unwrap());
        Position { rx: number("rx"), tx_oldest: number("tx_oldest"), tx_next: number("tx_next") }
    }

    /// First and last number; none if nothing is replayed.
    fn replay(text: &str, key: &str) -> Option<(u64, u64)> {
        let replayed = value(text, key).unwrap();
        let (first, last) = replayed.strip_prefix('[')?.split_once(',').unwrap();
        Some((leading_number(first), leading_number(last)))
    }

    #[test]
    fn the_vectors_agree_on_both_sides() {
        let (_, section) = VECTORS.split_once("\"resume_checks\"").unwrap();
        let mut results = [0, 0];
        for text in section.split("\"why\"").skip(1) {
            let (server, client) = (position(text, "server"), position(text, "client"));
            let of_server = check(server, client);
            let of_client = check(client, server);
            let bounds = |range: Option<Range<u64>>| {
                let range = range.unwrap();
                (!range.is_empty()).then(|| (range.start, range.end - 1))
            };
            let result = value(text, "result").unwrap();
            if result.starts_with("\"RESUMED\"") {
                assert_eq!(bounds(of_client), replay(text, "client_replays"), "{text}");
                assert_eq!(bounds(of_server), replay(text, "server_replays"), "{text}");
                results[0] += 1;
            } else {
                assert!(result.starts_with("\"REFUSED\""), "{text}");
                assert_eq!(leading_number(value(text, "code").unwrap()), 19, "{text}");
                assert_eq!((of_server, of_client), (None, None), "{text}");
                results[1] += 1;
            }
        }
        assert_eq!(results, [5, 4]);
    }

    /// Whether a log with the numbers from `tx_oldest` up to `tx_next` has all that was sent and is above `rx`, and the
    /// one who has `rx` was sent that; and if so, what is above it.
    fn by_definition(sender: Position, rx: u64) -> Option<Vec<u64>> {
        let is_log = sender.tx_oldest <= sender.tx_next;
        let log: Vec<u64> = (sender.tx_oldest..sender.tx_next).collect();
        let missing: Vec<u64> = (1..sender.tx_next).filter(|&number| number > rx).collect();
        let was_sent = rx < sender.tx_next;
        let has_all = missing.iter().all(|number| log.contains(number));
        (is_log && was_sent && has_all).then_some(missing)
    }

    #[test]
    fn all_small_positions_agree_with_a_log_that_holds_what_is_above() {
        let mut ranges = [0_u32; 2];
        let positions =
            || (0..216_u64).map(|n| Position { rx: n % 6, tx_oldest: 1 + n / 6 % 6, tx_next: 1 + n / 36 });
        for own in positions() {
            for peer in positions() {
                let (mine, theirs) = (by_definition(own, peer.rx), by_definition(peer, own.rx));
                let wanted = mine.filter(|_| theirs.is_some());
                ranges[usize::from(wanted.is_some())] += 1;
                let found = check(own, peer).map(Iterator::collect::<Vec<u64>>);
                assert_eq!(found, wanted, "{own:?} {peer:?}");
                assert_eq!(check(own, peer).is_some(), check(peer, own).is_some(), "{own:?} {peer:?}");
            }
        }
        assert!(ranges.iter().all(|&count| count > 1000), "{ranges:?}");
    }

    #[test]
    fn the_largest_numbers_are_compared_and_not_added_up() {
        let own = Position { rx: 0, tx_oldest: 1, tx_next: u64::MAX };
        let peer = Position { rx: u64::MAX, tx_oldest: 1, tx_next: 1 };
        assert_eq!(check(own, peer), None);
        assert_eq!(check(own, Position { rx: u64::MAX - 1, ..peer }), Some(u64::MAX..u64::MAX));
    }

    /// For all small positions: what is stale is refused, and stays stale however the own side goes on.
    #[test]
    fn what_is_stale_can_never_be_resumed() {
        let mut stale = 0;
        for n in 0..4_u64.pow(6) {
            let digit = |place| n / 4_u64.pow(place) % 4;
            let position =
                |rx, oldest, more| Position { rx, tx_oldest: oldest + 1, tx_next: oldest + 1 + more };
            let (own, peer) =
                (position(digit(0), digit(1), digit(2)), position(digit(3), digit(4), digit(5)));
            if is_stale(own, peer) {
                stale += 1;
                for (more_rx, more_tx, acknowledged) in [(0, 0, 0), (2, 0, 0), (0, 3, 0), (3, 2, 2)] {
                    let tx_next = own.tx_next + more_tx;
                    let tx_oldest = tx_next.min(own.tx_oldest + acknowledged);
                    let later = Position { rx: own.rx + more_rx, tx_oldest, tx_next };
                    assert!(is_stale(later, peer) && check(later, peer).is_none(), "{own:?} {peer:?}");
                }
            }
        }
        // What is refused for another reason is not: here this side has lost something.
        let lost = Position { rx: 1, tx_oldest: 1, tx_next: 1 };
        assert!(stale > 1_000 && !is_stale(lost, Position { rx: 5, tx_oldest: 9, tx_next: 9 }));
    }
}
