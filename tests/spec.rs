//! Pipeline texts as their authors and their enemies write them: good ones load, bad ones come back as problems.
//!
//! Every `spec/bad/*.yaml` stands beside what a person is shown of it; `ORCH_BLESS=1 cargo test --test spec`
//! writes those files anew, to be reviewed like code. Texts that are too large or no text are made here.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use orch::domain::pipeline::{Pipeline, Producer};
use orch::spec::problem::{Code, Problem, render, to_json};
use orch::spec::{load, schema};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}

fn good() -> Vec<PathBuf> {
    files("tests/spec/good").into_iter().chain(files("pipelines")).collect()
}

/// Loads a text that must be good.
fn loaded(name: &str, bytes: &[u8]) -> Pipeline {
    load(bytes).unwrap_or_else(|problems| panic!("{}", render(&String::from_utf8_lossy(bytes), name, &problems, false)))
}

fn codes(bytes: &[u8]) -> Vec<&'static str> {
    let problems = load(bytes).err().unwrap_or_default();
    problems.into_iter().map(|problem| problem.code.as_str()).collect()
}

/// Writes a file when blessing, else compares it.
fn keep(file: &Path, text: &str) {
    if std::env::var_os("ORCH_BLESS").is_some() {
        std::fs::write(file, text).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(file).unwrap_or_default();
    assert!(kept == text, "{} differs; this is what it should be:\n{text}", file.display());
}

#[test]
fn bad_pipelines_are_refused_with_these_words() {
    for file in files("tests/spec/bad") {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = std::fs::read(&file).unwrap();
        let problems = load(&bytes).err().unwrap_or_else(|| panic!("{name} is taken for good"));
        let mut text = render(&String::from_utf8_lossy(&bytes), &name, &problems, false);
        text = text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        keep(&file.with_extension("txt"), &(text + "\n"));
        assert_ordered(&problems, &bytes);
    }
}

fn assert_ordered(problems: &[Problem], bytes: &[u8]) {
    let starts: Vec<usize> = problems.iter().map(|problem| problem.place.span.start).collect();
    assert!(starts.is_sorted(), "{starts:?}");
    for problem in problems {
        assert!(problem.place.span.end <= bytes.len() && problem.place.line >= 1 && problem.place.column >= 1);
        assert!(!problem.message.ends_with('.') && !problem.message.is_empty(), "{}", problem.message);
    }
}

#[test]
fn good_pipelines_load() {
    for file in good() {
        loaded(&file.display().to_string(), &std::fs::read(&file).unwrap());
    }
}

#[test]
fn good_pipelines_mean_what_they_say() {
    for file in files("tests/spec/good") {
        let pipeline = loaded(&file.display().to_string(), &std::fs::read(&file).unwrap());
        let mut text = String::new();
        writeln!(text, "{} {:?} {}", pipeline.name(), pipeline.repository(), pipeline.artifacts()).unwrap();
        writeln!(text, "{:?}", pipeline.budgets()).unwrap();
        for stage in pipeline.stages() {
            writeln!(text, "{stage:#?}").unwrap();
        }
        keep(&file.with_extension("txt"), &text);
    }
}

#[test]
fn every_good_pipeline_keeps_the_schema() {
    let schema = schema::pipeline();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    let validator = jsonschema::draft7::new(&schema).unwrap();
    for file in good() {
        let text = std::fs::read_to_string(&file).unwrap();
        let options = serde_yaml::options! { strict_booleans: true };
        let value: serde_json::Value = serde_yaml::from_str_with_options(&text, options).unwrap();
        let errors: Vec<String> =
            validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path)).collect();
        assert_eq!(errors, Vec::<String>::new(), "{}", file.display());
    }
}

#[test]
fn the_schema_refuses_what_it_can_see() {
    let validator = jsonschema::draft7::new(&schema::pipeline()).unwrap();
    for name in [
        "unknown-keys",
        "missing-keys",
        "version-2",
        "version-quoted",
        "no-stages",
        "stages-as-list",
        "gate-missing",
        "gate-unknown",
        "evidence-missing",
        "infra-in-transitions",
        "infra-in-infra",
        "pass-does-not-advance",
        "reserved-names",
        "command-string",
        "command-empty",
        "two-producers",
        "no-producer",
        "counts",
    ] {
        let text = std::fs::read_to_string(root(&format!("tests/spec/bad/{name}.yaml"))).unwrap();
        let text = text.replace(".nan", "no");
        let options = serde_yaml::options! { strict_booleans: true };
        let value: serde_json::Value = serde_yaml::from_str_with_options(&text, options).unwrap();
        assert!(!validator.is_valid(&value), "{name}");
    }
}

