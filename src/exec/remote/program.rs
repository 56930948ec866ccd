//! The text that the far side's shell is given: a header of quoted values, and the fixed program behind it.

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::job::{Errand, Job, Key};

/// The fixed part.
const SUPERVISOR: &str = include_str!("supervisor.sh");
/// How often within a TTL the far side looks for a sign of life; the number stands in the program, too.
const TICKS: u32 = 8;

/// How long a look at a container or a version may take, in seconds: less than the caller of a look waits for it.
const LOOK_S: u32 = 8;

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// To start the command.
    Start,
    /// To take up what was started.
    Resume,
    /// To look only.
    Check,
}

/// What was received of each stream by now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) stdout: u64,
    pub(super) stderr: u64,
}

/// A program and the one word by which the login shell of the far side, whichever it is, starts it.
pub(super) struct Program {
    pub(super) text: String,
    pub(super) word: String,
}

/// Quotes a word for any POSIX shell.
pub(super) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Makes the program of a session.
pub(super) fn program(job: &Job, key: Key, mode: Mode, received: Received) -> Program {
    let mode = match (job.errand, mode) {
        (Errand::Check, _) | (Errand::Run, Mode::Check) => "check",
        (Errand::Run, Mode::Start) => "start",
        (Errand::Run, Mode::Resume) => "resume",
    };
    let mut text = String::with_capacity(SUPERVISOR.len() + 1024);
    let nonce = quote(&key.nonce.to_string());
    let id = quote(&key.attempt.to_string());
    let tick = seconds((job.ttl / TICKS).max(Duration::from_millis(100)));
    let grace = job.limits.grace.as_secs().max(u64::from(!job.limits.grace.is_zero()));
    let blocks = job.output_max_bytes / 512;
    line(
        &mut text,
        format_args!(
            "o_n={nonce} o_id={id} o_mode={mode} o_tick_s={tick} o_grace_s={grace} o_look_s={LOOK_S} o_blocks={blocks} \
             o_from_out={} o_from_err={}",
            received.stdout, received.stderr
        ),
    );
    // A literal, which no variable of the stage's can change.
    line(&mut text, format_args!("far_() {{ export ORCH_FAR_ATTEMPT={id}; }}"));
    let olds: Vec<String> = job.left.iter().map(ToString::to_string).collect();
    line(&mut text, format_args!("o_olds={}", quote(&olds.join(" "))));
    let words = words(job.argv.words());
    line(&mut text, format_args!("argv_() {{ \"$@\"{words}; }}"));
    text.push_str("env_() { :\n");
    for (name, value) in &job.env {
        line(&mut text, format_args!("export {name}={}", quote(value)));
    }
    let folder =
        job.cwd.as_ref().map_or_else(|| ":".to_owned(), |cwd| format!("cd -- {} >/dev/null", quote(&folder(cwd))));
    line(&mut text, format_args!("}}\ncwd_() {{ {folder}; }}"));
    text.push_str(&looks(job));
    text.push_str(SUPERVISOR);
    // Read to the byte: what comes behind it on the same stream is for the program itself. A dd that cannot fill one
    // block from several reads takes nothing, and byte by byte is ten times slower.
    let len = text.len();
    let dd = format!("dd bs={len} count=1 iflag=fullblock 2>/dev/null||dd bs=1 count={len} 2>/dev/null");
    let word = format!("exec sh -c 'unset o_n o_p;o_p=$({dd});o_r=launch;eval \"$o_p\"'");
    Program { text, word }
}

/// A folder as `cd` takes it for one: `-` is a word of its own there, and a relative one is searched for in `CDPATH`.
fn folder(cwd: &str) -> String {
    if cwd.starts_with('/') { cwd.to_owned() } else { format!("./{cwd}") }
}

/// What is looked at before a begin: that the container runs, and which version stands there.
fn looks(job: &Job) -> String {
    let mut text = String::from("seen_() { :\n");
    if let Some(container) = &job.container {
        let (engine, name) = (quote(&container.engine), quote(&container.name));
        let format = quote("{{.State.Running}} {{.State.Paused}}");
        // What the engine warns of is no word on the container; it counts where there is none on stdout.
        line(
            &mut text,
            format_args!(
                "seen_container() {{ env_; exec \"$o_setsid\" {engine} inspect --type container --format {format} {name}; }}\n\
                 o_l=$(bounded seen_container 2>/dev/null)\n\
                 case $?:$o_l in\n\
                 '0:true false') ;;\n\
                 137:*) say container no answer within \"$o_look_s\" s; return 1 ;;\n\
                 *:) o_l=$(bounded seen_container 2>&1); say container \"$(flat \"$o_l\")\"; return 1 ;;\n\
                 *) say container \"$(flat \"$o_l\")\"; return 1 ;;\n\
                 esac"
            ),
        );
    }
    if let Some(version) = &job.version {
        line(
            &mut text,
            format_args!(
                "seen_version() {{ env_; cwd_; exec \"$o_setsid\"{}; }}\n\
                 o_v=$o_base/jobs/.version.$$\n\
                 o_l=$({{ bounded seen_version 2>/dev/null; echo $? >\"$o_v\"; }} | dd bs=1 count=256 2>/dev/null)\n\
                 o_rc=; read -r o_rc <\"$o_v\"; rm -f \"$o_v\"\n\
                 o_l=$(flat \"$o_l\")\n\
                 case $o_rc:$o_l in 0:?*) ;; *) say unversioned \"$o_rc\"; return 1 ;; esac\n\
                 say version \"$o_l\"",
                words(version.command.words())
            ),
        );
        if let Some(wanted) = &version.expect {
            line(&mut text, format_args!("[ \"$o_l\" = {} ] || {{ say other; return 1; }}", quote(wanted)));
        }
    }
    text.push_str("}\n");
    text
}

fn line(text: &mut String, line: fmt::Arguments<'_>) {
    text.write_fmt(line).expect("writing into a String cannot fail");
    text.push('\n');
}

fn words(words: &[String]) -> String {
    words.iter().fold(String::new(), |text, word| format!("{text} {}", quote(word)))
}

/// Seconds as `sleep` takes them.
fn seconds(time: Duration) -> String {
    format!("{}.{:03}", time.as_secs(), time.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stays_a_word() {
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's $(id) `id` \"x\"\n!"), "'it'\\''s $(id) `id` \"x\"\n!'");
        assert_eq!(quote(""), "''");
    }

    #[test]
    fn the_program_has_no_tick_of_its_own() {
        assert!(SUPERVISOR.contains("o_left=8"), "the number of ticks stands in both places");
        assert_eq!(TICKS, 8);
    }
}
