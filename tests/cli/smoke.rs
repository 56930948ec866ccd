//! Smoke checks: read-only requests to a running service after a suite that passed.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Barrier};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::{Answer, FAILS, NOTES, PASSES, REPORT, Service, Shop, Testing, command, tool};

/// A check as the pipeline file has it.
fn check(url: &str, rest: &str) -> String {
    format!("{{ get: \"{url}\"{rest} }}")
}

fn shop(suite: &str, checks: &[String]) -> Shop {
    let pipeline = Testing::new().suite(&format!("smoke: [{}]", checks.join(", "))).text();
    Shop::new(&pipeline, &[("suite.sh", &format!("{NOTES}{suite}"))])
}

/// A shop whose suite passes, with one check of a service that answers like this.
fn answered(answer: Answer, rest: &str) -> (Service, Shop) {
    let service = Service::new(&[("/health", answer)]);
    let shop = shop(PASSES, &[check(&service.url("/health"), rest)]);
    (service, shop)
}

#[test]
fn right_answers_let_a_pass_stand_and_are_listed() {
    let service = Service::new(&[("/health", Answer::Status(200)), ("/queue?serial_gate=1", Answer::Status(204))]);
    let (health, queue) = (service.url("/health"), service.url("/queue?serial_gate=1"));
    let shop = shop(PASSES, &[check(&health, ""), check(&queue, ", expect: 204, timeout: 10s")]);
    // No proxy of the environment stands between orch and the service.
    shop.orch("pipeline run").env("http_proxy", Service::dead()).env("ALL_PROXY", Service::dead()).run().exits(0);
    let report = shop.read(REPORT);
    assert!(report.contains("result: PASS") && report.contains("## Smoke checks"), "{report}");
    assert!(report.contains(&format!("| `GET {health}` | `200` | `200` | pass |")), "{report}");
    assert!(report.contains(&format!("| `GET {queue}` | `204` | `204` | pass |")), "{report}");
    let requests = service.requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    for request in &requests {
        let head = request.to_ascii_lowercase();
        assert!(request.starts_with("GET /") && head.contains("\r\nuser-agent: orch/"), "{request}");
        assert!(!head.contains("cookie") && !head.contains("authorization"), "{request}");
    }
    let explained = shop.orch("explain --json").run().exits(0).json();
    assert_eq!(explained["smoke"][1]["got"], "204", "{explained}");
    assert_eq!(explained["smoke"][1]["right"], true, "{explained}");
    assert_eq!(explained["evidence"]["smoke"][0]["seen"]["answered"]["status"], 200, "{explained}");
    assert_eq!(explained["outcome"]["reason"], "tests-passed", "{explained}");
    shop.orch("explain").run().exits(0).says(&format!("smoke check GET {health}: wanted 200, got 200"));
}

#[test]
fn a_wrong_answer_is_a_fail() {
    for status in [204, 400, 401, 404, 429, 500, 501, 505] {
        let (service, shop) = answered(Answer::Status(status), "");
        shop.run().exits(1).talks("its smoke check failed").talks(&format!("wanted 200, got {status}"));
        let report = shop.read(REPORT);
        assert!(report.contains("result: FAIL"), "{report}");
        let fault = format!("- smoke check `GET {}`: wanted `200`, got `{status}`", service.url("/health"));
        assert!(report.contains(&fault), "{report}");
        shop.orch("explain")
            .run()
            .exits(0)
            .says("class: suite-ran, fail (smoke-failed)")
            .says("rule: 12-smoke-check")
            .says("the suite by itself: pass (tests-passed), rule 7-green-evidence")
            .never("12-smoke-check, ");
    }
}

#[test]
fn what_a_stage_without_an_artifact_comes_to_is_the_same() {
    let (service, shop) = answered(Answer::Status(500), "");
    let gate = "    artifact: 13-test-report.md\n    gate: tests-passed\n";
    let text = shop
        .read("pipelines/shop.yaml")
        .replace(gate, "    gate: none\n")
        .replace("command: [sh, suite.sh]", "command: [sh, suite.sh], evidence: exit-code");
    assert!(text.contains("gate: none"));
    shop.write("pipelines/shop.yaml", &text);
    shop.run().exits(1).talks("its smoke check failed");
    service.answers("/health", Answer::Status(503));
    shop.run().held(75, "smoke-unreachable");
    service.answers("/health", Answer::Status(200));
    shop.release_and_run().exits(0);
}

