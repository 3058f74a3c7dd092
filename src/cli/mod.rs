//! The command line: arguments in, rooms wired together, errors out in one line each.
//!
//! Place in the path: above it. `args` reads the flags, `setup` opens what the commands share
//! (configuration, models, store), and each command has a file of its own.

mod args;
mod ask;
mod bench;
mod deflection;
mod intents;
mod models;
mod output;
mod playbook;
mod progress;
mod serve;
mod setup;
mod store;

use std::process::ExitCode;

pub use progress::StderrProgress;

use args::{Args, Command};
use setup::Setup;

/// The result of a command. The user sees the error as its text only.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Runs the program and returns its exit code: 0, 1 after an error, 2 after unusable arguments.
pub fn run() -> ExitCode {
    match dispatch(Args::read()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_broken_pipe(error.as_ref()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: Args) -> Outcome {
    let setup = Setup::new(&args)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let command = args.command.unwrap_or(Command::Serve(args.serve));
    let done = runtime.block_on(async {
        match command {
            Command::Serve(args) => serve::run(setup, args).await,
            Command::Ask(args) => ask::run(setup, args).await,
            Command::Store(command) => store::run(&setup, command).await,
            Command::Models(command) => models::run(&setup, command),
            Command::Intents(command) => intents::run(&setup, command),
            Command::Playbook(command) => playbook::run(&setup, command).await,
            Command::Bench(command) => bench::run(setup, command).await,
        }
    });
    // A generation whose caller is gone must not keep the process alive.
    runtime.shutdown_background();
    done
}
