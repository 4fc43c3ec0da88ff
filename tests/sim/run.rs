//! Does what a plan says, and notes what came of it.

use core::cell::{Cell, RefCell};
use core::pin::pin;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::rc::Rc;

use futures_util::future::{AbortHandle, Abortable, Either, select};
use futures_util::{FutureExt as _, StreamExt as _};
use tidegate::sim::{Peer, Sim};
use tidegate::{
    BinaryType, Blob, Client, CloseOptions, Closed, Message, Outcome, Priority, SendError, Sender, Stats,
    Ticket,
};

use crate::peer::{self, Arrival, content};
use crate::plan::{After, End, Plan, Reader, Send, Step, Way};
use crate::watch::Watch;

/// What became of one message.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) send: Send,
    /// When `send` was called, from which its deadline counts.
    pub(crate) called: Duration,
    /// How many were queued before it, and when it was; `None` if it never was.
    pub(crate) queued: Option<(u64, Duration)>,
    /// As its ticket says, and when it did; `None` if nobody has asked.
    pub(crate) outcome: Option<(Outcome, Duration)>,
    pub(crate) urgent: Option<Moment>,
}

/// What lay before an urgent message when it was queued.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// No other urgent one was queued.
    pub(crate) is_alone: bool,
    pub(crate) budget: u64,
    pub(crate) hidden: u64,
    /// What the page could see in the browser.
    pub(crate) standing: u64,
}

/// Everything that a run has shown.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) plan: Plan,
    pub(crate) records: Vec<Record>,
    pub(crate) arrivals: Vec<Arrival>,
    /// The peer has read everything that was sent.
    pub(crate) has_read_all: bool,
    /// How many tasks the driver has asked for: timers and hops.
    pub(crate) tasks: u64,
    pub(crate) closed: Option<Closed>,
    pub(crate) stats: Stats,
    /// How the last sender shows itself after the end, if it was kept.
    pub(crate) remains: Option<String>,
    pub(crate) ended: Duration,
    /// What was wrong while it went on.
    pub(crate) faults: Vec<String>,
}

/// No run may take longer: the longest ones crawl for minutes in a page that was forgotten.
const FOR_EVER: Duration = Duration::from_secs(4 * 3_600);

/// What the tasks of a run have in common.
pub(crate) struct Shared {
    pub(crate) sim: Sim,
    pub(crate) plan: Plan,
    pub(crate) records: RefCell<Vec<Record>>,
    pub(crate) arrivals: RefCell<Vec<Arrival>>,
    pub(crate) watch: RefCell<Watch>,
    pub(crate) peer: RefCell<Option<Peer>>,
    /// For looking at; a handle as others are.
    pub(crate) sender: RefCell<Option<Sender>>,
    pub(crate) queued: Cell<u64>,
    pub(crate) active: Cell<usize>,
    pub(crate) has_read_all: Cell<bool>,
    pub(crate) is_closing: Cell<bool>,
    /// Who waits for one of the above.
    pub(crate) waker: RefCell<Option<Waker>>,
}

/// Runs a plan.
pub(crate) fn run(plan: &Plan) -> Trace {
    let sim = Sim::new();
    sim.set_link(plan.link.clone());
    sim.set_engine(Some(plan.engine));
    sim.set_seed(plan.seed);
    let record = |send| Record { send, called: Duration::ZERO, queued: None, outcome: None, urgent: None };
    let shared = Rc::new(Shared {
        sim: sim.clone(),
        plan: plan.clone(),
        records: RefCell::new(plan.sends().into_iter().map(record).collect()),
        arrivals: RefCell::default(),
        watch: RefCell::new(Watch::new(plan)),
        peer: RefCell::default(),
        sender: RefCell::default(),
        queued: Cell::new(0),
        active: Cell::new(plan.senders.len()),
        has_read_all: Cell::new(false),
        is_closing: Cell::new(false),
        waker: RefCell::default(),
    });
    peer::serve(&shared);
    let weak = Rc::downgrade(&shared);
    sim.watch_pages(move |task| {
        let Some(shared) = weak.upgrade() else { return };
        let queued = shared.sender.borrow().as_ref().map(|sender| sender.queued().messages);
        let amounts = shared.amounts();
        // While it closes there are deadlines of other kinds.
        let is_idle = queued == Some(0) && !shared.is_closing.get();
        shared.watch.borrow_mut().page_task(task, shared.sim.elapsed(), is_idle, amounts);
    });
    let (closed, stats, remains) = sim.block_on(drive(shared.clone()));
    let ended = sim.elapsed();
    let mut watch = shared.watch.borrow_mut();
    Trace {
        plan: plan.clone(),
        records: shared.records.take(),
        arrivals: shared.arrivals.take(),
        has_read_all: shared.has_read_all.get(),
        closed,
        stats,
        remains,
        ended,
        tasks: watch.tasks,
        faults: core::mem::take(&mut watch.faults),
    }
}

