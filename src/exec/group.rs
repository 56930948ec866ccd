//! Making a child process and taking its end: the one file with `unsafe` code.
//!
//! `std::process::Command` is not used for producers, for four reasons: with hooks it ends in `execvp`, which hands
//! a file without a known format to `/bin/sh` (a broken binary would run as a script); it waits for the `execve`, so
//! that no start limit could fire; it says one error number for every step; and it cannot place the child into a
//! cgroup as part of its birth, which is free, while moving it afterwards waits for a grace period of the kernel
//! (15 ms measured).
//!
//! Assumes that the calling process has one thread. Never allocates between birth and `execve`.

#![expect(unsafe_code, reason = "clone3, fork, execve, wait4, dup2, close, sigaction have no safe wrapper here")]

use std::ffi::{CString, c_char, c_int};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, Signal, getpid, getppid, set_parent_process_death_signal, setpgid};
use rustix::thread::CapabilitySet;

/// Resets handlers of the parent to the default in the child; linux/sched.h, since Linux 5.5.
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
/// Makes the child in another cgroup; linux/sched.h, since Linux 5.7.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
/// Highest signal number of Linux.
const LAST_SIGNAL: c_int = 64;

/// Everything `execve` is given.
///
/// To be kept until the child has become it, or has ended: until then both share every page, and the first write to one,
/// such as to free what lies there, copies it (20 µs each here).
#[derive(Debug)]
pub(super) struct Image {
    /// The file, absolute or relative to the working folder.
    path: CString,
    /// Words, the program's name first.
    argv: Words,
    /// `NAME=value` pairs.
    env: Words,
}

impl Image {
    /// Takes a file, words (the program's name first) and `NAME=value` pairs.
    pub(super) fn new(path: CString, argv: Vec<CString>, env: Vec<CString>) -> Self {
        Self { path, argv: Words::new(argv), env: Words::new(env) }
    }
}

/// A list as `execve` takes it.
#[derive(Debug)]
struct Words {
    /// Into `_texts`, which are on the heap and do not move; a null pointer ends them.
    pointers: Vec<*const c_char>,
    _texts: Vec<CString>,
}

impl Words {
    fn new(texts: Vec<CString>) -> Self {
        let pointers = texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect();
        Self { pointers, _texts: texts }
    }
}

/// Descriptors of a child. All are at least 3 and closed by `execve`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wiring<'fd> {
    /// Becomes 0.
    pub(super) stdin: BorrowedFd<'fd>,
    /// Becomes 1.
    pub(super) stdout: BorrowedFd<'fd>,
    /// Becomes 2.
    pub(super) stderr: BorrowedFd<'fd>,
    /// The working folder.
    pub(super) cwd: BorrowedFd<'fd>,
    /// Takes a [`Broken`] when the child cannot become the image; its end of file says that it has.
    pub(super) status: BorrowedFd<'fd>,
    /// `/proc/self/oom_score_adj` gets this, so that the kernel takes the child before its supervisor.
    pub(super) oom_score: i32,
    /// What keeps it from the rest of the machine.
    pub(super) confine: Option<Confine<'fd>>,
}

/// What a child puts itself under.
#[derive(Debug, Clone, Copy)]
pub(super) struct Confine<'fd> {
    /// Landlock's rules, where the kernel has it.
    pub(super) rules: Option<BorrowedFd<'fd>>,
    /// The capabilities that it keeps; `None` where it keeps all.
    pub(super) capabilities: Option<CapabilitySet>,
    /// Limits of resources.
    pub(super) limits: &'fd [(Resource, Rlimit)],
}

/// Where the birth takes place.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cradle<'fd> {
    /// In the cgroup with this folder.
    Leaf(BorrowedFd<'fd>),
    /// In the cgroup of the supervisor.
    Here,
}

/// Steps of a child before `execve`, as one byte on the status pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChildStep {
    /// Own process group, death signal, standard descriptors.
    SetUp,
    /// The working folder.
    Cwd,
    /// Containment.
    Contain,
    /// `execve`.
    Exec,
}

