//! Small and read-only file systems, in a mount namespace that ends with the test.

use std::path::{Path, PathBuf};

use super::process::command;

/// Says to the inner process that it has its own mounts.
const INNER: &str = "ORCH_TEST_OWN_MOUNTS";

/// Runs a test's body in a process with mounts of its own, which is this test program again with only that test.
/// Where the machine lets nobody have such (a container without rights), the body is left out and a line says so.
#[expect(clippy::print_stdout, reason = "the reader of a test's output should know what was not looked at")]
pub(crate) fn in_own_mounts(test: &str, body: impl FnOnce()) {
    if std::env::var_os(INNER).is_some() {
        return body();
    }
    let root = rustix::process::geteuid().is_root();
    let unshare = || {
        let mut unshare = command("unshare");
        unshare.args(if root { ["--mount"].as_slice() } else { &["--map-root-user", "--mount"] });
        unshare
    };
    let probe = unshare().args(["mount", "-t", "tmpfs", "probe", "/mnt"]).output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        println!("left out: no mounts can be made here");
        return;
    }
    let program = std::env::current_exe().unwrap();
    let output = unshare().arg(program).args(["--exact", test, "--nocapture"]).env(INNER, "1").output().unwrap();
    let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat();
    assert!(output.status.success() && said.contains("test result: ok. 1 passed"), "{said}");
    print!("{}", String::from_utf8_lossy(&output.stderr));
}

/// A mount that is taken off when it is dropped.
#[derive(Debug)]
pub(crate) struct Mount(PathBuf);

impl Mount {
    /// A new, empty file system of so many KiB, for this user alone.
    pub(crate) fn of_kib(folder: &Path, kib: u32) -> Self {
        mount(&["-t", "tmpfs", "-o", &format!("size={kib}k,mode=700"), "small"], folder);
        Self(folder.to_owned())
    }

    /// The folder as it is, read-only.
    pub(crate) fn read_only(folder: &Path) -> Self {
        mount(&["--bind", folder.to_str().unwrap()], folder);
        mount(&["-o", "remount,bind,ro"], folder);
        Self(folder.to_owned())
    }

    /// Takes it off.
    pub(crate) fn take_off(self) {
        drop(self);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: something below may still be open when a test fails.
        command("umount").arg("--lazy").arg(&self.0).status().ok();
    }
}

fn mount(words: &[&str], folder: &Path) {
    let output = command("mount").args(words).arg(folder).output().unwrap();
    assert!(output.status.success(), "mount {words:?}: {}", String::from_utf8_lossy(&output.stderr));
}