#[test]
fn the_shipped_pipeline_is_the_documented_one() {
    let pipeline = loaded("delivery", &std::fs::read(root("pipelines/delivery.yaml")).unwrap());
    let names: Vec<&str> = pipeline.stages().iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, ["analysis", "architecture", "development", "review", "testing", "deploy-staging"]);
    let artifacts: Vec<_> = pipeline.stages().iter().map(|stage| stage.artifact.as_ref().unwrap().as_str()).collect();
    let wanted = [
        "07-analysis.md",
        "09-architecture.md",
        "11-development.md",
        "12-review.md",
        "13-test-report.md",
        "15-staging-log.md",
    ];
    assert_eq!(artifacts, wanted);
    // Every prompt that it names is shipped, and is one.
    for stage in pipeline.stages() {
        for producer in std::iter::once(&stage.producer).chain(&stage.fallback) {
            let Producer::Agent(agent) = producer else { continue };
            let text = std::fs::read(root(agent.prompt.as_str())).unwrap();
            assert!(orch::spec::prompt(&text, &pipeline, stage).is_ok(), "{}", agent.prompt);
        }
    }
    let idempotent: Vec<bool> = pipeline.stages().iter().map(|stage| stage.producer.idempotent()).collect();
    assert_eq!(idempotent, [true; 6]);
}

/// A pipeline of `count` stages, each with about the keys of a real one.
fn chain(count: usize) -> String {
    let mut text = String::from("version: 1\nname: chain\nbudgets: { retry: 3 }\nstages:\n");
    for at in 0..count {
        let pass = if at + 1 == count { "done".to_owned() } else { format!("stage-{}", at + 1) };
        write!(
            text,
            "  stage-{at}:\n    producer:\n      test-runner:\n        command: [cargo, nextest, run, --profile, ci]\n        \
             report: {{ junit: target/nextest/{at}.xml }}\n        min-tests: 1\n    artifact: {at}-report.md\n    \
             gate: tests-passed\n    transitions:\n      pass: {pass}\n      \
             fail: {{ rollback: stage-{}, charge: retry }}\n    infra: {{ retries: 3, backoff: 30s..10m }}\n",
            at / 2
        )
        .unwrap();
    }
    text
}

#[test]
fn ten_thousand_stages_load_and_one_more_does_not() {
    let pipeline = loaded("chain", chain(10_000).as_bytes());
    assert_eq!(pipeline.stages().len(), 10_000);
    assert_eq!(codes(chain(10_001).as_bytes()), ["ORCH0418"]);
}

/// A text, and the only code it may be refused with.
fn bombs() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let nested = |open: &str, depth: usize| open.repeat(depth).into_bytes();
    let stages = |count: usize| {
        let mut text = String::from("version: 1\nname: x\nstages:\n");
        (0..count).for_each(|at| writeln!(text, "  {at:x}_:").unwrap());
        text.into_bytes()
    };
    let block: String = (0..4_000).map(|depth| " ".repeat(depth) + "a:\n").collect();
    let mut aliases = String::from("a: &a x\nb:\n");
    aliases.extend((0..200_000).map(|_| "- *a\n"));
    let long = |bytes: usize| format!("version: 1\nname: {}\n", "x".repeat(bytes)).into_bytes();
    vec![
        ("100 kB of [", nested("[", 100_000), "ORCH0008"),
        ("100 kB of {", nested("{", 100_000), "ORCH0008"),
        ("100 kB of - ", nested("- ", 50_000), "ORCH0008"),
        ("100 kB of ? ", nested("? ", 50_000), "ORCH0008"),
        ("100 kB of {a: ", nested("{a: ", 25_000), "ORCH0008"),
        ("100 kB of !", nested("!", 100_000), "ORCH0007"),
        ("100 kB of &a ", nested("&a ", 33_000), "ORCH0007"),
        ("100 kB of \"", nested("\"", 100_001), "ORCH0007"),
        ("4,000 blocks deep", block.into_bytes(), "ORCH0008"),
        ("1,000,000 stages", stages(1_000_000), "ORCH0001"),
        ("600,000 stages in less than 8 MiB", stages(600_000), "ORCH0418"),
        ("200,000 aliases of one anchor", aliases.into_bytes(), "ORCH0017"),
        ("9 MiB", vec![b'a'; 9 * 1024 * 1024], "ORCH0001"),
        ("a name of 7 MiB", long(7 * 1024 * 1024), "ORCH0201"),
        ("8 MiB of comments", b"#\n".repeat(4 * 1024 * 1024), "ORCH0006"),
        ("1 MiB of tabs", vec![b'\t'; 1024 * 1024], "ORCH0005"),
        ("1 MiB of NUL", vec![0; 1024 * 1024], "ORCH0004"),
        ("8 MiB of 0xff", vec![0xff; 8 * 1024 * 1024], "ORCH0002"),
        ("1 MiB of bidi marks", "\u{202E}".repeat(350_000).into_bytes(), "ORCH0004"),
        ("a list of 1,000,000", b"- a\n".repeat(1_000_000), "ORCH0009"),
        ("1,000,000 short lists", b"- []\n".repeat(1_000_000), "ORCH0009"),
        ("UTF-16 with a mark", b"\xff\xfev\0e\0r\0".to_vec(), "ORCH0002"),
        ("UTF-16 without a mark", b"v\0e\0r\0s\0i\0".to_vec(), "ORCH0002"),
        ("UTF-32", b"\xff\xfe\0\0v\0\0\0".to_vec(), "ORCH0002"),
        ("a byte order mark", b"\xef\xbb\xbfversion: 1\n".to_vec(), "ORCH0003"),
        ("Latin-1", b"version: 1\nname: caf\xe9\n".to_vec(), "ORCH0002"),
        ("NUL", b"version: 1\nname: a\0b\n".to_vec(), "ORCH0004"),
    ]
}

