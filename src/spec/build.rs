//! YAML text → tree of nodes with byte spans, in one pass over the parser's events.
//!
//! The tree is built from events rather than through serde because a typed pass stops at its first error and
//! knows no source of a number; here every duplicate key, anchor and tag of a file is found at once, and a
//! scalar keeps the text it was written with, so that `no`, `0o17` and `1:30:00` are never anything but text.
//! Nodes stand in an arena in the order of the text; nothing here recurses, and every count has a limit.

use std::collections::HashMap;

use serde_yaml::granit_parser::{self, ErrorKind, Event, Parser, ScalarStyle, ScanError};

use super::code::Code;
use super::place::Span;
use super::problem::{Draft, Sink};
use super::scalar::{is_null, resolves_to, shown};
use super::tree::{Kind, Node, Tree};
use crate::domain::pipeline::STAGES_MAX;

/// Deepest nesting of lists and maps; a pipeline needs seven.
const DEPTH_MAX: usize = 16;
/// Most values of all kinds.
const NODES_MAX: usize = 1_000_000;
/// Most keys that are compared one by one rather than hashed: nearly every map of a pipeline has fewer.
const FEW_KEYS: usize = 16;
/// Most entries of one list or map other than `stages`.
const ENTRIES_MAX: usize = 4_096;

/// Reads a text. `None` where it could not be read to its end; the sink has the reason then. A tree may come
/// with problems too: it is whole, and what was refused in it is marked [`Kind::Broken`].
pub(super) fn read<'t>(text: &'t str, sink: &mut Sink) -> Option<Tree<'t>> {
    let options = granit_parser::options! {
        disallow_directives: true,
        emit_unresolved_aliases: true,
        emit_anchor_events: true,
        emit_comments: false,
        flow_nesting_limit: DEPTH_MAX + 1,
        block_nesting_limit: DEPTH_MAX + 1,
    };
    let mut builder =
        Builder { nodes: Vec::new(), open: Vec::new(), documents: 0, stages: None, last_end: 0, alias_line: 0, sink };
    for event in Parser::new_from_str_with_options(text, options) {
        let taken = match event {
            Ok((event, span)) => builder.take(event, &span),
            Err(error) => Err(Box::new(syntax(&error, text))),
        };
        if let Err(draft) = taken {
            builder.sink.push(*draft);
            return None;
        }
    }
    let nothing = match builder.nodes.as_slice() {
        [] => true,
        [root] => matches!(&root.kind, Kind::Scalar { text, plain: true } if is_null(text)),
        _ => false,
    };
    if nothing {
        let draft = Draft::new(Code::EmptyFile, Span::default(), "the file holds no pipeline");
        builder.sink.push(draft.help("docs/reference/pipeline.md has one to start from"));
        return None;
    }
    Some(Tree { nodes: builder.nodes })
}

struct Builder<'t, 's> {
    nodes: Vec<Node<'t>>,
    open: Vec<Open>,
    documents: usize,
    /// Index of the node that holds the stages: the only one that may have many entries.
    stages: Option<u32>,
    /// Where the last complete node ended.
    last_end: u32,
    /// Line of the last alias that was reported: one a line is enough.
    alias_line: usize,
    sink: &'s mut Sink,
}

/// A list or map whose end has not come yet.
struct Open {
    node: u32,
    map: bool,
    children: usize,
    /// The key whose value comes next.
    key: Option<u32>,
}

type Stop = Box<Draft>;

