//! Short helper commands.

use std::time::Duration;

use orch::domain::evidence::{SpawnStep, Stream};
use orch::domain::pipeline::Argv;
use orch::domain::plan::Environment;
use orch::exec::{Quick, QuickEnd, QuickError, QuickOutput, quick};
use rustix::io::Errno;

use crate::harness::lives;

fn run(words: &[&str], limit: Duration) -> Result<QuickOutput, QuickError> {
    let argv = Argv::new(words.iter().map(|word| (*word).to_owned()).collect()).unwrap();
    let env = Environment::new([("PATH".to_owned(), "/usr/bin:/bin".to_owned()), ("A".to_owned(), "b".to_owned())]);
    quick(Quick {
        argv: &argv,
        cwd: std::path::Path::new("/tmp"),
        env: &env,
        limit,
        output_max_bytes: 16 * 1024 * 1024,
    })
}

const LONG: Duration = Duration::from_mins(1);

#[test]
fn output_code_folder_and_environment() {
    let output = run(&["sh", "-c", "pwd; echo $A; cat; echo err >&2; exit 3"], LONG).unwrap();
    let expected = QuickOutput { end: QuickEnd::Code(3), stdout: b"/tmp\nb\n".to_vec(), stderr: b"err\n".to_vec() };
    assert_eq!(output, expected);
    assert_eq!(run(&["sh", "-c", "kill -9 $$"], LONG).unwrap().end, QuickEnd::Signal(9));
}

#[test]
fn the_whole_group_is_killed_at_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let mut pids = crate::harness::Words::open(&crate::harness::fifo(&dir.path().join("pids")));
    let script = format!("sleep 300 & echo $! > {}; sleep 300", dir.path().join("pids").display());
    let error = run(&["sh", "-c", &script], Duration::from_millis(300)).unwrap_err();
    assert!(matches!(error, QuickError::TimedOut { limit, .. } if limit == Duration::from_millis(300)));
    let pid = pids.pid();
    crate::harness::await_gone(pid);
    assert!(!lives(pid));
}

#[test]
fn too_much_is_an_error_and_not_a_part() {
    let error = run(&["head", "-c", "20000000", "/dev/zero"], LONG).unwrap_err();
    assert!(matches!(error, QuickError::TooMuch { stream: Stream::Stdout, .. }));
    let output = run(&["head", "-c", "16000000", "/dev/zero"], LONG).unwrap();
    assert_eq!(output.stdout.len(), 16_000_000);
}

#[test]
fn somebody_left_behind_does_not_keep_us() {
    let output = run(&["sh", "-c", "setsid sleep 5 & echo done"], LONG).unwrap();
    assert_eq!((output.end, output.stdout), (QuickEnd::Code(0), b"done\n".to_vec()));
}

#[test]
fn what_does_not_start_says_so() {
    let error = run(&["no-such-program"], LONG).unwrap_err();
    let QuickError::Start(failure) = error else { panic!("{error}") };
    assert_eq!((failure.step, failure.errno), (SpawnStep::Find, Some(Errno::NOENT.raw_os_error())));
}
