//! From nodes to typed values: the trait, lists and maps, and the macro that declares a map of the file once.
//!
//! One declaration gives the struct, its reader, its keys for "did you mean", and its JSON Schema, so these
//! four cannot disagree. A reader reports what is wrong and goes on; `None` means that the value is not there to
//! be looked at further, and that the sink knows why.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::code::Code;
use super::place::{Span, Spanned};
use super::problem::{Draft, Sink};
use super::scalar::{resolves_to, shown};
use super::suggest;
use super::tree::{Kind, NodeRef};

/// A value that can be read from a node.
pub(super) trait FromNode: Sized {
    /// Reads it, and reports every problem on the way.
    fn read(node: NodeRef<'_>, sink: &mut Sink) -> Option<Self>;
}

/// A map of the file with a fixed set of keys.
pub(super) trait Mapping {
    /// What people call it, with its article.
    const WHAT: &'static str;
    /// Its keys.
    const KEYS: &'static [&'static str];
    /// Those that must be there.
    const REQUIRED: &'static [&'static str];
}

/// Reads a value and keeps its place.
pub(super) fn spanned<T: FromNode>(node: NodeRef<'_>, sink: &mut Sink) -> Option<Spanned<T>> {
    T::read(node, sink).map(|value| Spanned { value, span: node.span() })
}

/// The key a value stands under, for messages.
pub(super) fn name(node: NodeRef<'_>) -> String {
    match node.key_text() {
        Some(key) => format!("`{}`", shown(key)),
        None if node.is_root() => "the file".to_owned(),
        None => "the item".to_owned(),
    }
}

/// Reports that a node has the wrong shape. Says nothing of a node whose problem is known.
pub(super) fn wrong_shape(node: NodeRef<'_>, wanted: impl fmt::Display, sink: &mut Sink) {
    let found = match node.kind() {
        Kind::Broken => return,
        Kind::Scalar { .. } if node.is_null() => "has no value",
        Kind::Scalar { .. } => "is a single value",
        Kind::List => "is a list",
        Kind::Map => "is a map",
    };
    let place = if node.is_null() { node.label() } else { node.first_line() };
    if wanted.to_string().starts_with(super::raw::Infra::WHAT) && !node.is_null() {
        super::raw::push_infra("a fault of the infrastructure has no transition".to_owned(), place, sink);
        return;
    }
    sink.push(Draft::new(Code::WrongShape, place, format!("{} {found}; wanted is {wanted}", name(node))));
}

/// The text of a single value just as it is written; `wanted` says what is wanted there.
pub(super) fn scalar<'a>(node: NodeRef<'a>, wanted: impl fmt::Display, sink: &mut Sink) -> Option<&'a str> {
    match node.kind() {
        Kind::Scalar { text, .. } if !node.is_null() => Some(text),
        Kind::Scalar { .. } | Kind::List | Kind::Map | Kind::Broken => {
            wrong_shape(node, wanted, sink);
            None
        }
    }
}

/// A single value that YAML takes for a text as well: no number, no boolean, unless it is quoted.
pub(super) fn text<'a>(node: NodeRef<'a>, wanted: &'static str, sink: &mut Sink) -> Option<&'a str> {
    let text = scalar(node, wanted, sink)?;
    match (node.kind(), resolves_to(text)) {
        (Kind::Scalar { plain: true, .. }, Some(what)) => {
            let message = format!("{} is {what} (`{}`); wanted is {wanted}", name(node), shown(text));
            let draft = Draft::new(Code::NotText, node.span(), message);
            sink.push(draft.help(format!("write \"{}\" in quotes where it is meant as text", shown(text))));
            None
        }
        _ => Some(text),
    }
}

/// A list of values of one kind. Items that cannot be read are reported and left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct List<T> {
    /// The items.
    pub(super) items: Vec<Spanned<T>>,
    /// Whether no item was left out.
    pub(super) whole: bool,
}

impl<T: FromNode> FromNode for List<T> {
    fn read(node: NodeRef<'_>, sink: &mut Sink) -> Option<Self> {
        if !matches!(node.kind(), Kind::List) {
            wrong_shape(node, "a list, such as `[a, b]`", sink);
            return None;
        }
        let mut list = Self { items: Vec::new(), whole: true };
        for item in node.items() {
            match spanned(item, sink) {
                Some(item) => list.items.push(item),
                None => list.whole = false,
            }
        }
        Some(list)
    }
}

/// The value of a key that is there; `None` where it could not be read, which the sink knows: the key is not missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given<T>(pub(super) Option<T>);

impl<T: FromNode> FromNode for Given<T> {
    fn read(node: NodeRef<'_>, sink: &mut Sink) -> Option<Self> {
        Some(Self(T::read(node, sink)))
    }
}

impl<T: JsonSchema> JsonSchema for Given<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<T: JsonSchema> JsonSchema for List<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("ListOf{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let items = generator.subschema_for::<T>();
        json_schema!({ "type": "array", "items": items })
    }
}

