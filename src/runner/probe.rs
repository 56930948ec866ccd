//! Looking whether what a hold waits for has come true. Nothing of the stage is started.

use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::domain::decision::Probe;
use crate::domain::pipeline::Stage;
use crate::engine::search_path;
use crate::exec;

use super::choice::Next;
use super::drive::Runner;

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It has come true; what was seen.
    Passed(String),
    /// It has not; what was seen.
    Failed(String),
    /// Only a person can tell.
    NotTried,
}

impl Runner<'_> {
    /// Looks.
    pub(super) fn look(&self, probe: &Probe, stage: &Stage, cwd: &Path) -> Found {
        match probe {
            Probe::Person | Probe::Answer => Found::NotTried,
            Probe::Program(name) => {
                let search = match self.choose(stage) {
                    Next::Run(chosen) => search_path(chosen.producer, &self.host_env),
                    Next::Hold(_) => None,
                };
                match exec::find(name, search, cwd) {
                    Ok(path) => {
                        // `components` takes out what `./` adds.
                        let path: PathBuf = cwd.join(path).components().collect();
                        Found::Passed(format!("`{name}` is {} now", path.display()))
                    }
                    Err(failure) if failure.errno == Some(Errno::ACCESS.raw_os_error()) => {
                        Found::Failed(format!("`{name}` is there, and still is a folder or nobody may execute it"))
                    }
                    Err(_) => Found::Failed(format!("`{name}` still cannot be found")),
                }
            }
            Probe::Folder(path) if cwd.join(path).is_dir() => {
                Found::Passed(format!("the folder `{path}` is there now"))
            }
            Probe::Folder(path) => Found::Failed(format!("the folder `{path}` is still not there")),
            Probe::Time(at) if self.clock.now() >= *at => Found::Passed(format!("{at:.0} has come")),
            Probe::Time(at) => Found::Failed(format!("{at:.0} has not come yet")),
            Probe::Channel(_) => self.preflight(stage),
            Probe::Space => {
                let room = self.room();
                room.short.map_or_else(|| Found::Passed(room.seen.join(", ")), |short| Found::Failed(short.text()))
            }
            Probe::Switch(name) => match self.choose(stage) {
                Next::Run(chosen) => Found::Passed(format!("`{name}` lets the stage run: {}", chosen.why)),
                Next::Hold(reason) => Found::Failed(reason.text()),
            },
        }
    }
}
