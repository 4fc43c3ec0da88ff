//! The examples that run in the simulator, as they stand in their files.

use tidegate::Priority;
use tidegate::sim::{Engine, Link, Sim};

#[allow(dead_code, reason = "a program of its own, whose `main` is cargo's to call")]
#[path = "../../../examples/priorities.rs"]
mod priorities;

#[test]
fn the_upload_arrives_whole_and_of_the_positions_those_that_are_worth_it() {
    let sim = Sim::new();
    sim.set_link(Link { bytes_per_second: Some(2_000_000), ..Link::default() });
    sim.set_engine(Some(Engine::Chromium));
    sim.serve("/", |handshake| async {
        let mut peer = handshake.accept(None);
        while peer.recv().await.is_some() {}
    });
    let stats = sim.block_on(priorities::share(&sim));
    let [photo, pointer] = [Priority::Bulk, Priority::Urgent].map(|priority| stats.class(priority).clone());
    assert_eq!((photo.handed_over.messages, photo.handed_over.bytes), (320, 320 * 65_536));
    let ended = [pointer.handed_over, pointer.superseded, pointer.expired].map(|amount| amount.messages);
    assert_eq!(ended.iter().sum::<u64>(), 1_000);
    assert!(ended[0] > 900, "the upload holds few of them up: {ended:?}");
}