/// A map as people call it: by the name of its stage, by its key, or by what it is.
pub(super) fn owner(node: NodeRef<'_>, what: &str) -> String {
    match node.key_text() {
        Some(name) if what == "a stage" => format!("the stage `{}`", shown(name)),
        Some(key) => format!("`{}`", shown(key)),
        None => what.to_owned(),
    }
}

/// Reports a key that a map does not have, and says which key was probably meant: that one is not missing then.
pub(super) fn unknown_key(
    what: &str,
    keys: &'static [&'static str],
    key: &str,
    span: Span,
    sink: &mut Sink,
) -> Option<&'static str> {
    let meant = suggest::nearest(key, keys.iter().copied(), sink);
    let near = meant.map(|meant| format!("did you mean `{meant}`?"));
    let home = || super::raw::home_of(key).map(|home| format!("`{key}` is a key of {home}"));
    let known = || match keys {
        [] => format!("{what} has no keys"),
        _ => format!("its keys are {}", suggest::all_of(keys.iter().copied())),
    };
    let help = near.or_else(home).unwrap_or_else(known);
    let message = format!("`{}` is no key of {what}", shown(key));
    sink.push(Draft::new(Code::UnknownKey, span, message).help(help));
    meant
}

/// Reports a key that a map must have.
pub(super) fn missing_key(what: &str, key: &str, node: NodeRef<'_>, sink: &mut Sink) {
    let owner = owner(node, what);
    let message = format!("{owner} has no `{key}`");
    sink.push(match key {
        "gate" => Draft::new(Code::MissingGate, node.label(), message).help(
            "name the gate that reads its artifact; `gate: none` where a deterministic producer's own end decides",
        ),
        "charge" => {
            Draft::new(Code::RollbackWithoutCharge, node.label(), format!("{message}: nothing bounds this loop")).help(
                "name the budget that pays: `{ rollback: STAGE, charge: BUDGET }`, and declare it under `budgets:`",
            )
        }
        _ => Draft::new(Code::MissingKey, node.label(), message),
    });
}

/// A field's schema with its description.
pub(super) fn described(mut schema: Schema, docs: &[&str]) -> Value {
    let text = docs.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    schema.insert("description".to_owned(), text.into());
    schema.to_value()
}

/// Declares a map of the file: its keys with their types, which of them must be there, and what they mean.
///
/// `unknown NAME` names a function that may take a key the map does not have and report it in its own words.
macro_rules! mapping {
    (
        $(#[doc = $about:literal])+
        $name:ident $what:literal $(unknown $unknown:path)? {
            $($(#[doc = $doc:literal])+ $key:literal $field:ident: $type:ty $(, $required:ident)?;)*
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Default)]
        pub(super) struct $name {
            $($(#[doc = $doc])+ pub(super) $field: Option<$crate::spec::place::Spanned<$type>>,)*
            /// Keys that are there and whose values could not be read.
            pub(super) unread: Vec<&'static str>,
        }

        impl $crate::spec::read::Mapping for $name {
            const WHAT: &'static str = $what;
            const KEYS: &'static [&'static str] = &[$($key),*];
            const REQUIRED: &'static [&'static str] = &[$($($crate::spec::read::$required!($key),)?)*];
        }

        impl $crate::spec::read::FromNode for $name {
            fn read(
                node: $crate::spec::tree::NodeRef<'_>,
                sink: &mut $crate::spec::problem::Sink,
            ) -> Option<Self> {
                use $crate::spec::read::Mapping as _;

                if !matches!(node.kind(), $crate::spec::tree::Kind::Map) {
                    $crate::spec::read::wrong_shape(node, concat!($what, ", written as a map"), sink);
                    return None;
                }
                let mut read = Self::default();
                let mut meant = Vec::new();
                for (key, value) in node.entries() {
                    match key.text {
                        $($key => {
                            read.$field = $crate::spec::read::spanned(value, sink);
                            if read.$field.is_none() {
                                read.unread.push($key);
                            }
                        })*
                        other => {
                            let taken = false $(|| $unknown(other, key.span, value, sink))?;
                            if !taken {
                                let owner = $crate::spec::read::owner(node, Self::WHAT);
                                let near = $crate::spec::read::unknown_key(&owner, Self::KEYS, other, key.span, sink);
                                meant.extend(near);
                            }
                        }
                    }
                }
                for key in Self::REQUIRED.iter().filter(|key| !node.has(key) && !meant.contains(key)) {
                    $crate::spec::read::missing_key(Self::WHAT, key, node, sink);
                }
                Some(read)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let properties: Vec<(&str, serde_json::Value)> = vec![
                    $(($key, $crate::spec::read::described(generator.subschema_for::<$type>(), &[$($doc),+])),)*
                ];
                let required = <Self as $crate::spec::read::Mapping>::REQUIRED;
                $crate::spec::schema::object(&[$($about),+], properties, required)
            }
        }
    };
}
pub(super) use mapping;

/// The word behind a key that must be there.
macro_rules! required {
    ($key:literal) => {
        $key
    };
}
pub(super) use required;