/// What a child says when it cannot become the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken {
    /// The step.
    pub(super) step: ChildStep,
    /// Error number.
    pub(super) errno: i32,
}

impl Broken {
    /// Bytes on the status pipe; fewer than `PIPE_BUF`, so that they come whole.
    pub(super) const BYTES: usize = 5;

    const fn to_bytes(self) -> [u8; Self::BYTES] {
        let [a, b, c, d] = self.errno.to_ne_bytes();
        let step = match self.step {
            ChildStep::SetUp => 1,
            ChildStep::Cwd => 2,
            ChildStep::Exec => 3,
            ChildStep::Contain => 4,
        };
        [step, a, b, c, d]
    }

    /// Reads what [`Broken::to_bytes`] wrote.
    pub(super) const fn from_bytes([step, a, b, c, d]: [u8; Self::BYTES]) -> Self {
        let step = match step {
            1 => ChildStep::SetUp,
            2 => ChildStep::Cwd,
            4 => ChildStep::Contain,
            _ => ChildStep::Exec,
        };
        Self { step, errno: i32::from_ne_bytes([a, b, c, d]) }
    }
}

/// Makes a child that becomes `image`.
///
/// # Errors
/// The error number of `clone3` or `fork`. With [`Cradle::Leaf`] also those of a cgroup that takes no process.
pub(super) fn start(image: &Image, wiring: Wiring<'_>, cradle: Cradle<'_>) -> Result<Pid, Errno> {
    let mut oom_score = [0; 12];
    let oom_score = decimal(wiring.oom_score, &mut oom_score);
    let parent = getpid();
    match give_birth(cradle)? {
        Some(child) => Ok(child),
        None => become_image(image, wiring, oom_score, parent),
    }
}

/// `None` in the child.
fn give_birth(cradle: Cradle<'_>) -> Result<Option<Pid>, Errno> {
    let (flags, cgroup) = match cradle {
        Cradle::Leaf(folder) => (CLONE_CLEAR_SIGHAND | CLONE_INTO_CGROUP, folder.as_raw_fd()),
        Cradle::Here => (CLONE_CLEAR_SIGHAND, 0),
    };
    // SAFETY: `clone_args` is plain numbers; all zero is its documented "nothing asked for".
    let mut args: libc::clone_args = unsafe { MaybeUninit::zeroed().assume_init() };
    args.flags = flags;
    args.exit_signal = u64::from(libc::SIGCHLD.unsigned_abs());
    args.cgroup = u64::from(cgroup.unsigned_abs());
    // SAFETY: without CLONE_VM and with stack 0 this is a `fork`: the child goes on here with a copy of all memory.
    // This process has one thread, so that no lock of the allocator or of std is left taken in the copy.
    let made = unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) };
    match made {
        0 => Ok(None),
        -1 => match (last_errno(), cradle) {
            // Old kernels and seccomp filters that do not know `clone3`.
            (Errno::NOSYS | Errno::INVAL | Errno::PERM, Cradle::Here) => plain_fork(),
            (errno, Cradle::Here | Cradle::Leaf(_)) => Err(errno),
        },
        child => Ok(i32::try_from(child).ok().and_then(Pid::from_raw)),
    }
}

/// `fork` with every signal held back until the child has the default handlers: a handler of the supervisor that
/// ran in the child would write into the supervisor's own wake-up pipe.
fn plain_fork() -> Result<Option<Pid>, Errno> {
    let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
    let mut all = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: both sets are valid memory; `sigfillset` and `sigprocmask` write them whole.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    // SAFETY: one thread, see `give_birth`.
    let made = unsafe { libc::fork() };
    let errno = last_errno();
    if made == 0 {
        default_dispositions();
    }
    // SAFETY: `before` was written above.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    match made {
        -1 => Err(errno),
        child => Ok(Pid::from_raw(child)),
    }
}

