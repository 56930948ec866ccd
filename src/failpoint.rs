//! Failpoints: named places at which a test lets a real process die, stop, fail or leave early.
//!
//! Only a build with the feature `failpoints` has them; in any other the macro is nothing at all. `ORCH_FAILPOINT` is
//! `NAME=ACTION`, or `NAME#N=ACTION` for the N-th time: `abort`, `pause:FIFO` (says its name there, and goes on after a
//! word through `FIFO.go`), `error:ERRNO`, `return` (leaves as if the rest had been done). `ORCH_FAILPOINT_LOG` names a
//! file to which every point that is passed is appended. Several points are parted by commas. Every name stands in `tests/failpoints/points.rs` too.

/// A failpoint. `failpoint!("name")` may die or stop there; `failpoint!("name", error => E)` may also return `Err(E)`,
/// where `error` is an [`std::io::Error`]; `failpoint!("name", return V)` may also return `V`, or nothing.
#[cfg(feature = "failpoints")]
macro_rules! failpoint {
    ($name:literal) => {
        crate::failpoint::pass($name);
    };
    ($name:literal, return $($value:expr)?) => {
        if let Some(crate::failpoint::Left::Early) = crate::failpoint::pass($name) {
            return $($value)?;
        }
    };
    ($name:literal, $error:ident => $made:expr) => {
        if let Some(crate::failpoint::Left::By($error)) = crate::failpoint::pass($name) {
            return Err($made);
        }
    };
}

/// A failpoint; nothing in this build.
#[cfg(not(feature = "failpoints"))]
macro_rules! failpoint {
    ($name:literal $($rest:tt)*) => {};
}

#[cfg(feature = "failpoints")]
pub(crate) use armed::{Left, handed_on, pass};

#[cfg(feature = "failpoints")]
mod armed {
    use std::fs::OpenOptions;
    use std::io::{self, Write as _};
    use std::path::PathBuf;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    const POINT: &str = "ORCH_FAILPOINT";
    const LOG: &str = "ORCH_FAILPOINT_LOG";

    /// How a point is left that does not go on.
    pub(crate) enum Left {
        Early,
        By(io::Error),
    }

    enum Action {
        Abort,
        Pause(PathBuf),
        Error(i32),
        Return,
    }

    struct Armed {
        name: String,
        /// Passes that are left before it acts.
        left: AtomicU32,
        action: Action,
    }

    static ARMED: LazyLock<Vec<Armed>> =
        LazyLock::new(|| std::env::var(POINT).iter().flat_map(|text| text.split(',')).map(read).collect());
    static LOG_FILE: LazyLock<Option<PathBuf>> = LazyLock::new(|| std::env::var_os(LOG).map(PathBuf::from));

    fn read(text: &str) -> Armed {
        let known = || -> Option<Armed> {
            let (place, action) = text.split_once('=')?;
            let (name, nth) = place.split_once('#').unwrap_or((place, "1"));
            let action = match action.split_once(':').unwrap_or((action, "")) {
                ("abort", "") => Action::Abort,
                ("return", "") => Action::Return,
                ("pause", fifo) => Action::Pause(fifo.into()),
                ("error", errno) => Action::Error(errno.parse().ok()?),
                _ => return None,
            };
            Some(Armed { name: name.to_owned(), left: AtomicU32::new(nth.parse().ok()?), action })
        };
        known().unwrap_or_else(|| panic!("{POINT} is {text:?}"))
    }

    /// Passes a point: once in the life of a process it may act.
    pub(crate) fn pass(name: &str) -> Option<Left> {
        if let Some(file) = &*LOG_FILE {
            let mut file = OpenOptions::new().append(true).create(true).open(file).expect("the log of failpoints");
            file.write_all(format!("{name}\n").as_bytes()).expect("the log of failpoints");
        }
        let armed = ARMED.iter().find(|armed| armed.name == name)?;
        let before = armed.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if before != Ok(1) {
            return None;
        }
        match &armed.action {
            Action::Abort => std::process::abort(),
            Action::Pause(fifo) => {
                let mut go = fifo.clone().into_os_string();
                go.push(".go");
                std::fs::write(fifo, format!("{name}\n")).expect("a FIFO to say so");
                std::io::Read::read(&mut std::fs::File::open(go).expect("a FIFO to wait at"), &mut [0]).ok();
                None
            }
            Action::Error(errno) => Some(Left::By(io::Error::from_raw_os_error(*errno))),
            Action::Return => Some(Left::Early),
        }
    }

    /// What a supervisor, whose environment is empty otherwise, must be told.
    pub(crate) fn handed_on() -> impl Iterator<Item = (&'static str, std::ffi::OsString)> {
        [POINT, LOG].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)))
    }
}
