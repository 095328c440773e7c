//! What is wrong with the project's other files, so that no step is begun.

use gatling_tests::server::Server;

use crate::assert_push_refused;

#[test]
fn version_zero_is_refused() {
    let change = |server: &Server| server.hello.set_version("0.0.0").unwrap();
    assert_push_refused(change, &["mix.exs", "0.0.0", "set `version:`"]);
}

#[test]
fn a_mix_exs_that_does_not_compile_is_refused_in_elixirs_words() {
    let change = |server: &Server| server.hello.replace("mix.exs", "def project do", "def project d").unwrap();
    assert_push_refused(change, &["mix cannot load the project", "mix.exs:"]);
}

#[test]
fn a_mix_exs_of_another_app_is_refused() {
    let change = |server: &Server| server.hello.replace("mix.exs", "app: :hello", "app: :goodbye").unwrap();
    assert_push_refused(change, &["`app: :goodbye`", "loaded as hello", "gatling load goodbye"]);
}

#[test]
fn a_project_without_domains_is_refused() {
    let change = |server: &Server| server.hello.remove("domains").unwrap();
    assert_push_refused(change, &["file `domains`", "echo www.example.com > domains"]);
}

#[test]
fn a_misspelt_key_in_the_projects_settings_is_refused_and_named() {
    let change = |server: &Server| server.hello.write("gatling.toml", "[health]\npfad = \"/\"\n").unwrap();
    assert_push_refused(change, &["gatling.toml", "line 2", "pfad", "timeout"]);
}
