//! GitHub Actions: annotations as workflow commands, and the table of the run in the step's summary.
//!
//! The runner reads workflow commands from both streams of a step (actions/runner, `ScriptHandler.cs`), so they go to
//! stderr and stdout stays data. Escapes are those of its `ActionCommand.cs`. A step shows at most ten annotations of
//! each kind; the summary has the rest.

use super::told::{Finding, Told};

/// Most annotations of one kind that a step shows.
const ANNOTATIONS_MAX: usize = 10;

/// The workflow commands, one a line.
pub(super) fn commands(told: &Told) -> Vec<String> {
    let mut errors = Vec::new();
    let mut warnings = Vec::new();
    for case in told.standing() {
        match case.finding {
            Finding::Failed => {
                let mut lines = vec![case.detail.clone()];
                lines.extend(case.failing.iter().map(|name| format!("failing: {name}")));
                errors.push(command("error", &format!("{} failed", case.title()), &lines.join("\n")));
            }
            Finding::NoVerdict | Finding::Undecided if told.hold_of(case).is_none() => {
                let title = format!("{} gave no verdict ({})", case.title(), case.reason);
                warnings.push(command("warning", &title, &case.detail));
            }
            Finding::Passed | Finding::NoVerdict | Finding::Undecided => {}
        }
    }
    if let Some(hold) = &told.hold {
        let title = format!("{} is {}", hold.stage, hold.kind);
        // First, so that the limit cannot swallow it.
        warnings.insert(0, command("warning", &title, &format!("{}\n{}", hold.text, hold.hint)));
    }
    if let Some(message) = &told.broken {
        errors.insert(0, command("error", "orch could not go on", message));
    }
    errors.truncate(ANNOTATIONS_MAX);
    warnings.truncate(ANNOTATIONS_MAX);
    errors.append(&mut warnings);
    errors
}

fn command(kind: &str, title: &str, message: &str) -> String {
    format!("::{kind} title={}::{}", property(&format!("orch: {title}")), data(message))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_command_or_begins_another() {
        assert_eq!(
            command("error", "a,b:c", "100%\n::set-output name=x::y\r"),
            "::error title=orch%3A a%2Cb%3Ac::100%25%0A::set-output name=x::y%0D"
        );
    }
}
