//! When two keys look the same to a person.

use unicode_normalization::UnicodeNormalization as _;
use unicode_security::confusable_detection::skeleton;

const KEY_CHARS_MAX: usize = 256; // no key is longer, and what is cut looks like no key

/// Folds a key to what a tired reader sees: compatibility forms, case, confusable letters (the skeleton of UTS 39),
/// separators, accents and invisible characters are gone. Equal folds look alike; the fold itself means nothing.
pub(super) fn fold(key: &str) -> String {
    let lower: String = key.chars().take(KEY_CHARS_MAX).nfkc().flat_map(char::to_lowercase).collect();
    bare(&lower)
}

/// Whether a text looks like a key whose fold is `folded`. The capital `I` looks like `l` and its lower case does
/// not, so the letters are compared before and after their case is dropped.
pub(super) fn looks_like(text: &str, folded: &str) -> bool {
    let as_is: String = text.chars().take(KEY_CHARS_MAX).nfkc().collect();
    fold(text) == folded || bare(&as_is) == folded
}

fn bare(text: &str) -> String {
    skeleton(text).flat_map(char::to_lowercase).filter(|c| c.is_alphanumeric()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_look_alike_fold_alike() {
        for alike in [
            "Result",
            "RESULT",
            "re\u{200b}sult",
            "r\u{435}sult",
            "ｒｅｓｕｌｔ",
            "resu1t",
            "résult",
            "result_",
            "re-sult",
            "𝐫𝐞𝐬𝐮𝐥𝐭",
            "resuIt",
            "re\u{ad}sult",
        ] {
            assert!(looks_like(alike, &fold("result")), "{alike}");
        }
        for apart in ["results", "test_result", "resul", "status", "resalt"] {
            assert!(!looks_like(apart, &fold("result")), "{apart}");
        }
        assert_eq!(fold("staging-status"), fold("staging_status"));
        assert_eq!(fold("---"), "");
    }
}
