//! The sender's buffer in the operating system, as Linux has it: it grows while data flows, and says that
//! it can be written to only when a third of it is free.

/// How large a send buffer is. All in bytes; the defaults are those of a path with segments of 1460 bytes
/// that carried 2 MB a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// At the start. Default 150,000: with a peer that took 4 KB and stalled, 174 KB were found in it.
    pub(crate) initial_bytes: u64,
    /// What it does not grow beyond. Default 1,120,000: it is written to in bursts of a third, some 180 ms apart.
    pub(crate) max_bytes: u64,
    /// By how many bytes it grows for each that was acknowledged. Default 6: Linux makes room for 8,704
    /// bytes with each segment by which the congestion window grows.
    pub(crate) growth: u64,
}

impl Default for Kernel {
    fn default() -> Self {
        Self { initial_bytes: 150_000, max_bytes: 1_120_000, growth: 6 }
    }
}

impl Kernel {
    /// With loopback's segments of 65,483 bytes, of which ten make the first buffer.
    #[cfg_attr(not(test), allow(dead_code, reason = "a path that only tests have so far"))]
    pub(crate) const LOOPBACK: Self = Self { initial_bytes: 2_630_000, max_bytes: 4_030_000, growth: 12 };
}

/// A send buffer. `held_bytes <= size_bytes`.
#[derive(Clone, Debug)]
pub(crate) struct SendBuffer {
    kernel: Kernel,
    size_bytes: u64,
    held_bytes: u64,
    /// A write was cut short, and it has not yet said that it can be written to again.
    full: bool,
}

impl SendBuffer {
    pub(crate) fn new(kernel: Kernel) -> Self {
        Self { kernel, size_bytes: kernel.initial_bytes.max(1), held_bytes: 0, full: false }
    }

    /// Takes some of `bytes`; returns how many.
    pub(crate) fn write(&mut self, bytes: u64) -> u64 {
        if self.full {
            return 0;
        }
        let taken = bytes.min(self.size_bytes - self.held_bytes);
        self.held_bytes += taken;
        self.full = taken < bytes;
        taken
    }

    /// Forgets `bytes`, which the other end has.
    pub(crate) fn acknowledge(&mut self, bytes: u64) {
        self.held_bytes = self.held_bytes.saturating_sub(bytes);
        let grown = self.size_bytes.saturating_add(self.kernel.growth.saturating_mul(bytes));
        self.size_bytes = grown.min(self.kernel.max_bytes).max(self.size_bytes);
        // `sk_stream_is_writeable`: what is free is at least half of what is held.
        if self.size_bytes - self.held_bytes >= self.held_bytes / 2 {
            self.full = false;
        }
    }

    /// Whether a write would take something.
    pub(crate) fn is_writable(&self) -> bool {
        !self.full && self.held_bytes < self.size_bytes
    }

    /// Written and not acknowledged.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.held_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXED: Kernel = Kernel { initial_bytes: 900, max_bytes: 900, growth: 6 };

    #[test]
    fn a_full_buffer_takes_nothing_until_a_third_is_free() {
        let mut buffer = SendBuffer::new(FIXED);
        assert_eq!(buffer.write(900), 900);
        // Exactly full, and nobody was refused yet: a little room is used.
        buffer.acknowledge(10);
        assert_eq!(buffer.write(20), 10);
        buffer.acknowledge(290);
        assert_eq!(buffer.write(1), 0);
        buffer.acknowledge(10);
        assert_eq!(buffer.write(1_000), 300);
        assert_eq!(buffer.held_bytes(), 900);
    }

    #[test]
    fn it_grows_with_what_is_acknowledged_and_never_shrinks() {
        let mut buffer = SendBuffer::new(Kernel { max_bytes: 2_000, ..FIXED });
        assert_eq!(buffer.write(5_000), 900);
        buffer.acknowledge(100);
        // 1,500 then, of which 800 are held.
        assert_eq!(buffer.write(5_000), 700);
        buffer.acknowledge(1_500);
        assert_eq!(buffer.write(5_000), 2_000);
        let mut shrinking = SendBuffer::new(Kernel { max_bytes: 1, ..FIXED });
        shrinking.acknowledge(1);
        assert_eq!(shrinking.write(5_000), 900);
    }
}