impl<'t> Builder<'t, '_> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "an event that a later parser adds is no node")]
    fn take(&mut self, event: Event<'t>, span: &granit_parser::Span) -> Result<(), Stop> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let message = "a second document begins here; a file holds one pipeline";
                    return Err(Box::new(Draft::new(Code::SecondDocument, bytes(span), message)));
                }
                Ok(())
            }
            Event::Scalar(text, style, _, tag) => {
                self.tag(tag.is_some(), span);
                let plain = style == ScalarStyle::Plain;
                self.add(Kind::Scalar { text, plain }, bytes(span)).map(drop)
            }
            Event::SequenceStart(_, _, tag) => {
                self.tag(tag.is_some(), span);
                self.start(Kind::List, false, bytes(span))
            }
            Event::MappingStart(_, _, tag) => {
                self.tag(tag.is_some(), span);
                self.start(Kind::Map, true, bytes(span))
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.end(bytes(span));
                Ok(())
            }
            Event::Anchor(_, name) => {
                self.anchor(bytes(span), &format!("the anchor `&{name}`"));
                Ok(())
            }
            Event::Alias(_) => {
                self.alias("an alias", span);
                self.add(Kind::Broken, bytes(span)).map(drop)
            }
            Event::UnresolvedAlias(name) => {
                self.alias(&format!("the alias `*{name}`"), span);
                self.add(Kind::Broken, bytes(span)).map(drop)
            }
            // The stream's ends and the document's end carry nothing.
            _ => Ok(()),
        }
    }

    fn tag(&mut self, tagged: bool, span: &granit_parser::Span) {
        if tagged {
            let place = span.tag_span().map_or_else(|| bytes(span), |span| bytes(&span));
            let draft = Draft::new(Code::Tag, place, "a pipeline has no tags");
            self.sink.push(draft.help("leave the tag out; quote the value where it is meant as text"));
        }
    }

    fn alias(&mut self, what: &str, span: &granit_parser::Span) {
        if std::mem::replace(&mut self.alias_line, span.start.line()) != span.start.line() {
            self.anchor(bytes(span), what);
        }
    }

    fn anchor(&mut self, span: Span, what: &str) {
        let draft = Draft::new(Code::Anchor, span, format!("{what}: a pipeline has no anchors and no aliases"));
        self.sink.push(draft.help("write the value out; limits that many stages share go under `defaults:`"));
    }

    /// Adds a node as the next child of the innermost open one.
    fn add(&mut self, kind: Kind<'t>, span: Span) -> Result<u32, Stop> {
        let index = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        if self.nodes.len() >= NODES_MAX {
            let message = format!("more than {NODES_MAX} values");
            return Err(Box::new(Draft::new(Code::TooManyNodes, span, message)));
        }
        let mut node = Node { kind, span, next: index + 1, key: None, flow: false };
        if let Some(parent) = self.open.last_mut() {
            let is_key = parent.map && parent.key.is_none();
            if is_key || !parent.map {
                parent.children += 1;
            }
            let most = if self.stages == Some(parent.node) { STAGES_MAX } else { ENTRIES_MAX };
            if parent.children > most {
                let message = format!("more than {most} entries");
                let code = if most == STAGES_MAX { Code::TooManyStages } else { Code::TooManyNodes };
                return Err(Box::new(Draft::new(code, span, message)));
            }
            if is_key {
                parent.key = Some(index);
                node.kind = key(node.kind, span, self.sink);
            } else {
                node.key = parent.key.take();
            }
        }
        if self.open.len() == 1 && self.is_stages(node.key) {
            self.stages = Some(index);
        }
        self.nodes.push(node);
        self.last_end = span.end;
        Ok(index)
    }

    fn is_stages(&self, key: Option<u32>) -> bool {
        let key = key.and_then(|key| self.nodes.get(key as usize));
        key.is_some_and(|key| matches!(&key.kind, Kind::Scalar { text, .. } if text == "stages"))
    }

    fn start(&mut self, kind: Kind<'t>, map: bool, span: Span) -> Result<(), Stop> {
        if self.open.len() >= DEPTH_MAX {
            return Err(Box::new(too_deep(span)));
        }
        let node = self.add(kind, span)?;
        self.open.push(Open { node, map, children: 0, key: None });
        Ok(())
    }

    fn end(&mut self, span: Span) {
        let Some(open) = self.open.pop() else { return };
        let next = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        if open.map {
            self.refuse_duplicates(open.node, next, open.children);
        }
        // A block ends where the next token begins: that is too far, so its last child says where it ended.
        let node = &mut self.nodes[open.node as usize];
        node.flow = span.end > span.start;
        node.span.end = if node.flow { span.end } else { self.last_end.max(node.span.start) };
        node.next = next;
        self.last_end = node.span.end;
    }

    /// Keys of a map that are words, with their indexes.
    fn keys(&self, map: u32, end: u32) -> impl Iterator<Item = (&str, u32)> {
        let mut at = map + 1;
        std::iter::from_fn(move || {
            while at < end {
                let index = at;
                let key = self.nodes.get(index as usize)?;
                at = self.nodes.get(key.next as usize).map_or(end, |value| value.next);
                if let Kind::Scalar { text, .. } = &key.kind {
                    return Some((text.as_ref(), index));
                }
            }
            None
        })
    }

    /// Reports every key that stood in the map before, and marks it as broken.
    fn refuse_duplicates(&mut self, map: u32, end: u32, children: usize) {
        let mut again: Vec<(u32, u32)> = Vec::new();
        if children <= FEW_KEYS {
            let mut seen: [(&str, u32); FEW_KEYS] = [("", 0); FEW_KEYS];
            for (count, (text, at)) in self.keys(map, end).enumerate() {
                // The root has index 0 and is no key: what is still empty is equal to nothing.
                match seen.iter().take(count).find(|(known, at)| *at != 0 && *known == text) {
                    Some((_, earlier)) => again.push((at, *earlier)),
                    None => seen[count] = (text, at),
                }
            }
        } else {
            let mut seen: HashMap<&str, u32> = HashMap::with_capacity(children);
            for (text, at) in self.keys(map, end) {
                match seen.get(text) {
                    Some(earlier) => again.push((at, *earlier)),
                    None => drop(seen.insert(text, at)),
                }
            }
        }
        for (key, earlier) in again {
            let earlier = self.nodes[earlier as usize].span;
            let node = &mut self.nodes[key as usize];
            if let Kind::Scalar { text, .. } = std::mem::replace(&mut node.kind, Kind::Broken) {
                let message = format!("the key `{}` stands here a second time", shown(&text));
                let draft = Draft::new(Code::DuplicateKey, node.span, message).related(earlier, "it stands here first");
                self.sink.push(draft.help("keep one of the two"));
            }
        }
    }
}

