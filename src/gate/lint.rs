//! Texts that nobody finished (row D10): leaked tool-call tags, conflict markers, sections without a word in them.
//!
//! Quoted output may contain all of it, so code blocks and code spans are not looked at. The first heading is the
//! document's title and may stand alone; a heading with a smaller heading below it is not empty.

use crate::domain::verdict::{Unreadable, UnreadableReason};

use super::grammar::FrontMatter;
use super::markdown::{self, Kind};
use super::{line_number, quoted, unreadable};

/// Names of the tags in which agents' tool calls are written.
const TOOL_TAGS: [&str; 11] = [
    "invoke",
    "parameter",
    "function_calls",
    "function_call",
    "function_results",
    "function_result",
    "tool_call",
    "tool_calls",
    "tool_use",
    "tool_result",
    "tool_results",
];

/// A tag that leaks only as the end of a written file; `<content>` alone is a word of many formats.
const CLOSING_ONLY: &str = "content";

/// The name space that some agents put before their tags.
const TAG_PREFIX: &str = concat!("ant", "ml:");

/// Marks of a model's own message format.
const MODEL_MARKS: [&str; 4] = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|tool_call"];

const CONFLICT_MARKS: [&str; 3] = ["<<<<<<<", ">>>>>>>", "|||||||"]; // `=======` also underlines a heading

/// Refuses an unfinished text; `kinds` are those of the body's lines.
pub(super) fn check(lines: &[&str], front: &FrontMatter<'_>, kinds: &[Kind]) -> Result<(), Unreadable> {
    let block = std::iter::repeat_n(Kind::Prose, front.body_offset);
    for (index, (line, kind)) in lines.iter().zip(block.chain(kinds.iter().copied())).enumerate() {
        let leak = match kind {
            Kind::Code | Kind::Fence | Kind::Blank => None,
            Kind::Heading(_) | Kind::Prose => conflict_mark(line).or_else(|| leaked_tag(line)),
        };
        if let Some(leak) = leak {
            let detail = format!("{} stands outside code; this text was not finished", quoted(leak));
            return Err(unreadable(UnreadableReason::Unfinished, line_number(index), detail));
        }
    }
    empty_section(front, kinds)
}

fn conflict_mark(line: &str) -> Option<&'static str> {
    CONFLICT_MARKS
        .into_iter()
        .find(|mark| line.strip_prefix(mark).is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')))
}

fn leaked_tag(line: &str) -> Option<&str> {
    let mut tags = line.match_indices('<').filter_map(|(at, _)| Some((at, tag(line.get(at..)?)?))).peekable();
    tags.peek()?;
    let spans = markdown::code_spans(line);
    tags.find(|(at, _)| !in_spans(&spans, *at)).map(|(_, tag)| tag)
}

/// Whether an offset stands inside one of the spans, which are sorted and apart.
fn in_spans(spans: &[(usize, usize)], at: usize) -> bool {
    let after = spans.partition_point(|(start, _)| *start <= at);
    after.checked_sub(1).and_then(|index| spans.get(index)).is_some_and(|(_, end)| at < *end)
}

/// The tool-call tag that a text starts with.
fn tag(text: &str) -> Option<&str> {
    if let Some(mark) = MODEL_MARKS.into_iter().find(|mark| text.starts_with(mark)) {
        return Some(mark);
    }
    let inner = text.strip_prefix('<')?;
    let (closing, name) = inner.strip_prefix('/').map_or((false, inner), |rest| (true, rest));
    let bare = name.strip_prefix(TAG_PREFIX).unwrap_or(name);
    let rest = bare.trim_start_matches(|c: char| c.is_ascii_lowercase() || c == '_');
    let word = bare.strip_suffix(rest)?;
    let known = TOOL_TAGS.contains(&word) || closing && word == CLOSING_ONLY;
    let ends = rest.is_empty() || rest.starts_with(['>', ' ', '/', '\t']);
    let shown = text.get(..text.len() - rest.len())?;
    (known && ends).then_some(shown)
}

