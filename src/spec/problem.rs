//! Problems of a pipeline text: what is wrong, where, and what to do next.

use serde_json::{Value, json};

pub use super::code::Code;
pub use super::place::Place;
use super::place::{LineIndex, Span};
pub use super::render::render;

/// Most problems of one text that are shown; a last one counts the rest.
pub const PROBLEMS_MAX: usize = 100;

/// Most problems that are kept while reading; those beyond are only counted.
const KEPT_MAX: usize = 2_000;

/// Something wrong in a pipeline text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its kind; `orch explain` tells more of it.
    pub code: Code,
    /// A lower-case fragment that names the thing and what is wrong with it.
    pub message: String,
    /// Where it stands.
    pub place: Place,
    /// What to do next.
    pub help: Option<String>,
    /// Another place that matters, such as the first of two equal keys.
    pub related: Option<Related>,
}

/// Another place of a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    /// Where.
    pub place: Place,
    /// What stands there.
    pub message: String,
}

/// The problems of one text as a JSON document: version 1, stable.
pub fn to_json(problems: &[Problem]) -> Value {
    let one = |problem: &Problem| {
        json!({
            "code": problem.code.as_str(),
            "message": problem.message,
            "line": problem.place.line,
            "column": problem.place.column,
            "help": problem.help,
        })
    };
    json!({
        "version": 1,
        "valid": problems.is_empty(),
        "problems": problems.iter().map(one).collect::<Vec<_>>(),
    })
}

/// A problem while the text is read: places are still byte spans.
#[derive(Debug)]
pub(super) struct Draft {
    code: Code,
    span: Span,
    message: String,
    help: Option<String>,
    related: Option<(Span, String)>,
}

impl Draft {
    /// A problem at a place.
    pub(super) fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self { code, span, message: message.into(), help: None, related: None }
    }

    /// Says what to do next.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says what to do next, where that is known.
    pub(super) fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    /// Points at another place too.
    pub(super) fn related(mut self, span: Span, message: impl Into<String>) -> Self {
        self.related = Some((span, message.into()));
        self
    }
}

/// Gathers every problem of a text.
#[derive(Debug, Default)]
pub(super) struct Sink {
    drafts: Vec<Draft>,
    more: usize,
    /// Word comparisons spent on suggestions, so that thousands of misspelt words stay cheap.
    pub(super) compared: usize,
}

impl Sink {
    /// Takes a problem.
    pub(super) fn push(&mut self, draft: Draft) {
        if self.drafts.len() < KEPT_MAX { self.drafts.push(draft) } else { self.more += 1 }
    }

    /// Problems so far.
    pub(super) fn count(&self) -> usize {
        self.drafts.len() + self.more
    }

    /// The problems in the order of the text: at most [`PROBLEMS_MAX`], then one that counts the rest.
    pub(super) fn finish(mut self, text: &[u8]) -> Vec<Problem> {
        if self.drafts.is_empty() {
            return Vec::new();
        }
        self.drafts.sort_by_key(|draft| (draft.span.start, draft.span.end, draft.code));
        let rest = self.count().saturating_sub(PROBLEMS_MAX);
        self.drafts.truncate(PROBLEMS_MAX);
        // Lines are counted no further than the last place that is shown.
        let ends = |draft: &Draft| draft.span.end.max(draft.related.as_ref().map_or(0, |(span, _)| span.end));
        let end = self.drafts.iter().map(ends).max().unwrap_or_default() as usize;
        let lines = LineIndex::new(text.get(..end).unwrap_or(text));
        let one = |draft: Draft| Problem {
            code: draft.code,
            message: draft.message,
            place: lines.place(draft.span),
            help: draft.help,
            related: draft.related.map(|(span, message)| Related { place: lines.place(span), message }),
        };
        let mut problems: Vec<Problem> = self.drafts.into_iter().map(one).collect();
        if rest > 0 {
            let place = problems.last().map_or_else(|| lines.place(Span::default()), |problem| problem.place.clone());
            problems.push(Problem {
                code: Code::TooManyProblems,
                message: format!("{rest} more problems are not shown"),
                place,
                help: Some("mend these first; the rest may go with them".to_owned()),
                related: None,
            });
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_come_in_the_order_of_the_text_and_are_capped() {
        let text = "a\n".repeat(5_000);
        let mut sink = Sink::default();
        for at in (0..5_000).rev() {
            sink.push(Draft::new(Code::Tab, Span::new(at * 2, at * 2 + 1), "x"));
        }
        let problems = sink.finish(text.as_bytes());
        assert_eq!(problems.len(), PROBLEMS_MAX + 1);
        assert!(problems.windows(2).all(|pair| pair[0].place.line <= pair[1].place.line));
        assert_eq!(problems[PROBLEMS_MAX].message, "4900 more problems are not shown");
        assert_eq!(problems[PROBLEMS_MAX].code, Code::TooManyProblems);
    }

    #[test]
    fn json_has_a_version_and_says_whether_the_text_is_valid() {
        assert_eq!(to_json(&[]), json!({ "version": 1, "valid": true, "problems": [] }));
        let mut sink = Sink::default();
        sink.push(Draft::new(Code::Tab, Span::new(2, 3), "a tab stands in the text").help("indent with spaces"));
        let expected = json!({ "version": 1, "valid": false, "problems": [{
            "code": "ORCH0005", "message": "a tab stands in the text", "line": 2, "column": 1, "help": "indent with spaces",
        }] });
        assert_eq!(to_json(&sink.finish(b"a\n\tb")), expected);
    }
}
