//! The contract of a gate: which key decides, which words mean what, which companions must not object.

use crate::domain::verdict::{Unreadable, UnreadableReason, Verdict};

use super::grammar::Entry;
use super::{quoted, unreadable};

/// A gate as data.
#[derive(Debug)]
pub(super) struct Contract<'a> {
    /// The key that gives the verdict; must stand once.
    pub(super) key: &'a str,
    /// Words that mean pass.
    pub(super) pass: Vec<&'a str>,
    /// Words that mean fail.
    pub(super) fail: Vec<&'a str>,
    /// Keys that may be absent and must agree where they stand.
    pub(super) companions: &'static [Companion],
}

/// A key beside the verdict key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Companion {
    /// Says the verdict again, in its own words.
    Echo {
        /// The key.
        key: &'static str,
        /// Its word for pass.
        pass: &'static str,
        /// Its word for fail.
        fail: &'static str,
    },
    /// Counts what went wrong: a number that must be 0 beside a pass. Beside a fail it may be anything.
    Zero(&'static str),
}

/// A count that tools and agents write beside a verdict.
pub(super) const fn zero(key: &'static str) -> Companion {
    Companion::Zero(key)
}

impl Companion {
    const fn key(self) -> &'static str {
        match self {
            Self::Echo { key, .. } | Self::Zero(key) => key,
        }
    }
}

impl<'a> Contract<'a> {
    /// Every key that nothing else may look like.
    pub(super) fn watched(&self) -> Vec<&'a str> {
        std::iter::once(self.key).chain(self.companions.iter().map(|companion| companion.key())).collect()
    }

    /// Finds the verdict, then asks every companion.
    pub(super) fn judge(&self, entries: &[Entry<'_>]) -> Result<Verdict, Unreadable> {
        let entry = entries.iter().find(|entry| entry.key == self.key).ok_or_else(|| {
            unreadable(UnreadableReason::NoKey, None, format!("the front matter has no key `{}`", self.key))
        })?;
        let verdict = self.word(entry)?;
        for entry in entries {
            let companion = self.companions.iter().find(|companion| companion.key() == entry.key);
            if let Some(companion) = companion.filter(|_| entry.key != self.key) {
                ask(*companion, entry, &verdict, self.key)?;
            }
        }
        Ok(verdict)
    }

    /// Byte equality with one word of one set; a word of both sets means nothing.
    fn word(&self, entry: &Entry<'_>) -> Result<Verdict, Unreadable> {
        let stands_in = |words: &[&str]| words.iter().any(|word| *word == entry.value);
        match (stands_in(&self.pass), stands_in(&self.fail)) {
            (true, false) => Ok(Verdict::Pass),
            (false, true) => Ok(Verdict::Fail),
            (true, true) | (false, false) => {
                let wanted = self.pass.iter().chain(&self.fail).copied().collect::<Vec<_>>().join("`, `");
                Err(unknown(entry, &format!("one of `{wanted}`")))
            }
        }
    }
}

fn ask(companion: Companion, entry: &Entry<'_>, verdict: &Verdict, key: &str) -> Result<(), Unreadable> {
    let said = match companion {
        Companion::Echo { pass, .. } if entry.value == pass => Verdict::Pass,
        Companion::Echo { fail, .. } if entry.value == fail => Verdict::Fail,
        Companion::Echo { pass, fail, .. } => return Err(unknown(entry, &format!("`{pass}` or `{fail}`"))),
        Companion::Zero(_) => match verdict {
            Verdict::Fail => return Ok(()),
            Verdict::Pass if is_zero(&entry.value) => return Ok(()),
            Verdict::Pass if is_number(&entry.value) => Verdict::Fail,
            Verdict::Pass => return Err(unknown(entry, "a plain number or `none`")),
        },
    };
    if said == *verdict {
        return Ok(());
    }
    let detail = format!("`{}: {}` contradicts the {} of `{key}`", entry.key, entry.value, verdict.as_str());
    Err(unreadable(UnreadableReason::Contradiction, entry.line, detail))
}

fn is_zero(value: &str) -> bool {
    value == "none" || is_number(value) && value.bytes().all(|b| matches!(b, b'0' | b'-'))
}

fn is_number(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

fn unknown(entry: &Entry<'_>, wanted: &str) -> Unreadable {
    let detail = format!("`{}` is {}; wanted {wanted}", entry.key, quoted(&entry.value));
    unreadable(UnreadableReason::UnknownValue, entry.line, detail)
}
