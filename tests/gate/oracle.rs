//! A second opinion on what may open a gate, written from the promise and not from the code: a scan over bytes that
//! knows no Markdown, no YAML and no Unicode tables. It accepts more than the gate does; a pass it refuses is a bug.

use orch::domain::pipeline::Gate;

/// What a gate is about, as bytes.
pub(crate) struct Words {
    verdict: &'static [u8],
    pass: &'static [u8],
    echoes: &'static [(&'static [u8], &'static [u8])],
}

impl Words {
    pub(crate) fn of(gate: &Gate) -> Option<Self> {
        match gate {
            Gate::TestsPassed => Some(Self {
                verdict: b"result",
                pass: b"PASS",
                echoes: &[(b"status", b"passed"), (b"tests_status", b"PASS")],
            }),
            Gate::StagingStatus => Some(Self { verdict: b"staging_status", pass: b"SUCCESS", echoes: &[] }),
            Gate::None | Gate::Approved | Gate::Key(_) => None,
        }
    }
}

/// Whether these bytes could honestly be called a pass.
pub(crate) fn may_open(words: &Words, bytes: &[u8]) -> bool {
    let control = |b: &u8| *b < 0x20 && !matches!(*b, b'\n' | b'\r' | b'\t') || *b == 0x7f;
    if bytes.iter().any(control) || std::str::from_utf8(bytes).is_err() {
        return false;
    }
    let ends = bytes.split(|b| *b == b'\n').count() - 1;
    let returns = bytes.split(|b| *b == b'\r').count() - 1;
    let pairs = bytes.windows(2).filter(|pair| *pair == b"\r\n").count();
    if returns != pairs || returns != 0 && returns != ends {
        return false;
    }
    let mut lines = bytes.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    if lines.next() != Some(b"---") {
        return false;
    }
    let mut block = Vec::new();
    loop {
        match lines.next() {
            Some(b"---") => break,
            Some(line) => block.push(line),
            None => return false,
        }
    }
    let next = lines.find(|line| line.iter().any(|b| !b.is_ascii_whitespace()));
    if next.is_some_and(|line| line.trim_ascii_start().starts_with(b"---")) {
        return false;
    }
    let honest = |line: &&[u8]| line.is_empty() || honest_line(words, line);
    block.iter().all(honest) && block.iter().filter(|line| key_of(line) == letters(words.verdict)).count() == 1
}

/// Whether one line of the block does not speak against a pass.
fn honest_line(words: &Words, line: &[u8]) -> bool {
    if !line.first().is_some_and(u8::is_ascii_lowercase) || line.contains(&b'\t') {
        return false;
    }
    let key = key_of(line);
    let says = |name: &[u8], value: &[u8]| {
        let forms = [[b"", value, b""], [b"\"", value, b"\""], [b"'", value, b"'"]];
        forms.iter().any(|[open, value, close]| line == [name, b": ", open, value, close].concat())
    };
    if key == letters(words.verdict) {
        return says(words.verdict, words.pass);
    }
    if let Some((name, value)) = words.echoes.iter().find(|(name, _)| key == letters(name)) {
        return says(name, value);
    }
    let counts: [&[u8]; 4] = [b"failed", b"failures", b"errors", b"exitcode"];
    if counts.contains(&key.as_slice()) {
        let value = line.splitn(2, |b| *b == b':').nth(1).unwrap_or_default();
        return !value.iter().any(|b| (b'1'..=b'9').contains(b));
    }
    true
}

/// Letters of what stands before the colon.
fn key_of(line: &[u8]) -> Vec<u8> {
    letters(line.split(|b| *b == b':').next().unwrap_or_default())
}

fn letters(text: &[u8]) -> Vec<u8> {
    text.iter().filter(|b| b.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).collect()
}
