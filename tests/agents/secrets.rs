//! Secrets of the environment on no surface, in none of the listed forms.

use std::fs;

use crate::office::{Office, pipeline};

const SECRETS: usize = 20;

fn secret(n: usize) -> String {
    format!("s3cr3t/{n:02}+{}=Zq\"{n}", ["alpha", "bravo", "delta", "gamma"][n % 4])
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0_u32, |n, byte| (n << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..=chunk.len() {
            out.push(char::from(ALPHABET[(n >> (18 - 6 * at) & 63) as usize]));
        }
    }
    out
}

/// The eight forms.
fn forms(secret: &str) -> [String; 8] {
    let wrapped = |text: &str| {
        text.as_bytes().chunks(7).map(|part| std::str::from_utf8(part).unwrap()).collect::<Vec<_>>().join("\n")
    };
    let url = |c: char| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("%{:02X}", u32::from(c)) };
    [
        secret.to_owned(),
        base64(secret.as_bytes()),
        base64(format!("x{secret}y").as_bytes()),
        base64(format!("xx{secret}y").as_bytes()),
        secret.chars().map(url).collect(),
        serde_json::to_string(secret).unwrap().trim_matches('"').to_owned(),
        secret.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat(),
        wrapped(secret),
    ]
}

/// What of a secret must not be found: the middle of each form, so that masked edges do not hide a leak.
fn traces(secret: &str) -> Vec<String> {
    let middle = |text: &String| text.get(6..text.len() - 6).unwrap().to_owned();
    let mut traces: Vec<String> = forms(secret)[..7].iter().map(middle).collect();
    traces.push(secret.chars().rev().collect());
    traces
}

