//! Problems as a person reads them: the line, a caret below it, what to do next.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::place::Place;
use super::problem::Problem;

/// Longest line that is shown; of a longer one only its place is told.
const LINE_BYTES_MAX: usize = 500;

/// Shows every problem with its line and a caret, in the order given.
pub fn render(text: &str, file_name: &str, problems: &[Problem], color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for problem in problems {
        out.push_str(&renderer.render(&[report(text, file_name, problem)]));
        out.push_str("\n\n");
    }
    let count = problems.len();
    match count {
        0 => {}
        1 => out.push_str("1 problem\n"),
        _ => out.push_str(&format!("{count} problems\n")),
    }
    out
}

fn report<'a>(text: &'a str, file_name: &'a str, problem: &'a Problem) -> Group<'a> {
    let title = Level::ERROR.primary_title(problem.message.as_str()).id(problem.code.as_str());
    let mut group = Group::with_title(title);
    let related = problem.related.as_ref().filter(|related| related.place.line != problem.place.line);
    if let Some(related) = related {
        group = place(group, text, file_name, &related.place, AnnotationKind::Context, Some(&related.message));
    }
    group = match &problem.related {
        Some(same_line) if related.is_none() => {
            let both = [
                (&problem.place, AnnotationKind::Primary, None),
                (&same_line.place, AnnotationKind::Context, Some(same_line.message.as_str())),
            ];
            places(group, text, file_name, &problem.place, &both)
        }
        _ => place(group, text, file_name, &problem.place, AnnotationKind::Primary, None),
    };
    match &problem.help {
        Some(help) => group.element(Level::HELP.message(help.as_str())),
        None => group,
    }
}

fn place<'a>(
    group: Group<'a>,
    text: &'a str,
    file_name: &'a str,
    place: &Place,
    kind: AnnotationKind,
    label: Option<&'a str>,
) -> Group<'a> {
    places(group, text, file_name, place, &[(place, kind, label)])
}

/// Shows the line of `at` with marks, all of which stand in that line.
fn places<'a>(
    group: Group<'a>,
    text: &'a str,
    file_name: &'a str,
    at: &Place,
    marks: &[(&Place, AnnotationKind, Option<&'a str>)],
) -> Group<'a> {
    let line = line_around(text, at.span.start);
    let Some(source) = text.get(line.clone()).filter(|source| source.len() <= LINE_BYTES_MAX) else {
        let origin = Origin::path(file_name).line(at.line as usize).char_column(at.column as usize);
        return group.element(origin);
    };
    let mut snippet = Snippet::source(source).line_start(at.line as usize).path(file_name);
    for (place, kind, label) in marks {
        let span = within(source, &line, &place.span);
        snippet = snippet.annotation(kind.span(span).label(*label));
    }
    group.element(snippet)
}

/// The line that a byte stands in, without its break.
fn line_around(text: &str, at: usize) -> Range<usize> {
    let bytes = text.as_bytes();
    let at = at.min(bytes.len());
    let start = bytes.get(..at).and_then(|before| before.iter().rposition(|byte| *byte == b'\n')).map_or(0, |n| n + 1);
    let length = bytes.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n'));
    start..length.map_or(bytes.len(), |length| at + length)
}

/// A span cut to its line, at character boundaries.
fn within(source: &str, line: &Range<usize>, span: &Range<usize>) -> Range<usize> {
    let cut = |at: usize| {
        let mut at = at.saturating_sub(line.start).min(source.len());
        while !source.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    cut(span.start)..cut(span.end)
}
