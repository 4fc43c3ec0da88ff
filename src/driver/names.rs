//! Numbers for the names of flows that have something queued.

use std::collections::HashMap;

use crate::proto::Flow;

/// Flow 0 has no name. The others get the lowest numbers that are free.
#[derive(Debug, Default)]
pub(super) struct FlowNames {
    flows: HashMap<Box<str>, Flow>,
    /// The name of each flow from 1 on.
    names: Vec<Box<str>>,
    free: Vec<Flow>,
}

impl FlowNames {
    /// The flow of a name, if it has one.
    pub(super) fn find(&self, name: Option<&str>) -> Option<Flow> {
        match name {
            None => Some(Flow::default()),
            Some(name) => self.flows.get(name).copied(),
        }
    }

    /// The flow of a name.
    pub(super) fn get(&mut self, name: Option<&str>) -> Flow {
        if let Some(flow) = self.find(name) {
            return flow;
        }
        let name: Box<str> = name.unwrap_or_default().into();
        let flow = self.free.pop().unwrap_or_else(|| {
            self.names.push(Box::default());
            Flow(u32::try_from(self.names.len()).expect("each has a message queued"))
        });
        if let Some(place) = self.names.get_mut(flow.0 as usize - 1) {
            place.clone_from(&name);
        }
        self.flows.insert(name, flow);
        flow
    }

    /// How many names there are.
    pub(super) fn count(&self) -> usize {
        self.flows.len()
    }

    /// Nothing is queued in a flow any more.
    pub(super) fn release(&mut self, flow: Flow) {
        let place = (flow.0 as usize).checked_sub(1).and_then(|at| self.names.get_mut(at));
        if let Some(name) = place
            && self.flows.remove(&core::mem::take(name)).is_some()
        {
            self.free.push(flow);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_used_again_and_stay_with_their_names() {
        let mut names = FlowNames::default();
        assert_eq!(names.get(None), Flow(0));
        assert_eq!(
            [names.get(Some("a")), names.get(Some("b")), names.get(Some("a"))].map(|flow| flow.0),
            [1, 2, 1]
        );
        names.release(Flow(0));
        names.release(Flow(1));
        names.release(Flow(1));
        assert_eq!(names.find(Some("a")), None);
        assert_eq!(
            [names.get(Some("")), names.get(Some("c")), names.get(Some("b"))].map(|flow| flow.0),
            [1, 3, 2]
        );
    }
}
