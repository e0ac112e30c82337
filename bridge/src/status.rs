//! The counters over HTTP: a bridge serves them, and `--status` reads them.

use crate::{Failure, TICK, counters::AllCounters};
use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream, ToSocketAddrs},
    thread,
    time::{Duration, Instant},
};
use tracing::info;

/// The longest time that a request may take to arrive, and that each write may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// The number of bytes of a request after which no more are read.
const REQUEST: usize = 4096;

/// Serves the counters at this address until the process ends.
///
/// # Errors
/// If the address is not free.
pub fn serve(address: &str, counters: AllCounters) -> Result<(), Failure> {
    let failure = |error| Failure(format!("--metrics {address}: {error}"));
    let listener = TcpListener::bind(address).map_err(failure)?;
    info!(address = %listener.local_addr().map_err(failure)?, "serving /metrics and /status");
    thread::Builder::new()
        .name("metrics".to_owned())
        .spawn(move || {
            // One client at a time: a slow client delays the others, but costs no further thread.
            for client in listener.incoming() {
                match client {
                    Ok(client) => _ = answer(&client, &counters), // a client that has left needs no answer
                    Err(_) => thread::sleep(TICK), // too few descriptors, for example
                }
            }
        })?;
    Ok(())
}

fn answer(mut client: &TcpStream, counters: &AllCounters) -> io::Result<()> {
    client.set_write_timeout(Some(PATIENCE))?;
    let end = Instant::now() + PATIENCE;
    let mut request = Vec::new();
    let mut piece = [0; 512];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < REQUEST {
        // A timeout of zero would be an error, too.
        client.set_read_timeout(Some(end.saturating_duration_since(Instant::now())))?;
        match client.read(&mut piece)? {
            0 => break,
            len => request.extend_from_slice(&piece[..len]),
        }
    }
    let (status, body) = if request.starts_with(b"GET /metrics ") {
        ("200 OK", counters.prometheus())
    } else if request.starts_with(b"GET /status ") {
        ("200 OK", counters.table())
    } else {
        (
            "404 Not Found",
            "This server has /metrics and /status.\n".to_owned(),
        )
    };
    write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Returns the table of counters that a bridge serves at this address.
///
/// # Errors
/// If no bridge answers there.
pub fn read(address: &str) -> Result<String, Failure> {
    let failure = |error| {
        Failure(format!(
            "there is no bridge at {address}: {error}; start it with --metrics {address}"
        ))
    };
    let first = address.to_socket_addrs().map_err(failure)?.next();
    let first = first.ok_or_else(|| failure(io::ErrorKind::NotFound.into()))?;
    let mut bridge = TcpStream::connect_timeout(&first, PATIENCE).map_err(failure)?;
    bridge.set_read_timeout(Some(PATIENCE)).map_err(failure)?;
    write!(bridge, "GET /status HTTP/1.1\r\nHost: {address}\r\n\r\n").map_err(failure)?;
    let mut answer = String::new();
    bridge.read_to_string(&mut answer).map_err(failure)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, table)) if head.starts_with("HTTP/1.1 200") => Ok(table.to_owned()),
        _ => Err(Failure(format!("the server at {address} is not a bridge"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_a_bridge_is_read_over_http() {
        let free = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let address = free.to_string();
        let counters = AllCounters::default();
        counters.add("publish", "orders").add_messages(3, 30);
        assert!(read(&address).unwrap_err().0.contains("no bridge"));
        serve(&address, counters.clone()).unwrap();
        assert_eq!(read(&address).unwrap(), counters.table());
    }

    #[test]
    fn a_client_that_sends_its_request_byte_by_byte_does_not_hold_others_up() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        serve(&address.to_string(), AllCounters::default()).unwrap();
        let mut slow = TcpStream::connect(address).unwrap();
        // It never sends the end of the request, and is cut off long before its last byte.
        let is_cut_off = (0..100).any(|_| {
            thread::sleep(TICK);
            slow.write_all(b"x").is_err()
        });
        assert!(is_cut_off);
        assert!(read(&address.to_string()).is_ok());
    }
}
