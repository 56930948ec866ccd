//! What a repository is called: the name that a switch's scope is compared with.
//!
//! The origin's URL stands in the shared configuration, where an agent may write; a pipeline that says `repository:`
//! depends on nothing but its own file.

use std::ffi::OsStr;

use super::git::{Git, GitError, refused};
use super::worktree::Worktree;

/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 200;

/// A repository's name and how it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// The name.
    pub name: String,
    /// How it is known.
    pub from: RepositoryFrom,
}

/// How a repository's name is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepositoryFrom {
    /// The pipeline's `repository:`.
    Pipeline,
    /// The URL of the remote `origin`.
    Origin,
    /// The folder that the repository lies in.
    Folder,
}

impl RepositoryFrom {
    /// The word of documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pipeline => "pipeline",
            Self::Origin => "origin",
            Self::Folder => "folder",
        }
    }
}

impl Repository {
    /// A repository that the pipeline names.
    pub fn declared(name: &str) -> Self {
        Self { name: name.to_owned(), from: RepositoryFrom::Pipeline }
    }
}

impl Worktree {
    /// What people and switches call the repository: what the pipeline says, else the last part of its origin's URL
    /// without `.git`, else the name of its folder.
    ///
    /// # Errors
    /// [`GitError`] when git cannot answer.
    pub fn repository(&self, git: &Git<'_>, declared: Option<&str>) -> Result<Repository, GitError> {
        if let Some(name) = declared {
            return Ok(Repository::declared(name));
        }
        let what = "read the origin's URL";
        self.check()?;
        let args = ["config", "--null", "--get-all", "remote.origin.url"].map(OsStr::new);
        let answer = git.ask(what, self.toplevel(), &self.place(), &args)?;
        let folder = || Repository { name: self.folder_name(), from: RepositoryFrom::Folder };
        match answer.code {
            0 => {
                // Of several URLs git fetches from the first.
                let first = answer.stdout.split(|byte| *byte == 0).next().unwrap_or_default();
                let named = name_in_url(&String::from_utf8_lossy(first));
                Ok(named.map_or_else(folder, |name| Repository { name, from: RepositoryFrom::Origin }))
            }
            1 => Ok(folder()),
            _ => Err(refused(what, &answer)),
        }
    }
}

/// The last part of a URL's path or of `host:path`, without `.git`; `None` where there is no path.
fn name_in_url(url: &str) -> Option<String> {
    let path = match url.trim().split_once("://") {
        Some((_, rest)) => rest.split_once('/')?.1,
        None => url.trim(),
    };
    let path = path.trim_end_matches('/');
    // What is cloned from a working copy is called after its folder, as `git clone` does.
    let path = path.strip_suffix("/.git").map_or(path, |folder| folder.trim_end_matches('/'));
    let name = path.rsplit(['/', ':']).next().unwrap_or_default();
    let name = name.strip_suffix(".git").unwrap_or(name);
    let name: String = name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
    (!matches!(name.as_str(), "" | "." | "..")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_named_after_its_origin() {
        let check = |url, expected: Option<&str>| assert_eq!(name_in_url(url).as_deref(), expected, "{url}");
        check("https://user:secret@host/team/shop.git", Some("shop"));
        check("https://host/team/shop/", Some("shop"));
        check("https://host:8443/shop.git/", Some("shop"));
        check("git@host:shop.git", Some("shop"));
        check("git@host:team/shop", Some("shop"));
        check("host:shop/", Some("shop"));
        check("/srv/git/shop.git/", Some("shop"));
        check("/srv/shop/.git", Some("shop"));
        check("../shop", Some("shop"));
        check("file:///srv/git/shop.git", Some("shop"));
        check("file:///srv/shop/.git/", Some("shop"));
        check("ssh://host:22/a/b\n", Some("b"));
        check("https://host/team/.github.git", Some(".github"));
        for url in ["", "/", "https://host", "https://host/", "git@host:", "..", "https://user:secret@host"] {
            check(url, None);
        }
    }
}
