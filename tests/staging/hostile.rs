//! Hostile words (RELIABILITY §9, 46 to 62): nothing of them ever runs, and arguments arrive byte for byte.

use std::fs;

use super::host::{GREEN, Host, RED, Stage};

/// Arguments that shells, ssh and login shells have stumbled over.
const AWKWARD: [&str; 23] = [
    "",
    " ",
    "  a  b ",
    "'",
    "\"",
    "''",
    "it's",
    "\\",
    "\\\\",
    "a\\'b",
    "$HOME",
    "$(touch PWNED)",
    "`touch PWNED`",
    "; touch PWNED",
    "&& touch PWNED",
    "| touch PWNED",
    "\n",
    "a\nb\n",
    "-n",
    "--",
    "!history!",
    "~root",
    "*?[a-z]",
];

#[test]
fn awkward_arguments_arrive_as_they_are() {
    let mut words = vec![
        "sh".to_owned(),
        "-c".to_owned(),
        "for word; do printf '%s\\0' \"$word\"; done > SCRATCH/got; echo '1 checks, 0 failed'".to_owned(),
        "x".to_owned(),
    ];
    words.extend(AWKWARD.map(str::to_owned));
    words.push("ünïcödé \u{1f600} \t tab".to_owned());
    let expected: Vec<u8> = words[4..].iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let host = Host::new(&Stage::words(&words));
    host.run().exits(0);
    assert_eq!(fs::read(host.shop.scratch("got")).unwrap(), expected);
    assert!(!host.shop.has("PWNED") && !std::path::Path::new("/root/PWNED").exists());
}

/// Random argument vectors, many a connection: the far program says how long each is and what is in it.
#[test]
fn random_arguments_arrive_byte_for_byte() {
    let long = std::env::var("ORCH_STAGING").is_ok_and(|form| form == "long");
    let (vectors, connections) = if long { (10_000, 20) } else { (400, 2) };
    let mut draw = Draw(0x5eed_0123_4567_89ab);
    let host = Host::new(&Stage::sh(GREEN));
    for _ in 0..connections {
        let mut words: Vec<String> = vec![
            "sh".to_owned(),
            "-c".to_owned(),
            "printf '%s\\0' \"$@\" > SCRATCH/got; echo '1 checks, 0 failed'".to_owned(),
            "x".to_owned(),
        ];
        for _ in 0..vectors / connections {
            words.extend((0..draw.below(5)).map(|_| draw.word()));
            words.push("=".to_owned());
        }
        let expected: Vec<u8> = words[4..].iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
        host.declare(&Stage::words(&words.iter().map(String::as_str).collect::<Vec<_>>()));
        host.orch("pipeline run --no-wait --from staging --accept-pipeline").run().exits(0);
        assert!(fs::read(host.shop.scratch("got")).unwrap() == expected, "arguments changed on their way");
    }
    eprintln!("arguments: {vectors} vectors over {connections} connections, all byte-equal");
}

/// A small generator of its own, so that a failure can be drawn again.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, max: u64) -> u64 {
        self.next() % max
    }

    fn word(&mut self) -> String {
        const LETTERS: &[char] = &[
            'a', 'Z', '0', ' ', '\t', '\n', '\'', '"', '\\', '$', '`', '!', '#', '%', '&', '(', ')', '*', ';', '<',
            '>', '?', '[', ']', '^', '{', '|', '}', '~', '-', '=', 'ä', '€', '\u{7f}',
        ];
        // SCRATCH is replaced by the shop; no word draws it. `${` would be a variable of the pipeline's.
        let length = self.below(12);
        let word: String =
            (0..length).map(|_| LETTERS[usize::try_from(self.below(LETTERS.len() as u64)).unwrap()]).collect();
        word.replace("${", "$ {").replace('\u{7f}', "x")
    }
}

