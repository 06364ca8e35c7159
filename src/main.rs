//! `citypulse`: one binary for every role. Each subcommand is one thin file in
//! `commands/`; the work is in the crates beside.

mod cli;
mod commands;
mod config;
mod flags;
mod instance;
mod jobs;
mod layers;
mod platform;
mod progress;
mod roles;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

/// Many short-lived allocations on few threads: mimalloc keeps less memory than
/// the system's allocator and is faster at it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Bad usage: clap prints what was expected and exits with 2.
    let cli = cli::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            terminal::tell(&format!("error: cannot start the runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(commands::run(cli));
    // Work left on blocking threads must not hold up the exit.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<terminal::ReaderGone>() => ExitCode::SUCCESS,
        Err(error) => {
            terminal::tell(&format!("error: {}", terminal::one_sentence(&error)));
            ExitCode::FAILURE
        }
    }
}
