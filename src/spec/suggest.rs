//! "Did you mean": the known word that a misspelt one is closest to.

use super::problem::Sink;

/// Most comparisons for one text: enough for any honest file, and a bound for one with thousands of misspelt
/// words among thousands of stages.
const COMPARISONS_MAX: usize = 50_000;

/// The nearest of some words, where one is near enough to be meant.
pub(super) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
    sink: &mut Sink,
) -> Option<&'c str> {
    let wanted = normal(word);
    let length = wanted.chars().count();
    let most = (length / 3).clamp(1, 3);
    let mut best: Option<(usize, &'c str)> = None;
    for candidate in candidates {
        if sink.compared >= COMPARISONS_MAX {
            break;
        }
        sink.compared += 1;
        if candidate.len().abs_diff(word.len()) > most + 2 {
            continue;
        }
        let distance = strsim::osa_distance(&wanted, &normal(candidate));
        if distance <= most && distance < length.max(2) && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The same as a line of help.
pub(super) fn did_you_mean<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
    sink: &mut Sink,
) -> Option<String> {
    nearest(word, candidates, sink).map(|candidate| format!("did you mean `{candidate}`?"))
}

/// Words as a list for people: `a`, `b` or `c`.
pub(super) fn one_of<'c>(words: impl IntoIterator<Item = &'c str>) -> String {
    sentence(words, "or")
}

/// Words as a list for people: `a`, `b` and `c`.
pub(super) fn all_of<'c>(words: impl IntoIterator<Item = &'c str>) -> String {
    sentence(words, "and")
}

fn sentence<'c>(words: impl IntoIterator<Item = &'c str>, join: &str) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} {join} {last}", rest.join(", ")),
    }
}

fn normal(word: &str) -> String {
    word.to_lowercase().replace(['_', ' '], "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        let words = ["command", "evidence", "closing-line", "env", "exit", "report", "min-tests", "gate"];
        let check = |word, expected| assert_eq!(nearest(word, words, &mut Sink::default()), expected, "{word}");
        check("comand", Some("command"));
        check("commmand", Some("command"));
        check("gates", Some("gate"));
        check("Gate", Some("gate"));
        check("min_tests", Some("min-tests"));
        check("minTests", Some("min-tests"));
        check("closingline", Some("closing-line"));
        check("evn", Some("env"));
        check("reports", Some("report"));
        check("timeout", None);
        check("x", None);
        check("", None);
    }

    #[test]
    fn comparisons_are_bounded() {
        let mut sink = Sink::default();
        sink.compared = COMPARISONS_MAX;
        assert_eq!(nearest("comand", ["command"], &mut sink), None);
    }

    #[test]
    fn lists_read_as_sentences() {
        assert_eq!(one_of([]), "nothing");
        assert_eq!(one_of(["a"]), "`a`");
        assert_eq!(one_of(["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
