//! Hides secrets in what is shown. Evidence is never changed: masks are put on output.
//!
//! A secret is known by fingerprints alone, one for each form it may appear in: as it is, in base64 at each of the three
//! offsets and in both alphabets, in hexadecimal, as a JSON string, reversed. Line ends inside any of them do not hide
//! it, and neither do percent escapes of any of its bytes. Lines of a secret of several are secrets of their own.
//! The fingerprints can be kept, so that an output that is shown later, by a process that does not have the secret,
//! is masked too. Texts with the shape of a known kind of token are masked without being known.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::LazyLock;

use regex::bytes::Regex;
use serde::{Deserialize, Serialize};

use super::id::Digest;

/// Fewest bytes of a secret: a shorter one would blank what is no secret.
pub const SECRET_BYTES_MIN: usize = 8;

/// Most bytes of a secret that are compared as one piece; a longer one is several.
const SECRET_BYTES_MAX: usize = 512;

/// Most pieces of a secret that are looked for: as many as the kernel's longest variable has (128 KiB).
const PIECES_MAX: usize = 256;

/// What is shown in a secret's place.
pub const MASK: &[u8] = b"[masked]";

/// Kinds of tokens that are known by their shape: how one begins, and how it may go on. The ends are bounded because a
/// stream holds back as much as a token may take.
const TOKENS: [(&str, &str); 10] = [
    (r"gh[pousr]_[A-Za-z0-9]{30}", r"[A-Za-z0-9]{0,225}"),
    (r"github_pat_[A-Za-z0-9_]{22}", r"[A-Za-z0-9_]{0,233}"),
    (r"glpat-[A-Za-z0-9_-]{20}", r"[A-Za-z0-9_-]{0,235}"),
    (r"sk-[A-Za-z0-9_-]{20}", r"[A-Za-z0-9_-]{0,235}"),
    (r"xox[abeoprs]-[A-Za-z0-9-]{10}", r"[A-Za-z0-9-]{0,245}"),
    (r"(?:AKIA|ASIA)[0-9A-Z]{16}", ""),
    (r"AIza[0-9A-Za-z_-]{35}", ""),
    (r"npm_[A-Za-z0-9]{36}", ""),
    (r"eyJ[A-Za-z0-9_-]{10}", r"[A-Za-z0-9_-]{0,1990}\.eyJ[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{10,2000}"),
    (r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----", r"[A-Za-z0-9+/=\s\\]{20,8000}"),
];

/// How a token begins: what almost no text has. It is compiled in a hundredth of the time that [`SHAPES`] takes.
static OPENINGS: LazyLock<Regex> = LazyLock::new(|| tokens(|(opening, _)| (*opening).to_owned()));

/// Whole tokens.
static SHAPES: LazyLock<Regex> = LazyLock::new(|| tokens(|(opening, rest)| format!("{opening}{rest}")));

fn tokens(part: impl Fn(&(&str, &str)) -> String) -> Regex {
    Regex::new(&format!("(?-u){}", TOKENS.iter().map(part).collect::<Vec<_>>().join("|"))).expect("shapes of ours")
}

/// One form of one secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Fingerprint {
    /// Bytes, without line ends.
    length: usize,
    /// Rolling hash of them.
    rolling: u64,
    /// Hash of the key and them.
    digest: Digest,
}

/// What makes fingerprints of one state folder unlike those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Key {
    /// Random.
    pub salt: u64,
    /// Random; made odd.
    pub base: u64,
}

/// Knows secrets, and hides them.
#[derive(Clone)]
pub struct Masker {
    key: Key,
    /// By length, then by rolling hash.
    known: BTreeMap<usize, HashMap<u64, HashSet<Digest>>>,
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masker").field("lengths", &self.known.len()).finish_non_exhaustive()
    }
}

impl Masker {
    /// One that knows shapes only.
    pub fn new(key: Key) -> Self {
        Self { key: Key { base: key.base | 1, ..key }, known: BTreeMap::new() }
    }

    /// Its key.
    pub const fn key(&self) -> Key {
        self.key
    }