async fn drive(shared: Rc<Shared>) -> (Option<Closed>, Stats, Option<String>) {
    let (sim, plan) = (shared.sim.clone(), shared.plan.clone());
    let blobs: Vec<Send> = plan.sends().into_iter().filter(|send| send.is_blob).collect();
    let mut builder = Client::builder("ws://sim/").send_limits(plan.limits).guaranteed_share(plan.share);
    builder = builder.max_bytes_per_second(plan.bytes_per_second);
    if !blobs.is_empty() {
        builder = builder.binary_type(BinaryType::Blob);
    }
    let client = builder.connect_in(&sim).await.expect("it opens");
    let mut files = Vec::new();
    for _ in &blobs {
        let Some(Message::Blob(blob)) = client.recv().await else { panic!("no Blob") };
        files.push(blob);
    }
    let files: Vec<(usize, Blob)> = blobs.iter().map(|send| send.id).zip(files).collect();
    let (sender, receiver) = client.split();
    drop(client);
    *shared.sender.borrow_mut() = Some(sender.clone());

    let (of, mut changes) = (shared.clone(), sender.stats_changes());
    let last = Rc::new(RefCell::new(Stats::default()));
    let newest = last.clone();
    sim.spawn(async move {
        while let Some(stats) = changes.next().await {
            let amounts = of.amounts();
            of.watch.borrow_mut().stats_changed(&stats, amounts, of.sim.elapsed());
            *newest.borrow_mut() = stats;
        }
    });
    if plan.end == End::DropHandles {
        drop(receiver);
    } else {
        let told = plan.acknowledges.map(|_| sender.clone());
        sim.spawn(async move {
            while let Some(message) = receiver.recv().await {
                let upto = message.as_text().and_then(|text| text.parse().ok());
                if let (Some(told), Some(upto)) = (&told, upto) {
                    told.acknowledged(upto);
                }
            }
        });
    }
    befall(&shared);

    let files = Rc::new(RefCell::new(files));
    let mut aborts = Vec::new();
    for steps in plan.senders.clone() {
        let (abort, registration) = AbortHandle::new_pair();
        aborts.push(abort);
        let of = shared.clone();
        let task = Abortable::new(perform(of.clone(), sender.clone(), steps, files.clone()), registration);
        sim.spawn(async move {
            let _ = task.await;
            of.active.set(of.active.get() - 1);
            of.wake();
        });
    }
    let ready = shared.wait(|shared| shared.active.get() == 0);
    select(pin!(ready), pin!(sim.sleep(plan.end_at))).await;

    let closed = sender.closed();
    shared.is_closing.set(true);
    let mut kept = Some(sender);
    match plan.end {
        End::Close { flush, within } => {
            let options = CloseOptions::default().code(4000).within(within);
            let options = if flush { options } else { options.drop_queued() };
            drop(kept.as_ref().map(|sender| sender.close_with(options)));
        }
        End::Finish(within) => drop(kept.as_ref().map(|sender| sender.end(Some(within)))),
        End::DropHandles => {
            aborts.iter().for_each(AbortHandle::abort);
            kept = None;
            shared.sender.take();
        }
        End::PeerCloses => {
            if let Some(peer) = shared.peer.borrow_mut().as_mut() {
                peer.close(4100, "");
            }
        }
        End::Cut => drop(shared.peer.take()),
    }
    let closed = match select(pin!(closed), pin!(sim.sleep(FOR_EVER))).await {
        Either::Left((closed, _)) => Some(closed),
        Either::Right(_) => None,
    };
    let goes_on = plan.end != End::Cut && !matches!(plan.reader, Reader::Stops { lasts: None, .. });
    if goes_on && closed.is_some() {
        let rest = shared.wait(|shared| shared.has_read_all.get());
        select(pin!(rest), pin!(sim.sleep(FOR_EVER))).await;
    }
    // The tasks that wait for an outcome, and the senders, of which one may wait in a pause of its own.
    sim.sleep(Duration::from_secs(60)).await;
    let stats = kept.as_ref().map_or_else(|| last.borrow().clone(), Sender::stats);
    files.take();
    (closed, stats, kept.map(|sender| format!("{sender:?}")))
}

