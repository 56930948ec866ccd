//! What a staged command costs beside a bare `ssh`, over a real server on loopback: `cargo bench --bench staging`.
//!
//! Prints medians, for a command that does nothing and ones that take a while, over a connection that is kept ("warm") and over a
//! new one each ("cold"). Needs openssh-server.

#![expect(clippy::unwrap_used, reason = "a bench ends at the first surprise")]
#![expect(clippy::print_stdout, reason = "a bench tells its figures")]
#![expect(clippy::disallowed_methods, reason = "a bench starts programs and measures time")]

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 15;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::create_dir_all("/run/sshd").ok();
    for key in ["host", "client"] {
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &at(key)]));
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    fs::copy(at("client.pub"), at("authorized")).unwrap();
    let public = fs::read_to_string(at("host.pub")).unwrap();
    fs::write(at("known"), format!("[127.0.0.1]:{port} {public}")).unwrap();
    let text = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile {}\nStrictModes no\nUsePAM no\n\
         PermitRootLogin yes\n",
        at("host"),
        at("authorized"),
        at("pid")
    );
    fs::write(at("sshd_config"), text).unwrap();
    run(Command::new("/usr/sbin/sshd").args(["-f", &at("sshd_config"), "-E", &at("log")]));
    let options = format!(
        "Host target\n HostName 127.0.0.1\n Port {port}\n IdentityFile {}\n UserKnownHostsFile {}\n BatchMode yes\n",
        at("client"),
        at("known")
    );
    fs::write(at("config"), options).unwrap();
    while !Path::new(&at("pid")).exists() {
        std::thread::yield_now();
    }
    let kept = at("kept");
    fs::DirBuilder::new().mode(0o700).create(&kept).unwrap();
    let socket = format!("{kept}/root@127.0.0.1:{port}");
    let master = format!("{kept}/%r@%h:%p");
    run(Command::new("ssh").args(["-F", &at("config"), "-S", &master]).args([
        "-M",
        "-f",
        "-N",
        "-o",
        "ControlPersist=300",
        "target",
    ]));
    println!(
        "{:<10} {:>12} {:>12} {:>7} {:>12} {:>12} {:>7}",
        "command", "warm ssh", "staged", "ratio", "cold ssh", "staged", "ratio"
    );
    for (name, words) in [("true", vec!["true"]), ("sleep 1", vec!["sleep", "1"]), ("sleep 3", vec!["sleep", "3"])] {
        let rounds = if name == "true" { ROUNDS } else { ROUNDS / 3 };
        let bare = |warm: bool| {
            let mut ssh = Command::new("ssh");
            ssh.args(["-F", &at("config")]);
            if warm {
                ssh.args(["-S", &master]);
            }
            ssh.arg("target").args(&words);
            run(&mut ssh);
        };
        let orch = |control: Option<&str>| staged(folder.path(), port, control, &words);
        // In turns, so that what disturbs one disturbs all.
        let mut times: [Vec<Duration>; 4] = Default::default();
        for _ in 0..rounds {
            let works: [&dyn Fn(); 4] = [&|| bare(true), &|| orch(Some(&socket)), &|| bare(false), &|| orch(None)];
            for (times, work) in times.iter_mut().zip(works) {
                let begun = Instant::now();
                work();
                times.push(begun.elapsed());
            }
        }
        let [warm, over, cold, alone] = times.map(|mut times| {
            times.sort_unstable();
            times[times.len() / 2]
        });
        println!(
            "{name:<10} {:>9.1} ms {:>9.1} ms {:>7.2} {:>9.1} ms {:>9.1} ms {:>7.2}",
            ms(warm),
            ms(over),
            over.as_secs_f64() / warm.as_secs_f64(),
            ms(cold),
            ms(alone),
            alone.as_secs_f64() / cold.as_secs_f64()
        );
    }
    parts(&at, &master);
    run(Command::new("ssh").args(["-F", &at("config"), "-S", &master, "-O", "exit", "target"]).stderr(Stdio::null()));
    let server = fs::read_to_string(at("pid")).unwrap();
    let server = rustix::process::Pid::from_raw(server.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(server, rustix::process::Signal::TERM).unwrap();
}

/// What a staged command is made of, each part by itself; what is left of it is the far side's own work.
fn parts(at: &dyn Fn(&str) -> String, master: &str) {
    println!("\n{:<44} {:>9}", "part of a staged `true`", "median");
    let tell = |name: &str, time: Duration| println!("{name:<44} {:>6.1} ms", ms(time));
    let mut orch = Command::new(env!("CARGO_BIN_EXE_orch"));
    orch.arg("--version");
    tell("the helper's start (as `orch --version`)", median(ROUNDS, || run(&mut orch)));
    let ssh = |words: &[&str]| {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", &at("config")]).args(words).stderr(Stdio::null());
        run(&mut ssh);
    };
    let second = at("second");
    let on = |word: &'static str| median(ROUNDS, || ssh(&["-S", master, "target", word]));
    let connected = median(ROUNDS, || {
        ssh(&["-M", "-S", &second, "-f", "-N", "-o", "ControlPersist=300", "target"]);
        ssh(&["-S", &second, "-O", "exit", "target"]);
    });
    tell("a connection, made and closed", connected);
    tell("a session on it, `true`", on("true"));
    tell("a session on it, `exec sh -c` and 25 processes", on(TWENTY_FIVE));
}

/// As many processes as the start and the end of a command take on the far side.
const TWENTY_FIVE: &str = "exec sh -c 'i=0; while [ $i -lt 25 ]; do sh -c :; i=$((i+1)); done'";

/// One command through the helper, as a supervisor would start it.
fn staged(folder: &Path, port: u16, control: Option<&str>, words: &[&str]) {
    let second = serde_json::json!({ "secs": 60, "nanos": 0 });
    let job = serde_json::json!({
        "errand": "run",
        "target": {
            "host": "127.0.0.1", "user": "root", "port": port, "identity": folder.join("client"),
            "known-hosts": folder.join("known"), "jump": null, "control": control, "connect": second, "alive": second,
        },
        "argv": words, "cwd": null, "env": [], "container": null, "version": null, "ttl": second,
        "limits": { "total": second, "idle": second, "start": second, "grace": second },
        "output-max-bytes": 1_u64 << 30,
        "left": [], "own": { "attempt": uuid::Uuid::now_v7(), "nonce": uuid::Uuid::new_v4() }, "earlier": null, "idempotent": false,
    });
    fs::write(folder.join("remote.json"), job.to_string()).unwrap();
    run(Command::new(env!("CARGO_BIN_EXE_orch")).arg("__remote").arg(folder.join("remote.json")));
    let facts = fs::read_to_string(folder.join("channel.json")).unwrap();
    assert!(facts.contains("\"exited\":0"), "{facts}");
    assert_eq!(facts.contains("\"connections\":0"), control.is_some(), "{facts}");
}

fn run(command: &mut Command) {
    assert!(command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap().success(), "{command:?}");
}

fn median(rounds: usize, mut work: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[rounds / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
