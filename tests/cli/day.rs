//! A day of an operator, as one story: what waits, what is released, who is charged. `docs/operators-day.md` is its
//! transcript; `ORCH_BLESS=1` writes it anew.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Stdio};

use crate::support::{Ended, Shop, command};

const TRANSCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operators-day.md");

const PIPELINE: &str = r#"version: 1
name: shop
artifacts: docs/work-items/{task}
budgets: { developer-retry: 3 }
stages:
  fetch:
    producer:
      command: { command: [git, ls-remote, --quiet, "git://127.0.0.1:PORT/shop"], evidence: exit-code, idempotent: true }
    gate: none
    infra: { retries: 40, backoff: 200ms..1s }
    transitions: { pass: testing, fail: failed }
  testing:
    producer:
      test-runner: { command: [./check, prices] }
    artifact: 13-test-report.md
    gate: tests-passed
    transitions: { pass: release, fail: { rollback: fetch, charge: developer-retry } }
  release:
    producer: { approval: {} }
    artifact: 14-approval.md
    gate: approved
    transitions: { pass: done, fail: hold }
"#;

/// A runner of TAP tests, as a project might keep it.
const CHECK: &str = "#!/bin/sh\necho 1..1\nif [ \"$(cat price)\" = 2 ]; then echo 'ok 1 - the price is right'\nelse echo 'not ok 1 - the price is right'; exit 1; fi\n";

/// A real git server on loopback, as the network that comes and goes.
struct Network(Child);

impl Network {
    fn up(shop: &Shop, port: u16) -> Self {
        let base = shop.scratch("served");
        let mut daemon = command("git");
        daemon
            .args(["daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1"])
            .arg(format!("--port={port}"))
            .arg(format!("--base-path={}", base.display()))
            .arg(&base)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // `git` only starts it: both end with their group.
        std::os::unix::process::CommandExt::process_group(&mut daemon, 0);
        Self(daemon.spawn().unwrap())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        rustix::process::kill_process_group(rustix::process::Pid::from_child(&self.0), rustix::process::Signal::KILL)
            .ok();
        self.0.wait().ok();
    }
}

/// Writes the day down, with what differs from day to day taken out.
struct Story {
    text: String,
    port: u16,
    place: String,
}

impl Story {
    fn tell(&mut self, words: &str) {
        writeln!(self.text, "\n{words}").unwrap();
    }

    fn show(&mut self, command: &str, ended: &Ended) {
        let code = ended.code().unwrap();
        let said = format!("{}{}", ended.stderr(), ended.stdout());
        let end = if code == 0 { String::new() } else { format!("exit {code}\n") };
        let said = self.plain(&said);
        writeln!(self.text, "\n```console\n$ {command}\n{}\n{end}```", said.trim_end()).unwrap();
    }

    fn plain(&self, said: &str) -> String {
        let said = said.replace(&self.place, "/work").replace(&format!(":{}", self.port), ":9418");
        let id = regex::Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").unwrap();
        let time = regex::Regex::new(r"\d{4}-\d\d-\d\dT(\d\d:\d\d):\d\d(\.\d+)?Z").unwrap();
        let hash = regex::Regex::new("pipeline [0-9a-f]{12}|is [0-9a-f]{12} now").unwrap();
        let wait = regex::Regex::new(r"waiting \d+ ms").unwrap();
        let said = id.replace_all(said.as_str(), "01a1f0a0-…");
        let said = time.replace_all(&said, "2026-11-21T09:00:00Z");
        let said = hash.replace_all(&said, |found: &regex::Captures<'_>| {
            if found[0].starts_with("is") { "is 5e1f0c2b9a77 now" } else { "pipeline 0d6b1c49f3a2" }
        });
        wait.replace_all(&said, "waiting 200 ms").into_owned()
    }
}

