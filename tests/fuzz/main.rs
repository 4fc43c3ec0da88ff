//! The inputs that a fuzzer has found worth keeping, played back without one: those of `fuzz/corpus` on the
//! host, and some thousands that a seeded generator makes on every target, wasm32 with it, where `usize` has
//! 32 bits. The targets themselves, and what each promises, are in `fuzz/src`.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a panic fails the test"
)]
#![allow(unreachable_pub, reason = "a test binary has no outside")]

#[path = "../../fuzz/src/lib.rs"]
mod harness;

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// The generator of `java.util.SplittableRandom`.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Runs `target` on every file of its corpus.
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
fn replay(name: &str) {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let (_, target) =
        harness::TARGETS.iter().find(|target| target.0 == name).expect("there is such a target");
    let mut count = 0;
    for entry in std::fs::read_dir(&directory).expect("it has a corpus") {
        let path = entry.expect("it can be read").path();
        let input = std::fs::read(&path).expect("it can be read");
        if let Err(panic) = std::panic::catch_unwind(|| target(&input)) {
            println!("the input is {}", path.display());
            std::panic::resume_unwind(panic);
        }
        count += 1;
    }
    assert!(count > 20, "{count} inputs are not the corpus of {name}");
}

macro_rules! corpora {
    ($($(#[$condition:meta])* $test:ident: $name:literal,)*) => {$(
        $(#[$condition])*
        #[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
        #[test]
        fn $test() {
            replay($name);
        }
    )*};
}

corpora! {
    b59_b60_b61_b65_frames_are_judged_as_the_reference_judges_them: "decoder",
    b64_both_sides_of_the_handshake_agree_whatever_is_said: "handshake",
    b66_b67_connections_lose_nothing_whatever_is_done: "connection",
    #[cfg(feature = "deflate")]
    b60_b61_compressed_messages_arrive_or_are_refused_within_the_limits: "deflate",
    #[cfg(feature = "v1")]
    b58_sessions_agree_with_the_document_whatever_is_done_and_heard: "v1",
    #[cfg(feature = "native")]
    b27_b36_b39_b67_handles_tell_the_truth_whatever_the_stream_does: "transport",
}

/// Inputs that no fuzzer has chosen. What is printed is shown when the test fails: the last line names it.
#[test]
fn b62_no_promise_is_broken_by_some_thousand_random_inputs() {
    for (name, target) in harness::TARGETS {
        for seed in 0..400 {
            let mut rng = Rng(seed);
            let len = usize::try_from(rng.next() % 300).expect("it is small");
            let mut input: Vec<u8> = Vec::new();
            while input.len() < len {
                let word = rng.next().to_le_bytes();
                // Small numbers are more often something that means something.
                let and = [0xff, 0x8f, 0x0f, 0x83][usize::from(word[7] & 3)];
                input.extend(word[..=usize::from(word[6] & 3)].iter().map(|byte| byte & and));
            }
            println!("{name}, seed {seed}");
            target(&input);
        }
    }
}
