//! The `gatling` program.

mod cli;

use std::process::ExitCode;

use gatling_hook_host::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    cli::main()
}
