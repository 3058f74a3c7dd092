//! The `tier0` program: see [`tier0::cli`].

fn main() -> std::process::ExitCode {
    tier0::cli::run()
}