/// A key must be a word: refuses lists, maps, numbers, booleans, nothing at all, and merge keys.
fn key<'t>(kind: Kind<'t>, span: Span, sink: &mut Sink) -> Kind<'t> {
    let what = match &kind {
        Kind::Scalar { text, plain: true } if text == "<<" => {
            let draft = Draft::new(Code::MergeKey, span, "a pipeline has no merge keys (`<<`)");
            sink.push(draft.help("write the entries out; limits that many stages share go under `defaults:`"));
            return Kind::Broken;
        }
        Kind::Scalar { text, plain: true } => match resolves_to(text) {
            None => return kind,
            Some(what) if is_null(text) => what.to_owned(),
            Some(what) => format!("{what} (`{}`)", shown(text)),
        },
        Kind::Scalar { plain: false, .. } | Kind::Broken => return kind,
        Kind::List => "a list".to_owned(),
        Kind::Map => "a map".to_owned(),
    };
    let draft = Draft::new(Code::KeyNotText, span, format!("a key must be a word; this one is {what}"));
    sink.push(draft.help("write a word, in quotes where it looks like a number or a boolean"));
    Kind::Broken
}

fn too_deep(span: Span) -> Draft {
    Draft::new(Code::TooDeep, span, format!("lists and maps are nested more than {DEPTH_MAX} deep"))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "every other way not to be YAML is one problem")]
fn syntax(error: &ScanError, text: &str) -> Draft {
    let at = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
    let width = text.get(at..).and_then(|rest| rest.chars().next()).filter(|c| *c != '\n').map_or(0, char::len_utf8);
    let span = Span::new(at, at + width);
    match error.kind() {
        ErrorKind::RecursionLimitExceeded => too_deep(span),
        ErrorKind::DirectiveDisallowed => Draft::new(Code::Directive, span, "a pipeline has no `%` directives")
            .help("leave the line out; orch reads YAML 1.2"),
        ErrorKind::UndeclaredTagHandle => Draft::new(Code::Tag, span, "a pipeline has no tags")
            .help("leave the tag out; quote the value where it is meant as text"),
        kind => Draft::new(Code::Syntax, span, format!("the text is not YAML: {}", lower_first(&kind.to_string())))
            .help("look at the indentation and the quotes of this line and of the one above it"),
    }
}

