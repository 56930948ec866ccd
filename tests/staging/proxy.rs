//! A TCP proxy that does what bad networks do.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

/// What a proxy does to the connections that come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trick {
    /// Nothing bad.
    Pass,
    /// Takes them and says nothing.
    Silent,
    /// Closes them.
    Close,
    /// Resets them.
    Reset,
    /// Says this, and closes.
    Says(&'static str),
    /// Says this, and nothing more.
    SaysAndStalls(&'static str),
    /// Says this again and again until nobody listens.
    Repeats(&'static str),
    /// Resets once the server has sent so many bytes.
    ResetAfter(usize),
    /// Closes once the server has sent so many bytes; all of them arrive, which a reset does not promise.
    CloseAfter(usize),
    /// Passes nothing more on once the server has sent so many bytes.
    StallAfter(usize),
}

/// The proxy; it lives as long as the test's process.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    to: u16,
    trick: Mutex<Trick>,
    taken: AtomicUsize,
    /// Nothing passes any more, either way.
    stalled: AtomicBool,
    /// Both ends of every connection.
    streams: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    pub(crate) fn new(to: u16, trick: Trick) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            to,
            trick: Mutex::new(trick),
            taken: AtomicUsize::new(0),
            stalled: AtomicBool::new(false),
            streams: Mutex::default(),
        });
        let proxy = Self { port, shared: Arc::clone(&shared) };
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                shared.taken.fetch_add(1, Ordering::SeqCst);
                let trick = *shared.trick.lock().unwrap();
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(client, &shared, trick));
            }
        });
        proxy
    }

    /// What happens to connections from now on.
    pub(crate) fn turn(&self, trick: Trick) {
        *self.shared.trick.lock().unwrap() = trick;
    }

    /// Ends every connection that stands, and does this to those that come.
    pub(crate) fn drop_all(&self, then: Trick) {
        self.turn(then);
        for stream in self.shared.streams.lock().unwrap().drain(..) {
            reset(&stream);
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// Lets nothing pass any more on the connections that stand, and answers no other.
    pub(crate) fn stall_all(&self) {
        self.turn(Trick::Silent);
        self.shared.stalled.store(true, Ordering::SeqCst);
    }

    /// The way is as it should be for the connections that come.
    pub(crate) fn mend(&self) {
        self.shared.stalled.store(false, Ordering::SeqCst);
        self.drop_all(Trick::Pass);
    }

    /// Connections that came.
    pub(crate) fn taken(&self) -> usize {
        self.shared.taken.load(Ordering::SeqCst)
    }
}

/// Answers whoever comes to a socket with these bytes; it lives as long as the test's process.
pub(crate) fn speak_at(socket: &Path, bytes: &'static [u8]) {
    std::fs::remove_file(socket).ok();
    let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            // Whatever comes first, and however much of it.
            match client.read(&mut [0; 4096]) {
                Ok(0) | Err(_) => continue,
                Ok(_) => {}
            }
            client.write_all(bytes).ok();
        }
    });
}

fn serve(mut client: TcpStream, shared: &Arc<Shared>, trick: Trick) {
    match trick {
        Trick::Silent => wait_out(&mut client),
        Trick::Close => {}
        Trick::Reset => reset(&client),
        Trick::Says(text) => {
            client.write_all(text.as_bytes()).ok();
        }
        Trick::SaysAndStalls(text) => {
            client.write_all(text.as_bytes()).ok();
            wait_out(&mut client);
        }
        Trick::Repeats(text) => while client.write_all(text.as_bytes()).is_ok() {},
        Trick::Pass => both_ways(client, shared, usize::MAX, trick),
        Trick::ResetAfter(bytes) | Trick::CloseAfter(bytes) | Trick::StallAfter(bytes) => {
            both_ways(client, shared, bytes, trick);
        }
    }
}

/// Until the other side has had enough.
fn wait_out(client: &mut TcpStream) {
    client.read_to_end(&mut Vec::new()).ok();
}

fn reset(stream: &TcpStream) {
    set_socket_linger(stream, Some(Duration::ZERO)).ok();
}

fn both_ways(client: TcpStream, shared: &Arc<Shared>, limit: usize, trick: Trick) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", shared.to)) else { return };
    let copies = |stream: &TcpStream| stream.try_clone().unwrap();
    shared.streams.lock().unwrap().extend([copies(&client), copies(&server)]);
    let (mut from_client, mut to_server) = (copies(&client), copies(&server));
    let there = Arc::clone(shared);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = from_client.read(&mut buffer) {
            if !there.stalled.load(Ordering::SeqCst) && to_server.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        to_server.shutdown(Shutdown::Write).ok();
    });
    let mut buffer = [0; 4096];
    let mut passed = 0;
    let (mut server, mut client) = (server, client);
    while let Ok(count @ 1..) = server.read(&mut buffer) {
        if shared.stalled.load(Ordering::SeqCst) {
            continue;
        }
        let room = limit - passed;
        if client.write_all(&buffer[..count.min(room)]).is_err() {
            break;
        }
        passed += count.min(room);
        if passed == limit {
            if trick != Trick::StallAfter(limit) {
                if trick == Trick::ResetAfter(limit) {
                    reset(&client);
                    reset(&server);
                }
                client.shutdown(Shutdown::Both).ok();
                server.shutdown(Shutdown::Both).ok();
                return;
            }
            // A stalled link: nothing comes any more, and nobody says that it is over.
            wait_out(&mut client);
            return;
        }
    }
    if shared.stalled.load(Ordering::SeqCst) {
        // The server has had enough of it; nobody tells the client.
        wait_out(&mut client);
    }
    client.shutdown(Shutdown::Both).ok();
    server.shutdown(Shutdown::Both).ok();
}
