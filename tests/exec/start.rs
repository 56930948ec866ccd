//! Starts that fail, each by its own name.

use std::time::Duration;

use orch::domain::evidence::{Exit, ExitRecord, KillTier, SpawnFailure, SpawnStep};
use orch::domain::pipeline::{Argv, ArgvError};
use orch::domain::plan::Environment;
use orch::exec::{Launch, Supervisor};
use rustix::io::Errno;

use crate::harness::{Lab, ORCH, script};

/// What a start came to; a failed one left no process, no output, no mark, and took no time.
fn failure(record: &ExitRecord) -> (SpawnStep, Errno, &str) {
    let Exit::SpawnFailed(SpawnFailure { step, errno, subject }) = &record.exit else { panic!("{:?}", record.exit) };
    assert!(!record.began);
    assert_eq!((record.stdout.bytes, record.stderr.bytes), (0, 0));
    assert!(record.elapsed < Duration::from_secs(1), "{:?}", record.elapsed);
    (*step, Errno::from_raw_os_error(errno.unwrap()), subject)
}

#[test]
fn what_cannot_be_started_says_which_step_and_why() {
    let mut lab = Lab::new();
    let work = lab.work();
    std::fs::write(work.join("data"), "text").unwrap();
    script(&work, "no-interpreter", "#!/nowhere/sh\n");
    script(&work, "no-format", "echo a shell would run this\n");
    script(&work, "folder-interpreter", "#!/etc\n");
    std::fs::create_dir(work.join("folder")).unwrap();
    let cases: [(&[&str], SpawnStep, Errno); 9] = [
        (&["no-such-program"], SpawnStep::Find, Errno::NOENT),
        (&["./no-such-program"], SpawnStep::Find, Errno::NOENT),
        (&["/no/such/program"], SpawnStep::Find, Errno::NOENT),
        (&["./data"], SpawnStep::Find, Errno::ACCESS),
        (&["./folder"], SpawnStep::Find, Errno::ACCESS),
        (&["./data/x"], SpawnStep::Find, Errno::NOTDIR),
        (&["./no-interpreter"], SpawnStep::Exec, Errno::NOENT),
        (&["./no-format"], SpawnStep::Exec, Errno::NOEXEC),
        (&["./folder-interpreter"], SpawnStep::Exec, Errno::ACCESS),
    ];
    for (words, step, errno) in cases {
        let record = lab.run(&lab.launch(words));
        assert_eq!(failure(&record), (step, errno, words[0]), "{words:?}");
    }
    let record = lab.run(&lab.launch(&["true", &"x".repeat(200_000)]));
    assert_eq!(failure(&record), (SpawnStep::Exec, Errno::TOOBIG, "true"));
    assert_eq!(lab.run(&lab.launch(&["true"])).exit, Exit::Exited { code: 0 }, "and then it works");
}

#[test]
fn a_program_that_is_being_written_is_busy() {
    let mut lab = Lab::new();
    let path = lab.work().join("busy");
    std::fs::copy("/bin/true", &path).unwrap();
    let _writing = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    let record = lab.run(&lab.launch(&["./busy"]));
    assert_eq!(failure(&record), (SpawnStep::Exec, Errno::TXTBSY, "./busy"));
}

#[test]
fn a_working_folder_that_is_not_one() {
    let mut lab = Lab::new();
    let work = lab.work();
    std::fs::write(work.join("file"), "").unwrap();
    let gone = work.join("gone");
    for (cwd, errno) in
        [(gone.clone(), Errno::NOENT), (work.join("file"), Errno::NOTDIR), ("work".into(), Errno::INVAL)]
    {
        let launch = Launch { cwd: cwd.clone(), ..lab.launch(&["true"]) };
        let record = lab.run(&launch);
        assert_eq!(failure(&record), (SpawnStep::Cwd, errno, &*cwd.to_string_lossy()));
    }
    std::fs::create_dir(&gone).unwrap();
    let launch = |lab: &Lab| Launch { cwd: gone.clone(), ..lab.sh("rmdir ../gone") };
    assert_eq!(lab.run(&launch(&lab)).exit, Exit::Exited { code: 0 });
    assert_eq!(failure(&lab.run(&launch(&lab))).0, SpawnStep::Cwd);
}

