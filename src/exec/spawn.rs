//! From a launch to a living child, with every step's failure told apart.

use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, FileType, Mode, OFlags, access, open};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::thread::CapabilitySet;

use crate::domain::agent::Require;
use crate::domain::evidence::{Containment, KillTier, SpawnFailure, SpawnStep};

use super::cgroup::Leaf;
use super::contain::{self, Fence};
use super::group::{self, Broken, ChildStep, Confine, Cradle, Image, Wiring};
use super::protocol::Launch;
use super::sweep::{MARK, Target};

/// Longest subject of a failure, in bytes; an argument of 200 kB has no place in a record.
const SUBJECT_BYTES: usize = 1024;

/// A child that is on its way to `execve`.
#[derive(Debug)]
pub(super) struct Born {
    /// The main process.
    pub(super) main: Target,
    /// Gives a [`Broken`], or ends when `execve` has succeeded.
    pub(super) status: OwnedFd,
    /// Its standard output.
    pub(super) stdout: OwnedFd,
    /// Its standard error.
    pub(super) stderr: OwnedFd,
    /// What can sweep its tree.
    pub(super) tier: KillTier,
    /// What keeps it from the rest of the machine.
    pub(super) containment: Containment,
    /// What it becomes; to be kept until it has.
    pub(super) image: Image,
}

/// What children get from their supervisor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gifts<'fd> {
    /// `/dev/null`.
    pub(super) null: BorrowedFd<'fd>,
    /// Their `oom_score_adj`.
    pub(super) oom_score: i32,
}

/// Says what failed.
pub(super) fn failure(step: SpawnStep, errno: Errno, subject: &str) -> SpawnFailure {
    SpawnFailure { step, errno: Some(errno.raw_os_error()), subject: cut(subject) }
}

/// A name that fits into a record.
pub(super) fn cut(name: &str) -> String {
    let end = name.floor_char_boundary(SUBJECT_BYTES);
    name.get(..end).expect("cut at a character").to_owned()
}

/// What a child's own word means.
pub(super) fn broken(launch: &Launch, broken: Broken) -> SpawnFailure {
    let errno = Errno::from_raw_os_error(broken.errno);
    match broken.step {
        ChildStep::SetUp => failure(SpawnStep::Fork, errno, launch.argv.program()),
        ChildStep::Cwd => failure(SpawnStep::Cwd, errno, &launch.cwd.to_string_lossy()),
        ChildStep::Contain => failure(SpawnStep::Contain, errno, "entering it failed"),
        ChildStep::Exec => failure(SpawnStep::Exec, errno, launch.argv.program()),
    }
}

/// Starts a launch. The leaf is given up when the kernel lets no child be born in it.
pub(super) fn spawn(launch: &Launch, gifts: Gifts<'_>, leaf: &mut Option<Leaf>) -> Result<Born, SpawnFailure> {
    let cwd = open_cwd(&launch.cwd)?;
    let program = launch.argv.program();
    let image = image(launch, find(program, launch.env.get("PATH"), &launch.cwd)?)?;

    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|errno| failure(SpawnStep::Output, errno, "pipe"));
    let (stdout, stdout_end) = pipe()?;
    let (stderr, stderr_end) = pipe()?;
    let (status, status_end) = pipe()?;
    let stdin = launch.stdin.as_deref().map(open_input).transpose()?;
    let capabilities = capabilities(launch)?;
    let (fence, containment) = confinement(launch, capabilities)?;
    let limits = contain::limits();
    let wiring = Wiring {
        stdin: stdin.as_ref().map_or(gifts.null, OwnedFd::as_fd),
        stdout: stdout_end.as_fd(),
        stderr: stderr_end.as_fd(),
        cwd: cwd.as_fd(),
        status: status_end.as_fd(),
        oom_score: gifts.oom_score,
        confine: launch.cage.as_ref().map(|_| Confine {
            rules: fence.as_ref().map(|fence| fence.rules.as_fd()),
            capabilities,
            limits: &limits,
        }),
    };
    let in_leaf = leaf.as_ref().map(|leaf| group::start(&image, wiring, Cradle::Leaf(leaf.folder())));
    let (made, tier) = match in_leaf {
        Some(Ok(pid)) => (Ok(pid), KillTier::Cgroup),
        // Not the cgroup's refusal: the machine has no room for another process.
        Some(Err(errno @ (Errno::AGAIN | Errno::NOMEM))) => (Err(errno), KillTier::Cgroup),
        Some(Err(_refused_there)) => {
            if let Some(leaf) = leaf.take() {
                leaf.remove();
            }
            (group::start(&image, wiring, Cradle::Here), KillTier::Walk)
        }
        None => (group::start(&image, wiring, Cradle::Here), KillTier::Walk),
    };
    let pid = made.map_err(|errno| failure(SpawnStep::Fork, errno, program))?;
    let main = Target::new(pid.as_raw_nonzero().get()).expect("a child is neither process 1 nor its parent");
    Ok(Born { main, status, stdout, stderr, tier, containment, image })
}

/// The capabilities that a launch keeps; `None` for one that is not contained, or where that is switched off.
fn capabilities(launch: &Launch) -> Result<Option<CapabilitySet>, SpawnFailure> {
    let contained = launch.cage.as_ref().is_some_and(|cage| cage.off.is_none());
    contained.then(contain::kept).transpose().map_err(|errno| failure(SpawnStep::Contain, errno, "capabilities"))
}