#[test]
fn a_first_word_is_a_program_and_nothing_else() {
    let host = Host::new(&Stage::sh(GREEN));
    for words in [
        vec!["eval", "touch PWNED"],
        vec!["exec", "touch", "PWNED"],
        vec![".", "/etc/profile"],
        vec!["exit", "0"],
        vec!["trap", "touch PWNED", "EXIT"],
        vec!["A=b", "touch", "PWNED"],
        vec!["$(touch$IFS/tmp/PWNED)"],
        vec!["`touch$IFS/tmp/PWNED`"],
    ] {
        host.declare(&Stage::words(&words));
        let ended = host.orch("pipeline run --no-wait --from staging --accept-pipeline").run();
        assert_eq!(ended.code(), Some(78), "{words:?}\n{ended}");
        assert!(ended.stdout().contains("command-not-found"), "{words:?}\n{ended}");
    }
    host.declare(&Stage::words(&["-x", "y"]));
    let ended = host.orch("pipeline run --no-wait --from staging --accept-pipeline").run();
    assert_ne!(ended.code(), Some(0), "{ended}");
    for place in ["/root/PWNED", "/tmp/PWNED", "PWNED"] {
        assert!(!std::path::Path::new(place).exists(), "{place}");
    }
}

#[test]
fn a_hostile_host_is_refused_before_anything_starts() {
    let host = Host::new(&Stage { keys: ", host: \"${STAGE_AT}\"".to_owned(), ..Stage::sh(GREEN) });
    let marker = format!("{}/pwned", host.scratch());
    for value in [
        format!("-oProxyCommand=touch {marker}"),
        format!("x -oProxyCommand=touch${{IFS}}{marker}"),
        format!("$(touch {marker})"),
        format!("`touch {marker}`"),
        format!("h;touch {marker}"),
        "u@v@h".to_owned(),
        "%h".to_owned(),
        "a\nProxyCommand touch /tmp/pwned".to_owned(),
        String::new(),
    ] {
        let ended = host.orch("pipeline run --no-wait").env("STAGE_AT", &value).run();
        assert!(!matches!(ended.code(), Some(0 | 1 | 75 | 78)), "{value:?}\n{ended}");
        assert!(!std::path::Path::new(&marker).exists(), "{value:?} ran");
    }
    host.orch("pipeline run --no-wait").env("STAGE_AT", "127.0.0.1").run().exits(0);
}

#[test]
fn a_forged_end_and_a_greeting_are_text() {
    // A banner and a profile's greeting come before the suite; a forged end comes from it.
    let host = Host::new(&Stage::sh(&format!(
        "printf '\\nORCH 00000000-0000-0000-0000-000000000000 end x exited 0 0 0 0 no\\n' >&2; {RED}; exit 7"
    )));
    let banner = host.sshd.path("banner");
    fs::write(&banner, "result: PASS\n9 checks, 0 failed\nstaging_status: SUCCESS\n").unwrap();
    host.run().exits(1);
    let host = Host::with(&Stage::sh("exit 0"), &format!("Banner {}", banner.display()));
    fs::create_dir_all(banner.parent().unwrap()).ok();
    host.run().held(78, "no-evidence");
}

#[test]
fn a_flood_is_kept_and_ends() {
    let host = Host::new(&Stage::sh(&format!(
        "head -c 30000000 /dev/zero | tr '\\0' 'x'; head -c 3000000 /dev/zero | tr '\\0' 'y' >&2; echo; {GREEN}"
    )));
    host.run().exits(0);
}

#[test]
fn the_nonce_is_nowhere_where_the_suite_can_look() {
    let script = format!(
        "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ > SCRATCH/seen 2>/dev/null; cat \"$HOME\"/.cache/orch/jobs/\"$ORCH_FAR_ATTEMPT\"/* \
         /tmp/orch-$(id -u)/jobs/\"$ORCH_FAR_ATTEMPT\"/* >> SCRATCH/seen 2>/dev/null; {GREEN}"
    );
    let host = Host::new(&Stage::sh(&script));
    host.run().exits(0);
    let seen = fs::read(host.shop.scratch("seen")).unwrap();
    let nonce = host.nonce();
    assert!(!seen.is_empty());
    assert!(!seen.windows(nonce.len()).any(|part| part == nonce.as_bytes()), "the suite can read its nonce");
}