#[test]
fn the_childs_own_path_is_searched() {
    let mut lab = Lab::new();
    let bin = lab.work().join("bin");
    std::fs::create_dir(&bin).unwrap();
    script(&bin, "tool", "#!/bin/sh\necho $0\n");
    let with = |path: Option<&str>| Launch {
        env: Environment::new(path.map(|path| ("PATH".to_owned(), path.to_owned()))),
        ..lab.launch(&["tool"])
    };
    let (found, elsewhere, none) = (with(bin.to_str()), with(Some("/usr/bin")), with(None));
    let record = lab.run(&found);
    assert_eq!(lab.stdout(&record), format!("{}\n", bin.join("tool").display()).as_bytes());
    for launch in [elsewhere, none] {
        assert_eq!(failure(&lab.run(&launch)), (SpawnStep::Find, Errno::NOENT, "tool"));
    }
    let record = lab.run(&lab.launch(&["bin/tool"]));
    assert_eq!(lab.stdout(&record), b"bin/tool\n", "the word as it was given");
}

#[test]
fn nul_bytes_are_refused_before_anything_starts() {
    assert_eq!(Argv::new(vec!["true".into(), "a\0b".into()]), Err(ArgvError::Nul(1)));
    let mut lab = Lab::new();
    for (name, value) in [("A", "x\0y"), ("A=B", "x"), ("", "x")] {
        let launch = Launch {
            env: Environment::new([("PATH".into(), "/bin".into()), (name.into(), value.into())]),
            ..lab.launch(&["true"])
        };
        assert_eq!(failure(&lab.run(&launch)), (SpawnStep::Exec, Errno::INVAL, name));
    }
}

#[test]
fn no_descriptors_left() {
    let mut lab = Lab::new();
    let fds = std::fs::read_dir(format!("/proc/{}/fd", lab.supervisor.pid())).unwrap().count();
    // Room for the working folder, one pipe, and half of the next.
    for spare in 1..6 {
        lab.limit_of_supervisor("--nofile", fds + spare);
        let record = lab.run(&lab.launch(&["true"]));
        assert_eq!(failure(&record), (SpawnStep::Output, Errno::MFILE, "pipe"), "{spare}");
    }
    lab.limit_of_supervisor("--nofile", 1000);
    assert_eq!(lab.run(&lab.launch(&["true"])).exit, Exit::Exited { code: 0 });
}

#[test]
fn no_processes_left() {
    let mut lab = Lab::as_nobody();
    lab.limit_of_supervisor("--nproc", 1);
    let record = lab.run(&lab.launch(&["true"]));
    assert_eq!(failure(&record), (SpawnStep::Fork, Errno::AGAIN, "true"));
    lab.limit_of_supervisor("--nproc", 1000);
    assert_eq!(lab.run(&lab.launch(&["true"])).exit, Exit::Exited { code: 0 });
}

#[test]
fn somebody_elses_files_are_told_apart() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut lab = Lab::as_nobody();
    let locked = lab.work().join("locked");
    std::fs::create_dir(&locked).unwrap();
    script(&locked, "tool", "#!/bin/sh\n");
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o000)).unwrap();
    let launch = Launch { cwd: locked.clone(), ..lab.launch(&["./tool"]) };
    assert_eq!(failure(&lab.run(&launch)), (SpawnStep::Cwd, Errno::ACCESS, &*locked.to_string_lossy()));
    assert_eq!(failure(&lab.run(&lab.launch(&["locked/tool"]))), (SpawnStep::Find, Errno::ACCESS, "locked/tool"));
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_supervisor_that_cannot_be_is_loud() {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = dir.path().join("run");
    let start = |program: &str| Supervisor::start(std::path::Path::new(program), &run_dir).map(drop);
    let failure = |errno: Errno, subject: &str| {
        Err(SpawnFailure {
            step: SpawnStep::Supervisor,
            errno: Some(errno.raw_os_error()),
            subject: subject.to_owned(),
        })
    };
    assert_eq!(start("/no/such/orch"), failure(Errno::NOENT, "/no/such/orch"));
    assert_eq!(start("/etc/passwd"), failure(Errno::ACCESS, "/etc/passwd"));
    assert_eq!(start("/bin/true"), failure(Errno::PROTO, "/bin/true"));
    assert_eq!(start(ORCH), failure(Errno::NOENT, "supervisor.lock"), "no run folder");
    std::fs::create_dir(&run_dir).unwrap();
    let first = Supervisor::start_with(std::path::Path::new(ORCH), &run_dir, KillTier::Walk).unwrap();
    assert_eq!(start(ORCH), failure(Errno::WOULDBLOCK, "supervisor.lock"), "one at a time");
    first.finish().unwrap();
    assert_eq!(start(ORCH), Ok(()));
}
