//! What a sender says about the order: priorities, and flows within them.

/// How urgent a message is. The messages of one priority are a *class*.
///
/// A higher class goes before the lower ones, but each class that has something to send gets a
/// [guaranteed share](crate::proto::QueueConfig) of what goes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Before everything else.
    Urgent,
    /// The default.
    #[default]
    Normal,
    /// Large and patient: uploads.
    Bulk,
    /// When nothing else wants to go.
    Background,
}

impl Priority {
    /// All of them, the highest first.
    pub const ALL: [Self; 4] = [Self::Urgent, Self::Normal, Self::Bulk, Self::Background];

    /// Its place in [`ALL`](Self::ALL).
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// A stream inside the queue, which the server never sees: what is sent in one flow and at one
/// priority keeps its order, and the flows of a class share it out evenly, by bytes. 0 is the
/// default flow.
///
/// The queue has a few words of state for each number up to the highest, so that numbers are to be
/// small and used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow(pub u32);
