//! What a failed artifact says of its failures, for people and for the agent that mends them.

use crate::domain::artifact::printable;

use super::markdown::{self, Kind};

/// Most lines taken.
const FINDINGS_MAX: usize = 20;

/// Most characters of a line.
const FINDING_CHARS_MAX: usize = 300;

/// Titles of a section that lists failures, in small letters.
const TITLES: [&str; 6] = ["failures", "failure", "failed tests", "failing tests", "failed checks", "errors"];

/// Lines of the first section that is named after failures, up to the next heading of its level or above.
pub(super) fn of(body: &[&str], kinds: &[Kind]) -> Vec<String> {
    let lines: Vec<(&str, Kind)> = body.iter().copied().zip(kinds.iter().copied()).collect();
    let start = lines.iter().position(|(line, kind)| match kind {
        Kind::Heading(_) => is_title(line),
        Kind::Blank | Kind::Fence | Kind::Code | Kind::Prose => false,
    });
    let Some(((_, title), below)) = start.and_then(|start| lines.get(start..)).and_then(<[_]>::split_first) else {
        return Vec::new();
    };
    below
        .iter()
        .take_while(|(_, kind)| match (kind, title) {
            (Kind::Heading(level), Kind::Heading(own)) => level > own,
            _ => true,
        })
        .filter(|(line, kind)| *kind != Kind::Fence && !line.trim().is_empty())
        .take(FINDINGS_MAX)
        .map(|(line, _)| printable(line.trim_end(), FINDING_CHARS_MAX))
        .collect()
}

fn is_title(line: &str) -> bool {
    markdown::heading(line)
        .is_some_and(|(_, text)| TITLES.contains(&text.trim_end_matches(':').to_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expected: &[&str]) {
        let lines: Vec<&str> = body.lines().collect();
        assert_eq!(of(&lines, &markdown::kinds(&lines)), expected, "{body}");
    }

    #[test]
    fn the_failure_section_is_taken_and_nothing_else() {
        check(
            "# R\ntext\n\n## Failures\n\n- a\n\n```\nb\n```\n### more\n- c\n## Next\n- d\n",
            &["- a", "b", "### more", "- c"],
        );
        check("# R\n## failed tests:\nx\n", &["x"]);
        check("# R\n```\n## Failures\nx\n```\n", &[]);
        check("", &[]);
        check("## Failures\n", &[]);
    }

    #[test]
    fn findings_are_bounded() {
        let body = format!("## Failures\n{}", format!("{}\n", "x".repeat(1000)).repeat(100));
        let lines: Vec<&str> = body.lines().collect();
        let findings = of(&lines, &markdown::kinds(&lines));
        assert_eq!(findings.len(), FINDINGS_MAX);
        assert!(findings.iter().all(|line| line.chars().count() <= FINDING_CHARS_MAX));
    }
}
