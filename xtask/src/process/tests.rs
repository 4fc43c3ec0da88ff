use std::process::Command;
use std::time::{Duration, Instant};

use super::{End, Job, Wait, capture, descendants, is_alive, show, tee};

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
fn tee_ends_a_child_whose_next_line_is_overdue() {
    let mut seen = Vec::new();
    let end = tee(&mut shell("echo one; echo two; tail -f /dev/null"), Wait::Forever, |line| {
        seen.push(line.to_owned());
        if seen.len() < 2 { Wait::Forever } else { Wait::Until(Instant::now() + Duration::from_millis(50)) }
    });
    assert_eq!(end.unwrap(), End::Overdue);
    assert_eq!(seen, ["one", "two"]);
}

#[test]
fn a_command_is_shown_as_it_is_typed() {
    assert_eq!(show(&shell("true")), "sh -c true");
}
