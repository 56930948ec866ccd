//! Which variables of orch's own environment are secrets.

use crate::domain::pipeline::AgentProfile;

/// Parts of names that say that the value is a secret.
const PARTS: [&str; 9] =
    ["TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "API_KEY", "APIKEY", "PRIVATE_KEY"];

/// Names that have such a part and hold no secret.
const NONE: [&str; 2] = ["SSH_ASKPASS_REQUIRE", "GIT_TERMINAL_PROMPT"];

/// Whether a variable is taken for a secret by its name: a profile's own, `ACCESS_KEY`, and the usual parts of names.
pub fn is_secret(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let of_profile = AgentProfile::ALL.into_iter().any(|profile| profile.row().secrets.contains(&name));
    of_profile || !NONE.contains(&name) && (PARTS.iter().any(|part| upper.contains(part)) || upper.ends_with("_KEY"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_secret() {
        for name in ["ANTHROPIC_API_KEY", "GITHUB_TOKEN", "db_password", "AWS_SECRET_ACCESS_KEY", "DEPLOY_KEY"] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["PATH", "HOME", "KEYBOARD", "CARGO_HOME", "MONKEY"] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
