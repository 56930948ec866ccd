//! Smoke checks: read-only requests to a running service, made by orch itself after a suite that passed.
//!
//! The only module that speaks HTTP. A check is one GET: no redirect is followed, no proxy is used, no cookie, no
//! credential and nothing from the environment but the system's certificates goes with it. Every check has a time
//! limit of its own over everything (name, connection, TLS, header), and all are made at once, so that all of them
//! together last no longer than the longest limit and [`DRAIN`].

use std::io::{self, ErrorKind, Read as _};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use ureq::config::Config;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Error};

use crate::domain::artifact::printable;
use crate::domain::pipeline::Smoke;
use crate::domain::smoke::{SmokeFacts, SmokeSeen};

/// Longest header of an answer, in bytes.
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// Most of a body that is read, in bytes; it is thrown away.
const BODY_BYTES_MAX: u64 = 64 * 1024;
/// Longest time that is given to a body once the status is known.
const DRAIN: Duration = Duration::from_secs(1);
/// Longest text of an error that is kept, in characters.
const WHY_CHARS_MAX: usize = 200;

/// Makes every check, all at once. Never fails: what cannot be done is a fact about the check.
pub fn smoke(checks: &[Smoke]) -> Vec<SmokeFacts> {
    thread::scope(|scope| {
        let made: Vec<_> = checks
            .iter()
            .map(|check| (check, thread::Builder::new().spawn_scoped(scope, move || timed(check))))
            .collect();
        made.into_iter()
            .map(|(check, made)| {
                let (seen, elapsed) = match made.map(thread::ScopedJoinHandle::join) {
                    Ok(Ok(seen)) => seen,
                    Ok(Err(_)) => (other("a bug in orch: the check panicked"), Duration::ZERO),
                    Err(error) => (other(&format!("no thread for it: {error}")), Duration::ZERO),
                };
                facts(check, seen, elapsed)
            })
            .collect()
    })
}

/// The checks of a suite that did not pass: nobody asked the service.
pub fn smoke_not_made(checks: &[Smoke]) -> Vec<SmokeFacts> {
    checks.iter().map(|check| facts(check, SmokeSeen::NotMade, Duration::ZERO)).collect()
}

fn facts(check: &Smoke, seen: SmokeSeen, elapsed: Duration) -> SmokeFacts {
    SmokeFacts { get: check.get.clone(), expect: check.expect, seen, elapsed }
}

fn timed(check: &Smoke) -> (SmokeSeen, Duration) {
    let start = monotonic();
    let seen = get(check);
    (seen, monotonic().saturating_sub(start))
}

fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

fn get(check: &Smoke) -> SmokeSeen {
    match agent(check.timeout).get(&check.get).call() {
        Ok(mut answer) => {
            let status = answer.status().as_u16();
            // Read to its end where that is near, so that the service sees no reset; what comes of it says nothing.
            let mut body = answer.body_mut().as_reader().take(BODY_BYTES_MAX);
            drop(io::copy(&mut body, &mut io::sink()));
            SmokeSeen::Answered { status }
        }
        Err(error) => seen(&error),
    }
}

/// A client for one request, so that no check sees a connection of another.
fn agent(timeout: Duration) -> Agent {
    // The system's own roots, as the suite's tools use: a staging service often has a private authority.
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::PlatformVerifier)
        .build();
    Config::builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .tls_config(tls)
        .user_agent(concat!("orch/", env!("CARGO_PKG_VERSION")))
        .max_response_header_size(HEADER_BYTES_MAX)
        .max_idle_connections(0)
        .timeout_global(Some(timeout))
        .timeout_recv_body(Some(DRAIN))
        .build()
        .new_agent()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library's enum is open: what is not known is `Other`")]
fn seen(error: &Error) -> SmokeSeen {
    match error {
        Error::Timeout(_) => SmokeSeen::TimedOut,
        Error::HostNotFound => SmokeSeen::NoAddress { why: "the name is known and has no address".to_owned() },
        Error::Io(error) => of_io(error),
        Error::Rustls(error) => of_tls(error),
        Error::Tls(why) => SmokeSeen::Tls { why: (*why).to_owned() },
        Error::Protocol(_) | Error::LargeResponseHeader(..) => SmokeSeen::NotHttp { why: short(error) },
        _ => other(&error.to_string()),
    }
}

fn of_io(error: &io::Error) -> SmokeSeen {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return of_tls(tls);
    }
    // The standard library gives the resolver's errors no kind and no number, only this text. Either way it is
    // no answer of the service.
    if error.raw_os_error().is_none() && error.to_string().starts_with("failed to lookup address") {
        return SmokeSeen::NoAddress { why: short(error) };
    }
    let kind = error.kind();
    if kind == ErrorKind::ConnectionRefused {
        SmokeSeen::Refused
    } else if matches!(kind, ErrorKind::TimedOut | ErrorKind::WouldBlock) {
        SmokeSeen::TimedOut
    } else {
        SmokeSeen::Broken { why: short(error) }
    }
}

fn of_tls(error: &rustls::Error) -> SmokeSeen {
    SmokeSeen::Tls { why: short(error) }
}

fn other(why: &str) -> SmokeSeen {
    SmokeSeen::Other { why: printable(why, WHY_CHARS_MAX) }
}

/// An error with its causes, bounded: parts of it may come from the other side.
fn short(error: &dyn std::error::Error) -> String {
    printable(&error.to_string(), WHY_CHARS_MAX)
}
