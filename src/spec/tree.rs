//! YAML text → tree of nodes with byte spans, in one pass over the parser's events.
//!
//! The tree is built from events rather than through serde because a typed pass stops at its first error and
//! knows no source of a number; here every duplicate key, anchor and tag of a file is found at once, and a
//! scalar keeps the text it was written with, so that `no`, `0o17` and `1:30:00` are never anything but text.
//! Nodes stand in an arena in the order of the text; nothing here recurses, and every count has a limit.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_yaml::granit_parser::{self, ErrorKind, Event, Parser, ScalarStyle, ScanError};

use super::code::Code;
use super::place::Span;
use super::problem::{Draft, Sink};
use crate::domain::pipeline::STAGES_MAX;

/// Deepest nesting of lists and maps; a pipeline needs seven.
pub(super) const DEPTH_MAX: usize = 16;
/// Most values of all kinds.
pub(super) const NODES_MAX: usize = 1_000_000;
/// Most entries of one list or map other than `stages`.
pub(super) const ENTRIES_MAX: usize = 4_096;

/// A document: its nodes in the order of the text, the root first.
#[derive(Debug)]
pub(super) struct Tree<'t> {
    nodes: Vec<Node<'t>>,
}

#[derive(Debug)]
struct Node<'t> {
    kind: Kind<'t>,
    span: Span,
    /// Index after the node's last descendant.
    next: u32,
    /// Index of the key that this value belongs to.
    key: Option<u32>,
    /// Written between brackets or braces.
    flow: bool,
}

/// What a node is.
#[derive(Debug)]
pub(super) enum Kind<'t> {
    /// A single value, as it was written; quoted or block style makes it a text in any case.
    Scalar {
        /// The text, escapes resolved.
        text: Cow<'t, str>,
        /// Written without quotes.
        plain: bool,
    },
    /// A list.
    List,
    /// A map.
    Map,
    /// A value whose problem is already reported.
    Broken,
}

/// A node of a tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodeRef<'a> {
    tree: &'a Tree<'a>,
    index: u32,
}

impl<'a> NodeRef<'a> {
    fn node(self) -> &'a Node<'a> {
        &self.tree.nodes[self.index as usize]
    }

    /// What it is.
    pub(super) fn kind(self) -> &'a Kind<'a> {
        &self.node().kind
    }

    /// Its bytes.
    pub(super) fn span(self) -> Span {
        self.node().span
    }

    /// The bytes to point at when something is missing in it: its key where it has one.
    pub(super) fn label(self) -> Span {
        match self.node().key {
            Some(key) => self.tree.nodes[key as usize].span,
            None => Span { end: self.span().start.saturating_add(1), ..self.span() },
        }
    }

    /// The key it is the value of.
    pub(super) fn key_text(self) -> Option<&'a str> {
        match &self.tree.nodes[self.node().key? as usize].kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::List | Kind::Map | Kind::Broken => None,
        }
    }

    /// Whether it is the whole document.
    pub(super) fn is_root(self) -> bool {
        self.index == 0
    }

    /// The bytes to point at for the node as a whole: all of a single value or flow collection, the key of a
    /// block, which may go over many lines.
    pub(super) fn first_line(self) -> Span {
        let key_line = self.node().key.map(|key| self.tree.nodes[key as usize].span);
        match self.kind() {
            Kind::Scalar { .. } | Kind::Broken => self.span(),
            Kind::List | Kind::Map if self.node().flow => self.span(),
            Kind::List | Kind::Map => key_line.unwrap_or_else(|| self.label()),
        }
    }

    /// Whether a map has a key.
    pub(super) fn has(self, wanted: &str) -> bool {
        self.entries().any(|(key, _)| key.text == wanted)
    }

    /// Whether it is a list or map without anything in it, or a single value.
    pub(super) fn is_empty(self) -> bool {
        self.node().next == self.index + 1
    }

    /// Whether it is a value that was left out: `key:` with nothing behind it, `~` or `null`.
    pub(super) fn is_null(self) -> bool {
        matches!(self.kind(), Kind::Scalar { text, plain: true } if is_null_text(text))
    }

    /// Items of a list; nothing for any other node.
    pub(super) fn items(self) -> impl Iterator<Item = Self> {
        let end = if matches!(self.kind(), Kind::List) { self.node().next } else { 0 };
        self.children(end)
    }

    /// Keys and values of a map, without keys that were already refused; nothing for any other node.
    pub(super) fn entries(self) -> impl Iterator<Item = (Spanning<'a>, Self)> {
        let end = if matches!(self.kind(), Kind::Map) { self.node().next } else { 0 };
        let mut children = self.children(end);
        std::iter::from_fn(move || {
            loop {
                let (key, value) = (children.next()?, children.next()?);
                if let Kind::Scalar { text, .. } = key.kind() {
                    return Some((Spanning { text, span: key.span() }, value));
                }
            }
        })
    }

    fn children(self, end: u32) -> impl Iterator<Item = Self> {
        let mut at = self.index + 1;
        std::iter::from_fn(move || {
            let child = Self { tree: self.tree, index: at };
            (at < end).then(|| {
                at = child.node().next;
                child
            })
        })
    }
}

