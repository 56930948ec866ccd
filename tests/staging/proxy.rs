//! A TCP proxy that does what bad networks do.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
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
    trick: Arc<Mutex<Trick>>,
    taken: Arc<AtomicUsize>,
}

impl Proxy {
    pub(crate) fn new(to: u16, trick: Trick) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Self { port, trick: Arc::new(Mutex::new(trick)), taken: Arc::default() };
        let shared = proxy.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                shared.taken.fetch_add(1, Ordering::SeqCst);
                let trick = *shared.trick.lock().unwrap();
                thread::spawn(move || serve(&client, to, trick));
            }
        });
        proxy
    }

    /// What happens to connections from now on.
    pub(crate) fn turn(&self, trick: Trick) {
        *self.trick.lock().unwrap() = trick;
    }

    /// Connections that came.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }
}

fn serve(client: &TcpStream, to: u16, trick: Trick) {
    match trick {
        Trick::Silent => {
            // Until the other side has had enough.
            let mut client = client;
            client.read_to_end(&mut Vec::new()).ok();
        }
        Trick::Close => {}
        Trick::Reset => reset(client),
        Trick::Says(text) => {
            let mut client = client;
            client.write_all(text.as_bytes()).ok();
        }
        Trick::Pass => both_ways(client, to, usize::MAX, trick),
        Trick::ResetAfter(bytes) | Trick::CloseAfter(bytes) | Trick::StallAfter(bytes) => {
            both_ways(client, to, bytes, trick);
        }
    }
}

fn reset(stream: &TcpStream) {
    set_socket_linger(stream, Some(Duration::ZERO)).ok();
}

fn both_ways(client: &TcpStream, to: u16, limit: usize, trick: Trick) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { return };
    let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        std::io::copy(&mut from_client, &mut to_server).ok();
        to_server.shutdown(Shutdown::Write).ok();
    });
    let mut buffer = [0; 4096];
    let mut passed = 0;
    let (mut server, mut client) = (server, client);
    while let Ok(count) = server.read(&mut buffer) {
        if count == 0 {
            break;
        }
        let room = limit - passed;
        if client.write_all(&buffer[..count.min(room)]).is_err() {
            break;
        }
        passed += count.min(room);
        if passed == limit {
            if trick != Trick::StallAfter(limit) {
                if trick == Trick::ResetAfter(limit) {
                    reset(client);
                    reset(&server);
                }
                client.shutdown(Shutdown::Both).ok();
                server.shutdown(Shutdown::Both).ok();
                return;
            }
            // A stalled link: nothing comes any more, and nobody says that it is over.
            client.read_to_end(&mut Vec::new()).ok();
            return;
        }
    }
    client.shutdown(Shutdown::Both).ok();
    server.shutdown(Shutdown::Both).ok();
}
