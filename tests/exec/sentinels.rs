//! No start fails in silence: each kind leaves its sentinel and its exit record within a second.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use orch::domain::evidence::{Exit, SpawnStep};
use orch::exec::{Launch, NotStarted, Sentinel, Supervisor, sentinels};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use crate::harness::{Lab, ORCH, launch, script, tool};

const AT_MOST: Duration = Duration::from_secs(1);

fn clock() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(now.tv_sec.try_into().unwrap(), now.tv_nsec.try_into().unwrap())
}

/// The one sentinel of an attempt; its file is private and says what the record says.
fn sentinel(run_dir: &Path, launch: &Launch) -> Sentinel {
    let found: Vec<Sentinel> =
        sentinels(run_dir).into_iter().filter(|sentinel| sentinel.attempt == launch.attempt).collect();
    let [sentinel] = found.as_slice() else { panic!("{found:?} for {launch:?}") };
    let file = run_dir.join(format!("{}.spawn.error", launch.attempt));
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(sentinel.command, launch.argv.program());
    sentinel.clone()
}

/// A launch that has to fail under a supervisor that lives.
#[track_caller]
fn fails(lab: &mut Lab, launch: &Launch, step: SpawnStep, errno: Errno) {
    let since = clock();
    let record = lab.run(launch);
    let took = clock().saturating_sub(since);
    let Exit::SpawnFailed(failure) = &record.exit else { panic!("{launch:?}: {:?}", record.exit) };
    let told = sentinel(&lab.run_dir(), launch);
    assert_eq!((failure.step, failure.errno), (step, Some(errno.raw_os_error())), "{launch:?}");
    assert_eq!((told.step, told.errno, &told.subject), (failure.step, failure.errno, &failure.subject));
    assert!(took < AT_MOST, "{launch:?} took {took:?}");
}

/// A supervisor that has to fail for its first attempt.
#[track_caller]
fn fails_before(program: &Path, run_dir: &Path, errno: Errno) {
    let launch = launch(Path::new("/"), &["true"]);
    let since = clock();
    let failure = match Supervisor::start_for(program, run_dir, &launch) {
        Err(NotStarted::Failed(failure)) => failure,
        other @ (Ok(_) | Err(NotStarted::Untold(_))) => panic!("{other:?}"),
    };
    let took = clock().saturating_sub(since);
    assert_eq!((failure.step, failure.errno), (SpawnStep::Supervisor, Some(errno.raw_os_error())));
    let told = sentinel(run_dir, &launch);
    assert_eq!((told.step, told.errno, &told.subject), (failure.step, failure.errno, &failure.subject));
    assert!(took < AT_MOST, "{took:?}");
}

#[test]
fn programs_that_cannot_be_started() {
    let mut lab = Lab::new();
    let work = lab.work();
    fs::write(work.join("data"), "text").unwrap();
    fs::create_dir(work.join("folder")).unwrap();
    script(&work, "no-interpreter", "#!/nowhere/sh\n");
    script(&work, "no-format", "echo a shell would run this\n");
    fs::copy("/bin/true", work.join("busy")).unwrap();
    let _writing = fs::OpenOptions::new().append(true).open(work.join("busy")).unwrap();
    let long = "x".repeat(200_000);
    let cases: [(&[&str], SpawnStep, Errno); 7] = [
        (&["no-such-program"], SpawnStep::Find, Errno::NOENT),
        (&["./data"], SpawnStep::Find, Errno::ACCESS),
        (&["./folder"], SpawnStep::Find, Errno::ACCESS),
        (&["./no-interpreter"], SpawnStep::Exec, Errno::NOENT),
        (&["./no-format"], SpawnStep::Exec, Errno::NOEXEC),
        (&["true", &long], SpawnStep::Exec, Errno::TOOBIG),
        (&["./busy"], SpawnStep::Exec, Errno::TXTBSY),
    ];
    for (words, step, errno) in cases {
        let launch = lab.launch(words);
        fails(&mut lab, &launch, step, errno);
    }
    let sound = lab.launch(&["true"]);
    assert_eq!(lab.run(&sound).exit, Exit::Exited { code: 0 });
    assert_eq!(sentinels(&lab.run_dir()).len(), cases.len(), "what starts leaves none");
}

#[test]
fn folders_that_cannot_be_worked_in() {
    let mut lab = Lab::as_nobody();
    let work = lab.work();
    fs::write(work.join("file"), "").unwrap();
    fs::create_dir(work.join("locked")).unwrap();
    fs::set_permissions(work.join("locked"), fs::Permissions::from_mode(0o000)).unwrap();
    for (name, errno) in [("gone", Errno::NOENT), ("file", Errno::NOTDIR), ("locked", Errno::ACCESS)] {
        let launch = Launch { cwd: work.join(name), ..lab.launch(&["true"]) };
        fails(&mut lab, &launch, SpawnStep::Cwd, errno);
    }
    fs::set_permissions(work.join("locked"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn machines_without_room() {
    let mut lab = Lab::as_nobody();
    lab.limit_of_supervisor("--nproc", 1);
    let launch = lab.launch(&["true"]);
    fails(&mut lab, &launch, SpawnStep::Fork, Errno::AGAIN);
    lab.limit_of_supervisor("--nproc", 1000);
    // The supervisor has no descriptor for a sentinel either: the runner writes it.
    let mut lab = Lab::new();
    let fds = fs::read_dir(format!("/proc/{}/fd", lab.supervisor.pid())).unwrap().count();
    lab.limit_of_supervisor("--nofile", fds);
    let launch = lab.launch(&["true"]);
    fails(&mut lab, &launch, SpawnStep::Cwd, Errno::MFILE);
}

#[test]
fn supervisors_that_cannot_be() {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = |name: &str| {
        let path = dir.path().join(name);
        fs::create_dir(&path).unwrap();
        path
    };
    fails_before(Path::new("/no/such/orch"), &run_dir("missing"), Errno::NOENT);
    fails_before(Path::new("/etc/passwd"), &run_dir("not-executable"), Errno::ACCESS);
    fails_before(Path::new("/bin/true"), &run_dir("another-program"), Errno::PROTO);
    let no_log = run_dir("no-log");
    fs::create_dir(no_log.join("stdout.log")).unwrap();
    fails_before(Path::new(ORCH), &no_log, Errno::ISDIR);
    let no_records = run_dir("no-records");
    fs::create_dir(no_records.join("exits.jsonl")).unwrap();
    fails_before(Path::new(ORCH), &no_records, Errno::ISDIR);
    // 1 MiB of addresses: its own program does not fit.
    let prlimit = tool("prlimit", "util-linux");
    let tight =
        script(dir.path(), "tight", &format!("#!/bin/sh\nexec {} --as=1048576 {ORCH} \"$@\"\n", prlimit.display()));
    fails_before(&tight, &run_dir("no-memory"), Errno::PROTO);
}

#[test]
fn a_run_folder_that_nothing_can_be_written_to_is_told_by_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let launch = launch(Path::new("/"), &["true"]);
    let untold = |run_dir: &Path| match Supervisor::start_for(Path::new(ORCH), run_dir, &launch) {
        Err(NotStarted::Untold(error)) => error,
        other @ (Ok(_) | Err(NotStarted::Failed(_))) => panic!("{other:?}"),
    };
    let error = untold(&dir.path().join("gone"));
    assert!(error.to_string().contains("`true` could not be started"), "{error}");
    // A file system that takes nothing from anybody, root included.
    let error = untold(Path::new("/proc/self"));
    assert!(error.to_string().contains("`true` could not be started"), "{error}");
}
