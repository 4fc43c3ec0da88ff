//! Which chunk goes next, and where its content comes from.

use alloc::vec::Vec;

use super::{BLOCK_BYTES, Outgoing, Output, Session};
use crate::proto::payload::{FetchId, Hosted, HostedKind, Payload, Slot};
use crate::proto::send::{Flow, Next, Priority};
use crate::proto::v1::budget::Class;
use crate::proto::v1::channel::{Begun, Block, ChannelKey, Reading, Stage};
use crate::proto::v1::flow::cost;
use crate::proto::v1::record::{DataFlags, data_head_len, put_data_head};
use crate::proto::v1::replay::{Ends, SourceKey};
use crate::proto::{Done, Outcome};

/// The least payload of a chunk that is not an item's last.
const LEAST: u64 = 512;

/// An item up to this size is copied into its record's head, which is less to keep than a source.
const SMALL: u64 = 256;

/// What becomes of the item whose turn it is.
enum Turn {
    /// A chunk has gone, or it was set aside or ended: another may have its turn.
    Next,
    /// Nothing more goes into this message.
    Stop,
}

/// A chunk that may go.
struct Cut {
    channel: u64,
    bytes: u64,
    flags: DataFlags,
    total: u64,
    class: Class,
}

impl Session {
    /// The channel may go on with what it has queued.
    pub(super) fn set_ready(&mut self, key: ChannelKey) {
        if let Some(channel) = self.mux.get_mut(key)
            && channel.is_aside
            && channel.reading.is_none()
        {
            channel.is_aside = false;
            self.queue.set_ready_again(Flow(key.0), channel.class);
        }
    }

    fn set_aside(&mut self, key: ChannelKey, next: &Next) -> Turn {
        if let Some(channel) = self.mux.get_mut(key) {
            channel.is_aside = true;
        }
        self.queue.hold(next.flow, next.priority);
        Turn::Next
    }

    /// Hands over chunks as long as there are some that may go and fit.
    pub(super) fn put_data(&mut self, out: &mut Outgoing, target: u64) {
        loop {
            let Some(next) = self.queue.peek() else {
                self.budget.handle_idle();
                return;
            };
            match self.put_chunk(out, target, &next) {
                Turn::Next => {}
                Turn::Stop => return,
            }
        }
    }

    fn put_chunk(&mut self, out: &mut Outgoing, target: u64, next: &Next) -> Turn {
        let key = ChannelKey(next.flow.0);
        let Some(channel) = self.mux.get_mut(key) else {
            if let Some(item) = self.queue.remove(next.id) {
                self.finish_queued(&item, Outcome::Unsent);
            }
            return Turn::Next;
        };
        let Stage::Known(id) = channel.stage else { return self.set_aside(key, next) };
        let (total, sent, is_void) = match &channel.begun {
            Some(begun) => (begun.total, begun.sent, begun.is_void),
            None => (next.bytes, 0, false),
        };
        if channel.begun.is_none() && total > channel.max_item {
            // WELCOME may raise it, and for some channels ACCEPT.
            if self.epoch == 0 || channel.awaits_accept() {
                return self.set_aside(key, next);
            }
            if let Some(item) = self.queue.remove(next.id) {
                self.finish_queued(&item, Outcome::TooBig);
            }
            self.close_if_sent(key);
            return Turn::Next;
        }
        let rest = if is_void { 0 } else { total - sent };
        let credit = channel.send_window.credit();
        let mut bytes = rest.min(credit.saturating_sub(cost(0))).min(u64::from(self.budget.chunk_bytes()));
        if credit < cost(0) || bytes < rest && bytes < LEAST {
            return self.set_aside(key, next);
        }
        let is_blob = next.hosted.is_some_and(|hosted| hosted.kind == HostedKind::Blob);
        if is_blob && rest > 0 {
            let at_hand =
                channel.block.as_ref().map_or(0, |block| (block.at + block.bytes).saturating_sub(sent));
            bytes = bytes.min(at_hand);
            if bytes == 0 || bytes < rest && bytes < LEAST {
                return self.read_block(key, next, total, sent);
            }
        }
        let class = if next.priority == Priority::Urgent { Class::Urgent } else { Class::Other };
        let cut = |bytes| {
            let is_last = is_void || sent + bytes == total;
            let is_text = sent == 0 && !is_void && next.is_text;
            let flags = DataFlags::new(sent == 0 && !is_void, is_last, is_text, is_void);
            Cut { channel: id, bytes, flags, total, class }
        };
        let mut chunk = cut(bytes);
        let space = target.saturating_sub(out.len());
        if !out.is_empty() && chunk.size() > space {
            // The rest of the message is worth a chunk of its own if it is half of one.
            bytes = space.saturating_sub(MOST_HEAD);
            if bytes < LEAST.max(u64::from(self.budget.chunk_bytes()) / 2) || bytes >= rest {
                return Turn::Stop;
            }
            chunk = cut(bytes);
        }
        // While another class is owed its share, urgent items have no overdraft.
        let is_owed = class == Class::Urgent && self.queue.is_due();
        let more = if is_owed { u64::from(self.budget.chunk_bytes()) + 32 } else { 0 };
        if !self.budget.admits(chunk.size() + more, class) {
            self.is_blocked = true;
            return Turn::Stop;
        }
        if !self.log_takes(1, chunk.size()) {
            self.budget.handle_idle();
            return Turn::Stop;
        }
        // A full buffer is the path's doing; one that has to be looked at is nobody's.
        if !self.buffer_takes() {
            return Turn::Stop;
        }
        self.send_chunk(out, key, next, chunk);
        Turn::Next
    }

