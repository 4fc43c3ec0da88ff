//! One way through one library, and how it is looked at.
//!
//! Not here: the libraries (`peers`), the clock (`measure`).

use std::hint::black_box;

/// Where a subject shows what it has made: each payload it decoded, or its output.
pub(crate) trait Look {
    /// Whether what is shown is kept, to be compared; not so while the clock runs.
    const KEEPS: bool;

    /// Sees a payload, or a piece of output.
    fn look(&mut self, bytes: &[u8]);
}

/// Has the compiler believe that every byte was looked at.
#[derive(Debug)]
pub(crate) struct Glance;

impl Look for Glance {
    const KEEPS: bool = false;

    #[inline]
    fn look(&mut self, bytes: &[u8]) {
        black_box(bytes);
    }
}

/// Keeps everything.
#[derive(Debug, Default)]
pub(crate) struct Keep(Vec<Vec<u8>>);

impl Look for Keep {
    const KEEPS: bool = true;

    fn look(&mut self, bytes: &[u8]) {
        self.0.push(bytes.to_vec());
    }
}

/// The work that is measured. The same code runs when it is verified.
pub(crate) trait Pass {
    /// Whether each pass uses up what [`refresh`](Self::refresh) prepares.
    const REFRESHED: bool = false;

    /// Prepares the next pass, outside of the measured time.
    fn refresh(&mut self) {}

    /// Works through some frames, of which it returns the number.
    ///
    /// When `L` keeps, the first frame is the first of the cell's input.
    fn pass<L: Look>(&mut self, look: &mut L) -> usize;
}

/// [`Pass`] behind one pointer.
pub(crate) trait Subject {
    /// See [`Pass::REFRESHED`].
    fn is_refreshed(&self) -> bool;
    /// See [`Pass::refresh`].
    fn refresh(&mut self);
    /// One pass, of which the number of frames is returned.
    fn run(&mut self) -> usize;
    /// One pass, of which everything shown is returned. Only the first pass of a subject shows its
    /// input from the start.
    fn show(&mut self) -> Vec<Vec<u8>>;
}

impl<P: Pass> Subject for P {
    fn is_refreshed(&self) -> bool {
        P::REFRESHED
    }

    fn refresh(&mut self) {
        Pass::refresh(self);
    }

    fn run(&mut self) -> usize {
        self.pass(&mut Glance)
    }

    fn show(&mut self) -> Vec<Vec<u8>> {
        let mut kept = Keep::default();
        self.pass(&mut kept);
        kept.0
    }
}
