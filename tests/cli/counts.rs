//! What a stage costs, in counts that are exact on every machine: programs, syncs, files, and memory. Times are for `benches/`.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use crate::support::{Shop, tool};

/// A chain of stages that each start one program.
fn chain(stages: usize) -> Shop {
    let name = |n: usize| if n < stages { format!("s{n}") } else { "done".to_owned() };
    let stage = |n: usize| {
        format!(
            "  {}:\n    producer:\n      command: {{ command: [\"true\"], evidence: exit-code }}\n    gate: none\n    \
             transitions: {{ pass: {}, fail: hold }}\n",
            name(n),
            name(n + 1)
        )
    };
    let stages: String = (0..stages).map(stage).collect();
    Shop::new(&format!("version: 1\nname: chain\nstages:\n{stages}"), &[])
}

/// How often a whole run, all its processes together, makes each of these calls.
fn calls(stages: usize) -> BTreeMap<&'static str, i64> {
    const CALLS: [&str; 9] =
        ["execve", "clone3", "fsync", "fdatasync", "sync_file_range", "rename", "unlink", "mkdir", "ftruncate"];
    let shop = chain(stages);
    // A file that is younger than its clock's steps proves nothing: git would be asked for the tree once more.
    let index = fs::metadata(shop.tree.join(".git/index")).unwrap().modified().unwrap();
    while index.elapsed().is_ok_and(|age| age < Duration::from_millis(200)) {
        std::thread::yield_now();
    }
    let log = shop.scratch("calls");
    let trace = format!("trace={}", CALLS.join(","));
    let options = ["-f", "-qq", "-o", log.to_str().unwrap(), "-e", &trace];
    shop.orch("pipeline run").under(&tool("strace", "strace"), &options).run().exits(0);
    let text = fs::read_to_string(log).unwrap();
    CALLS.map(|call| (call, text.matches(&format!(" {call}(")).count().try_into().unwrap())).into()
}

/// Row b4: what is on the disk before the next stage begins costs one sync, and nothing is started beside the command.
#[test]
fn a_stage_is_one_program_and_one_sync() {
    let (short, long) = (calls(5), calls(45));
    let more: BTreeMap<&str, i64> = long.iter().map(|(call, many)| (*call, many - short[call])).collect();
    let wanted = |call: &str| if ["execve", "clone3", "fdatasync"].contains(&call) { 40 } else { 0 };
    let wanted: BTreeMap<&str, i64> = more.keys().map(|call| (*call, wanted(call))).collect();
    assert_eq!(more, wanted);
}

/// The most memory a run has taken at any moment, in KiB, its children left out.
fn peak(shop: &Shop) -> u64 {
    let peak = shop.scratch("peak");
    let said = peak.display();
    let script = format!(
        "import os, resource, subprocess, sys\n\
        pid = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:])\n\
        status, usage = os.wait4(pid, 0)[1:]\n\
        open('{said}', 'w').write(str(usage.ru_maxrss))\n\
        sys.exit(os.waitstatus_to_exitcode(status))\n"
    );
    shop.orch("pipeline run").under(&tool("python3", "python3"), &["-c", &script]).run().exits(0);
    fs::read_to_string(&peak).unwrap().parse().unwrap()
}

/// Row d3: what a suite says goes to the disk and not into memory.
#[test]
fn output_takes_no_memory() {
    let says = |mib: u32| {
        Shop::running(&format!("head -c {mib}M /dev/zero | tr '\\0' x\necho\necho 1..1\necho 'ok 1 - pay'\n"))
    };
    let (little, much) = (peak(&says(8)), peak(&says(256)));
    assert!(much < little + 1024, "8 MiB of output take {little} KiB, 256 MiB take {much} KiB");
}