    /// Learns a secret; `false` where it is too short to be masked.
    pub fn learn(&mut self, secret: &str) -> bool {
        let secret = secret.trim();
        if secret.len() < SECRET_BYTES_MIN {
            return false;
        }
        for piece in pieces(secret) {
            for form in forms(piece) {
                let (bytes, _) = without_line_ends(&form);
                if bytes.len() >= SECRET_BYTES_MIN {
                    let print = self.print(&bytes);
                    self.recall(print);
                }
            }
        }
        true
    }

    /// Takes a fingerprint that was kept; it must be of the same key.
    pub fn recall(&mut self, print: Fingerprint) {
        if print.length >= SECRET_BYTES_MIN && print.length <= 4 * SECRET_BYTES_MAX {
            self.known.entry(print.length).or_default().entry(print.rolling).or_default().insert(print.digest);
        }
    }

    /// Every fingerprint, to be kept.
    pub fn prints(&self) -> Vec<Fingerprint> {
        let mut all = Vec::new();
        for (length, by_hash) in &self.known {
            for (rolling, digests) in by_hash {
                all.extend(digests.iter().map(|digest| Fingerprint {
                    length: *length,
                    rolling: *rolling,
                    digest: *digest,
                }));
            }
        }
        all
    }

    fn print(&self, bytes: &[u8]) -> Fingerprint {
        let rolling = bytes.iter().fold(0, |hash, byte| self.step(hash, *byte));
        Fingerprint { length: bytes.len(), rolling, digest: self.digest(bytes) }
    }

    const fn step(&self, hash: u64, byte: u8) -> u64 {
        hash.wrapping_mul(self.key.base).wrapping_add(byte as u64 + 1)
    }

    fn digest(&self, bytes: &[u8]) -> Digest {
        Digest::of(&[&self.key.salt.to_le_bytes(), bytes].concat())
    }

    /// Places of secrets: sorted, apart.
    fn places(&self, text: &[u8]) -> Vec<(usize, usize)> {
        let mut places: Vec<(usize, usize)> = if OPENINGS.is_match(text) {
            SHAPES.find_iter(text).map(|found| (found.start(), found.end())).collect()
        } else {
            Vec::new()
        };
        if !self.known.is_empty() {
            let (bytes, at) = without_line_ends(text);
            self.all_lengths(&bytes, &mut |start, end| {
                if let (Some(first), Some(last)) = (at.get(start), at.get(end - 1)) {
                    places.push((*first, last + 1));
                }
            });
            if let Some((plain, from)) = without_percent(&bytes) {
                self.all_lengths(&plain, &mut |start, end| {
                    // The place behind the last byte, which may be an escape.
                    let last = from.get(end).and_then(|next| at.get(next - 1));
                    if let (Some(first), Some(last)) = (from.get(start).and_then(|first| at.get(*first)), last) {
                        places.push((*first, last + 1));
                    }
                });
            }
        }
        places.sort_unstable();
        let mut apart: Vec<(usize, usize)> = Vec::new();
        for (start, end) in places {
            match apart.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                Some(_) | None => apart.push((start, end)),
            }
        }
        apart
    }

    fn all_lengths(&self, bytes: &[u8], found: &mut dyn FnMut(usize, usize)) {
        for (length, by_hash) in &self.known {
            self.of_length(*length, by_hash, bytes, &mut |start| found(start, start + length));
        }
    }

    fn of_length(
        &self,
        length: usize,
        by_hash: &HashMap<u64, HashSet<Digest>>,
        bytes: &[u8],
        found: &mut dyn FnMut(usize),
    ) {
        let Some(first) = bytes.get(..length) else { return };
        let mut hash = first.iter().fold(0, |hash, byte| self.step(hash, *byte));
        // What the oldest byte of a window weighs once the next one has come.
        let weight = (0..length).fold(1_u64, |weight, _| weight.wrapping_mul(self.key.base));
        let mut start = 0;
        loop {
            if let (Some(digests), Some(window)) = (by_hash.get(&hash), bytes.get(start..start + length))
                && digests.contains(&self.digest(window))
            {
                found(start);
            }
            let (Some(old), Some(new)) = (bytes.get(start), bytes.get(start + length)) else { return };
            hash = self.step(hash, *new).wrapping_sub(weight.wrapping_mul(u64::from(*old) + 1));
            start += 1;
        }
    }

    /// Whether a secret stands in a text.
    pub fn finds(&self, text: &[u8]) -> bool {
        !self.places(text).is_empty()
    }

    /// The text with every secret hidden.
    pub fn mask(&self, text: &[u8]) -> Vec<u8> {
        hide(text, &self.places(text))
    }

    /// The same for a text; one that holds no secret stays as it is.
    pub fn mask_text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.mask(text.as_bytes())).into_owned()
    }

    /// How many bytes a secret may take, line ends in it included.
    fn reach(&self) -> usize {
        // Shapes are bounded too; the longest are those of private keys. An escape takes three bytes.
        self.known.keys().next_back().copied().unwrap_or(0).saturating_mul(4).max(16 * 1024)
    }
}