/// What happens to the page and to files.
fn befall(shared: &Rc<Shared>) {
    let sim = &shared.sim;
    if let Some((from, lasts)) = shared.plan.hidden {
        let (clock, of) = (sim.clone(), shared.clone());
        sim.spawn(async move {
            clock.sleep(from).await;
            of.watch.borrow_mut().set_hidden(true);
            clock.set_hidden(true);
            clock.sleep(lasts).await;
            of.watch.borrow_mut().set_hidden(false);
            clock.set_hidden(false);
        });
    }
    if let Some(at) = shared.plan.vanish {
        let clock = sim.clone();
        sim.spawn(async move {
            clock.sleep(at).await;
            clock.vanish_blobs();
        });
    }
}

impl Shared {
    /// What the client's browser shows and holds; `None` once the peer is gone.
    fn amounts(&self) -> Option<tidegate::sim::Amounts> {
        self.peer.borrow().as_ref().and_then(Peer::client_amounts)
    }

    /// Waits until something holds of which somebody tells by [`wake`](Self::wake).
    async fn wait(&self, holds: impl Fn(&Self) -> bool) {
        core::future::poll_fn(|cx| {
            if holds(self) {
                return Poll::Ready(());
            }
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    pub(crate) fn wake(&self) {
        let waker = self.waker.take();
        waker.into_iter().for_each(Waker::wake);
    }

    /// A message is queued.
    fn note_queued(self: &Rc<Self>, send: &Send, called: Duration, sender: &Sender, ticket: Ticket) {
        let order = self.queued.get();
        self.queued.set(order + 1);
        {
            let mut records = self.records.borrow_mut();
            let record = &mut records[send.id];
            (record.called, record.queued) = (called, Some((order, self.sim.elapsed())));
            if send.priority == Priority::Urgent
                && let Some(amounts) = self.amounts()
            {
                let stats = sender.stats();
                record.urgent = Some(Moment {
                    is_alone: stats.class(Priority::Urgent).queued.messages == 1,
                    budget: stats.budget_bytes,
                    hidden: amounts.hidden,
                    standing: amounts.buffered,
                });
            }
        }
        let (id, of) = (send.id, self.clone());
        match send.after {
            After::Drop => drop(ticket),
            After::Hold => self.sim.spawn(async move { of.note_outcome(id, ticket.await) }),
            After::Cancel(after) if after.is_zero() => {
                ticket.cancel();
                self.sim.spawn(async move { of.note_outcome(id, ticket.await) });
            }
            After::Cancel(after) => self.sim.spawn(async move {
                let outcome = match select(ticket, pin!(of.sim.sleep(after))).await {
                    Either::Left((outcome, _)) => outcome,
                    Either::Right(((), ticket)) => {
                        ticket.cancel();
                        ticket.await
                    }
                };
                of.note_outcome(id, outcome);
            }),
        }
    }

    fn note_outcome(&self, id: usize, outcome: Outcome) {
        let earlier = self.records.borrow_mut()[id].outcome.replace((outcome, self.sim.elapsed()));
        assert!(earlier.is_none(), "I9: {id} has ended twice");
    }
}

/// One sender.
async fn perform(
    shared: Rc<Shared>,
    sender: Sender,
    steps: Vec<Step>,
    files: Rc<RefCell<Vec<(usize, Blob)>>>,
) {
    for step in steps {
        let send = match step {
            Step::Pause(time) => {
                shared.sim.sleep(time).await;
                continue;
            }
            Step::Flush => {
                let _ = sender.flushed().await;
                continue;
            }
            Step::Drain => {
                let _ = sender.drained().await;
                continue;
            }
            Step::Send(send) => send,
        };
        let file = files.borrow_mut().iter().position(|(id, _)| *id == send.id);
        let message = match file {
            Some(at) => Message::from(files.borrow_mut().remove(at).1),
            None if send.is_text => {
                Message::Text(String::from_utf8(content(send.id, send.bytes)).expect("letters"))
            }
            None => Message::Binary(content(send.id, send.bytes)),
        };
        let mut called = shared.sim.elapsed();
        let taken = match send.way {
            Way::Try => sender.try_send_with(message, send.options()),
            Way::Wait => sender.send_with(message, send.options()).await,
            Way::Dropped => match sender.send_with(message, send.options()).now_or_never() {
                Some(taken) => taken,
                None => continue,
            },
            Way::Reserved(time) => {
                let Ok(permit) = sender.reserve(send.bytes as u64, send.options()).await else { continue };
                shared.sim.sleep(time).await;
                called = shared.sim.elapsed();
                permit.send(message)
            }
        };
        match taken {
            Ok(ticket) => shared.note_queued(&send, called, &sender, ticket),
            Err(SendError::Full(back) | SendError::Closed(back)) => {
                if back.size() != send.bytes as u64 {
                    shared
                        .watch
                        .borrow_mut()
                        .faults
                        .push(format!("B28: {back:?} was given back for {send:?}"));
                }
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}
