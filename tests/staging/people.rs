//! Users of a test's own: another password file, in a mount namespace that ends with the test. The machine's is never
//! touched. Where no mounts can be made the test says that it is left out.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use super::host::{GREEN, Host, RED, Stage};
use super::sshd::named;
use crate::support::{command, in_own_mounts};

/// Numbers of users that no machine should have begin here; each process has a few of its own.
const UID: u32 = 1_000_000;

/// A folder of the test's own users, with a password file that stands over the machine's.
pub(crate) struct People {
    folder: tempfile::TempDir,
    next: u32,
}

impl People {
    /// Runs a test's body with users of its own.
    pub(crate) fn run(test: &str, body: impl FnOnce(&mut Self)) {
        in_own_mounts(test, || {
            let folder = tempfile::tempdir().unwrap();
            open(folder.path());
            let passwd = folder.path().join("passwd");
            fs::copy("/etc/passwd", &passwd).unwrap();
            bind(&passwd, Path::new("/etc/passwd"));
            body(&mut Self { folder, next: UID + std::process::id() * 20 });
        });
    }

    /// One more user with this login shell; gives the home, which is the user's own.
    pub(crate) fn add(&mut self, name: &str, shell: &str) -> PathBuf {
        let home = self.folder.path().join(name);
        fs::create_dir(&home).unwrap();
        chown(&home, Some(self.next), Some(self.next)).unwrap();
        self.write(&format!("{name}:*:{uid}:{uid}::{}:{shell}\n", home.display(), uid = self.next));
        self.next += 1;
        home
    }

    /// The number of the user who was added last.
    pub(crate) const fn last(&self) -> u32 {
        self.next - 1
    }

    /// Gives root another home.
    pub(crate) fn move_root(&self) -> PathBuf {
        let home = self.folder.path().join("root");
        fs::create_dir(&home).unwrap();
        let text = fs::read_to_string("/etc/passwd").unwrap();
        let text = text.lines().map(|line| {
            if line.starts_with("root:") {
                format!("root:*:0:0::{}:/bin/bash", home.display())
            } else {
                line.to_owned()
            }
        });
        let text = text.collect::<Vec<_>>().join("\n") + "\n";
        // Over itself: a bind mount keeps the file that it was made with.
        fs::write("/etc/passwd", text).unwrap();
        home
    }

    /// A folder in which programs can be put.
    pub(crate) fn programs(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        fs::create_dir(&folder).unwrap();
        folder
    }

    fn write(&self, line: &str) {
        let text = fs::read_to_string("/etc/passwd").unwrap();
        fs::write(self.folder.path().join("passwd"), text + line).unwrap();
    }
}

impl Drop for People {
    fn drop(&mut self) {
        // Where a home cannot be written, the far side keeps its records here.
        for user in UID + std::process::id() * 20..self.next {
            fs::remove_dir_all(format!("/tmp/orch-{user}")).ok();
        }
    }
}

/// Puts a file or folder over another, in this namespace only.
pub(crate) fn bind(from: &Path, to: &Path) {
    assert!(
        command("mount").arg("--bind").args([from, to]).status().unwrap().success(),
        "no bind mount over {}",
        to.display()
    );
}