    /// Hands a chunk over.
    fn send_chunk(&mut self, out: &mut Outgoing, key: ChannelKey, next: &Next, mut chunk: Cut) {
        let size = chunk.size();
        let Cut { channel: id, bytes, total, class, .. } = chunk;
        let (is_first, is_last) = (chunk.flags.is_first(), chunk.flags.is_last());
        let wants_ack = self.budget.wants_ack(size);
        if wants_ack || is_last && class == Class::Urgent {
            chunk.flags = chunk.flags.with_ack();
        }
        let waited_micros = if is_first { self.queue.begin(self.now, next.id) } else { 0 };
        self.queue.charge(next.id, size);
        let mut head = Vec::new();
        let known = (is_first && !is_last).then_some(total);
        #[allow(clippy::cast_possible_truncation, reason = "a chunk has 256 KiB at most")]
        put_data_head(&mut head, self.log.next(), id, chunk.flags, known, bytes as usize);
        if let Some(channel) = self.mux.get_mut(key) {
            channel.send_window.charge(cost(bytes));
        }
        if is_first {
            self.begin(key, next, waited_micros);
        }
        let Some(channel) = self.mux.get_mut(key) else { return };
        let Some(begun) = &mut channel.begun else { return };
        let from = begun.sent;
        begun.sent += bytes;
        let content = match (&begun.source, channel.block) {
            _ if bytes == 0 => None,
            (Some(source), _) => Some((*source, from..from + bytes)),
            (None, Some(block)) => Some((block.source, from - block.at..from - block.at + bytes)),
            (None, None) => None,
        };
        let content = match content {
            Some((source, range)) if bytes <= SMALL && is_first && is_last => {
                match self.sources.get(source) {
                    #[cfg(not(feature = "js"))]
                    Some(Payload::Binary(bytes)) => {
                        head.extend_from_slice(bytes);
                        None
                    }
                    #[cfg(not(feature = "js"))]
                    Some(Payload::Text(text)) => {
                        head.extend_from_slice(text.as_bytes());
                        None
                    }
                    _ => Some((source, range)),
                }
            }
            content => content,
        };
        if !is_last {
            self.hand_over(out, class, head, content, None);
            return;
        }
        let Some(begun) = channel.begun.take() else { return };
        let block = channel.block.take();
        let ends = (!begun.is_void).then_some((Ends::Item(begun.done), id));
        self.hand_over(out, class, head, content, ends);
        self.queue.remove(begun.done.id);
        if begun.is_void {
            self.finish(Done { outcome: Outcome::Unreadable, ..begun.done });
        }
        self.let_go(&begun, block);
        self.close_if_sent(key);
    }

