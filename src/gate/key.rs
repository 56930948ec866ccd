//! A gate that the pipeline file declares: one key and two closed sets of words.

use crate::domain::pipeline::KeyGate;

use super::contract::Contract;

/// The declared words are compared as text, byte by byte: `yes`, `1` and `null` are words like any other.
pub(super) fn contract(declared: &KeyGate) -> Contract<'_> {
    Contract {
        key: &declared.key,
        pass: declared.pass.iter().map(String::as_str).collect(),
        fail: declared.fail.iter().map(String::as_str).collect(),
        companions: &[],
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::pipeline::{Gate, KeyGate};
    use crate::domain::verdict::UnreadableReason as Reason;
    use crate::gate::read;

    fn gate(pass: &[&str], fail: &[&str]) -> Gate {
        let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Gate::Key(KeyGate { key: "status".to_owned(), pass: own(pass), fail: own(fail) })
    }

    fn check(gate: &Gate, value: &str, expected: Result<&str, Reason>) {
        let text = format!("---\nstatus: {value}\n---\n");
        let answer = read(gate, text.as_bytes());
        let answer = answer.as_ref().map(|reading| reading.verdict.as_str()).map_err(|why| why.reason);
        assert_eq!(answer, expected, "{value}");
    }

    #[test]
    fn declared_words_are_text() {
        let gate = gate(&["yes", "1", "null", "READY TO GO", "~ok"], &["no", "0", "true"]);
        for word in ["yes", "1", "null", "READY TO GO", "\"yes\"", "'1'", "~ok"] {
            check(&gate, word, Ok("pass"));
        }
        for word in ["no", "0", "true", "'true'"] {
            check(&gate, word, Ok("fail"));
        }
        for near in ["Yes", "on", "01", "0x1", "~", "Null", "true.", "READY", "False"] {
            check(&gate, near, Err(Reason::UnknownValue));
        }
    }

    #[test]
    fn a_word_of_both_sets_and_an_empty_set_open_nothing() {
        check(&gate(&["A"], &["A"]), "A", Err(Reason::UnknownValue));
        check(&gate(&[], &[]), "A", Err(Reason::UnknownValue));
        check(&gate(&[""], &["B"]), "B", Ok("fail"));
    }
}