#[test]
fn a_gateway_that_answers_for_a_dead_service_is_infra() {
    for status in [502, 503, 504] {
        let (_service, shop) = answered(Answer::Status(status), "");
        shop.run().held(75, "smoke-unreachable").talks(&format!("got {status}"));
        assert!(!shop.has(REPORT), "an artifact without a verdict");
    }
    let (_service, shop) = answered(Answer::Status(503), ", expect: 503");
    shop.run().exits(0);
}

#[test]
fn a_service_that_cannot_be_reached_is_infra() {
    shop(PASSES, &[check(&Service::dead(), "")]).run().held(75, "smoke-unreachable").talks("connection refused");
    // A label of more than 63 letters has no address anywhere, and no server is asked for it.
    let nowhere = format!("http://{}/", "a".repeat(64));
    shop(PASSES, &[check(&nowhere, "")]).run().held(75, "smoke-unreachable").talks("no address");
    for (answer, words) in [
        (Answer::Silence, "no answer in time"),
        (Answer::Drip, "no answer in time"),
        (Answer::Reset, "connection broke"),
        (Answer::Bytes(""), "connection broke"),
        (Answer::Bytes("HTTP/1.1 200"), "connection broke"),
    ] {
        let (_service, shop) = answered(answer.clone(), ", timeout: 1s");
        shop.run().held(75, "smoke-unreachable").talks(words);
        let explained = shop.orch("explain --json").run().json();
        let elapsed = explained["smoke"][0]["elapsed_ms"].as_u64().unwrap();
        assert!(elapsed < 30_000, "{answer:?} took {elapsed} ms");
    }
}

#[test]
fn an_answer_that_is_no_http_is_wrong() {
    for answer in [Answer::Bytes("SSH-2.0-OpenSSH_9.2\r\n\r\n"), Answer::HeaderFlood] {
        let (_service, shop) = answered(answer, "");
        shop.run().exits(1).talks("its smoke check failed").talks("no HTTP answer");
        assert!(shop.read(REPORT).contains("result: FAIL"));
    }
}

#[test]
fn a_body_says_nothing_and_is_not_read_for_ever() {
    for answer in [
        Answer::BodyFlood,
        Answer::Bytes("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort"),
        Answer::Bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno chunk"),
        Answer::Bytes("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nFAIL"),
    ] {
        let (_service, shop) = answered(answer, "");
        shop.run().exits(0);
    }
}

#[test]
fn a_redirect_is_an_answer_like_any_other() {
    let redirect = Answer::Bytes("HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n");
    for (rest, code) in [("", 1), (", expect: 302", 0)] {
        let service = Service::new(&[("/health", redirect.clone()), ("/there", Answer::Status(200))]);
        let shop = shop(PASSES, &[check(&service.url("/health"), rest)]);
        shop.run().exits(code);
        let requests = service.requests();
        assert_eq!(requests.len(), 1, "the redirect was followed: {requests:?}");
    }
}

#[test]
fn a_failing_suite_is_a_fail_whatever_the_service_says() {
    let healthy = Service::new(&[("/health", Answer::Status(200))]);
    let url = healthy.url("/health");
    for checked in [&url, &Service::dead()] {
        let shop = shop(FAILS, &[check(checked, "")]);
        shop.run().exits(1);
        shop.orch("explain").run().says("(tests-failed)").says("got not made");
        let report = shop.read(REPORT);
        assert!(report.contains("result: FAIL"), "{report}");
        assert!(report.contains(&format!("| `GET {checked}` | `200` | `not made` | none |")), "{report}");
    }
    assert_eq!(healthy.requests(), [""; 0]);
}

#[test]
fn an_end_without_a_verdict_stays_one() {
    let service = Service::new(&[("/health", Answer::Status(500))]);
    let checks = [check(&service.url("/health"), "")];
    shop("exit 127\n", &checks).run().held(78, "command-not-found");
    shop("kill -9 $$\n", &checks).run().held(75, "killed");
    // A pass that does not stand is held for its own reason.
    shop(&format!("echo x >> .gitignore\n{PASSES}"), &checks).run().held(78, "tree-changed");
    assert_eq!(service.requests(), [""; 0]);
}

#[test]
fn one_wrong_answer_among_unreachable_services_is_a_fail() {
    let service = Service::new(&[("/health", Answer::Status(500)), ("/status", Answer::Status(200))]);
    let urls = [Service::dead(), service.url("/status"), service.url("/health"), Service::dead()];
    let shop = shop(PASSES, &urls.map(|url| check(&url, "")));
    shop.run().exits(1).talks("1 of 4 smoke checks failed");
    let report = shop.read(REPORT);
    assert!(report.contains("`connection refused` | none |") && report.contains("`500` | fail |"), "{report}");
}

