use std::process::Command;
use std::time::{Duration, Instant};

use super::memory::{Outgrown, held};
use super::{End, Job, Wait, capture, capture_within, descendants, is_alive, show, tee, tee_within};

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[test]
fn dropping_a_job_ends_its_descendants() {
    let job = Job::start(&mut shell("tail -f /dev/null & tail -f /dev/null & wait")).unwrap();
    let root = job.child.id();
    while descendants(root).len() < 2 {
        std::thread::yield_now();
    }
    let family = descendants(root);
    drop(job);
    assert!(!is_alive(root));
    assert!(family.iter().all(|pid| !is_alive(*pid)), "{family:?}");
}

#[test]
fn the_first_line_of_what_goes_on_running_is_read() {
    let limit = Duration::from_secs(30);
    let (mut job, line) = Job::start_and_read(&mut shell("echo 7; tail -f /dev/null"), limit).unwrap();
    assert_eq!((line.as_str(), job.is_running()), ("7", true));
    assert!(Job::start_and_read(&mut shell("exit 3"), limit).is_err(), "it has ended without a word");
}

#[test]
fn capture_keeps_both_streams_and_the_status() {
    let done = capture(&mut shell("echo out; echo err >&2; exit 3")).unwrap();
    assert_eq!(done.stdout, "out\n");
    assert_eq!(done.stderr, "err\n");
    assert_eq!(done.status.code(), Some(3));
}

#[test]
fn a_program_that_does_not_end_is_ended_and_what_it_wrote_is_told() {
    let mut command = shell("echo out; echo err >&2; tail -f /dev/null");
    let error = capture_within(&mut command, Duration::from_millis(500)).err().unwrap().to_string();
    assert!(error.contains("0.5 s") && error.ends_with("out\nerr\n"), "{error}");
    let done = capture_within(&mut shell("echo out; exit 3"), Duration::from_secs(60)).unwrap();
    assert_eq!((done.stdout.as_str(), done.status.code()), ("out\n", Some(3)));
}

#[test]
fn tee_ends_a_child_whose_next_line_is_overdue() {
    let mut seen = Vec::new();
    let end = tee(&mut shell("echo one; echo two; tail -f /dev/null"), Wait::Forever, |line| {
        seen.push(line.to_owned());
        if seen.len() < 2 { Wait::Forever } else { Wait::Until(Instant::now() + Duration::from_millis(50)) }
    });
    assert_eq!(end.unwrap(), End::Overdue);
    assert_eq!(seen, ["one", "two"]);
}

/// Says `ready` once it holds at least 64 MB in a process below its own, and then goes on running.
const HOLDING: &str =
    r#"sh -c 'x=$(head -c 64000000 /dev/zero | tr "\0" a); echo ready; tail -f /dev/null; echo "$x"' & wait"#;

#[cfg(target_os = "linux")]
#[test]
fn what_a_child_of_a_child_holds_is_counted() {
    let (job, line) = Job::start_and_read(&mut shell(HOLDING), Duration::from_secs(30)).unwrap();
    assert_eq!(line, "ready");
    let root = job.child.id();
    let held_by = held(root);
    assert!((64_000_000..1_000_000_000).contains(&held_by), "{held_by} bytes");
    drop(job);
    assert_eq!(held(root), 0, "it has gone");
}

#[cfg(target_os = "linux")]
#[test]
fn a_child_that_holds_more_than_it_may_is_ended() {
    const BOUND: u64 = 32 << 20;
    let mut family = Vec::new();
    let end = tee_within(Some(BOUND), &mut shell(&format!("echo $$; {HOLDING}")), Wait::Forever, |line| {
        family.extend(
            line.parse::<u32>().ok().into_iter().flat_map(|pid| descendants(pid).into_iter().chain([pid])),
        );
        Wait::Forever
    });
    let End::Outgrown(Outgrown { held, bound: BOUND }) = end.unwrap() else { panic!("it was not ended") };
    assert!(held > BOUND && held < 1_000_000_000, "{held} bytes");
    assert!(!family.is_empty() && family.iter().all(|pid| !is_alive(*pid)), "{family:?}");
}

#[test]
fn a_child_that_holds_less_goes_on_to_its_end() {
    for bound in [Some(1 << 30), None] {
        let end = tee_within(bound, &mut shell("exit 3"), Wait::Forever, |_| Wait::Forever);
        assert!(matches!(end.unwrap(), End::Exited(status) if status.code() == Some(3)));
    }
}

#[test]
fn a_command_is_shown_as_it_is_typed() {
    assert_eq!(show(&shell("true")), "sh -c true");
}