#[test]
fn bombs_are_refused_at_once() {
    for (name, bytes, expected) in bombs() {
        #[expect(clippy::disallowed_methods, reason = "the bound is generous, and it is the point")]
        let start = std::time::Instant::now();
        let found = codes(&bytes);
        let elapsed = start.elapsed();
        assert!(found.last() == Some(&expected) || found == [expected], "{name}: {found:?}");
        assert!(elapsed < std::time::Duration::from_secs(10), "{name}: {elapsed:?}");
        if std::env::var_os("ORCH_TIMES").is_some() {
            #[expect(clippy::print_stderr, reason = "asked for")]
            {
                eprintln!("{elapsed:>12.1?}  {name}");
            }
        }
    }
}

#[test]
fn ten_thousand_misspelt_stages_are_refused_soon() {
    let text = chain(10_000).replace("pass: stage-", "pass: stgae-").replace("gate:", "gaet:");
    let problems = load(text.as_bytes()).unwrap_err();
    assert_eq!(problems.len(), 101);
    assert_eq!(problems.last().unwrap().code, Code::TooManyProblems);
    assert_ordered(&problems, text.as_bytes());
    let shown = render(&text, "chain.yaml", &problems, true);
    assert!(shown.contains("\u{1b}["), "{shown}");
    assert_eq!(to_json(&problems)["problems"].as_array().unwrap().len(), 101);
}

