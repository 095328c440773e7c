//! `gatling maintenance`: a page instead of the app, without a reload.

use std::fs;

use gatling_tests::{Output, Sandbox};

use super::{gatling, push, server};

/// The head and the body of nginx's answer to a request with this method.
fn request(sandbox: &Sandbox, method: &str) -> String {
    let url = format!("http://127.0.0.1:{}/", sandbox.nginx_port());
    let mut curl = sandbox.command("curl", sandbox.root());
    curl.args(["--silent", "--include", "--request", method, "--data", "", "--header", "Host: www.example.com", &url]);
    Output::of(&mut curl).unwrap().stdout
}

#[test]
fn visitors_get_a_page_while_the_app_is_upgraded() {
    let sandbox = Sandbox::new().unwrap();
    let hello = server(&sandbox, "0s");
    gatling(&sandbox, &["maintenance", "hello", "on"], 0);
    for method in ["GET", "POST"] {
        let answer = request(&sandbox, method);
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("Retry-After: 60"), "{answer}");
        assert!(answer.contains("text/html") && answer.contains("Back soon"), "{answer}");
    }
    let status = gatling(&sandbox, &["status", "hello"], 0);
    assert!(status.says("visitors get the maintenance page; to end this: gatling maintenance hello off"), "{status:?}");

    // The site changes too.
    hello.write("domains", "www.example.com hello.example.com new.example.com\n").unwrap();
    let output = push(&hello, "0.2.0");
    assert!(output.says("hello 0.2.0 is serving"), "{output:?}");
    assert!(request(&sandbox, "GET").starts_with("HTTP/1.1 503"));

    gatling(&sandbox, &["maintenance", "hello", "off"], 0);
    assert_eq!(sandbox.get("/").unwrap(), (200, "hello 0.2.0\n".to_owned()));
    assert!(gatling(&sandbox, &["maintenance", "hello", "off"], 0).says("nothing to do"));
}

#[test]
fn the_operator_has_a_page_and_gets_in() {
    let sandbox = Sandbox::new().unwrap();
    let config = fs::read_to_string(sandbox.config()).unwrap();
    let allow = config.replacen("[nginx]\n", "[nginx]\nmaintenance_allow = [\"127.0.0.3\", \"2001:db8::/32\"]\n", 1);
    assert_ne!(allow, config, "{config}");
    fs::write(sandbox.config(), allow).unwrap();
    server(&sandbox, "0s");
    let page = sandbox.root().join("page.html");
    fs::write(&page, "<p>Gone fishing</p>").unwrap();
    gatling(&sandbox, &["maintenance", "hello", "on", "--page", page.to_str().unwrap()], 0);
    assert!(request(&sandbox, "GET").contains("Gone fishing"));
    let url = format!("http://127.0.0.1:{}/", sandbox.nginx_port());
    let mut curl = sandbox.command("curl", sandbox.root());
    curl.args(["--silent", "--interface", "127.0.0.3", "--header", "Host: www.example.com", &url]);
    assert_eq!(Output::of(&mut curl).unwrap().stdout, "hello 0.1.0\n");

    for (page, says) in [("/dev/zero", "must be a regular file"), ("/nonexistent", "cannot read /nonexistent")] {
        assert!(gatling(&sandbox, &["maintenance", "hello", "on", "--page", page], 1).says(says));
    }
    assert!(request(&sandbox, "GET").contains("Gone fishing"), "the page of before stays");
}

#[test]
fn a_site_that_does_not_know_maintenance_is_not_said_to_be_in_it() {
    let sandbox = Sandbox::new().unwrap();
    let _hello = server(&sandbox, "0s");
    let site = sandbox.nginx_dir().join("sites-available/hello");
    let text = fs::read_to_string(&site).unwrap();
    let text = text.replace("set $gatling_closed $gatling_hello_closed;", "");
    fs::write(&site, text.replace("server {", "server {\n  location = /reloaded { return 200 yes; }")).unwrap();
    sandbox.reload_nginx().unwrap();
    sandbox.wait_for_answer_at("/reloaded", 200, "yes").unwrap();
    let output = gatling(&sandbox, &["maintenance", "hello", "on"], 1);
    assert!(output.says("nginx does not show the page: nginx answers with 200"), "{output:?}");
    assert!(!gatling(&sandbox, &["status", "hello"], 0).says("maintenance"));
}