/// Lets others in.
pub(crate) fn open(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A shop into whose scratch folder every user may look, and write.
pub(crate) fn open_to_all(host: &Host) {
    fs::set_permissions(host.shop.scratch(""), fs::Permissions::from_mode(0o777)).unwrap();
    open(&host.sshd.path(""));
}

/// What every far side has to do, whichever its shell and its tools: ends told exactly, limits kept, nothing left.
fn does_all(host: &Host, stage: &dyn Fn(&str) -> Stage) {
    let run = |stage: &Stage| {
        host.declare(stage);
        host.orch("pipeline run --no-wait --from staging --accept-pipeline").run()
    };
    run(&stage(GREEN)).exits(0);
    run(&stage(&format!("{RED}; exit 255"))).exits(1);
    for signal in ["KILL", "SEGV", "TERM", "USR1"] {
        run(&stage(&format!("kill -{signal} $$"))).held(75, &format!("SIG{signal} ended it"));
    }
    assert_ne!(run(&stage(&format!("kill -INT $$; {GREEN}"))).code(), Some(0));
    run(&stage("exit 3")).exits(75);
    let name = format!("sleep 8{:05}", std::process::id());
    let limited = stage(&format!("{name} & setsid {name} & {name}")).stage("timeout: 1s").stage("grace: 1s");
    run(&limited).held(75, "total limit");
    assert_eq!(named(&name), Vec::<i32>::new());
    // A link that is cut while the suite works.
    host.declare(&stage(&format!("echo $$ > SCRATCH/said; read word < SCRATCH/go; {GREEN}")));
    let (mut said, mut go) = host.shop.said_and_go();
    for fifo in ["said", "go"] {
        fs::set_permissions(host.shop.scratch(fifo), fs::Permissions::from_mode(0o666)).unwrap();
    }
    let going = host.orch("pipeline run --no-wait --from staging --accept-pipeline").start();
    said.next();
    host.sshd.cut();
    go.say("go");
    going.end().exits(0);
}

#[test]
fn a_user_who_is_not_root() {
    People::run("people::a_user_who_is_not_root", |people| {
        people.add("stage", "/bin/bash");
        let host = Host::new(&Stage::sh(GREEN));
        open_to_all(&host);
        does_all(&host, &|script| Stage::sh(script).key("user: stage"));
        host.declare(&Stage::sh(&format!("id -u > SCRATCH/said-id; {GREEN}")).key("user: stage"));
        host.orch("pipeline run --no-wait --from staging --accept-pipeline").run().exits(0);
        assert_eq!(host.noted("said-id").trim(), people.last().to_string());
    });
}

#[test]
fn busybox_on_the_far_side() {
    People::run("people::busybox_on_the_far_side", |people| {
        let tools = people.programs("busybox");
        let busybox = crate::support::tool("busybox", "busybox-static");
        let list = command(&busybox).arg("--list").output().unwrap();
        for name in String::from_utf8(list.stdout).unwrap().lines() {
            std::os::unix::fs::symlink(&busybox, tools.join(name)).unwrap();
        }
        people.add("stage", tools.join("ash").to_str().unwrap());
        let host = Host::with(&Stage::sh(GREEN), &format!("SetEnv PATH={}", tools.display()));
        open_to_all(&host);
        does_all(&host, &|script| Stage::sh(script).key("user: stage"));
    });
}

#[test]
fn bash_on_the_far_side() {
    People::run("people::bash_on_the_far_side", |people| {
        let tools = people.programs("bash");
        std::os::unix::fs::symlink("/bin/bash", tools.join("sh")).unwrap();
        let home = people.add("stage", "/bin/bash");
        // What bash reads where sshd starts it; it speaks before anything of ours.
        fs::write(
            home.join(".bashrc"),
            "echo 'result: PASS'; echo '9 checks, 0 failed' >&2; echo '9 checks, 9 failed'\n",
        )
        .unwrap();
        let host = Host::with(&Stage::sh(GREEN), &format!("SetEnv PATH={}:/usr/bin:/bin", tools.display()));
        open_to_all(&host);
        does_all(&host, &|script| Stage::sh(script).key("user: stage"));
    });
}

#[test]
fn neither_the_user_s_nor_the_system_s_configuration_is_heard() {
    People::run("people::neither_the_user_s_nor_the_system_s_configuration_is_heard", |people| {
        let home = people.move_root();
        let host = Host::with(
            &Stage::sh(&format!("echo \"$${{LEAK-none}}|$${{SSH_AUTH_SOCK-none}}\" > SCRATCH/leak; {GREEN}")),
            "AcceptEnv *",
        );
        let marker = format!("{}/pwned", host.scratch());
        let hostile = host.shop.scratch("hostile");
        let text = format!(
            "Host *\n  ProxyCommand touch {marker}\n  RemoteCommand touch {marker}\n  ForwardAgent yes\n  SendEnv LEAK\n  \
             SetEnv LEAK=set\n  PermitLocalCommand yes\n  LocalCommand touch {marker}\n  IdentityAgent /tmp/agent\n  \
             KnownHostsCommand /usr/bin/touch {marker}\n  StrictHostKeyChecking no\n  ControlMaster auto\n  \
             ControlPath {marker}.%C\n  LocalForward 9 127.0.0.1:9\n  Match exec \"touch {marker}\"\n  User nobody\n"
        );
        fs::write(&hostile, &text).unwrap();
        bind(&hostile, Path::new("/etc/ssh/ssh_config"));
        fs::create_dir(home.join(".ssh")).unwrap();
        fs::write(home.join(".ssh/config"), text).unwrap();
        // It is hostile indeed.
        let bare = command("ssh").args(["-G", "x"]).output().unwrap();
        assert!(String::from_utf8(bare.stdout).unwrap().contains("remotecommand touch"));
        assert!(fs::remove_file(&marker).is_ok());
        // The very ssh calls of orch, asked what they would do.
        let programs = people.programs("bin");
        let ssh = programs.join("ssh");
        let asked = format!(
            "#!/bin/sh\nn=$(mktemp {scratch}/asked.XXXXXX)\ncase \" $* \" in *' -O '*) ;; *) /usr/bin/ssh -G \"$@\" >> \"$n\" ;; esac\n\
             exec /usr/bin/ssh \"$@\"\n",
            scratch = host.scratch()
        );
        fs::write(&ssh, asked).unwrap();
        open(&ssh);
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display());
        let run = host.orch("pipeline run --no-wait").env("PATH", path);
        run.env("LEAK", "secret").env("SSH_AUTH_SOCK", "/tmp/agent").run().exits(0);
        assert_eq!(host.noted("leak"), "none|none\n");
        assert!(!Path::new(&marker).exists());
        let asked = fs::read_dir(host.shop.scratch("")).unwrap().map(|entry| entry.unwrap().path());
        let asked = asked.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("asked."));
        let asked: Vec<String> =
            asked.map(|path| fs::read_to_string(path).unwrap()).filter(|text| !text.is_empty()).collect();
        assert!(asked.len() >= 2, "the connection and its session were asked: {}", asked.len());
        for said in asked {
            let has = |line: &str| said.lines().any(|found| found == line);
            for line in [
                "batchmode yes",
                "stricthostkeychecking true",
                "forwardagent no",
                "forwardx11 no",
                "permitlocalcommand no",
                "clearallforwardings yes",
                "identitiesonly yes",
                "identityagent none",
                "updatehostkeys false",
                "canonicalizehostname false",
                "connecttimeout 1",
                "serveraliveinterval 1",
                "globalknownhostsfile /dev/null",
                "hostname 127.0.0.1",
            ] {
                assert!(has(line), "no {line:?} in\n{said}");
            }
            for word in [
                "sendenv",
                "setenv",
                "remotecommand",
                "localcommand",
                "localforward",
                "knownhostscommand",
                "user nobody",
                &marker,
            ] {
                let heard = said.lines().any(|line| line.starts_with(word) && !line.ends_with(" none"));
                assert!(!heard && !said.contains(&marker), "{word:?} is heard:\n{said}");
            }
        }
    });
}

