//! A document as a tree: nodes with byte spans, in an arena in the order of the text. `build.rs` makes it.

use std::borrow::Cow;

use super::place::Span;
use super::scalar::is_null;

/// A document: its nodes in the order of the text, the root first.
#[derive(Debug)]
pub(super) struct Tree<'t> {
    /// The nodes.
    pub(super) nodes: Vec<Node<'t>>,
}

/// One value.
#[derive(Debug)]
pub(super) struct Node<'t> {
    /// What it is.
    pub(super) kind: Kind<'t>,
    /// Its bytes.
    pub(super) span: Span,
    /// Index after the node's last descendant.
    pub(super) next: u32,
    /// Index of the key that this value belongs to.
    pub(super) key: Option<u32>,
    /// Written between brackets or braces.
    pub(super) flow: bool,
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
        matches!(self.kind(), Kind::Scalar { text, plain: true } if is_null(text))
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
