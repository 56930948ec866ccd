//! Markdown: a table of the attempts, the failing tests, and the hold with what ends it.

use super::told::{Case, Told};

/// Most rows of the table; a step summary may have 1 MiB.
const ROWS_MAX: usize = 500;

/// How a report begins.
pub(super) const HEAD: &str = "### orch:";

/// Writes the report.
pub(super) fn render(told: &Told) -> String {
    let mut lines = vec![format!("{HEAD} {}", plain(&told.heading)), String::new()];
    if !told.facts.is_empty() {
        let facts: Vec<String> = told.facts.iter().map(|(name, value)| format!("{name} {}", plain(value))).collect();
        lines.extend([format!("pipeline {}, {}", plain(&told.pipeline), facts.join(", ")), String::new()]);
    }
    if !told.cases.is_empty() {
        lines.push("| stage | result | reason | time | what was seen |".to_owned());
        lines.push("| --- | --- | --- | --- | --- |".to_owned());
        lines.extend(told.cases.iter().take(ROWS_MAX).map(row));
        lines.push(String::new());
    }
    if let Some(more) = told.cases.len().checked_sub(ROWS_MAX).filter(|more| *more > 0) {
        lines.extend([format!("and {more} more attempts"), String::new()]);
    }
    for case in told.standing().filter(|case| !case.failing.is_empty()).take(ROWS_MAX) {
        lines.push(format!("Failing tests of {}:", plain(&case.title())));
        lines.push(String::new());
        lines.extend(case.failing.iter().map(|name| format!("- {}", plain(name))));
        lines.push(String::new());
    }
    if let Some(hold) = &told.hold {
        lines.push(format!("**{} at {}:** {}", plain(&hold.kind), plain(&hold.stage), plain(&hold.text)));
        lines.extend([String::new(), plain_but_code(&hold.hint), String::new()]);
    }
    lines.join("\n")
}

fn row(case: &Case) -> String {
    let cells = [&case.title(), case.finding.as_str(), &case.reason, &case.took(), &case.detail].map(plain);
    format!("| {} |", cells.join(" | "))
}

/// Text that stays text in any place of a document: no markup, no tag, no link, no mention, no table cell's end.
fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '&' => shown.push_str("&amp;"),
            '\n' => shown.push_str("<br>"),
            // A dot makes a link only behind `www`.
            '.' if shown.to_ascii_lowercase().ends_with("www") => shown.push_str("\\."),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '#' | '+' | '!' | '|' | '~' | '$' | '@'
            | ':' | '^' => {
                shown.push('\\');
                shown.push(c);
            }
            c => shown.push(c),
        }
    }
    shown
}

/// orch's own words, which may hold code.
fn plain_but_code(text: &str) -> String {
    text.split('`').enumerate().map(|(n, part)| if n % 2 == 0 { plain(part) } else { format!("`{part}`") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let check = |text: &str, expected: &str| assert_eq!(plain(text), expected);
        check("<script>alert(1)</script>", "&lt;script&gt;alert\\(1\\)&lt;/script&gt;");
        check("a|b `c` **d** [e](http://f)", "a\\|b \\`c\\` \\*\\*d\\*\\* \\[e\\]\\(http\\://f\\)");
        check("www.x.org @all &lt;", "www\\.x.org \\@all &amp;lt;");
        check("test_pay::sum", "test\\_pay\\:\\:sum");
        assert_eq!(plain_but_code("a_b `c_d` e"), "a\\_b `c_d` e");
    }
}
