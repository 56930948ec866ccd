//! A service on loopback: a real listener that answers each path as its script says, well or badly.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

/// How a path is answered.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// A whole answer with this status.
    Status(u16),
    /// These bytes, and the end.
    Bytes(&'static str),
    /// Nothing, for as long as the other side waits.
    Silence,
    /// A header that comes byte by byte and never ends.
    Drip,
    /// A header that never ends.
    HeaderFlood,
    /// 200, and a body that never ends.
    BodyFlood,
    /// A reset of the connection.
    Reset,
    /// 200, once as many requests as the barrier wants are there.
    Together(Arc<Barrier>),
}

/// The service; it lives as long as the test's process.
#[derive(Debug)]
pub(crate) struct Service {
    address: SocketAddr,
    script: Arc<Mutex<BTreeMap<String, Answer>>>,
    requests: Receiver<String>,
}

impl Service {
    pub(crate) fn new(script: &[(&str, Answer)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let script = script.iter().map(|(path, answer)| ((*path).to_owned(), answer.clone())).collect();
        let script: Arc<Mutex<BTreeMap<String, Answer>>> = Arc::new(Mutex::new(script));
        let (heard, requests) = channel();
        let shared = Arc::clone(&script);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (script, heard) = (Arc::clone(&shared), heard.clone());
                thread::spawn(move || serve(&stream.unwrap(), &script, &heard));
            }
        });
        Self { address, script, requests }
    }

    /// An address at which nobody listens.
    pub(crate) fn dead() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/", listener.local_addr().unwrap())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers a path otherwise from now on.
    pub(crate) fn answers(&self, path: &str, answer: Answer) {
        self.script.lock().unwrap().insert(path.to_owned(), answer);
    }

    /// Waits for the next request.
    pub(crate) fn next_request(&self) -> String {
        self.requests.recv_timeout(Duration::from_mins(1)).unwrap()
    }

    /// The requests that came and nobody has asked for, in the order of their paths.
    pub(crate) fn requests(&self) -> Vec<String> {
        let mut all: Vec<String> = self.requests.try_iter().collect();
        all.sort();
        all
    }
}

fn serve(stream: &TcpStream, script: &Mutex<BTreeMap<String, Answer>>, heard: &Sender<String>) {
    let head = head(stream);
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let answer = script.lock().unwrap().get(&path).cloned().unwrap_or(Answer::Status(404));
    // Nobody may be listening any more.
    drop(heard.send(head));
    let mut stream = stream;
    // What the other side does not read any more is its own affair.
    let mut say = |text: &str| stream.write_all(text.as_bytes()).is_ok();
    match answer {
        Answer::Status(status) => {
            say(&format!("HTTP/1.1 {status} Word\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"));
        }
        Answer::Bytes(text) => {
            say(text);
        }
        Answer::Silence => while !gone(stream, None) {},
        Answer::Drip => {
            say("HTTP/1.1 200 OK\r\nX-Drip: ");
            while !gone(stream, Some(Duration::from_millis(50))) {
                stream.write_all(b"x").unwrap_or_default();
            }
        }
        Answer::HeaderFlood => {
            say("HTTP/1.1 200 OK\r\n");
            while say(&format!("X-Flood: {}\r\n", "x".repeat(1000))) {}
        }
        Answer::BodyFlood => {
            say("HTTP/1.1 200 OK\r\n\r\n");
            while say(&"x".repeat(1000)) {}
        }
        Answer::Reset => set_socket_linger(stream, Some(Duration::ZERO)).unwrap(),
        Answer::Together(barrier) => {
            barrier.wait();
            say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    }
}

/// The request up to its empty line.
fn head(mut stream: &TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
        head.extend(byte);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// Whether the other side went away, within this time where one is given.
fn gone(mut stream: &TcpStream, within: Option<Duration>) -> bool {
    stream.set_read_timeout(within).unwrap();
    match stream.read(&mut [0]) {
        Ok(n) => n == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}