fn lower_first(message: &str) -> String {
    let message = message.trim_end_matches('.');
    let mut chars = message.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() => first.to_lowercase().chain(chars).collect(),
        _ => message.to_owned(),
    }
}

fn bytes(span: &granit_parser::Span) -> Span {
    span.byte_range().map_or_else(Span::default, |range| Span::new(range.start, range.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(text: &str) -> (Vec<String>, Vec<(Code, u32, u32)>) {
        let mut sink = Sink::default();
        let tree = read(text, &mut sink);
        let mut lines = Vec::new();
        if let Some(tree) = &tree {
            let mut todo = vec![(tree.root(), String::new())];
            while let Some((node, path)) = todo.pop() {
                let slice = text.get(node.span().start as usize..node.span().end as usize).unwrap();
                lines.push(format!("{path} {slice:?}"));
                todo.extend(node.entries().map(|(key, value)| (value, format!("{path}.{}", key.text))));
                todo.extend(node.items().map(|value| (value, format!("{path}[]"))));
            }
        }
        let problems = sink.finish(text.as_bytes());
        (lines, problems.into_iter().map(|p| (p.code, p.place.line, p.place.column)).collect())
    }

    #[test]
    fn spans_cover_what_was_written() {
        let (lines, problems) = outline("a:\n  b: [x, 'y z']\n  c: {d: \"e\"}\nf: |\n  text\ng: last\n");
        assert_eq!(problems, []);
        let expected = [
            " \"a:\\n  b: [x, 'y z']\\n  c: {d: \\\"e\\\"}\\nf: |\\n  text\\ng: last\"",
            ".g \"last\"",
            ".f \"text\\n\"",
            ".a \"b: [x, 'y z']\\n  c: {d: \\\"e\\\"}\"",
            ".a.c \"{d: \\\"e\\\"}\"",
            ".a.c.d \"\\\"e\\\"\"",
            ".a.b \"[x, 'y z']\"",
            ".a.b[] \"'y z'\"",
            ".a.b[] \"x\"",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn everything_refused_is_reported_at_once() {
        let text = "a: &x 1\nb: *x\nc: !t 2\na: 3\n<<: {}\n? [k]\n: v\n1: w\n'2': fine\nd: *y\n";
        let (lines, problems) = outline(text);
        let codes = [
            (Code::Anchor, 1, 4),
            (Code::Anchor, 2, 4),
            (Code::Tag, 3, 4),
            (Code::DuplicateKey, 4, 1),
            (Code::MergeKey, 5, 1),
            (Code::KeyNotText, 6, 3),
            (Code::KeyNotText, 8, 1),
            (Code::Anchor, 10, 4),
        ];
        assert_eq!(problems, codes);
        assert!(lines.iter().any(|line| line.starts_with(".2 ")), "{lines:?}");
    }

    #[test]
    fn reading_stops_where_it_must() {
        let check = |text: &str, expected| {
            let (lines, problems) = outline(text);
            assert!(lines.is_empty(), "{text:?}");
            assert_eq!(problems, [expected], "{text:?}");
        };
        check("", (Code::EmptyFile, 1, 1));
        check("# only words\n", (Code::EmptyFile, 1, 1));
        check("---\n...\n", (Code::EmptyFile, 1, 1));
        check("a: b\n---\nc: d\n", (Code::SecondDocument, 2, 1));
        check("%YAML 1.2\n---\na: b\n", (Code::Directive, 1, 1));
        check(&"[".repeat(20), (Code::TooDeep, 1, 18));
        check(&"- ".repeat(20), (Code::TooDeep, 1, 33));
        check("a: [b\nc: d\n", (Code::Syntax, 2, 2));
        check(&"- a\n".repeat(ENTRIES_MAX + 1), (Code::TooManyNodes, 4097, 3));
    }
}