/// A key and its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spanning<'a> {
    /// The key.
    pub(super) text: &'a str,
    /// Its bytes.
    pub(super) span: Span,
}

impl Tree<'_> {
    /// The whole document.
    pub(super) fn root(&self) -> NodeRef<'_> {
        NodeRef { tree: self, index: 0 }
    }
}

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
        [root] => matches!(&root.kind, Kind::Scalar { text, plain: true } if is_null_text(text)),
        _ => false,
    };
    if nothing {
        let draft = Draft::new(Code::EmptyFile, Span::default(), "the file holds no pipeline");
        builder.sink.push(draft.help("`orch init` writes one to start from"));
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

    /// Reports every key that stood in the map before, and marks it as broken.
    fn refuse_duplicates(&mut self, map: u32, end: u32, children: usize) {
        let mut first: HashMap<&str, u32> = HashMap::with_capacity(children);
        let mut again: Vec<(u32, u32)> = Vec::new();
        let mut at = map + 1;
        while at < end {
            let key = &self.nodes[at as usize];
            if let Kind::Scalar { text, .. } = &key.kind {
                match first.get(text.as_ref()) {
                    Some(earlier) => again.push((at, *earlier)),
                    None => drop(first.insert(text.as_ref(), at)),
                }
            }
            let value = key.next;
            at = self.nodes.get(value as usize).map_or(end, |value| value.next);
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
            Some(what) if is_null_text(text) => what.to_owned(),
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

/// What YAML 1.2's core schema makes of a plain scalar, where that is not a text.
pub(super) fn resolves_to(text: &str) -> Option<&'static str> {
    if is_null_text(text) {
        return Some("nothing");
    }
    if matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE") {
        return Some("a boolean");
    }
    is_number(text).then_some("a number")
}

fn is_null_text(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let all = |digits: &str, radix| !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    if let Some(octal) = text.strip_prefix("0o") {
        return all(octal, 8);
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return all(hex, 16);
    }
    let (number, exponent) = unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(n, e)| (n, Some(e)));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let some_digits = !whole.is_empty() || !fraction.is_empty();
    let exponent_fits = exponent.is_none_or(|e| all(e.strip_prefix(['-', '+']).unwrap_or(e), 10));
    some_digits && digits(whole) && digits(fraction) && exponent_fits
}

/// At most 60 characters of a text from the file, control characters escaped.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() {
        shown.push('…');
    }
    shown.replace("\\\"", "\"").replace("\\'", "'").replace("\\\\", "\\")
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

    #[test]
    fn plain_scalars_resolve_as_yaml_1_2_says() {
        let check = |what, texts: &[&str]| {
            for text in texts {
                assert_eq!(resolves_to(text), what, "{text}");
            }
        };
        check(Some("nothing"), &["", "~", "null", "Null", "NULL"]);
        check(Some("a boolean"), &["true", "True", "FALSE"]);
        check(Some("a number"), &["0", "-1", "+12", "010", "1.5", ".5", "5.", "1e3", "-1.5E-3", "0o17", "0xfF"]);
        check(Some("a number"), &[".inf", "-.INF", "+.Inf", ".nan"]);
        check(
            None,
            &["no", "on", "yes", "off", "y", "1:30:00", "nUll", "0o18", "0xg", ".", "-", "1e", "-.nan", "1_000"],
        );
        check(None, &["0b11", "1.2.3", "30s", "e3", "."]);
    }

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
