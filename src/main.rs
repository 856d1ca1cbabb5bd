use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_env("MUCK_LOG"))
        .with_writer(std::io::stderr)
        .init();
    ExitCode::from(muck::run(muck::cli::Cli::parse()).await)
}