#[test]
fn a_user_s_suite_cannot_read_its_nonce() {
    People::run("people::a_user_s_suite_cannot_read_its_nonce", |people| {
        people.add("stage", "/bin/bash");
        // Everything of every process that this user may open; a pipe is only tried, so that nothing hangs.
        let script = format!(
            "for f in /proc/[0-9]*/cmdline /proc/[0-9]*/environ; do cat $f; echo; done > SCRATCH/seen 2>/dev/null; \
             pid=$$; while [ \"$pid\" -gt 1 ]; do echo up to $pid >> SCRATCH/seen; \
             for f in /proc/$pid/fd/*; do timeout 1 dd if=$f bs=65536 count=64 iflag=nonblock >> SCRATCH/seen 2>/dev/null; done; \
             pid=$(awk '/^PPid/ {{ print $2 }}' /proc/$pid/status); done; \
             cat \"$HOME\"/.cache/orch/jobs/*/* >> SCRATCH/seen 2>/dev/null; env >> SCRATCH/seen; {GREEN}"
        );
        let host = Host::new(&Stage::sh(&script).key("user: stage"));
        open_to_all(&host);
        host.run().exits(0);
        let seen = fs::read(host.shop.scratch("seen")).unwrap();
        let nonce = host.nonce();
        assert!(String::from_utf8_lossy(&seen).matches("up to ").count() >= 2, "it looked at its parents");
        assert!(!seen.windows(nonce.len()).any(|part| part == nonce.as_bytes()), "the suite can read its nonce");
    });
}