fn hide(text: &[u8], places: &[(usize, usize)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    for (start, end) in places {
        out.extend_from_slice(text.get(at..*start).unwrap_or_default());
        out.extend_from_slice(MASK);
        at = *end;
    }
    out.extend_from_slice(text.get(at..).unwrap_or_default());
    out
}

/// A text that comes in pieces: a secret that is split between two of them is hidden all the same.
#[derive(Debug)]
pub struct MaskStream<'m> {
    masker: &'m Masker,
    held: Vec<u8>,
}

impl<'m> MaskStream<'m> {
    /// Begins.
    pub const fn new(masker: &'m Masker) -> Self {
        Self { masker, held: Vec::new() }
    }

    /// Takes a piece and gives what can be shown by now.
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(piece);
        let reach = self.masker.reach();
        if self.held.len() < 2 * reach {
            return Vec::new();
        }
        let places = self.masker.places(&self.held);
        let wanted = self.held.len() - reach;
        let cut =
            places.iter().find(|(start, end)| *start < wanted && wanted < *end).map_or(wanted, |(start, _)| *start);
        let shown: Vec<(usize, usize)> = places.into_iter().filter(|(_, end)| *end <= cut).collect();
        let rest = self.held.split_off(cut);
        hide(&std::mem::replace(&mut self.held, rest), &shown)
    }

    /// The rest.
    pub fn finish(&mut self) -> Vec<u8> {
        self.masker.mask(&std::mem::take(&mut self.held))
    }
}

/// The bytes of a text that are no line ends, each with its place. The escapes of a line end, as documents and escaped
/// output have them, are line ends too, however often they were escaped.
fn without_line_ends(text: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut places) = (Vec::with_capacity(text.len()), Vec::with_capacity(text.len()));
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let run = text.get(at..).unwrap_or_default().iter().take_while(|byte| **byte == b'\\').count();
        match (run, byte) {
            (0, b'\n' | b'\r') => at += 1,
            (0, byte) => {
                bytes.push(*byte);
                places.push(at);
                at += 1;
            }
            (run, _) if matches!(text.get(at + run), Some(b'n' | b'r')) => at += run + 1,
            (run, byte) => {
                bytes.extend(std::iter::repeat_n(*byte, run));
                places.extend(at..at + run);
                at += run;
            }
        }
    }
    (bytes, places)
}

/// The bytes of a text with its percent escapes decoded, with the place of each and of the end; `None` where it has none.
/// Whichever bytes a writer escapes, and in whichever case, one comparison finds the secret.
fn without_percent(text: &[u8]) -> Option<(Vec<u8>, Vec<usize>)> {
    let digit =
        |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let escape =
        |at: usize| (text.get(at) == Some(&b'%')).then(|| Some(digit(at + 1)? << 4 | digit(at + 2)?)).flatten();
    let first = (0..text.len()).find(|at| escape(*at).is_some())?;
    let mut bytes = text.get(..first)?.to_vec();
    let mut places: Vec<usize> = (0..first).collect();
    let mut at = first;
    while let Some(byte) = text.get(at) {
        places.push(at);
        let decoded = escape(at);
        bytes.push(decoded.unwrap_or(*byte));
        at += if decoded.is_some() { 3 } else { 1 };
    }
    places.push(at);
    Some((bytes, places))
}

