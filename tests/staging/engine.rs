//! `docker exec` on the host, with a real engine of the test's own: its socket, its data, one small image.
//!
//! Where no engine can be started (no root, no `dockerd`, a kernel that forbids it) the tests say that they are skipped.

#![expect(clippy::disallowed_methods, reason = "tests start real engines")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::host::{GREEN, Host, LOG, RED, Stage};
use super::sshd::until_some;

/// How often a starting engine is asked, a tenth of a second apart.
const ASKED_MAX: usize = 300;

struct Engine {
    folder: tempfile::TempDir,
    child: Child,
}

impl Engine {
    /// Starts one; why not, where it cannot be.
    fn start() -> Result<Self, String> {
        let dockerd = which::which_in("dockerd", Some("/usr/sbin:/usr/bin:/usr/local/bin:/sbin"), "/")
            .map_err(|error| format!("dockerd: {error}"))?;
        let busybox = which::which("busybox").map_err(|error| format!("busybox: {error}"))?;
        let folder = tempfile::Builder::new().prefix("orch-engine-").tempdir_in("/tmp").unwrap();
        let at = |name: &str| folder.path().join(name);
        let log = fs::File::create(at("log")).unwrap();
        let child = Command::new(dockerd)
            .arg("--host")
            .arg(format!("unix://{}", at("sock").display()))
            .arg("--data-root")
            .arg(at("data"))
            .arg("--exec-root")
            .arg(at("exec"))
            .arg("--pidfile")
            .arg(at("pid"))
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut engine = Self { folder, child };
        let pause = rustix::event::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        for _ in 0..ASKED_MAX {
            if engine.docker(&["version"]).0 {
                engine.import(&busybox);
                return Ok(engine);
            }
            if engine.child.try_wait().unwrap().is_some() {
                break;
            }
            rustix::event::poll(&mut [], Some(&pause)).ok();
        }
        let said = fs::read_to_string(engine.folder.path().join("log")).unwrap_or_default();
        Err(said.lines().last().unwrap_or("it says nothing").to_owned())
    }

    fn socket(&self) -> String {
        format!("unix://{}", self.folder.path().join("sock").display())
    }

    fn docker(&self, words: &[&str]) -> (bool, String) {
        let output =
            Command::new("docker").args(["-H", &self.socket()]).args(words).stdin(Stdio::null()).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn import(&self, busybox: &Path) {
        let root: PathBuf = self.folder.path().join("root");
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::copy(busybox, root.join("bin/busybox")).unwrap();
        for name in ["sh", "sleep", "cat", "echo"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        let tar = self.folder.path().join("root.tar");
        assert!(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&tar).arg(".").status().unwrap().success());
        let (done, said) = self.docker(&["import", tar.to_str().unwrap(), "small"]);
        assert!(done, "{said}");
    }

    fn container(&self, name: &str) {
        let (done, said) =
            self.docker(&["run", "-d", "--name", name, "--network", "none", "small", "/bin/sleep", "10000"]);
        assert!(done, "{said}");
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let list = Command::new("docker").args(["-H", &self.socket(), "ps", "-aq"]).output();
        for id in
            list.map(|list| String::from_utf8_lossy(&list.stdout).into_owned()).unwrap_or_default().split_whitespace()
        {
            self.docker(&["rm", "-f", id]);
        }
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::TERM)
            .ok();
        self.child.wait().ok();
    }
}

/// `docker exec` of a shell in a container.
fn exec(engine: &Engine, name: &str, script: &str) -> Stage {
    let words = ["docker", "exec", name, "sh", "-c", script];
    Stage::words(&words).key(&format!("env: {{ set: {{ DOCKER_HOST: \"{}\" }} }}", engine.socket()))
}

#[test]
fn a_suite_in_a_container_of_the_host() {
    let engine = match Engine::start() {
        Ok(engine) => engine,
        Err(why) => {
            eprintln!(
                "skipped: engine::a_suite_in_a_container_of_the_host: no Docker engine can be started here: {why}"
            );
            return;
        }
    };
    engine.container("app");
    engine.container("paused");
    engine.container("stopped");
    assert!(engine.docker(&["pause", "paused"]).0 && engine.docker(&["kill", "stopped"]).0);
    let host = Host::new(&exec(&engine, "app", GREEN));
    let run = |stage: &Stage| {
        host.declare(stage);
        host.orch("pipeline run --no-wait --from staging --accept-pipeline").run()
    };
    host.run().exits(0);
    assert!(host.shop.read(LOG).contains("staging_status: SUCCESS"));
    run(&exec(&engine, "app", &format!("{RED}; exit 1"))).exits(1);
    // Exit 1 without a verdict is the engine's own way to say all this; here it is known before anything begins.
    run(&exec(&engine, "no-such", RED)).held(78, "container-down");
    run(&exec(&engine, "stopped", RED)).held(78, "is not running");
    run(&exec(&engine, "paused", RED)).held(78, "is paused");
    let missing = ["docker", "exec", "app", "no-such-tool"];
    let missing = Stage::words(&missing).key(&format!("env: {{ set: {{ DOCKER_HOST: \"{}\" }} }}", engine.socket()));
    run(&missing).held(78, "the environment is at fault");
    // The container is killed under the suite.
    host.declare(&exec(&engine, "app", "sleep 77123"));
    let going = host.orch("pipeline run --no-wait --from staging --accept-pipeline").start();
    // Processes of a container are seen from outside as well.
    until_some("sleep 77123");
    assert!(engine.docker(&["kill", "app"]).0);
    going.end().held(75, "killed");
    // And the engine is not there at all.
    let down = exec(&engine, "app", RED);
    drop(engine);
    run(&down).held(75, "container-down");
}
