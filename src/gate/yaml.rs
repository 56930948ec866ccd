//! The second reader of the front matter: a YAML parser, set to its strictest.
//!
//! Whatever else reads an artifact (an editor, a page, a script) reads it as YAML. It must see what the gate sees:
//! where the parser refuses the block or finds another map than the grammar, the artifact is ambiguous.

use std::collections::BTreeMap;

use serde_yaml::options::{DuplicateKeyPolicy, MergeKeyPolicy};

use crate::domain::verdict::{Unreadable, UnreadableReason};

use super::grammar::{Entry, FrontMatter};
use super::unreadable;

/// Lines between the start of the file and the block.
const BLOCK_OFFSET: u64 = 1;

/// Keys and values as YAML sees them; `None` is YAML's null.
type Map = BTreeMap<String, Option<String>>;

/// Compares the grammar's map with the parser's.
pub(super) fn agree(front: &FrontMatter<'_>) -> Result<(), Unreadable> {
    if front.entries.is_empty() {
        return Ok(()); // an empty block is no map in YAML, and no verdict here
    }
    let map = read(&front.block.join("\n"))?;
    match front.entries.iter().find(|entry| !same(entry, map.get(entry.key))) {
        Some(entry) => {
            let detail = format!("a YAML reader sees another value of `{}`", entry.key);
            Err(unreadable(UnreadableReason::Ambiguous, entry.line, detail))
        }
        None if map.len() != front.entries.len() => {
            Err(unreadable(UnreadableReason::Ambiguous, Some(1), "a YAML reader sees other keys"))
        }
        None => Ok(()),
    }
}

/// Whether both readers mean the same. `null` and its kin are words to a gate and nothing to YAML.
fn same(entry: &Entry<'_>, seen: Option<&Option<String>>) -> bool {
    match seen {
        Some(Some(text)) => *text == entry.value,
        Some(None) => !entry.quoted && matches!(&*entry.value, "null" | "Null" | "NULL" | "~"),
        None => false,
    }
}

fn read(block: &str) -> Result<Map, Unreadable> {
    let options = serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_depth: 8,
            max_nodes: 10_000,
            max_events: 20_000,
            max_aliases: 0,
            max_anchors: 0,
            max_documents: 1,
            max_merge_keys: 0,
            flow_nesting_limit: 0,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        reject_unsupported_tags: true,
        ignore_binary_tag_for_string: true,
        with_snippet: false,
    };
    serde_yaml::from_str_with_options::<Map>(block, options).map_err(|error| {
        let line = error.location().and_then(|at| u32::try_from(at.line() + BLOCK_OFFSET).ok());
        let text = error.to_string();
        let detail = format!("a YAML reader refuses the front matter: {}", text.lines().next().unwrap_or_default());
        unreadable(UnreadableReason::Ambiguous, line, detail)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::grammar;
    use super::*;

    #[test]
    fn the_parser_alone_already_refuses_what_is_not_a_flat_map() {
        for bad in [
            "a: b\na: c",
            "a: &x b",
            "a: &x b\nc: *x",
            "<<: {a: b}",
            "x: &x {a: b}\n<<: *x",
            "a: [b]",
            "a:\n  b: c",
            "a: b\n---\na: c",
            "a: !foo b",
            "- a",
            "a",
            "a: \"b",
        ] {
            let error = read(bad).expect_err(bad);
            assert_eq!(error.reason, UnreadableReason::Ambiguous, "{bad}");
        }
        assert_eq!(read("a: !!binary UEFTUw==").ok().and_then(|map| map["a"].clone()).as_deref(), Some("UEFTUw=="));
        assert_eq!(read("a: yes\nb: 0o17").unwrap()["a"].as_deref(), Some("yes"));
    }

    #[test]
    fn deep_and_wide_blocks_are_refused_at_once() {
        assert!(read(&"[".repeat(60_000)).is_err());
        assert!(read(&"a: ".repeat(20_000)).is_err());
        let stairs: Vec<String> = (0..30).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
        assert!(read(&stairs.concat()).is_err());
    }

    #[test]
    fn another_map_than_the_grammar_saw_is_ambiguous() {
        let seen = |block: &[&str], entries: &[(&'static str, &'static str)]| {
            let entry = |(at, (key, value)): (usize, &(&'static str, &'static str))| Entry {
                key,
                value: (*value).into(),
                quoted: false,
                line: u32::try_from(at + 2).ok(),
            };
            let entries = entries.iter().enumerate().map(entry).collect();
            agree(&FrontMatter { block, entries, body: &[], body_offset: 0 }).map_err(|why| (why.reason, why.line))
        };
        assert_eq!(seen(&["a: b", "c: d"], &[("a", "b"), ("c", "d")]), Ok(()));
        assert_eq!(seen(&["a: b", "c: d"], &[("a", "b")]), Err((UnreadableReason::Ambiguous, Some(1))));
        assert_eq!(seen(&["a: b"], &[("a", "b"), ("c", "d")]), Err((UnreadableReason::Ambiguous, Some(3))));
        assert_eq!(seen(&["a: b # c"], &[("a", "b # c")]), Err((UnreadableReason::Ambiguous, Some(2))));
        assert_eq!(seen(&["a: b", "a: c"], &[("a", "b")]), Err((UnreadableReason::Ambiguous, Some(3))));
    }

    fn front_of(block: &str) -> Option<Result<(), Unreadable>> {
        let text = format!("---\n{block}\n---\n");
        let lines: Vec<&str> = text.split('\n').collect();
        let front = grammar::parse(&lines, &["result"]).ok()?;
        Some(agree(&front))
    }

    #[test]
    fn words_that_yaml_gives_a_type_stay_words() {
        for word in
            ["yes", "true", "1", "0x1f", "1e3", ".inf", "null", "Null", "NULL", "1:30:00", "2026-01-02", "=", "<<"]
        {
            assert_eq!(front_of(&format!("a: {word}\nb: \"{word}\"")), Some(Ok(())), "{word}");
        }
    }

    /// Text that leans towards what YAML cares about.
    fn value() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("PASS".to_owned()),
            "[ -~]",
            "[:#'\"\\\\!&*|>%@`?,{}\\[\\]~=<-]{1,3}",
            "\\PC{1,3}",
            Just(": ".to_owned()),
            Just(" #".to_owned()),
            Just("null".to_owned()),
        ];
        proptest::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn both_readers_see_the_same_map(values in proptest::collection::vec(value(), 1..5)) {
            let block: Vec<String> = values.iter().enumerate().map(|(i, value)| format!("k{i}x: {value}")).collect();
            if let Some(answer) = front_of(&block.join("\n")) {
                prop_assert_eq!(answer, Ok(()));
            }
        }
    }
}
