//! The program `shmkey-bridge`. Its options: `--help`.

use shmkey::language;
use shmkey_bridge::{
    Failure, incoming::Incoming, network::Network, options::Options, outgoing::Outgoing, slice,
    status,
};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use std::{
    env,
    io::{self, IsTerminal},
    process::ExitCode,
};
use tracing::{debug, info};

fn main() -> ExitCode {
    // The texts of the library name the command's options, and not the calls of the crate.
    language::choose(&language::COMMAND);
    match Options::of(env::args_os().skip(1)).and_then(|options| run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3),
        Err(Failure(why)) => {
            eprintln!("shmkey-bridge: {why}");
            ExitCode::from(2)
        }
    }
}

/// Carries objects until SIGTERM or SIGINT. Returns whether all messages that were taken from them were delivered.
fn run(options: &Options) -> Result<bool, Failure> {
    if let Some(text) = &options.text {
        print!("{text}");
        return Ok(true);
    }
    if let Some(address) = &options.status {
        print!("{}", status::read(address)?);
        return Ok(true);
    }
    // First of all: without these handlers, a signal ends the process at once.
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let log = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_target(false);
    log.with_max_level(options.log)
        .with_ansi(io::stderr().is_terminal())
        .init();

    if let Err(why) = slice::shorten() {
        debug!("threads have their usual time slices: {why}");
    }
    let network = Network::open(options)?;
    if let Some(address) = &options.metrics {
        status::serve(address, network.counters.clone())?;
    }
    let start = |name| Outgoing::start(name, &network, options);
    let outgoing = options
        .publish
        .iter()
        .map(|name| start(name))
        .collect::<Result<Vec<_>, _>>()?;
    let start = |name| Incoming::start(name, &network, options);
    let incoming = options
        .subscribe
        .iter()
        .map(|name| start(name))
        .collect::<Result<Vec<_>, _>>()?;

    let signal = signals.forever().next();
    info!(signal, "ending; delivering the messages that were taken");
    outgoing.iter().for_each(Outgoing::begin_end);
    incoming.into_iter().for_each(Incoming::end);
    let all = outgoing
        .into_iter()
        .map(Outgoing::end)
        .fold(true, |all, one| all & one);
    network.close();
    Ok(all)
}