/// Refuses a section that has neither text nor a smaller section.
fn empty_section(front: &FrontMatter<'_>, kinds: &[Kind]) -> Result<(), Unreadable> {
    let mut open: Option<(usize, usize)> = None; // line and level of a heading with nothing below it yet
    let mut titled = false;
    for (index, kind) in kinds.iter().enumerate() {
        match (kind, open) {
            (Kind::Blank, _) => {}
            (Kind::Heading(level), Some((at, above))) if *level <= above => return Err(empty(front, at)),
            (Kind::Heading(level), _) => {
                open = titled.then_some((index, *level));
                titled = true;
            }
            (Kind::Fence | Kind::Code | Kind::Prose, _) => open = None,
        }
    }
    open.map_or(Ok(()), |(at, _)| Err(empty(front, at)))
}

fn empty(front: &FrontMatter<'_>, index: usize) -> Unreadable {
    let title = front.body.get(index).copied().unwrap_or_default();
    let detail = format!("the section {} is empty; write \"None.\" where there is nothing to say", quoted(title));
    unreadable(UnreadableReason::Unfinished, line_number(front.body_offset + index), detail)
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use crate::domain::pipeline::Gate;
    use crate::domain::verdict::UnreadableReason;

    /// Line of the finding in the body, from 1.
    fn found(body: &str) -> Option<u32> {
        match read(&Gate::TestsPassed, format!("---\nresult: PASS\n---\n{body}").as_bytes()) {
            Ok(_) => None,
            Err(why) => {
                assert_eq!(why.reason, UnreadableReason::Unfinished, "{body}: {why}");
                Some(why.line.unwrap() - 3)
            }
        }
    }

    fn tag(name: &str) -> String {
        format!("<{name}")
    }

    #[test]
    fn leaked_tags_are_found_outside_code_only() {
        for name in ["/content>", "/invoke>", "invoke name=\"x\">", "parameter name=\"y\">", "/parameter", "tool_use/>"]
        {
            let leak = tag(name);
            assert_eq!(found(&format!("fine\nall passed.{leak}\n")), Some(2), "{leak}");
            assert_eq!(found(&format!("    {leak}\n")), Some(1), "{leak}");
            assert_eq!(found(&format!("see `{leak}` here\n")), None, "{leak}");
            assert_eq!(found(&format!("```\n{leak}\n```\n")), None, "{leak}");
            assert_eq!(found(&format!("```\nopen\n{leak}\n")), Some(3), "{leak}");
            assert_eq!(found(&format!("`a` {leak} `b`\n")), Some(1), "{leak}");
        }
        assert_eq!(found(&format!("x {}\n", tag(concat!("/ant", "ml:invoke>")))), Some(1));
        assert_eq!(found("<|im_end|>\n"), Some(1));
        for fine in ["<content>x\n", "<parameters>\n", "</contents>\n", "Vec<invoker>\n", "a < invoke\n", "<details>\n"]
        {
            assert_eq!(found(fine), None, "{fine}");
        }
    }

    #[test]
    fn conflict_markers_count_at_the_start_of_a_line() {
        for mark in ["<<<<<<< HEAD", ">>>>>>> theirs", "||||||| base", "<<<<<<<"] {
            assert_eq!(found(&format!("a\n{mark}\n")), Some(2), "{mark}");
            assert_eq!(found(&format!("a {mark}\n")), None, "{mark}");
            assert_eq!(found(&format!("~~~\n{mark}\n~~~\n")), None, "{mark}");
        }
        assert_eq!(found("Title\n=======\n\nText\n"), None);
        assert_eq!(found("<<<<<<<< eight\n"), None);
    }

    #[test]
    fn empty_sections_count_and_titles_do_not() {
        for fine in [
            "",
            "# Report\n",
            "# Report\n\n## A\n\ntext\n\n## B\n- x\n",
            "# Report\n## A\n### B\ntext\n",
            "## A\n\n```\n```\n",
            "# A\ntext\n#hashtag\n",
        ] {
            assert_eq!(found(fine), None, "{fine}");
        }
        assert_eq!(found("# Report\n\n## A\n\n## B\ntext\n"), Some(3));
        assert_eq!(found("# Report\ntext\n## A\n\n"), Some(3));
        assert_eq!(found("# Report\n\n## A\n### B\n## C\ntext\n"), Some(4));
    }
}