/// What of a secret is looked for by itself: the whole, in pieces where it is long, and each line of several. The lines
/// around a key are in every key.
fn pieces(secret: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = secret;
    while rest.len() > SECRET_BYTES_MAX {
        let (piece, behind) = rest.split_at(rest.floor_char_boundary(SECRET_BYTES_MAX));
        pieces.push(piece);
        rest = behind;
    }
    // A short rest is looked for with what stands before it.
    let start = secret.ceil_char_boundary(secret.len().saturating_sub(SECRET_BYTES_MAX));
    pieces.push(if pieces.is_empty() { rest } else { secret.get(start..).unwrap_or(rest) });
    let lines = secret.split(['\n', '\r']).flat_map(|line| line.split("\\n")).map(str::trim);
    let whole = secret.len();
    let is_own = |line: &&str| (SECRET_BYTES_MIN..whole).contains(&line.len()) && !line.starts_with("-----");
    for line in lines.filter(is_own) {
        let end = line.floor_char_boundary(SECRET_BYTES_MAX);
        pieces.push(line.get(..end).unwrap_or(line));
    }
    pieces.truncate(PIECES_MAX);
    pieces
}

/// The forms in which a secret is looked for.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let bytes = secret.as_bytes();
    let mut forms =
        vec![bytes.to_vec(), bytes.iter().rev().copied().collect(), secret.chars().rev().collect::<String>().into()];
    for alphabet in [BASE64, BASE64_URL] {
        forms.extend((0..3).map(|offset| base64_inside(bytes, offset, alphabet)));
    }
    let hex = |upper: bool| -> Vec<u8> {
        bytes
            .iter()
            .flat_map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") }.into_bytes())
            .collect()
    };
    forms.extend([hex(false), hex(true)]);
    // Forms on the web write a space as a plus, and a plus as an escape.
    if secret.contains(' ') {
        forms.push(secret.replace(' ', "+").into_bytes());
    }
    // A log of JSON stands in a document of JSON, and that in an event. Some writers escape slashes, and what they wrote is
    // escaped again.
    let quoted = |text: &String| {
        let quoted = serde_json::to_string(text).unwrap_or_default();
        quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
    };
    let mut nested = vec![secret.to_owned()];
    for _ in 0..3 {
        nested = nested.iter().map(quoted).collect();
        nested.push(nested.first().map(|plain| plain.replace('/', "\\/")).unwrap_or_default());
        forms.extend(nested.iter().map(|form| form.clone().into_bytes()));
    }
    forms.push(secret.escape_debug().to_string().into_bytes());
    forms
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The part of a base64 text that depends on the secret alone, where the secret begins `offset` bytes behind a multiple
/// of three.
fn base64_inside(bytes: &[u8], offset: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let mut padded = vec![0; offset];
    padded.extend_from_slice(bytes);
    let bits = padded.len() * 8;
    // The first whole symbol behind the foreign bytes, and the last one before the next foreign byte.
    let first = (offset * 8).div_ceil(6);
    let last = bits / 6;
    let symbol = |index: usize| {
        let value = (0..6).fold(0_usize, |value, bit| {
            let at = index * 6 + bit;
            let byte = padded.get(at / 8).copied().unwrap_or(0);
            (value << 1) | usize::from(byte >> (7 - at % 8) & 1)
        });
        alphabet.get(value).copied().unwrap_or(b'A')
    };
    (first..last).map(symbol).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: Key = Key { salt: 7, base: 0x9e37_79b9_7f4a_7c15 };

    fn knowing(secret: &str) -> Masker {
        let mut masker = Masker::new(KEY);
        assert!(masker.learn(secret));
        masker
    }

    #[test]
    fn every_form_is_hidden_also_across_lines() {
        let secret = "hunter2-is/no+secret\"é";
        let masker = knowing(secret);
        let check = |text: &str| {
            let shown = masker.mask_text(text);
            assert!(shown.contains("[masked]"), "{text} -> {shown}");
        };
        check(&format!("token={secret}!"));
        let (head, tail) = secret.split_at(9);
        for end in ["\n", "\r\n", "\\n", "\\\\r\\\\n"] {
            check(&format!("token={head}{end}{tail}!"));
        }
        check(&serde_json::json!({ "text": secret }).to_string());
        check(&secret.chars().rev().collect::<String>());
        let hex = secret.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        check(&hex);
        let (head, tail) = hex.split_at(11);
        check(&format!("{head}\n{tail}"));
        check("https://h/?t=hunter2-is%2Fno%2Bsecret%22%C3%A9&x=1");
        for lead in ["", "a", "ab", "abc"] {
            check(&String::from_utf8(base64_inside(format!("{lead}{secret}xyz").as_bytes(), 0, BASE64)).unwrap());
        }
        assert_eq!(masker.mask_text("nothing to hide here"), "nothing to hide here");
    }

    /// A secret of which no two forms are alike, so that no form hides for another.
    #[test]
    fn each_form_is_hidden_by_itself() {
        let secret = "~/?>\"\\é!*'()_?~>ü/-.~>?";
        let masker = knowing(secret);
        let check = |form: &[u8]| {
            let text = [b"<", form, b">"].concat();
            assert_eq!(masker.mask(&text), b"<[masked]>", "{}", String::from_utf8_lossy(form));
        };
        check(secret.as_bytes());
        check(&secret.bytes().rev().collect::<Vec<_>>());
        check(secret.chars().rev().collect::<String>().as_bytes());
        check(secret.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat().as_bytes());
        check(secret.bytes().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().concat().as_bytes());
        // RFC 3986, `encodeURIComponent`, forms.
        for keep in ["-_.~", "-_.!~*'()", "-_.*"] {
            let one = |byte: u8| match char::from(byte) {
                c if c.is_ascii_alphanumeric() || keep.contains(c) => c.to_string(),
                _ => format!("%{byte:02X}"),
            };
            let upper: String = secret.bytes().map(one).collect();
            check(upper.as_bytes());
            check(upper.to_ascii_lowercase().as_bytes());
        }
        let quote = |text: &str| serde_json::to_string(text).unwrap().trim_matches('"').to_owned();
        let (mut plain, mut slashed) = (secret.to_owned(), secret.to_owned());
        for level in 0..3 {
            // Not `trim_matches`: the secret's own quotes are escaped.
            (plain, slashed) =
                (quote(&plain), if level == 0 { quote(secret).replace('/', "\\/") } else { quote(&slashed) });
            check(plain.as_bytes());
            check(slashed.as_bytes());
            check(plain.replace('/', "\\/").as_bytes());
        }
        check(secret.escape_debug().to_string().as_bytes());
        for lead in ["", "x", "xx"] {
            let inside = |alphabet| base64_inside(format!("{lead}{secret}").as_bytes(), 0, alphabet);
            let [standard, url] = [BASE64, BASE64_URL].map(inside);
            assert_ne!(standard, url, "this offset tells the alphabets apart");
            for text in [standard, url] {
                // What depends on the bytes around it may stay.
                let shown = masker.mask(&text);
                assert!(
                    shown.len() <= MASK.len() + 6 && shown.windows(MASK.len()).any(|part| part == MASK),
                    "{lead:?}"
                );
            }
        }
    }

    #[test]
    fn short_secrets_are_refused_and_shapes_are_known() {
        let mut masker = Masker::new(KEY);
        for short in ["", "abc", "       ", "1234567"] {
            assert!(!masker.learn(short), "{short:?}");
        }
        assert_eq!(masker.mask_text("abc 1234567"), "abc 1234567");
        assert_eq!(masker.mask_text("key ghp_0123456789012345678901234567890123456 end"), "key [masked] end");
        assert_eq!(masker.mask_text("AKIAABCDEFGHIJKLMNOP"), "[masked]");
    }

    /// Python's `quote` keeps `/`, others escape every byte, in either case; what stands around a secret is kept.
    #[test]
    fn percent_escapes_of_any_bytes_hide_nothing() {
        let masker = knowing("tok/abc+def/ghi=jkl mno");
        let check = |text: &str, expected: &str| assert_eq!(masker.mask_text(text), expected);
        check("?t=tok/abc%2Bdef/ghi%3Djkl%20mno&x=%41", "?t=[masked]&x=%41");
        check("?t=tok%2fabc%2bdef/ghi%3djkl+mno%0A", "?t=[masked]%0A");
        let every = "tok/abc+def/ghi=jkl mno".bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
        check(&format!("%{every}%"), "%[masked]%");
        let (head, tail) = every.split_at(10);
        check(&format!("<{head}\n{tail}>"), "<[masked]>");
        check("100% of 5%x and %zz, %", "100% of 5%x and %zz, %");
        // A secret with an escape in it is found as it is, and escaped.
        let masker = knowing("ab%41cdefg");
        assert_eq!(masker.mask_text("<ab%41cdefg> <ab%2541cdefg>"), "<[masked]> <[masked]>");
    }

    #[test]
    fn each_line_and_each_end_of_a_long_secret_is_hidden() {
        let body = ["MIIEpAIBAAKCAQEA7bq2", "Zk9fQmJ0c3RyaW5nMDE5", "short", "c2Vjb25kLWxhc3QtbGlu"];
        let lines = format!("-----BEGIN X KEY-----\n{}\n-----END X KEY-----", body.join("\n"));
        for secret in [lines.clone(), lines.replace('\n', "\\n"), lines.replace('\n', "\r\n")] {
            let masker = knowing(&secret);
            for line in body {
                let shown = masker.mask_text(&format!("line <{line}>"));
                assert_eq!(shown == "line <[masked]>", line != "short", "{shown}");
            }
            assert_eq!(masker.mask_text("-----BEGIN X KEY-----"), "-----BEGIN X KEY-----");
        }
        for length in [511, 512, 513, 519, 1024, 1500] {
            let secret: String = (0..length).map(|n| char::from(b'a' + u8::try_from(n * n % 23).unwrap())).collect();
            assert_eq!(knowing(&secret).mask_text(&format!("<{secret}>")), "<[masked]>", "{length}");
        }
    }

    /// With 1 for a base the rolling hash is a sum: every order of the same letters is a candidate, and one is the secret.
    #[test]
    fn a_candidate_is_not_yet_the_secret() {
        let mut masker = Masker::new(Key { salt: 7, base: 1 });
        assert!(masker.learn("abcdefgh"));
        assert_eq!(masker.mask_text("abcdefhg abcdefgh"), "abcdefhg [masked]");
    }

    #[test]
    fn fingerprints_outlive_the_secret() {
        let masker = knowing("correct horse battery");
        let kept = serde_json::to_string(&masker.prints()).unwrap();
        assert!(!kept.contains("horse"));
        let mut later = Masker::new(masker.key());
        serde_json::from_str::<Vec<Fingerprint>>(&kept).unwrap().into_iter().for_each(|print| later.recall(print));
        assert_eq!(later.mask_text("a correct horse battery b"), "a [masked] b");
    }

    /// A stream shows what lies so far behind that no secret reaches there; never up to the middle of one.
    #[test]
    fn a_secret_is_whole_wherever_the_stream_lets_go() {
        let secret = "correct horse battery";
        let masker = knowing(secret);
        let (before, reach) = (20_000, masker.reach());
        for inside in 0..=secret.len() {
            let mut text = vec![b'x'; before];
            text.extend_from_slice(secret.as_bytes());
            text.resize(before + inside + reach, b'x');
            let mut stream = MaskStream::new(&masker);
            let first = stream.push(&text);
            assert!(!first.is_empty(), "it has let go");
            assert_eq!([first, stream.finish()].concat(), masker.mask(&text), "{inside}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn pieces_make_no_difference(at in 0_usize..70_000, size in 1_usize..40_000) {
            let masker = knowing("correct horse battery");
            let mut text = vec![b'x'; 70_000];
            text.splice(at..at, b"correct horse battery".iter().copied());
            let mut stream = MaskStream::new(&masker);
            let mut shown: Vec<u8> = text.chunks(size).flat_map(|piece| stream.push(piece)).collect();
            shown.extend(stream.finish());
            prop_assert_eq!(shown, masker.mask(&text));
        }
    }
}
