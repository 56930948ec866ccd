//! As much Markdown as a gate needs: which lines of the body are code, headings, or prose.
//!
//! More forgiving than `CommonMark` about where a fence may stand (any indentation, inside block quotes), because
//! what is meant as quoted output must not be taken for prose. A fence that is never closed quotes nothing.

/// What a line of the body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing but blanks.
    Blank,
    /// A line that opens or closes a code block.
    Fence,
    /// Inside a closed code block.
    Code,
    /// A heading `#` to `######`.
    Heading(usize),
    /// Anything else.
    Prose,
}

/// Says what each line is; as many kinds as lines. Linear in the text.
pub(super) fn kinds(lines: &[&str]) -> Vec<Kind> {
    let closers = closers(lines);
    let mut kinds = Vec::with_capacity(lines.len());
    let mut open: Option<Run> = None;
    for (line, after) in lines.iter().zip(closers) {
        let run = Run::of(line);
        let kind = match (open, run) {
            (Some(fence), Some(run)) if run.closes(fence) => {
                open = None;
                Kind::Fence
            }
            (Some(_), _) => Kind::Code,
            (None, Some(run)) if run.opens && run.length <= after.of(run.tilde) => {
                open = Some(run);
                Kind::Fence
            }
            (None, _) if line.trim().is_empty() => Kind::Blank,
            (None, _) => heading(line).map_or(Kind::Prose, |(level, _)| Kind::Heading(level)),
        };
        kinds.push(kind);
    }
    kinds
}

/// Level and text of a heading line.
pub(super) fn heading(line: &str) -> Option<(usize, &str)> {
    let text = line.trim_start_matches(' ');
    if line.len() - text.len() > 3 {
        return None;
    }
    let rest = text.trim_start_matches('#');
    let level = text.len() - rest.len();
    let fits = (1..=6).contains(&level) && (rest.is_empty() || rest.starts_with([' ', '\t']));
    fits.then(|| (level, rest.trim().trim_end_matches('#').trim_end()))
}

/// A run of three or more back-ticks or tildes at the start of a line.
#[derive(Debug, Clone, Copy)]
struct Run {
    tilde: bool,
    length: usize,
    /// Whether it may open a block: no back-tick after back-ticks.
    opens: bool,
    /// Whether it may close one: nothing after it.
    bare: bool,
}

impl Run {
    fn of(line: &str) -> Option<Self> {
        let text = line.trim_start_matches([' ', '\t', '>']);
        let mark = text.chars().next().filter(|c| matches!(c, '`' | '~'))?;
        let rest = text.trim_start_matches(mark);
        let length = text.len() - rest.len();
        let tilde = mark == '~';
        (length >= 3).then(|| Self { tilde, length, opens: tilde || !rest.contains('`'), bare: rest.trim().is_empty() })
    }

    const fn closes(self, fence: Self) -> bool {
        self.bare && self.tilde == fence.tilde && self.length >= fence.length
    }
}

/// Longest closing run of either mark in the lines after a line.
#[derive(Debug, Clone, Copy, Default)]
struct Longest {
    ticks: usize,
    tildes: usize,
}

impl Longest {
    const fn of(self, tilde: bool) -> usize {
        if tilde { self.tildes } else { self.ticks }
    }
}

/// For each line, the longest closing runs below it; tells whether a fence is ever closed without looking ahead.
fn closers(lines: &[&str]) -> Vec<Longest> {
    let mut longest = Longest::default();
    let mut all: Vec<Longest> = lines
        .iter()
        .rev()
        .map(|line| {
            let below = longest;
            if let Some(run) = Run::of(line).filter(|run| run.bare) {
                let slot = if run.tilde { &mut longest.tildes } else { &mut longest.ticks };
                *slot = run.length.max(*slot);
            }
            below
        })
        .collect();
    all.reverse();
    all
}

/// Byte ranges of a line that stand in code spans: a run of back-ticks up to the next run of the same length.
pub(super) fn code_spans(line: &str) -> Vec<(usize, usize)> {
    let runs = tick_runs(line);
    let mut last_of_length = std::collections::HashMap::new();
    for (index, run) in runs.iter().enumerate() {
        last_of_length.insert(run.1, index);
    }
    let mut spans = Vec::new();
    let mut index = 0;
    while let Some((start, length)) = runs.get(index).copied() {
        let closable = last_of_length.get(&length).is_some_and(|last| *last > index);
        let close =
            if closable { runs.iter().enumerate().skip(index + 1).find(|(_, run)| run.1 == length) } else { None };
        index = match close {
            Some((close, (end, _))) => {
                spans.push((start, end + length));
                close + 1
            }
            None => index + 1,
        };
    }
    spans
}

/// Start and length of each run of back-ticks.
fn tick_runs(line: &str) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (at, _) in line.match_indices('`') {
        match runs.last_mut() {
            Some((start, length)) if *start + *length == at => *length += 1,
            _ => runs.push((at, 1)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let lines: Vec<&str> = text.split('|').collect();
        let letters: String = kinds(&lines)
            .iter()
            .map(|kind| match kind {
                Kind::Blank => '_',
                Kind::Fence => 'f',
                Kind::Code => 'c',
                Kind::Heading(level) => char::from_digit(u32::try_from(*level).unwrap(), 10).unwrap(),
                Kind::Prose => 'p',
            })
            .collect();
        assert_eq!(letters, expected, "{text}");
    }

    #[test]
    fn lines_are_told_apart() {
        check("# a|| ## b|text|#tag|####### x|    # code|##", "1_2pppp2");
        check("```|x|```|y", "fcfp");
        check("```text|# x|~~~|``|```x|````|y", "fccccfp");
        check("~~~~|```|~~~|~~~~ |# z", "fccf1");
        check("> ```|> x|> ```|1. a|   ```|   b|   ```", "fcfpfcf");
        check("```|never closed|# h", "pp1");
        check("````|```|x|```|y", "pfcfp");
        check("``` a`b|x|```", "ppp");
    }

    #[test]
    fn code_spans_close_with_a_run_of_the_same_length() {
        let check = |line: &str, expected: &[(usize, usize)]| assert_eq!(code_spans(line), expected, "{line}");
        check("a `b` c", &[(2, 5)]);
        check("``a`b`` `c`", &[(0, 7), (8, 11)]);
        check("a ` b", &[]);
        check("``a` b`", &[(3, 7)]);
        check("", &[]);
    }

    #[test]
    fn many_open_fences_and_runs_stay_cheap() {
        let lines = vec!["```a"; 200_000];
        assert!(kinds(&lines).iter().all(|kind| *kind == Kind::Prose));
        let ticks: Vec<String> = (1..1000).map(|n| "`".repeat(n)).collect();
        let runs = ticks.join(" ") + &" `".repeat(100_001);
        assert!(!code_spans(&runs).is_empty());
    }
}