/// The child's side, from birth to `execve`: system calls only.
fn become_image(image: &Image, wiring: Wiring<'_>, oom_score: &[u8], parent: Pid) -> ! {
    let broken = |step, errno: Errno| -> ! {
        let word = Broken { step, errno: errno.raw_os_error() }.to_bytes();
        // The write cannot fail in a way that anyone could act on; the exit code 127 is never looked at.
        let _written = rustix::io::write(wiring.status, &word);
        // SAFETY: ends this process without running anything of the parent's.
        unsafe { libc::_exit(127) }
    };
    failpoint!("child.born");
    if let Err(errno) = setpgid(None, None) {
        broken(ChildStep::SetUp, errno);
    }
    if let Err(errno) = set_parent_process_death_signal(Some(Signal::KILL)) {
        broken(ChildStep::SetUp, errno);
    }
    // The supervisor may have died before the line above; then nobody would send the signal any more.
    if getppid() != Some(parent) {
        broken(ChildStep::SetUp, Errno::SRCH);
    }
    for (from, to) in [(wiring.stdin, 0), (wiring.stdout, 1), (wiring.stderr, 2)] {
        // SAFETY: the three targets are this process's standard descriptors, which nothing here owns.
        if unsafe { libc::dup2(from.as_raw_fd(), to) } < 0 {
            broken(ChildStep::SetUp, last_errno());
        }
    }
    prefer_for_oom(oom_score);
    if let Err(errno) = rustix::process::fchdir(wiring.cwd) {
        broken(ChildStep::Cwd, errno);
    }
    if let Some(confine) = wiring.confine
        && let Err(errno) = enter(confine)
    {
        broken(ChildStep::Contain, errno);
    }
    // SAFETY: path, words and pairs are NUL-terminated, both lists end with a null pointer, and `image` outlives
    // the call.
    unsafe { libc::execve(image.path.as_ptr(), image.argv.pointers.as_ptr(), image.env.pointers.as_ptr()) };
    broken(ChildStep::Exec, last_errno())
}

/// Enters what keeps a child from the rest of the machine: system calls only, and none can be taken back.
fn enter(confine: Confine<'_>) -> Result<(), Errno> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(super::contain::UMASK));
    for (resource, limit) in confine.limits {
        rustix::process::setrlimit(*resource, *limit)?;
    }
    rustix::thread::set_no_new_privs(true)?;
    if let Some(kept) = confine.capabilities {
        super::contain::drop_capabilities(kept)?;
    }
    let Some(rules) = confine.rules else { return Ok(()) };
    // SAFETY: the descriptor is a ruleset that is open in this process; the call takes no memory.
    let entered = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0_u32) };
    if entered == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Best effort: without `/proc` the kernel judges by memory alone.
fn prefer_for_oom(score: &[u8]) {
    use rustix::fs::{Mode, OFlags, open};
    if let Ok(file) = open(c"/proc/self/oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
        let _written = rustix::io::write(&file, score);
    }
}

/// A number as decimal digits, without allocating.
fn decimal(number: i32, buffer: &mut [u8; 12]) -> &[u8] {
    use std::io::Write as _;
    let room = buffer.len();
    let mut rest = &mut buffer[..];
    write!(rest, "{number}").expect("twelve bytes hold every i32");
    let left = rest.len();
    &buffer[..room - left]
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).expect("errno is an error number")
}

/// A child that has ended and was taken off the process table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reaped {
    /// Its pid, free for others from now on.
    pub(super) pid: i32,
    /// How it ended.
    pub(super) end: End,
    /// Peak resident memory of it or of a child it waited for, in KiB.
    pub(super) max_rss_kib: u64,
    /// Processor time in user mode, with the children it waited for.
    pub(super) user: Duration,
    /// Processor time in the kernel, likewise.
    pub(super) system: Duration,
}

/// The two ways a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By `exit`.
    Code(u8),
    /// By a signal.
    Signal {
        /// Its number.
        number: i32,
        /// Whether a core was written.
        core: bool,
    },
}

/// What a look at the children gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Children {
    /// One has ended and was reaped.
    Reaped(Reaped),
    /// Some live, none has ended.
    Living,
    /// There is no child, and for a subreaper that means: no descendant at all.
    None,
}