    /// The first chunk of an item goes.
    fn begin(&mut self, key: ChannelKey, next: &Next, waited_micros: u64) {
        // What stays in the queue is a mark of the same size.
        let mark = Hosted { slot: Slot(u32::MAX), kind: mark_of(next), bytes: next.bytes };
        let payload = self.queue.set_content(next.id, Payload::Hosted(mark));
        let slot = payload.slot();
        let is_blob = next.hosted.is_some_and(|hosted| hosted.kind == HostedKind::Blob);
        let source = (!is_blob).then(|| self.sources.insert(payload));
        let item = Done {
            id: next.id,
            ticket: self.queue.ticket_of(next.id),
            outcome: Outcome::Unknown,
            bytes: next.bytes,
            priority: next.priority,
            flow: next.flow,
            waited_micros,
        };
        let blob = if is_blob { slot } else { None };
        if let Some(channel) = self.mux.get_mut(key) {
            channel.begun =
                Some(Begun { done: item, total: next.bytes, sent: 0, source, blob, is_void: false });
        }
    }

    /// Nobody sends anything of this item any more.
    pub(super) fn let_go(&mut self, begun: &Begun, block: Option<Block>) {
        if let Some(source) = begun.source {
            self.release_source(source);
        }
        if let Some(block) = block {
            self.release_source(block.source);
        }
        self.release(begun.blob);
    }

    /// Has the next piece of a Blob read. Until then the channel waits.
    fn read_block(&mut self, key: ChannelKey, next: &Next, total: u64, sent: u64) -> Turn {
        self.fetches += 1;
        let id = self.fetches;
        let range = sent..total.min(sent + BLOCK_BYTES);
        let Some(channel) = self.mux.get_mut(key) else { return Turn::Next };
        let slot =
            channel.begun.as_ref().and_then(|begun| begun.blob).or(next.hosted.map(|hosted| hosted.slot));
        let Some(slot) = slot else { return Turn::Next };
        let old = channel.block.take();
        channel.reading =
            Some(Reading { fetch: id, item: next.id, at: range.start, bytes: range.end - range.start });
        self.set_aside(key, next);
        if let Some(old) = old {
            self.release_source(old.source);
        }
        self.reads.insert(id, key);
        self.pending.push_back(Output::Fetch { id: FetchId(id), slot, range });
        Turn::Stop
    }

    /// See [`handle_fetched`](Self::handle_fetched).
    pub(super) fn fetched(&mut self, id: FetchId, content: Option<Payload>) {
        let key = self.reads.remove(id.0);
        let reading = key
            .and_then(|key| self.mux.get_mut(key))
            .and_then(|channel| channel.reading.take_if(|reading| reading.fetch == id.0));
        let (Some(key), Some(reading)) = (key, reading) else {
            // It has ended meanwhile.
            self.release(content.and_then(|content| content.slot()));
            return;
        };
        let is_queued = self.queue.flow_of(reading.item).is_some();
        match content {
            Some(content) if is_queued && content.bytes() == reading.bytes => {
                let source: SourceKey = self.sources.insert(content);
                if let Some(channel) = self.mux.get_mut(key) {
                    let Reading { item, at, bytes, .. } = reading;
                    channel.block = Some(Block { item, source, at, bytes });
                }
            }
            content => {
                self.release(content.and_then(|content| content.slot()));
                let Some(channel) = self.mux.get_mut(key) else { return };
                match &mut channel.begun {
                    // The peer has a part of it, and is told that nothing will come of it.
                    Some(begun) if begun.done.id == reading.item => begun.is_void = true,
                    _ => {
                        if let Some(item) = self.queue.remove(reading.item) {
                            self.finish_queued(&item, Outcome::Unreadable);
                        }
                        self.close_if_sent(key);
                    }
                }
            }
        }
        self.set_ready(key);
    }
}

/// More than the head of any chunk takes.
const MOST_HEAD: u64 = 24;

impl Cut {
    /// Of the whole record.
    fn size(&self) -> u64 {
        let known = (self.flags.is_first() && !self.flags.is_last()).then_some(self.total);
        #[allow(clippy::cast_possible_truncation, reason = "a chunk has 256 KiB at most")]
        let head = data_head_len(self.channel, self.flags, known, self.bytes as usize);
        head as u64 + self.bytes
    }
}

/// A mark is read as little as what it stands for.
fn mark_of(next: &Next) -> HostedKind {
    next.hosted.map_or(HostedKind::Buffer, |hosted| hosted.kind)
}
