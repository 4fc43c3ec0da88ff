//! What the plan has for a run to go through.

use crate::plan::Fault;
use crate::records::RESUME;
use crate::world::World;

impl World {
    pub(crate) fn fault(&mut self, fault: Fault) {
        let now = self.now;
        self.note(|| format!("{fault:?}"));
        // Faults of a connection are for the newest one.
        let newest = self.connections.last_mut();
        match fault {
            Fault::Cut { told, code } => {
                if let Some(connection) = newest {
                    connection.cut(now, told, code, false);
                }
            }
            Fault::Dies { direction } => {
                if let Some(connection) = newest {
                    connection.pipes[direction].cut(false);
                }
            }
            Fault::GivesUp { again } => {
                let Some(place) = self.place(0).filter(|_| self.stalled[0] <= now) else { return };
                self.gives_up_again = again;
                self.happened.push("given up");
                self.lost(place, 0, 1006);
                let late = self.random.between(0, 3_000_000);
                let connection = &mut self.connections[place];
                if let Some(at) = connection.pipes[0].arrives(now) {
                    connection.tell(1, at + late, 1006);
                }
            }
            Fault::LosesResumed => {
                self.loses_resumed += 1;
                if let Some(connection) = newest {
                    connection.cut(now, [0; 2], 1006, false);
                }
            }
            Fault::Forgets => {
                if self.is_over(1) || self.ends[1].epochs.is_empty() {
                    return;
                }
                self.happened.push("forgotten");
                self.is_forgotten = true;
                self.is_dirty[1] = false;
                if let Some(place) = self.place(1) {
                    let connection = &mut self.connections[place];
                    connection.closed[1] = true;
                    connection.cut(now, [0; 2], 1006, false);
                }
                self.at[1] = None;
            }
            Fault::Jumps { which, by } => {
                self.happened.push("jumped");
                self.ends[which].ahead += by;
                self.ends[which].late += by;
                let at = self.clock(which);
                self.ends[which].session.handle_probe(at);
                self.is_dirty[which] = true;
            }
            Fault::Stalls { which, lasts } => {
                self.happened.push("stalled");
                self.stalled[which] = now + lasts;
                self.ends[which].late = self.ends[which].late.max(self.plan.late[which] + lasts);
            }
            Fault::TakesOver => self.take_over(),
            Fault::ShutsDown { drain_ms } => {
                if self.is_over(1) {
                    return;
                }
                self.happened.push("shut down");
                self.wire.go_away(1);
                self.ends[1].shut_down(now, drain_ms, |name| self.wire.has_opened(name));
                self.is_dirty[1] = true;
            }
            Fault::Closes { which, within_ms } => {
                if self.is_over(which) {
                    return;
                }
                self.happened.push("closed early");
                self.wire.go_away(which);
                self.ends[which].close(now, within_ms);
                self.is_dirty[which] = true;
            }
        }
    }

    /// Somebody else who has the token resumes the session, and then says nothing more.
    fn take_over(&mut self) {
        if self.is_over(1)
            || self.ends[1].epochs.is_empty()
            || self.plan.ttl == 0
            || self.stalled[1] > self.now
        {
            return;
        }
        self.happened.push("taken over");
        self.may_be_superseded = true;
        let place = self.open();
        let (number, has) = (self.connections[place].number, self.wire.arrived_of(1));
        self.wire.claim(number, has);
        self.connections[place].closed[0] = true;
        let next = self.wire.arrived_of(0) + 1;
        let mut body = vec![1, 32];
        body.extend(self.ends[1].session.token().expect("it can be resumed").0);
        for value in [has, next, next] {
            body.extend(short(value));
        }
        let message = [&[RESUME, body.len() as u8], &body[..]].concat();
        self.give(place, 1, &message);
    }
}

/// A small number as the protocol has it.
fn short(value: u64) -> Vec<u8> {
    match value {
        0..=0x3f => vec![value as u8],
        0x40..=0x3fff => (value as u16 | 0x4000).to_be_bytes().to_vec(),
        _ => (value as u32 | 0x8000_0000).to_be_bytes().to_vec(),
    }
}