/// Reaps one child of any kind, without waiting.
pub(super) fn reap() -> Children {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are valid for writing; `rusage` is plain numbers, so that all zero is a value.
    let (pid, usage) = unsafe {
        let pid = libc::wait4(-1, &raw mut status, libc::WNOHANG, usage.as_mut_ptr());
        (pid, usage.assume_init())
    };
    match pid {
        0 => Children::Living,
        // ECHILD is the only error that WNOHANG leaves.
        -1 => Children::None,
        pid => Children::Reaped(Reaped {
            pid,
            end: if libc::WIFSIGNALED(status) {
                End::Signal { number: libc::WTERMSIG(status), core: libc::WCOREDUMP(status) }
            } else {
                End::Code(u8::try_from(libc::WEXITSTATUS(status)).expect("an exit status has eight bits"))
            },
            max_rss_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0),
            user: duration(usage.ru_utime),
            system: duration(usage.ru_stime),
        }),
    }
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds).saturating_add(Duration::from_micros(micros))
}

/// Gives every signal its default action. A child inherits what is ignored, so a runner started under `nohup` would
/// otherwise hand producers an ignored SIGHUP. Goes past libc, which keeps two signals to itself.
pub(super) fn default_dispositions() {
    // All zero is SIG_DFL without flags, and larger than the kernel's `struct sigaction` on any machine.
    let default = [0_u64; 8];
    for number in 1..=LAST_SIGNAL {
        // SAFETY: the kernel reads `default` and installs no code. SIGKILL and SIGSTOP refuse; nothing to do then.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, number, default.as_ptr(), ptr::null_mut::<u64>(), 8_usize) };
    }
}

/// Lets every signal through.
pub(super) fn empty_mask() {
    let mut none = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: `sigemptyset` writes the set before `sigprocmask` reads it.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
    }
}

/// Makes a process fit to have children, whatever it was started with: with SIGCHLD ignored the kernel throws away how
/// they end, and blocked signals would be handed on to them. A limit on the size of files, which any process of the same
/// user can set from outside (prlimit(2)), becomes an error of the write and not its death. To be called once by `main`,
/// before any thread.
pub fn normalise_signals() {
    // SAFETY: SIG_DFL installs no code.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    // Caught, not ignored: what is ignored stays so across `execve`. It cannot be refused for this signal.
    signal_hook::flag::register(libc::SIGXFSZ, Arc::default()).ok();
    empty_mask();
}

/// Takes descriptor 0 as a value of its own, at 3 or above, and closes everything else that was inherited beyond the
/// standard three.
///
/// To be called once, first thing in a process that has opened nothing yet.
///
/// # Errors
/// Descriptor 0 is closed, the table of descriptors is full, or `/proc` is not there.
pub(super) fn adopt_stdin() -> Result<OwnedFd, Errno> {
    let listed =
        std::fs::read_dir("/proc/self/fd").map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let inherited: Vec<RawFd> =
        listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter(|fd| *fd > 2).collect();
    for fd in inherited {
        // SAFETY: nothing in this process owns a descriptor above 2 yet. The folder's own, also in the list, is
        // closed already and the call refuses it.
        unsafe { libc::close(fd) };
    }
    // SAFETY: 0 is open for the life of a Rust program: its runtime opens `/dev/null` there when it is closed.
    let stdin = unsafe { BorrowedFd::borrow_raw(0) };
    let adopted = rustix::io::fcntl_dupfd_cloexec(stdin, 3)?;
    let null = rustix::fs::open(
        c"/dev/null",
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    // SAFETY: 0 stays open, with another file behind it; std's handle of stdin holds no state for it.
    if unsafe { libc::dup2(null.as_raw_fd(), 0) } < 0 {
        return Err(last_errno());
    }
    Ok(adopted)
}

/// Version of Landlock's interface, as `landlock_create_ruleset(2)` tells it; `None` where it is not there or off.
pub(super) fn landlock_version() -> Option<u32> {
    /// `LANDLOCK_CREATE_RULESET_VERSION` of linux/landlock.h.
    const VERSION: c_int = 1;
    // SAFETY: with this flag the call takes no memory (null, length 0), makes nothing and answers with a number.
    let answer = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, ptr::null::<u8>(), 0_usize, VERSION) };
    u32::try_from(answer).ok().filter(|version| *version > 0)
}
