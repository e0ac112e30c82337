//! Waits for two rings at once in tokio. Two processes send to them: this program starts itself as each.
//!
//! `cargo run --features tokio --example two_rings`

use shmkey::{Error, ErrorKind, Ring, tokio::Async};
use std::{
    env, error,
    process::{self, Command},
};

/// The capacity of each ring, in bytes.
const CAPACITY: usize = 4096;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => receive_both().await,
        [name, messages @ ..] => Ok(send(name, messages)?),
    }
}

/// Sends messages to a ring. Needs no tokio.
fn send(name: &str, messages: &[String]) -> Result<(), Error> {
    let mut sender = Ring::open(name, CAPACITY)?.sender()?;
    messages
        .iter()
        .try_for_each(|message| sender.send(message.as_bytes()))
}

async fn receive_both() -> Result<(), Box<dyn error::Error>> {
    let name = |of| format!("two rings: {of} {}", process::id());
    let (orders_name, news_name) = (name("orders"), name("news"));
    let (orders_ring, news_ring) = (
        Ring::open(&orders_name, CAPACITY)?,
        Ring::open(&news_name, CAPACITY)?,
    );
    let program = env::current_exe()?;
    let mut ordering = Command::new(&program)
        .args([&orders_name, "two teas", "one coffee", "the bill"])
        .spawn()?;
    let mut telling = Command::new(&program)
        .args([&news_name, "rain at noon", "sun at six"])
        .spawn()?;

    let mut orders = Async::new(orders_ring.receiver()?)?;
    let mut news = Async::new(news_ring.receiver()?)?;
    let (mut order, mut headline) = (Vec::new(), Vec::new());
    let (mut orders_end, mut news_end) = (false, false);
    while !orders_end || !news_end {
        tokio::select! {
            received = orders.recv_vec(&mut order), if !orders_end => match received {
                Ok(_) => println!("order: {}", String::from_utf8_lossy(&order)),
                Err(error) if error.kind() == ErrorKind::Closed => orders_end = true,
                Err(error) => return Err(error.into()),
            },
            received = news.recv_vec(&mut headline), if !news_end => match received {
                Ok(_) => println!("headline: {}", String::from_utf8_lossy(&headline)),
                Err(error) if error.kind() == ErrorKind::Closed => news_end = true,
                Err(error) => return Err(error.into()),
            },
        }
    }
    ordering.wait()?;
    telling.wait()?;
    orders_ring.remove()?;
    news_ring.remove()?;
    Ok(())
}
