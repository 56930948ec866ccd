//! Every kind of failed start, again and again: a sentinel and a record within a second, and none is silent (fault F10,
//! goal G11).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use orch::domain::evidence::{Exit, SpawnFailure, SpawnStep};
use orch::domain::plan::Environment;
use orch::exec::{Launch, NotStarted, Supervisor, sentinels};
use rustix::io::Errno;

use crate::draw::{Size, again};
use crate::harness::{Lab, ORCH, launch, script, tool};

const WITHIN: Duration = Duration::from_secs(1);

/// What has been seen so far.
#[derive(Default)]
struct Seen {
    took: Vec<Duration>,
    kinds: std::collections::BTreeSet<&'static str>,
    found: Vec<String>,
}

impl Seen {
    /// One failed start: what it came to, what its sentinel says, how long both took.
    fn one(
        &mut self,
        kind: &'static str,
        run_dir: &Path,
        launch: &Launch,
        came: &Result<SpawnFailure, String>,
        took: Duration,
        wanted: (SpawnStep, Errno),
    ) {
        self.kinds.insert(kind);
        let told = sentinels(run_dir).into_iter().rfind(|sentinel| sentinel.attempt == launch.attempt);
        let wanted = (wanted.0, Some(wanted.1.raw_os_error()));
        let wrong = match (came, &told) {
            (Err(what), _) => Some(what.clone()),
            (Ok(_), None) => Some("it left no sentinel".to_owned()),
            (Ok(failure), Some(told))
                if (failure.step, failure.errno) != wanted || (told.step, told.errno) != wanted =>
            {
                Some(format!("record {failure:?}, sentinel {told:?}"))
            }
            (Ok(_), Some(_)) => (took > WITHIN).then(|| format!("it took {took:?}")),
        };
        self.took.push(took);
        self.found.extend(wrong.map(|what| format!("{kind}: {what}")));
    }

    fn under(&mut self, kind: &'static str, lab: &mut Lab, launch: &Launch, wanted: (SpawnStep, Errno)) {
        let since = Instant::now();
        let record = lab.run(launch);
        let took = since.elapsed();
        let came = match record.exit {
            Exit::SpawnFailed(failure) => Ok(failure),
            other @ (Exit::Exited { .. }
            | Exit::Signalled { .. }
            | Exit::TimedOut { .. }
            | Exit::Cancelled { .. }
            | Exit::Lost { .. }
            | Exit::Answered(_)) => Err(format!("it came to {other:?}")),
        };
        self.one(kind, &lab.run_dir(), launch, &came, took, wanted);
    }

    fn without(&mut self, kind: &'static str, program: &Path, run_dir: &Path, errno: Errno) {
        let launch = launch(Path::new("/"), &["true"]);
        let since = Instant::now();
        let came = match Supervisor::start_for(program, run_dir, &launch) {
            Err(NotStarted::Failed(failure)) => Ok(failure),
            Err(error @ NotStarted::Untold(_)) => Err(error.to_string()),
            Ok(_) => Err("it started".to_owned()),
        };
        self.one(kind, run_dir, &launch, &came, since.elapsed(), (SpawnStep::Supervisor, errno));
    }
}

#[test]
fn every_kind_of_failed_start_is_told_within_a_second() {
    let rounds = Size::wanted().of(2, 20);
    let mut seen = Seen::default();
    for _ in 0..rounds {
        programs(&mut seen);
        machines(&mut seen);
        supervisors(&mut seen);
    }
    seen.took.sort_unstable();
    let at = |part: usize| seen.took[seen.took.len() * part / 100];
    eprintln!(
        "failed starts: {} kinds, {} starts, {} silent or wrong; told after p50 {:?}, p99 {:?}, at most {:?}",
        seen.kinds.len(),
        seen.took.len(),
        seen.found.len(),
        at(50),
        at(99),
        seen.took.last().unwrap()
    );
    assert!(seen.kinds.len() >= 15, "{:?}", seen.kinds);
    let repeat = again(&[("ORCH_LAB", &"long")], "every_kind_of_failed_start");
    assert!(seen.found.is_empty(), "VIOLATION {}\nrepeat: {repeat}", seen.found.join("\nVIOLATION "));
}

