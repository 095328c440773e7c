//! Hooks in every language: the examples, and projects that `gatling hooks new` starts.

mod examples;
mod projects;