#[test]
fn no_secret_is_on_any_surface() {
    // The suite prints everything and fails; the agent, which has the secrets, tells them to everybody.
    let all: Vec<String> = (0..SECRETS).map(secret).collect();
    let loud: String = all
        .iter()
        .flat_map(|secret| forms(secret).into_iter().chain([secret.chars().rev().collect()]))
        .map(|form| form + "\n")
        .collect();
    let pipeline = pipeline("custom", ", writes: [\"**\"], env: { pass: [\"MY_*\"] }", "", true)
        .replace("command: [sh, suite.sh] }", "command: [sh, suite.sh], env: { pass: [\"MY_*\"] } }");
    let office = Office::new(&pipeline, &[])
        .does("cat SCRATCH/loud\ncat SCRATCH/loud >&2\nartifact docs/work-items/main/11-development.md READY\n");
    fs::write(office.shop.scratch("loud"), &loud).unwrap();
    office.shop.write(
        "suite.sh",
        "cat SCRATCH/loud\ncat SCRATCH/loud >&2\necho 1..1\necho \"not ok 1 - $MY_TOKEN_00\"\nexit 1\n",
    );
    office.shop.commit("loud");
    let alert = office.shop.scratch("alert");
    fs::write(
        &alert,
        "#!/bin/sh\nprintf '%s' \"$ORCH_ALERT\" > SCRATCH/alerted\n"
            .replace("SCRATCH", office.shop.scratch("").to_str().unwrap().trim_end_matches('/')),
    )
    .unwrap();
    fs::set_permissions(&alert, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let emitted = office.shop.scratch("emitted.xml");
    let run = all.iter().enumerate().fold(office.orch("pipeline run --no-wait --emit"), |orch, (n, secret)| {
        orch.env(&format!("MY_TOKEN_{n:02}"), secret)
    });
    let run = run
        .arg(format!("junit={}", emitted.display()))
        .env("ORCH_ALERT_COMMAND", &alert)
        .env("ORCH_LOG", "debug")
        .run();
    run.says("HELD");
    let mut surfaces = vec![("artifact", office.shop.read("docs/work-items/main/13-test-report.md"))];
    for file in ["emitted.xml", "alerted"] {
        surfaces.push((file, fs::read_to_string(office.shop.scratch(file)).unwrap()));
    }
    surfaces.push(("prompt", office.left("prompt")));
    // Shown later, by processes that do not have the secrets.
    let run_id = office.orch("run list --json").run().json()["runs"][0]["run"].as_str().unwrap().to_owned();
    for words in [
        "status --json",
        "hold show --json",
        "hold show",
        "explain --json",
        "explain",
        "run show",
        "run show --json",
        "run show --events",
        "export",
        "logs",
        "logs --raw",
        "logs --json",
    ] {
        let words = if words.starts_with("logs") { format!("{words} {run_id}") } else { words.to_owned() };
        let ended = office.orch(&words).run();
        surfaces.push((Box::leak(words.into_boxed_str()), format!("{}{}", ended.stdout(), ended.stderr())));
    }
    for folder in fs::read_dir(office.shop.state().join("runs").join(&run_id).join("attempts")).unwrap() {
        for name in ["findings/stdout.log", "findings/stderr.log", "prompt.md"] {
            let path = folder.as_ref().unwrap().path().join(name);
            surfaces.extend(fs::read_to_string(path).map(|text| ("findings", text)));
        }
    }
    let mut hits = Vec::new();
    for (name, text) in &surfaces {
        let flat = text.replace(['\n', '\r'], "");
        for (n, secret) in all.iter().enumerate() {
            hits.extend(
                traces(secret)
                    .into_iter()
                    .filter(|trace| flat.contains(trace))
                    .map(|trace| format!("{name}: {n}: {trace}")),
            );
        }
    }
    assert!(surfaces.iter().any(|(_, text)| text.contains("[masked]")));
    assert_eq!(hits, Vec::<String>::new());
    let kept = fs::read_to_string(office.shop.state().join("secrets.json")).unwrap();
    assert!(!kept.contains("s3cr3t"));
}

#[test]
fn an_artifact_with_a_secret_is_taken_away() {
    let script = "mkdir -p docs/work-items/main\nprintf -- '---\\nstatus: READY\\n---\\n\\nIt is %s.\\n' \"$MY_TOKEN\" > docs/work-items/main/11-development.md\n";
    let office = Office::of("custom", ", writes: [\"**\"], env: { pass: [MY_TOKEN] }").does(script);
    let run = office.orch("pipeline run --no-wait").env("MY_TOKEN", "correct horse battery").run();
    run.held(10, "holds-secret").never("correct horse");
    assert!(!office.shop.has(crate::office::ARTIFACT));
}

/// What an agent names, and what its provider answers, stand in the reason of a hold, and that goes to the alert program.
#[test]
fn the_reason_of_a_hold_is_told_to_the_alert_program_without_secrets() {
    let named = "touch \"out-$MY_TOKEN\"\nartifact docs/work-items/main/11-development.md READY\n";
    let told = "begins\nfails 401 \"Invalid API key: $MY_TOKEN\"\n";
    for (profile, script, reason) in [("custom", named, "out-[masked]"), ("claude-code", told, "key: [masked]")] {
        let office = Office::of(profile, ", writes: [\"src/**\"], env: { pass: [MY_TOKEN] }").does(script);
        let (alert, alerted) = (office.shop.scratch("alert"), office.shop.scratch("alerted"));
        fs::write(&alert, format!("#!/bin/sh\nprintf '%s' \"$ORCH_ALERT\" > {}\n", alerted.display())).unwrap();
        fs::set_permissions(&alert, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let run = office
            .orch("pipeline run --no-wait")
            .env("MY_TOKEN", "toktoktok99887x")
            .env("ORCH_ALERT_COMMAND", &alert)
            .run();
        run.says("HELD").never("99887x");
        let document: serde_json::Value = serde_json::from_slice(&fs::read(&alerted).unwrap()).unwrap();
        let text = document["text"].as_str().unwrap();
        assert!(text.contains(reason) && !document.to_string().contains("99887x"), "{document:#}");
    }
}

/// A secret that is too short to be hidden is refused before anything starts, where a stage would be given it.
#[test]
fn a_secret_that_cannot_be_hidden_is_refused() {
    let refused = |agent: &str, name: &str, value: &str| {
        let office = Office::of("custom", agent).does(crate::office::WORKS);
        let run = office.orch("pipeline run --no-wait").env("MY_TOKEN", value).env("MY_NAME", "x").run();
        run.refused(3, name).never("HELD");
        office.orch("pipeline plan").env("MY_TOKEN", value).run().exits(0).says("refused").says(name);
        assert!(!office.shop.state().join("runs").exists(), "something was started");
    };
    refused(", env: { pass: [MY_TOKEN] }", "MY_TOKEN", "hunter2");
    refused(", env: { pass: [\"MY_*\"] }", "MY_TOKEN", " x\n");
    refused(", env: { set: { DB_PASSWORD: test } }", "DB_PASSWORD", "");
    let runs = |agent: &str, value: &str| {
        let office = Office::of("custom", agent).does(crate::office::WORKS);
        office.orch("pipeline run --no-wait").env("MY_TOKEN", value).run().never("refused").never("MY_TOKEN");
    };
    // Long enough, empty, or given to nobody.
    runs(", env: { pass: [MY_TOKEN] }", "hunter2!");
    runs(", env: { pass: [MY_TOKEN] }", "");
    runs("", "hunter2");
    // The shadow is given what its own map declares.
    let pipeline = pipeline("custom", "", "", true).replace(
        "    artifact: 13-test-report.md\n",
        "    shadow: { agent: { profile: custom, prompt: prompts/dev.md, command: [our-agent], env: { pass: [MY_TOKEN] } } }\n    \
         artifact: 13-test-report.md\n",
    );
    let office = Office::new(&pipeline, &[]).does(crate::office::WORKS);
    office.orch("pipeline run --no-wait").env("MY_TOKEN", "hunter2").run().refused(3, "`testing`");
}
