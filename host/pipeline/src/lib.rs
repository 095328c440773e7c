//! What a deployment does, as values: pipelines, their steps, the facts that they depend on, and the plan that is
//! computed from them.
//!
//! Everything here is pure: it reads no file and runs no program. The engine gathers [`facts::Facts`],
//! [`plan::Plan::new`] computes a plan from them, and the engine carries it out.

pub mod action;
pub mod facts;
pub mod pipeline;
pub mod plan;
pub mod root;
mod steps;
mod table;

pub use action::Action;
pub use facts::{Facts, Source};
pub use gatling_names::{Hook, HookPoint, Name};
pub use pipeline::Pipeline;
pub use plan::{Plan, PlannedStep};
pub use steps::draft;
pub use steps::install::renew_service;
pub use steps::mix::build;
pub use steps::release::{environment, origins, release_environment};
pub use steps::service::script;
pub use steps::takeover::{TakeOver, explain_in_place, keep, write_in_place_program};
pub use table::Step;
