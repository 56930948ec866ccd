//! What does not belong to a worktree's tree: the artifacts that the pipeline declares for a task, the reports of its
//! suites, and what orch itself puts beside an artifact while it writes or clears the way. Nothing else of any folder.

use std::collections::HashSet;
use std::sync::Arc;

use super::artifact::{is_temporary, name_before_aside};
use crate::domain::id::RelPath;

/// What is left out of a tree. Cheap to clone; asked for every path, so that the number of stages does not count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Less(Arc<Left>);

#[derive(Debug, PartialEq, Eq, Default)]
struct Left {
    artifacts: HashSet<Box<[u8]>>,
    reports: HashSet<Box<[u8]>>,
    /// The folders that artifacts stand in, and those of reports.
    holders: [HashSet<Box<[u8]>>; 2],
}

impl Less {
    /// Every declared artifact of a task, and the reports that are declared below the worktree.
    pub fn new(artifacts: impl IntoIterator<Item = RelPath>, reports: impl IntoIterator<Item = RelPath>) -> Self {
        let bytes = |path: RelPath| Box::<[u8]>::from(path.as_str().as_bytes());
        Self::from_parts(artifacts.into_iter().map(bytes).collect(), reports.into_iter().map(bytes).collect())
    }

    pub(super) fn from_parts(artifacts: HashSet<Box<[u8]>>, reports: HashSet<Box<[u8]>>) -> Self {
        let holders = [&artifacts, &reports].map(|paths| paths.iter().map(|path| Box::from(parted(path).0)).collect());
        Self(Arc::new(Left { artifacts, reports, holders }))
    }

    /// Artifacts and reports, each in the order of their bytes.
    pub(super) fn parts(&self) -> [Vec<&[u8]>; 2] {
        [&self.0.artifacts, &self.0.reports].map(|paths| {
            let mut paths: Vec<&[u8]> = paths.iter().map(AsRef::as_ref).collect();
            paths.sort_unstable();
            paths
        })
    }

    /// Whether a path is left out. What lies below an artifact's place, where somebody made a folder of it, is so too.
    pub(super) fn covers(&self, path: &[u8]) -> bool {
        let covered = |part: &[u8]| self.0.artifacts.contains(part) || self.is_beside(part);
        let above = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').filter_map(|(end, _)| path.get(..end));
        self.0.reports.contains(path) || covered(path) || above.into_iter().any(covered)
    }

    /// Whether something in a folder is left out: its times say nothing about the rest.
    pub(super) fn is_in(&self, folder: &[u8]) -> bool {
        self.0.holders.iter().any(|holders| holders.contains(folder))
    }

    /// Whether it is what orch puts beside an artifact: a file that is being written, or a folder set aside.
    fn is_beside(&self, path: &[u8]) -> bool {
        let (folder, name) = parted(path);
        let stood = || name_before_aside(name).map(|stood| joined(folder, stood));
        let [holders, _] = &self.0.holders;
        (is_temporary(name) && holders.contains(folder))
            || stood().is_some_and(|stood| self.0.artifacts.contains(stood.as_slice()))
    }
}

/// A path's folder, empty for the worktree's own, and its name in it.
fn parted(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at.saturating_add(1)..).unwrap_or_default()),
        None => (&[], path),
    }
}

fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_declared_places_is_left_out() {
        let path = |text: &str| RelPath::new(text).unwrap();
        let less = Less::new([path("docs/t/13.md"), path("top.md")], [path("out/report.xml")]);
        let check = |path: &str, expected| assert_eq!(less.covers(path.as_bytes()), expected, "{path}");
        let hex = "0123456789abcdef".repeat(2);
        check("docs/t/13.md", true);
        check("docs/t/13.md/inner/x", true);
        check("docs/t/13.mdx", false);
        check("docs/t/00-request.md", false);
        check("docs/t/conftest.py", false);
        check("docs/t", false);
        check("top.md", true);
        check("out/report.xml", true);
        check("out/report.xml/x", false);
        check(&format!("docs/t/.orch-tmp-{hex}"), true);
        check(&format!("docs/t/.orch-tmp-{hex}.py"), false);
        check(&format!("docs/.orch-tmp-{hex}"), false);
        check(&format!("out/.orch-tmp-{hex}"), false);
        check(&format!("docs/t/.orch-aside-{hex}-13.md/x"), true);
        check(&format!("docs/t/.orch-aside-{hex}-14.md/x"), false);
        assert!(less.is_in(b"docs/t") && less.is_in(b"") && !less.is_in(b"docs"));
        assert!(!Less::default().covers(b"docs/t/13.md"));
    }
}
