//! The examples that run in the simulator, as they stand in their files.

#[allow(dead_code, unreachable_pub, reason = "`main` is cargo's to call")]
#[path = "../../../examples/priorities.rs"]
mod priorities;

#[test]
fn the_upload_and_the_cursor_both_arrive() {
    priorities::main();
}