fn programs(seen: &mut Seen) {
    let mut lab = Lab::new();
    let work = lab.work();
    fs::write(work.join("data"), "text").unwrap();
    script(&work, "no-interpreter", "#!/nowhere/sh\n");
    script(&work, "no-format", "echo a shell would run this\n");
    let mut damaged = fs::read("/bin/true").unwrap();
    // The kind of file in its ELF header, which no kernel takes for a program then.
    damaged[16..18].fill(0);
    fs::write(work.join("damaged"), damaged).unwrap();
    fs::set_permissions(work.join("damaged"), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("loop", work.join("loop")).unwrap();
    fs::copy("/bin/true", work.join("busy")).unwrap();
    let _writing = fs::OpenOptions::new().append(true).open(work.join("busy")).unwrap();
    let (long, name) = ("x".repeat(200_000), format!("./{}", "n".repeat(300)));
    let kinds: [(&'static str, &[&str], SpawnStep, Errno); 9] = [
        ("missing program", &["no-such-program"], SpawnStep::Find, Errno::NOENT),
        ("not executable", &["./data"], SpawnStep::Find, Errno::ACCESS),
        ("interpreter missing", &["./no-interpreter"], SpawnStep::Exec, Errno::NOENT),
        ("unknown format", &["./no-format"], SpawnStep::Exec, Errno::NOEXEC),
        ("damaged binary", &["./damaged"], SpawnStep::Exec, Errno::NOEXEC),
        ("argument too long", &["true", &long], SpawnStep::Exec, Errno::TOOBIG),
        ("being written", &["./busy"], SpawnStep::Exec, Errno::TXTBSY),
        ("links in a circle", &["./loop"], SpawnStep::Find, Errno::LOOP),
        ("name too long", &[&name], SpawnStep::Find, Errno::NAMETOOLONG),
    ];
    for (kind, words, step, errno) in kinds {
        let launch = lab.launch(words);
        seen.under(kind, &mut lab, &launch, (step, errno));
    }
    fs::write(work.join("file"), "").unwrap();
    for (kind, name, errno) in [("folder gone", "gone", Errno::NOENT), ("folder is a file", "file", Errno::NOTDIR)] {
        let launch = Launch { cwd: work.join(name), ..lab.launch(&["true"]) };
        seen.under(kind, &mut lab, &launch, (SpawnStep::Cwd, errno));
    }
    let env = [("PATH".to_owned(), "/bin".to_owned()), ("A".to_owned(), "x\0y".to_owned())];
    let launch = Launch { env: Environment::new(env), ..lab.launch(&["true"]) };
    seen.under("NUL in the environment", &mut lab, &launch, (SpawnStep::Exec, Errno::INVAL));
}

fn machines(seen: &mut Seen) {
    let mut lab = Lab::as_nobody();
    lab.limit_of_supervisor("--nproc", 1);
    let launch = lab.launch(&["true"]);
    seen.under("no process left", &mut lab, &launch, (SpawnStep::Fork, Errno::AGAIN));
    lab.limit_of_supervisor("--nproc", 1000);
    let locked = lab.work().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    let launch = lab.launch(&["locked/tool"]);
    seen.under("folder on the way is closed", &mut lab, &launch, (SpawnStep::Find, Errno::ACCESS));
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o755)).unwrap();
    let mut lab = Lab::new();
    let fds = fs::read_dir(format!("/proc/{}/fd", lab.supervisor.pid())).unwrap().count();
    lab.limit_of_supervisor("--nofile", fds);
    let launch = lab.launch(&["true"]);
    seen.under("no descriptor left", &mut lab, &launch, (SpawnStep::Cwd, Errno::MFILE));
}

fn supervisors(seen: &mut Seen) {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = |name: &str| {
        let path = dir.path().join(name);
        fs::create_dir(&path).unwrap();
        path
    };
    seen.without("supervisor missing", Path::new("/no/such/orch"), &run_dir("missing"), Errno::NOENT);
    seen.without("supervisor not executable", Path::new("/etc/passwd"), &run_dir("data"), Errno::ACCESS);
    let no_log = run_dir("no-log");
    fs::create_dir(no_log.join("stdout.log")).unwrap();
    seen.without("output file cannot be made", Path::new(ORCH), &no_log, Errno::ISDIR);
    let prlimit = tool("prlimit", "util-linux");
    let tight =
        script(dir.path(), "tight", &format!("#!/bin/sh\nexec {} --as=1048576 {ORCH} \"$@\"\n", prlimit.display()));
    seen.without("no memory for the supervisor", &tight, &run_dir("no-memory"), Errno::PROTO);
}
