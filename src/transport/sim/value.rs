//! Values of the simulated host: Blobs.

use core::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// A value that the simulated host keeps: its content can be read asynchronously, and can vanish.
#[derive(Clone, Debug)]
pub(crate) struct SimValue {
    content: Arc<Mutex<Option<Vec<u8>>>>,
}

/// Values that a test may let vanish.
pub(crate) type Values = Arc<Mutex<Vec<SimValue>>>;

impl SimValue {
    pub(super) fn new(content: Vec<u8>) -> Self {
        Self { content: Arc::new(Mutex::new(Some(content))) }
    }

    /// Its file is gone.
    pub(crate) fn vanish(&self) {
        *self.content.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn read(&self, range: Range<u64>) -> Option<Vec<u8>> {
        let content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let range = usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?;
        Some(content.as_ref()?.get(range)?.to_vec())
    }
}
