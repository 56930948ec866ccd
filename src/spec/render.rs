//! Problems as a person reads them: the line, a caret below it, what to do next.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::place::Place;
use super::problem::Problem;

/// Longest line that is shown; of a longer one only its place is told.
const LINE_BYTES_MAX: usize = 500;
/// Farthest apart that two places are shown together.
const APART_BYTES_MAX: usize = 64 * 1024;

/// Shows every problem with its line and a caret, in the order given.
pub fn render(text: &str, file_name: &str, problems: &[Problem], color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for problem in problems {
        out.push_str(&renderer.render(&[report(text, file_name, problem)]));
        out.push_str("\n\n");
    }
    match problems.len() {
        0 => {}
        1 => out.push_str("1 problem\n"),
        count => out.extend([count.to_string().as_str(), " problems\n"]),
    }
    out
}

fn report<'a>(text: &'a str, file_name: &'a str, problem: &'a Problem) -> Group<'a> {
    let title = Level::ERROR.primary_title(problem.message.as_str()).id(problem.code.as_str());
    let mut group = Group::with_title(title);
    let mut shown = vec![Mark::new(&problem.place, AnnotationKind::Primary, None, text)];
    let mut apart = None;
    if let Some(related) = &problem.related {
        let mark = Mark::new(&related.place, AnnotationKind::Context, Some(&related.message), text);
        let near = mark.line.start.abs_diff(shown[0].line.start) <= APART_BYTES_MAX;
        if near { shown.push(mark) } else { apart = Some(mark) }
    }
    group = snippet(group, text, file_name, &shown);
    if let Some(mark) = apart {
        group = snippet(group, text, file_name, &[mark]);
    }
    match &problem.help {
        Some(help) => group.element(Level::HELP.message(help.as_str())),
        None => group,
    }
}

/// One place to mark, and the line it begins in.
struct Mark<'a> {
    place: &'a Place,
    kind: AnnotationKind,
    label: Option<&'a str>,
    line: Range<usize>,
}

impl<'a> Mark<'a> {
    fn new(place: &'a Place, kind: AnnotationKind, label: Option<&'a str>, text: &str) -> Self {
        Self { place, kind, label, line: line_around(text, place.span.start) }
    }
}

/// Shows the lines of the marks; the lines between them are left out.
fn snippet<'a>(group: Group<'a>, text: &'a str, file_name: &'a str, marks: &[Mark<'a>]) -> Group<'a> {
    let Some(primary) = marks.first() else { return group };
    let first = marks.iter().min_by_key(|mark| mark.line.start).unwrap_or(primary);
    let end = marks.iter().map(|mark| mark.line.end).max().unwrap_or(primary.line.end);
    let short = marks.iter().all(|mark| mark.line.len() <= LINE_BYTES_MAX);
    let Some(source) = text.get(first.line.start..end).filter(|_| short) else {
        let at = primary.place;
        return group.element(Origin::path(file_name).line(at.line as usize).char_column(at.column as usize));
    };
    let mut snippet = Snippet::source(source).line_start(first.place.line as usize).path(file_name);
    for mark in marks {
        let cut = |at: usize| boundary(source, at.clamp(mark.line.start, mark.line.end) - first.line.start);
        let span = cut(mark.place.span.start)..cut(mark.place.span.end);
        snippet = snippet.annotation(mark.kind.span(span).label(mark.label));
    }
    group.element(snippet)
}

/// The line that a byte stands in, without its break.
fn line_around(text: &str, at: usize) -> Range<usize> {
    let bytes = text.as_bytes();
    let at = at.min(bytes.len());
    let start = bytes.get(..at).and_then(|before| before.iter().rposition(|byte| *byte == b'\n')).map_or(0, |n| n + 1);
    let length = bytes.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n'));
    let end = length.map_or(bytes.len(), |length| at + length);
    start..if end > start && bytes.get(end - 1) == Some(&b'\r') { end - 1 } else { end }
}

/// The last character boundary at or before a byte.
fn boundary(source: &str, at: usize) -> usize {
    (0..=at.min(source.len())).rev().find(|at| source.is_char_boundary(*at)).unwrap_or(0)
}
