//! What a smoke check saw: a fact about a service, beside what the suite itself proved.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One smoke check and what it saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SmokeFacts {
    /// URL that was asked.
    pub get: String,
    /// Wanted HTTP status.
    pub expect: u16,
    /// What came of it.
    pub seen: SmokeSeen,
    /// Monotonic time that it took.
    pub elapsed: Duration,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum SmokeSeen {
    /// An HTTP answer with this status.
    Answered {
        /// Its status.
        status: u16,
    },
    /// An answer that is no HTTP, or has a header beyond every bound.
    NotHttp {
        /// What is wrong with it.
        why: String,
    },
    /// Nobody listens there.
    Refused,
    /// No complete answer in time.
    TimedOut,
    /// The host's name has no address.
    NoAddress {
        /// What the resolver says.
        why: String,
    },
    /// The connection broke before the answer was complete.
    Broken {
        /// What the system says.
        why: String,
    },
    /// The certificate cannot be trusted, or the two have no common TLS.
    Tls {
        /// What the TLS library says.
        why: String,
    },
    /// The request could not be made for another reason.
    Other {
        /// Which.
        why: String,
    },
    /// It was not made, because the suite did not pass.
    NotMade,
}

/// What a check means beside a suite that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmokeSense {
    /// The wanted answer.
    Right,
    /// The service answered, and with something else.
    Wrong,
    /// The service itself gave no answer; it may later.
    Unreachable,
    /// The service cannot be trusted; waiting will not help.
    Untrusted,
}

impl SmokeFacts {
    /// What was seen beside what was wanted. A gateway that answers for a dead service (502, 503, 504) is no answer
    /// of the service, unless that status is the wanted one.
    pub const fn sense(&self) -> SmokeSense {
        match self.seen {
            SmokeSeen::Answered { status } if status == self.expect => SmokeSense::Right,
            SmokeSeen::Answered { status: 502..=504 }
            | SmokeSeen::Refused
            | SmokeSeen::TimedOut
            | SmokeSeen::NoAddress { .. }
            | SmokeSeen::Broken { .. }
            | SmokeSeen::Other { .. }
            | SmokeSeen::NotMade => SmokeSense::Unreachable,
            SmokeSeen::Answered { .. } | SmokeSeen::NotHttp { .. } => SmokeSense::Wrong,
            SmokeSeen::Tls { .. } => SmokeSense::Untrusted,
        }
    }
}

impl SmokeSeen {
    /// What was seen, in a few words: a status, or why there is none.
    pub fn in_words(&self) -> String {
        match self {
            Self::Answered { status } => status.to_string(),
            Self::NotHttp { why } => format!("no HTTP answer: {why}"),
            Self::Refused => "connection refused".to_owned(),
            Self::TimedOut => "no answer in time".to_owned(),
            Self::NoAddress { why } => format!("no address: {why}"),
            Self::Broken { why } => format!("connection broke: {why}"),
            Self::Tls { why } => format!("no trusted TLS: {why}"),
            Self::Other { why } => format!("not possible: {why}"),
            Self::NotMade => "not made".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::evidence::{Declared, Evidence, Exit};
    use super::*;

    #[test]
    fn evidence_from_before_has_no_checks() {
        let evidence = Evidence::of(Exit::Exited { code: 0 }, Declared::default());
        let mut older = serde_json::to_value(&evidence).unwrap();
        assert!(older.as_object_mut().unwrap().remove("smoke").is_some());
        assert_eq!(serde_json::from_value::<Evidence>(older).unwrap(), evidence);
    }

    #[test]
    fn only_the_wanted_status_is_right() {
        let check = |expect, seen, expected| {
            let facts = SmokeFacts { get: "http://h/".to_owned(), expect, seen, elapsed: Duration::ZERO };
            assert_eq!(facts.sense(), expected, "{facts:?}");
        };
        let why = || "why".to_owned();
        for status in 100..=599 {
            let other = if (502..=504).contains(&status) { SmokeSense::Unreachable } else { SmokeSense::Wrong };
            let expected = if status == 200 { SmokeSense::Right } else { other };
            check(200, SmokeSeen::Answered { status }, expected);
            check(status, SmokeSeen::Answered { status }, SmokeSense::Right);
        }
        check(503, SmokeSeen::Answered { status: 200 }, SmokeSense::Wrong);
        check(200, SmokeSeen::NotHttp { why: why() }, SmokeSense::Wrong);
        check(200, SmokeSeen::Tls { why: why() }, SmokeSense::Untrusted);
        for seen in [
            SmokeSeen::Refused,
            SmokeSeen::TimedOut,
            SmokeSeen::NoAddress { why: why() },
            SmokeSeen::Broken { why: why() },
            SmokeSeen::Other { why: why() },
            SmokeSeen::NotMade,
        ] {
            check(200, seen, SmokeSense::Unreachable);
        }
    }
}