#[test]
fn every_code_is_met_by_a_file() {
    let mut met: BTreeSet<&str> = BTreeSet::new();
    for file in files("tests/spec/bad") {
        met.extend(codes(&std::fs::read(file).unwrap()));
    }
    met.extend(BAD_PROMPTS.iter().map(|(_, code)| code.as_str()));
    met.extend(bombs().iter().map(|(_, _, code)| *code));
    // The pipeline file writes stages as a map, where a name that stands twice is a duplicate key.
    met.insert(Code::DuplicateStage.as_str());
    let missing: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).filter(|code| !met.contains(code)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

/// Prompts with one problem each, and its code.
const BAD_PROMPTS: [(&[u8], Code); 9] = [
    (b"", Code::PromptText),
    (b" \n", Code::PromptText),
    (b"a\0b", Code::PromptText),
    (b"caf\xe9", Code::PromptText),
    (b"Write {{artefact}}.", Code::PromptVariable),
    (b"Do {{}}.", Code::PromptVariable),
    (b"Do {{task", Code::PromptVariable),
    (b"Do {{task\n}}", Code::PromptVariable),
    (b"Read {{artifacts/13-test-report.md}}, {{artifacts/12.md}}", Code::PromptVariable),
];

#[test]
fn prompts_are_read_with_all_their_problems() {
    let pipeline = loaded("delivery", include_bytes!("../pipelines/delivery.yaml"));
    let stage = pipeline.first();
    let read = |text: &[u8]| orch::spec::prompt(text, &pipeline, stage);
    for (text, code) in BAD_PROMPTS {
        let problems = read(text).unwrap_err();
        let found: Vec<Code> = problems.iter().map(|problem| problem.code).collect();
        assert_eq!(found, [code], "{}", String::from_utf8_lossy(text));
    }
    let long = vec![b'x'; 256 * 1024 + 1];
    assert_eq!(read(&long).unwrap_err()[0].code, Code::PromptText);
    for good in ["Go.", "{{ task }} {{stage}}", "\\{{literal}} {x} ${{task}}", "{{artifacts/13-test-report.md}}"] {
        assert!(read(good.as_bytes()).is_ok(), "{good}");
    }
    let problems = read(b"one\n  {{artefact}} and {{tsak}}\n").unwrap_err();
    let places: Vec<(u32, u32)> = problems.iter().map(|problem| (problem.place.line, problem.place.column)).collect();
    assert_eq!(places, [(2, 3), (2, 20)]);
    assert_eq!(problems[0].help.as_deref(), Some("did you mean `artifact`?"));
}

#[test]
fn the_reference_of_problems_is_the_table() {
    keep(&root("docs/reference/problems.md"), &orch::spec::reference());
}

#[test]
fn the_reference_of_the_file_has_every_key() {
    fn keys(schema: &serde_json::Value, found: &mut BTreeSet<String>) {
        match schema {
            serde_json::Value::Object(map) => {
                if let Some(serde_json::Value::Object(properties)) = map.get("properties") {
                    found.extend(properties.keys().cloned());
                }
                map.values().for_each(|value| keys(value, found));
            }
            serde_json::Value::Array(list) => list.iter().for_each(|value| keys(value, found)),
            serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::String(_) => {}
        }
    }
    let mut all = BTreeSet::new();
    keys(&schema::pipeline(), &mut all);
    assert!(all.len() > 40, "{all:?}");
    let text = std::fs::read_to_string(root("docs/reference/pipeline.md")).unwrap();
    let missing: Vec<&String> = all.iter().filter(|key| !text.contains(&format!("`{key}`"))).collect();
    assert_eq!(missing, Vec::<&String>::new());
    for block in text.split("```yaml\n").skip(1) {
        let yaml = block.split("```").next().unwrap();
        if yaml.starts_with("version:") {
            loaded("docs/reference/pipeline.md", yaml.as_bytes());
        }
    }
}

mod properties {
    //! Whatever the bytes are, the answer is a pipeline or problems with places in the text, and both can be shown.

    use std::sync::LazyLock;

    use super::*;
    use proptest::prelude::*;

    /// Bytes that a YAML reader may trip over.
    const PIECES: [&str; 40] = [
        "\n", " ", "  ", "- ", ": ", ":", "[", "]", "{", "}", ", ", "'", "\"", "#", "&a ", "*a", "!t ", "<<: ", "|\n",
        ">\n", "? ", "---\n", "...\n", "%", "\\", "~", "null", "true", "0x1", "1e999", "\u{85}", "\u{feff}", "é", "🎈",
        "\t", "\r\n", "\0", "@", "`", "${",
    ];

    /// Every file of the data, without those that are only long.
    static ALL: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
        let all = good().into_iter().chain(files("tests/spec/bad"));
        all.map(|file| std::fs::read(file).unwrap()).filter(|bytes| bytes.len() < 5_000).collect()
    });

    fn checked(bytes: &[u8]) {
        let Err(problems) = load(bytes) else { return };
        assert!(!problems.is_empty());
        assert_ordered(&problems, bytes);
        let text = String::from_utf8_lossy(bytes);
        assert!(!render(&text, "x.yaml", &problems, false).is_empty());
        assert_eq!(to_json(&problems)["valid"], false);
        assert_eq!(load(bytes).unwrap_err(), problems, "the same text gives the same answer");
    }

    fn edited(text: &[u8], edits: &[(usize, usize, usize)]) -> Vec<u8> {
        let mut bytes = text.to_vec();
        for (at, cut, piece) in edits {
            let start = at % (bytes.len() + 1);
            let end = (start + cut).min(bytes.len());
            bytes.splice(start..end, PIECES[piece % PIECES.len()].bytes());
        }
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            checked(&bytes);
        }

        #[test]
        fn any_pieces(pieces in proptest::collection::vec(0..PIECES.len(), 0..60)) {
            checked(pieces.iter().map(|piece| PIECES[*piece]).collect::<String>().as_bytes());
        }

        #[test]
        fn edited_files(
            file in any::<prop::sample::Index>(),
            edits in proptest::collection::vec((any::<usize>(), 0..12_usize, any::<usize>()), 1..6),
        ) {
            checked(&edited(file.get::<Vec<u8>>(&ALL), &edits));
        }

        #[test]
        fn cut_files(file in any::<prop::sample::Index>(), at in any::<prop::sample::Index>()) {
            let bytes = file.get::<Vec<u8>>(&ALL);
            checked(bytes.get(..at.index(bytes.len() + 1)).unwrap());
        }
    }
}

#[test]
fn every_shipped_pipeline_loads_and_the_shipped_schema_is_todays() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    let mut loaded = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let problems = orch::spec::load(&std::fs::read(&path).unwrap()).err();
            assert!(problems.is_none(), "{}: {problems:?}", path.display());
            loaded += 1;
        }
    }
    assert!(loaded >= 2, "only {loaded} pipelines are shipped");
    let shipped: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("pipeline.schema.json")).unwrap()).unwrap();
    let message = "write it anew: orch pipeline schema > pipelines/pipeline.schema.json";
    assert_eq!(shipped, orch::spec::schema::pipeline(), "{message}");
}