#[test]
fn all_checks_are_made_at_once() {
    let together = Answer::Together(Arc::new(Barrier::new(32)));
    let service = Service::new(&[("/health", together)]);
    let checks = vec![check(&service.url("/health"), ", timeout: 60s"); 32];
    shop(PASSES, &checks).run().exits(0);
    assert_eq!(service.requests().len(), 32);
}

#[test]
fn checks_of_a_dead_runner_are_made_again() {
    let (service, shop) = answered(Answer::Silence, ", timeout: 60s");
    let going = shop.orch("pipeline run").start();
    service.next_request();
    going.kill();
    service.answers("/health", Answer::Status(200));
    shop.run().exits(0);
    assert_eq!(shop.ledger().len(), 1, "the suite ran again");
    assert_eq!(service.requests().len(), 1);
}

#[test]
fn checks_that_cannot_be_made_are_refused_with_a_caret() {
    let service = Service::new(&[]);
    for bad in ["ftp://h/", "http://u:p@h/", "http://h/${TOKEN}", "http://h/a b", "file:///etc/passwd", "http://h:0/"] {
        let shop = shop(PASSES, &[check(bad, "")]);
        let refused = shop.orch("pipeline validate pipelines/shop.yaml").run().exits(3);
        let shown = format!("{refused}");
        assert!(shown.contains("ORCH0315") && shown.contains("^^^") && shown.contains("help"), "{shown}");
        shop.run().exits(3);
        assert!(shop.ledger().is_empty());
    }
    let many = vec![check(&service.url("/health"), ""); 33];
    let shown = format!("{}", shop(PASSES, &many).orch("pipeline validate pipelines/shop.yaml").run().exits(3));
    assert!(shown.contains("ORCH0315") && shown.contains("33 smoke checks"), "{shown}");
}

/// A server with a certificate for 127.0.0.1 of an authority of its own; the address and the authority's file.
fn secure(folder: &Path) -> (String, std::path::PathBuf) {
    fs::create_dir_all(folder).unwrap();
    let openssl = |words: &str| {
        let mut openssl = command(tool("openssl", "openssl"));
        let output = openssl.args(words.split(' ')).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -subj /CN=authority -days 2 -keyout ca.key -out ca.pem"));
    openssl(&format!("req {key} -subj /CN=service -keyout key.pem -out service.csr"));
    fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").unwrap();
    openssl("x509 -req -in service.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -extfile names -out cert.pem");
    let certificate = CertificateDer::from_pem_file(folder.join("cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/health", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream.unwrap());
            // A client that does not trust the certificate goes away here.
            let said = std::io::Write::write_all(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            drop(said.and_then(|()| std::io::Read::read(&mut stream, &mut [0; 4096])));
        }
    });
    (url, folder.join("ca.pem"))
}

#[test]
fn a_certificate_must_be_trusted_by_the_system() {
    let place = tempfile::tempdir().unwrap();
    let (url, authority) = secure(&place.path().join("trusted"));
    let (_, stranger) = secure(&place.path().join("stranger"));
    let shop = shop(PASSES, &[check(&url, "")]);
    let with = |file: &Path| shop.orch("pipeline run").env("SSL_CERT_FILE", file).run();
    with(&stranger).held(78, "smoke-tls").talks("no trusted TLS");
    shop.orch("hold release").run().exits(0);
    with(&authority).exits(0);
    assert!(shop.read(REPORT).contains("result: PASS"));
    // A service that does not speak TLS at all.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = format!("https://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let said = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
            drop(said.and_then(|()| std::io::Read::read_to_end(&mut stream, &mut Vec::new())));
        }
    });
    shop.write("pipelines/shop.yaml", &shop.read("pipelines/shop.yaml").replace(&url, &plain));
    shop.commit("a plain service");
    with(&authority).held(78, "smoke-tls");
}

#[test]
fn a_request_to_stop_waits_for_the_checks_and_loses_nothing() {
    let (service, shop) = answered(Answer::Silence, ", timeout: 2s");
    let going = shop.orch("pipeline run").start();
    service.next_request();
    going.signal(rustix::process::Signal::TERM);
    going.end().held(75, "smoke-unreachable");
    service.answers("/health", Answer::Status(200));
    shop.release_and_run().exits(0);
    assert_eq!(shop.ledger().len(), 2);
}
