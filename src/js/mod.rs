//! The exports of the npm package: numbers in, numbers out.
//!
//! The facade (TypeScript) owns the socket, the timer and every value; the driver knows values by
//! the slots that the facade has put them under. So no string, buffer or Blob ever enters the wasm,
//! and a call across the border costs little. Promises, tickets and iterators are made in
//! TypeScript as well (they cost half of the wasm otherwise).
//!
//! Not here: any behaviour of its own.

use lol_alloc::{FreeListAllocator, LockedAllocator};

/// A list of what is free: a tenth of the size of the standard library's, in an instance that keeps little, all of it
/// in a few blocks. Its lock costs 20 B, and an `unsafe` to go without one.
#[global_allocator]
static ALLOCATOR: LockedAllocator<FreeListAllocator> = LockedAllocator::new(FreeListAllocator::new());

/// A panic traps: the facade's call throws a `WebAssembly.RuntimeError`, and nothing is formatted for it.
#[panic_handler]
fn trap(_: &::core::panic::PanicInfo<'_>) -> ! {
    ::core::arch::wasm32::unreachable()
}

#[cfg(feature = "v1")]
mod channels;
mod convert;
mod core;
mod host;
mod outlet;
