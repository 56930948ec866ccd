//! The environment variables that orch was started with.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;

/// The environment as it was found, values that are no UTF-8 included.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, OsString>);

impl Variables {
    /// Takes the pairs of an environment. Names that are not UTF-8 are none of orch's; of a name that stands twice
    /// the first counts, as with getenv(3).
    pub fn new<N: Into<OsString>, V: Into<OsString>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut found = BTreeMap::new();
        for (name, value) in pairs {
            if let Ok(name) = name.into().into_string() {
                found.entry(name).or_insert_with(|| value.into());
            }
        }
        Self(found)
    }

    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(name).map(OsString::as_os_str)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// Values may be secrets: only the number of variables is shown.
impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Variables({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_shown_and_the_first_of_two_counts() {
        let variables = Variables::new([("A", "hunter2"), ("A", "later"), ("B", "x")]);
        assert_eq!(variables.get("A"), Some(OsStr::new("hunter2")));
        assert_eq!(format!("{variables:?}"), "Variables(2)");
    }
}