#[test]
fn a_day_of_an_operator() {
    // A free port: bound, told, let go.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let pipeline = PIPELINE.replace("PORT", &port.to_string());
    let shop = Shop::new(&pipeline, &[("price", "2\n"), ("keep", "")]);
    let served = shop.scratch("served/shop");
    std::fs::create_dir_all(&served).unwrap();
    crate::support::git_in(&served, &["init", "-q", "-b", "main", "."]);
    let mut day = Story {
        text: include_str!("day_head.md").to_owned(),
        port,
        place: shop.scratch("").display().to_string().trim_end_matches('/').to_owned(),
    };
    let spent = || shop.orch("status --json").run().json()["tasks"][0]["spent"].clone();

    day.tell("The network is gone. Nobody is charged: the task waits for its retry time, and leaves the machine to others meanwhile.");
    let ended = shop.orch("pipeline run --no-wait").run().exits(75).says("DEFERRED at fetch").talks("retry 1 of 40");
    day.show("orch pipeline run --no-wait", &ended);
    assert_eq!(spent(), serde_json::json!({}), "0 developer retries");

    day.tell("Without `--no-wait` the run waits by itself. The network comes back, and so does the run; it comes as far as a tool that is not there. That is no retry's business, and no developer's: held at once, with the command that looks again.");
    let going = shop.orch("pipeline run").start();
    shop.until("run show", "retry 2 of 40");
    let network = Network::up(&shop, port);
    let ended = going.end().exits(78).says("HELD at testing (permanent-env)").says("--recheck");
    // How often it tried while the network was away differs from day to day.
    let tries = regex::Regex::new(r"(?m)^orch: fetch( \(|: waiting|: transient).*\n").unwrap();
    let shown = Ended { raw_stderr: tries.replace_all(&ended.stderr(), "").into_owned().into_bytes(), ..ended };
    day.show("orch pipeline run", &shown);
    assert_eq!(spent(), serde_json::json!({}), "0 developer retries");
    drop(network);

    day.tell("A second run looks by itself, and starts nothing while the tool is missing.");
    let ended = shop.run().exits(78).says("still cannot be found").says("nothing was started");
    day.show("orch pipeline run", &ended);

    day.tell("The tool is installed. The hold ends with the look, and the suite passes; what `fetch` proved still stands. Then the pipeline asks for a person.");
    // Installed beside the checkout, as tools are: the tree stays the one that was fetched.
    shop.git(&["config", "core.excludesFile", shop.scratch("ignored").to_str().unwrap()]);
    std::fs::write(shop.scratch("ignored"), "/check\n").unwrap();
    shop.write("check", CHECK);
    std::fs::set_permissions(shop.tree.join("check"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let ended = shop.orch("hold release --recheck").arg("--reason=installed").run().exits(0).says("released");
    day.show("orch hold release --recheck --reason=installed", &ended);
    let ended = shop.run().exits(10).says("HELD at release (approval)");
    day.show("orch pipeline run", &ended);

    day.tell("The person looks, and says no; `fail: hold` keeps the task. A price is wrong.");
    let ended =
        shop.orch("hold release --reject --reason=the-price-is-old").env("USER", "ada").run().exits(0).says("hold");
    day.show("orch hold release --reject --reason=the-price-is-old", &ended);

    day.tell("An agent changes it, wrongly. Another tree needs its own proof: the run begins before what it no longer knows. The suite fails for real now, and this is charged: one rollback each, until the budget of three is spent and a person has to look.");
    shop.write("price", "3\n");
    let network = Network::up(&shop, port);
    shop.orch("hold release").run().exits(0);
    let ended = shop.run().exits(10).says("HELD at testing (budget-spent)");
    day.show("orch hold release && orch pipeline run", &ended);
    assert_eq!(spent(), serde_json::json!({ "developer-retry": 3 }));
    let ended = shop.orch("hold list").run().exits(0).says("3 allowed");
    day.show("orch hold list", &ended);

    day.tell("Somebody edits the pipeline meanwhile. Verdicts are bound to the pipeline they were reached under, so orch asks first.");
    shop.write("pipelines/shop.yaml", &pipeline.replace("developer-retry: 3", "developer-retry: 5"));
    let ended = shop.run().refused(3, "another pipeline");
    day.show("orch pipeline run", &ended);

    day.tell("It is put back, the price is mended, and the person who looked lets the task go on.");
    shop.write("pipelines/shop.yaml", &pipeline);
    shop.write("price", "2\n");
    let ended = shop.orch("hold release --reason=mended").run().exits(0);
    day.show("orch hold release --reason=mended", &ended);
    let ended = shop.run().exits(10).says("HELD at release (approval)");
    day.show("orch pipeline run", &ended);
    let ended = shop.orch("hold release --approve --reason=good").env("USER", "ada").run().exits(0).says("done");
    day.show("orch hold release --approve --reason=good", &ended);
    drop(network);
    let ended = shop.run().exits(0).says("done already");
    day.show("orch pipeline run", &ended);

    if std::env::var_os("ORCH_BLESS").is_some() {
        std::fs::write(TRANSCRIPT, &day.text).unwrap();
    }
    let written = std::fs::read_to_string(TRANSCRIPT).unwrap();
    assert!(
        written == day.text,
        "docs/operators-day.md is not this day; ORCH_BLESS=1 cargo test --test cli day writes it:\n{}",
        day.text
    );
}
