//! The table of channels: ids, and how many there may be.
//!
//! Ids of one side follow each other without a gap, so that a channel that is over needs no memory: its id is below
//! the next one and not in the table.
//!
//! Not here: records, what a channel does.

use super::channel::{Channel, ChannelKey};
use crate::slab::{Ascending, Slab};

/// What a channel id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Live(ChannelKey),
    /// Both directions have ended.
    Over,
    /// It was never opened.
    Never,
}

/// The ids of one side: 0, 2, 4, … of the client, 1, 3, 5, … of the server.
#[derive(Debug)]
struct Ids {
    /// How many were given.
    count: u64,
    parity: u64,
    /// Those that are in the table.
    live: Ascending<ChannelKey>,
}

impl Ids {
    fn find(&self, id: u64) -> Found {
        if id / 2 >= self.count {
            return Found::Never;
        }
        self.live.get(id).map_or(Found::Over, |key| Found::Live(*key))
    }

    fn next(&self) -> u64 {
        self.count * 2 + self.parity
    }

    fn add(&mut self, key: ChannelKey) -> u64 {
        let id = self.next();
        self.live.insert(id, key);
        self.count += 1;
        id
    }
}

/// See the module's page.
#[derive(Debug)]
pub(super) struct Mux {
    channels: Slab<Channel>,
    own: Ids,
    peer: Ids,
    /// How many OPENs this side may have sent.
    own_limit: u64,
    /// How many the peer may have sent.
    peer_limit: u64,
    /// How many of the peer's are over, and nobody uses them here.
    peer_ended: u64,
    /// How many of the peer's there may be at once.
    max_channels: u64,
}

impl Mux {
    pub(super) fn new(is_server: bool, own_limit: u64, max_channels: u64) -> Self {
        let ids = |parity| Ids { count: 0, parity, live: Ascending::default() };
        Self {
            channels: Slab::default(),
            own: ids(u64::from(is_server)),
            peer: ids(u64::from(!is_server)),
            own_limit,
            peer_limit: max_channels,
            peer_ended: 0,
            max_channels,
        }
    }

    pub(super) fn get(&self, key: ChannelKey) -> Option<&Channel> {
        self.channels.get(key.0)
    }

    pub(super) fn get_mut(&mut self, key: ChannelKey) -> Option<&mut Channel> {
        self.channels.get_mut(key.0)
    }

    /// A channel without an id yet.
    pub(super) fn insert(&mut self, channel: Channel) -> ChannelKey {
        ChannelKey(self.channels.insert(channel))
    }

    /// The channel of an id.
    pub(super) fn find(&self, id: u64) -> Found {
        if id % 2 == self.own.parity { self.own.find(id) } else { self.peer.find(id) }
    }

    /// Whether this side may send one more OPEN.
    pub(super) fn may_open(&self) -> bool {
        self.own.count < self.own_limit
    }

    /// The id that the next OPEN of this side has.
    pub(super) fn next_own(&self) -> u64 {
        self.own.next()
    }

    /// Gives the next id to a channel of this side.
    pub(super) fn name(&mut self, key: ChannelKey) -> u64 {
        self.own.add(key)
    }

    /// Whether `id` is the next one of the peer.
    pub(super) fn is_next_of_peer(&self, id: u64) -> bool {
        id == self.peer.next()
    }

    /// Whether the peer may open one more.
    pub(super) fn peer_may_open(&self) -> bool {
        self.peer.count < self.peer_limit
    }

    /// How many the peer has opened in all.
    pub(super) fn peer_opened(&self) -> u64 {
        self.peer.count
    }

    /// How many this side has opened in all.
    pub(super) fn own_opened(&self) -> u64 {
        self.own.count
    }

    /// A channel of the peer.
    pub(super) fn insert_peer(&mut self, channel: Channel) -> ChannelKey {
        let key = self.insert(channel);
        self.peer.add(key);
        key
    }

    /// Both directions of a channel have ended: its id is not looked for any more.
    pub(super) fn end(&mut self, id: u64) {
        let ids = if id % 2 == self.own.parity { &mut self.own } else { &mut self.peer };
        ids.live.remove(id);
    }

    /// Forgets a channel that is over and used by nobody.
    pub(super) fn remove(&mut self, key: ChannelKey) {
        if let Some(channel) = self.channels.remove(key.0)
            && !channel.is_own
        {
            self.peer_ended += 1;
        }
    }

    /// The peer allows so many OPENs at first.
    pub(super) fn set_own_limit(&mut self, count: u64) {
        self.own_limit = count;
    }

    /// The peer allows so many OPENs in all. Lower values change nothing.
    pub(super) fn raise_own_limit(&mut self, count: u64) -> bool {
        let grew = count > self.own_limit;
        self.own_limit = self.own_limit.max(count);
        grew
    }

    /// The CHAN_LIMIT that is worth sending now: a quarter of it is not granted yet, or the peer has none left.
    pub(super) fn grant(&mut self) -> bool {
        let target = self.peer_ended + self.max_channels;
        let ungranted = target - self.peer_limit;
        let is_due =
            ungranted > 0 && (ungranted * 4 >= self.max_channels || self.peer.count == self.peer_limit);
        if is_due {
            self.peer_limit = target;
        }
        is_due
    }

    /// What CHAN_LIMIT says.
    pub(super) fn peer_limit(&self) -> u64 {
        self.peer_limit
    }

    /// The ids and keys that are in use, the peer's after the own.
    pub(super) fn live(&self) -> impl Iterator<Item = (u64, ChannelKey)> + '_ {
        self.own.live.iter().chain(self.peer.live.iter()).map(|(id, key)| (id, *key))
    }

    /// Those that this side has opened, behind its first so many.
    pub(super) fn own_from(&self, count: u64) -> impl Iterator<Item = (u64, ChannelKey)> + '_ {
        self.own.live.iter_from(self.own_id(count)).map(|(id, key)| (id, *key))
    }

    /// The id of this side's channel behind its first so many.
    pub(super) fn own_id(&self, count: u64) -> u64 {
        2 * count + self.own.parity
    }

    /// How many are in use.
    pub(super) fn open_count(&self) -> u64 {
        (self.own.live.len() + self.peer.live.len()) as u64
    }
}
