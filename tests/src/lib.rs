//! A complete server in one folder, to try Gatling on: its home, its init scripts, its nginx.
//!
//! The end-to-end tests run against it, and `cargo xtask demo` shows it. Nothing in it touches the machine's own nginx,
//! services or git settings. Dropping a [`Sandbox`] ends its processes and removes it.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! let sandbox = gatling_tests::Sandbox::new()?;
//! let hello = sandbox.project("hello")?;
//! sandbox.run(&["load", "hello"])?.expect_success()?;
//! hello.push()?.expect_success()?;
//! assert_eq!(sandbox.get("/")?, (200, "hello 0.1.0\n".to_owned()));
//! # Ok(())
//! # }
//! ```

pub mod component;
pub mod http;
pub mod load;
pub mod machine;
pub mod mounts;
pub mod places;
pub mod postgres;
pub mod processes;
pub mod random;
pub mod server;
pub mod shop;
pub mod stand_in;
pub mod tools;
pub mod waiting;

mod browser;
mod certificate;
mod exit;
mod gate;
mod nginx;
mod output;
mod phoenix;
mod project;
mod running;
mod runs;
mod sandbox;
mod ssh;

pub use browser::Browser;
pub use certificate::Certificate;
pub use gate::Gate;
pub use machine::Machine;
pub use output::Output;
pub use phoenix::PhoenixApp;
pub use postgres::Postgres;
pub use project::Project;
pub use running::Running;
pub use sandbox::{HOST, Sandbox};
pub use ssh::Sshd;

/// The steps of an upgrade. This list is independent of the tested code.
pub const UPGRADE: [&str; 8] = [
    "mix_deps_get",
    "mix_compile",
    "mix_digest",
    "mix_release",
    "make_upgrade_dir",
    "copy_release_to_upgrade",
    "upgrade_service",
    "configure_nginx",
];
