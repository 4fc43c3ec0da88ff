//! Where large allocations lie within their pages: elsewhere in each round, for all subjects alike.
//!
//! A load seems to wait for an earlier store when the last 12 bits of their addresses are the same, so that a
//! copy can take a quarter longer because its source and its target lie badly to each other. Where they lie is
//! an accident of what was allocated before, and the same one in each run. So everything from 4 KiB on is moved
//! within its page, by what the round and the place make of it; the median of the rounds then is one of many
//! layouts.
//!
//! Not here: how memory is found and given back, which stays the system's business.

#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

#[global_allocator]
static ALLOCATOR: Moving = Moving { seed: AtomicUsize::new(0) };

/// What is smaller lies within one page mostly, and many of them together anywhere.
const LARGE: usize = 4 << 10;

/// The strictest alignment that is promised to what is moved; what asks for more is not moved.
const STEP: usize = 16;

/// What a moved allocation has beyond its size: room to be moved in, and in front of it a step that says how far.
const EXTRA: usize = LARGE + STEP;

/// Has what is allocated from now on lie as it does in this round.
pub(crate) fn set(round: usize) {
    ALLOCATOR.seed.store(round.wrapping_mul(0x9e37_79b9_7f4a_7c15), Ordering::Relaxed);
}

struct Moving {
    seed: AtomicUsize,
}

const fn is_moved(size: usize, align: usize) -> bool {
    size >= LARGE && align <= STEP
}

/// Of what the system is asked for instead.
fn enlarged(size: usize, align: usize) -> Option<Layout> {
    Layout::from_size_align(size.checked_add(EXTRA)?, align.max(STEP)).ok()
}

impl Moving {
    /// Moves what begins at `base`, if anything does.
    ///
    /// # Safety
    ///
    /// `base` is null or of [`enlarged`].
    unsafe fn moved(&self, base: *mut u8) -> *mut u8 {
        if base.is_null() {
            return base;
        }
        // The same place in the same round gives the same, so that memory that is used again lies again in
        // the caches.
        let mixed = (base.addr() ^ self.seed.load(Ordering::Relaxed)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let by = STEP + (mixed >> 56) * STEP;
        // SAFETY: at most 256 steps of 16 bytes lie in front of the size that was asked for, and at least one,
        // which has room for a number.
        unsafe {
            let place = base.add(by);
            place.sub(size_of::<usize>()).cast::<[u8; size_of::<usize>()]>().write(by.to_ne_bytes());
            place
        }
    }

    /// How far `place` was moved.
    ///
    /// # Safety
    ///
    /// It comes from [`moved`](Self::moved).
    unsafe fn distance(place: *mut u8) -> usize {
        // SAFETY: it was written there.
        let by = unsafe { place.sub(size_of::<usize>()).cast::<[u8; size_of::<usize>()]>().read() };
        usize::from_ne_bytes(by)
    }
}

// SAFETY: all memory is the system's, and each place is within what the system gave for it: see `moved`.
unsafe impl GlobalAlloc for Moving {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !is_moved(layout.size(), layout.align()) {
            // SAFETY: as the caller has it.
            return unsafe { System.alloc(layout) };
        }
        match enlarged(layout.size(), layout.align()) {
            // SAFETY: its size is not zero.
            Some(layout) => unsafe { self.moved(System.alloc(layout)) },
            None => std::ptr::null_mut(),
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !is_moved(layout.size(), layout.align()) {
            // SAFETY: as the caller has it.
            return unsafe { System.alloc_zeroed(layout) };
        }
        match enlarged(layout.size(), layout.align()) {
            // SAFETY: its size is not zero. What is written lies in front of the place.
            Some(layout) => unsafe { self.moved(System.alloc_zeroed(layout)) },
            None => std::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        match enlarged(layout.size(), layout.align()) {
            Some(enlarged) if is_moved(layout.size(), layout.align()) => {
                // SAFETY: `alloc` decided by the same layout that it is moved.
                unsafe { System.dealloc(place.sub(Self::distance(place)), enlarged) }
            }
            // SAFETY: as the caller has it.
            _ => unsafe { System.dealloc(place, layout) },
        }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (is, becomes) = (is_moved(layout.size(), layout.align()), is_moved(size, layout.align()));
        match (is, becomes) {
            // SAFETY: as the caller has it.
            (false, false) => unsafe { System.realloc(place, layout, size) },
            (true, true) => {
                let grown = enlarged(size, layout.align());
                let Some((old, grown)) = enlarged(layout.size(), layout.align()).zip(grown) else {
                    return std::ptr::null_mut();
                };
                // SAFETY: it begins so far in front. Its contents move along with how far they were moved, so
                // that the system can let it grow where it is.
                unsafe {
                    let by = Self::distance(place);
                    let base = System.realloc(place.sub(by), old, grown.size());
                    if base.is_null() { base } else { base.add(by) }
                }
            }
            _ => {
                let Ok(new) = Layout::from_size_align(size, layout.align()) else {
                    return std::ptr::null_mut();
                };
                // SAFETY: both have room for what is copied, and do not overlap.
                unsafe {
                    let grown = self.alloc(new);
                    if !grown.is_null() {
                        grown.copy_from_nonoverlapping(place, layout.size().min(size));
                        self.dealloc(place, layout);
                    }
                    grown
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_moved_keeps_its_contents_and_lies_elsewhere_in_each_round() {
        let mut places = std::collections::HashSet::new();
        for round in 0..64 {
            super::set(round);
            let mut bytes: Vec<u8> = (0..100).collect();
            for size in [4 << 10, 64 << 10, 3 << 20, 5_000, 100] {
                bytes.resize(size, 7);
                bytes.shrink_to_fit();
                assert!((0..100).eq(bytes.iter().take(100).copied()), "{size} in round {round}");
            }
            let zeros = vec![0_u8; 16 << 10];
            assert!(zeros.iter().all(|byte| *byte == 0));
            places.insert(zeros.as_ptr().addr() % (4 << 10));
        }
        assert!(places.len() > 32, "{} places", places.len());
    }
}