/// What a launch is started under. Without the containment that it requires nothing is started.
fn confinement(launch: &Launch, kept: Option<CapabilitySet>) -> Result<(Option<Fence>, Containment), SpawnFailure> {
    let Some(cage) = &launch.cage else { return Ok((None, Containment::Unasked)) };
    match (contain::fence(cage), cage.require) {
        (Ok(fence), _) => {
            let landlock = fence.version;
            Ok((Some(fence), Containment::InForce { landlock, capabilities: kept.map(contain::names) }))
        }
        (Err(why), Require::Nothing) => Ok((None, Containment::Missing { why })),
        (Err(why), Require::Contained) => Err(failure(SpawnStep::Contain, Errno::OPNOTSUPP, &why)),
    }
}

/// Opens the file that becomes the standard input: a plain file, and no link.
fn open_input(path: &Path) -> Result<OwnedFd, SpawnFailure> {
    let failed = |errno| failure(SpawnStep::Input, errno, &path.to_string_lossy());
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = open(path, flags, Mode::empty()).map_err(failed)?;
    let stat = rustix::fs::fstat(&file).map_err(failed)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile { Ok(file) } else { Err(failed(Errno::INVAL)) }
}

/// Opens a working folder that may be entered.
pub(super) fn open_cwd(cwd: &Path) -> Result<OwnedFd, SpawnFailure> {
    let failed = |errno| failure(SpawnStep::Cwd, errno, &cwd.to_string_lossy());
    if cwd.is_relative() {
        return Err(failed(Errno::INVAL));
    }
    let folder = open(cwd, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
    // Asked now, because a program named by a path would otherwise be blamed for a folder that may not be entered.
    access(cwd, Access::EXEC_OK).map_err(failed)?;
    Ok(folder)
}

/// Finds what `execve` is given: a program with a slash as it stands, from the working folder; another on the search
/// path of the child's environment. Without a `PATH` there nothing is found.
///
/// # Errors
/// Step `find`: ENOENT when there is no such file, EACCES when there is one that nobody may execute.
pub fn find(program: &str, search: Option<&str>, cwd: &Path) -> Result<PathBuf, SpawnFailure> {
    let failed = |errno| failure(SpawnStep::Find, errno, program);
    if program.contains('/') {
        let there = cwd.join(program);
        if there.is_dir() {
            return Err(failed(Errno::ACCESS));
        }
        return access(&there, Access::EXEC_OK).map(|()| PathBuf::from(program)).map_err(failed);
    }
    match which::which_in(program, search, cwd) {
        Ok(found) if found.is_absolute() => Ok(found),
        Ok(found) => Ok(cwd.join(found)),
        Err(_not_found) => {
            let is_there = std::env::split_paths(search.unwrap_or("")).any(|dir| cwd.join(dir).join(program).is_file());
            Err(failed(if is_there { Errno::ACCESS } else { Errno::NOENT }))
        }
    }
}

fn image(launch: &Launch, path: PathBuf) -> Result<Image, SpawnFailure> {
    use std::os::unix::ffi::OsStringExt as _;
    let invalid = |subject: &str| failure(SpawnStep::Exec, Errno::INVAL, subject);
    let word = |bytes: Vec<u8>, subject: &str| CString::new(bytes).map_err(|_holds_nul| invalid(subject));
    let program = launch.argv.program();
    let mut env = Vec::new();
    for (name, value) in launch.env.pairs().filter(|(name, _)| *name != MARK) {
        if name.is_empty() || name.contains('=') {
            return Err(invalid(name));
        }
        env.push(word(format!("{name}={value}").into_bytes(), name)?);
    }
    env.push(word(format!("{MARK}={}", launch.attempt).into_bytes(), MARK)?);
    let path = word(path.into_os_string().into_vec(), program)?;
    let argv =
        launch.argv.words().iter().map(|text| word(text.clone().into_bytes(), program)).collect::<Result<_, _>>()?;
    Ok(Image::new(path, argv, env))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_program_is_looked_for_where_the_child_would() {
        let dir = tempfile::tempdir().unwrap();
        let cwd = dir.path();
        fs::create_dir_all(cwd.join("bin/folder")).unwrap();
        fs::create_dir_all(cwd.join("other")).unwrap();
        for (name, mode) in [("bin/tool", 0o755), ("bin/data", 0o644), ("other/data", 0o755)] {
            fs::write(cwd.join(name), "").unwrap();
            fs::set_permissions(cwd.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let bin = cwd.join("bin").to_string_lossy().into_owned();
        let both = format!("{bin}:{}", cwd.join("other").display());
        let check = |program: &str, search: Option<&str>, expected: Result<PathBuf, Errno>| {
            let found = find(program, search, cwd).map_err(|failure| Errno::from_raw_os_error(failure.errno.unwrap()));
            assert_eq!(found, expected, "{program} on {search:?}");
        };
        check("tool", Some(&bin), Ok(cwd.join("bin/tool")));
        check("tool", Some("bin"), Ok(cwd.join("bin/tool")));
        check("data", Some(&both), Ok(cwd.join("other/data")));
        check("data", Some(&bin), Err(Errno::ACCESS));
        check("folder", Some(&bin), Err(Errno::NOENT));
        check("absent", Some(&bin), Err(Errno::NOENT));
        check("tool", Some(""), Err(Errno::NOENT));
        check("tool", None, Err(Errno::NOENT));
        check("bin/tool", None, Ok(PathBuf::from("bin/tool")));
        check("./bin/data", None, Err(Errno::ACCESS));
        check("./bin/folder", None, Err(Errno::ACCESS));
        check("./absent", None, Err(Errno::NOENT));
        check("./bin/tool/x", None, Err(Errno::NOTDIR));
    }

    #[test]
    fn a_subject_is_cut_at_a_character() {
        let cut = failure(SpawnStep::Exec, Errno::TOOBIG, &"ä".repeat(1000)).subject;
        assert_eq!(cut, "ä".repeat(512));
    }
}
