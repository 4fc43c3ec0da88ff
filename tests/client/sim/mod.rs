//! The simulated network, and the tests on it.

mod blobs;
mod browsers;
mod examples;
mod links;
mod net;
mod server;
mod wakers;

use net::SimNet;

macro_rules! run {
    ($module:ident: $($case:ident,)*) => {
        mod $module {
            $(
                #[test]
                fn $case() {
                    let net = super::SimNet::new();
                    net.sim.block_on(crate::suite::$module::$case(&net));
                }
            )*
        }
    };
}
crate::suite::for_every_transport!(run);
crate::suite::for_transports_that_take_everything!(run);
crate::suite::for_transports_with_a_task!(run);
