//! What producers write.

use orch::domain::evidence::{Exit, LogSpan};

use crate::harness::Lab;

#[test]
fn bytes_are_kept_as_they_are() {
    let mut lab = Lab::new();
    let record = lab.run(&lab.sh(r"printf '\377\376\000x no newline'; printf '\033[31mred' >&2"));
    assert_eq!(lab.stdout(&record), b"\xff\xfe\0x no newline");
    assert_eq!(lab.stderr(&record), b"\x1b[31mred");
    let next = lab.run(&lab.sh("printf next"));
    assert_eq!(next.stdout, LogSpan { start: record.stdout.bytes, bytes: 4, dropped: None });
    assert_eq!(lab.stdout(&next), b"next");
}

#[test]
fn opening_dev_stderr_anew_cuts_nothing_off() {
    let mut lab = Lab::new();
    let first = lab.run(&lab.sh("echo '1 failed' >&2; exit 1"));
    let second =
        lab.run(&lab.sh("echo '2 failed' >&2; echo noise > /dev/stderr; echo noise > /proc/self/fd/2; exit 1"));
    assert_eq!(lab.stderr(&first), b"1 failed\n");
    assert_eq!(lab.stderr(&second), b"2 failed\nnoise\nnoise\n");
    assert_eq!(lab.stdout(&second), b"");

    // The hazard is real: with the file itself as stderr the same script cuts off what stood there.
    let file = lab.work().join("direct.log");
    let direct = lab.run(&lab.sh("exec 2>>direct.log; echo '1 failed' >&2; sh -c 'echo noise > /dev/stderr'"));
    assert_eq!(direct.exit, Exit::Exited { code: 0 });
    assert_eq!(std::fs::read(file).unwrap(), b"noise\n");
}

#[test]
fn a_gibibyte_neither_hangs_nor_grows_the_supervisor() {
    const GIB: u64 = 1 << 30;
    let mut lab = Lab::new();
    let record = lab.run(&lab.sh("head -c 1073741824 /dev/zero; echo end"));
    assert_eq!(record.exit, Exit::Exited { code: 0 });
    assert_eq!(record.stdout.bytes, GIB + 4);
    let (offset, count) = record.stdout.dropped.expect("four bytes above the bound");
    assert!(offset >= 8 << 20 && GIB + 4 - (offset + count) >= 24 << 20);
    let tail = LogSpan { start: record.stdout.start + GIB, bytes: 4, dropped: None };
    assert_eq!(crate::harness::part(&lab.run_dir().join(orch::exec::STDOUT_FILE), &tail), b"end\n");
    let status = std::fs::read_to_string(format!("/proc/{}/status", lab.supervisor.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak_kib < 32 * 1024, "{peak_kib} KiB");
}

#[test]
fn a_stream_that_is_closed_early_ends_nothing() {
    let mut lab = Lab::new();
    let record = lab.run(&lab.sh("exec 1>&-; echo still >&2; exec 2>&-; exit 7"));
    assert_eq!(record.exit, Exit::Exited { code: 7 });
    assert_eq!(lab.stderr(&record), b"still\n");
}

#[test]
fn both_streams_are_drained_together() {
    let mut lab = Lab::new();
    let record = lab.run(&lab.sh("head -c 3000000 /dev/zero >&2; head -c 3000000 /dev/zero; echo end >&2"));
    assert_eq!(record.exit, Exit::Exited { code: 0 });
    assert_eq!((record.stdout.bytes, record.stderr.bytes), (3_000_000, 3_000_004));
}

#[test]
fn a_bound_below_the_output_keeps_head_and_tail() {
    let mut lab = Lab::new();
    let mut launch = lab.sh("seq 1 200000");
    launch.output_max_bytes = 256 * 1024;
    let record = lab.run(&launch);
    let lines: Vec<String> = (1..=200_000).map(|number| number.to_string()).collect();
    let whole = lines.join("\n") + "\n";
    let (offset, count) = record.stdout.dropped.unwrap();
    let kept = lab.stdout(&record);
    let (head, tail) = (usize::try_from(offset).unwrap(), usize::try_from(offset + count).unwrap());
    assert_eq!(kept[..head], whole.as_bytes()[..head]);
    assert_eq!(kept[tail..], whole.as_bytes()[tail..]);
    assert!(head >= 64 * 1024 && kept.len() - tail >= 128 * 1024);
}
