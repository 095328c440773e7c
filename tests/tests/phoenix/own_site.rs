//! A project's own nginx.conf, which is tested before it replaces the current site.

use gatling_tests::shop::{OTHER_HOST, Shop};
use gatling_tests::{HOST, http};

use crate::{PLAIN, assert_push_refused, curl, set_free_port};

/// A site that passes requests to `port`, with the additional directives `more` in its server.
fn site(shop: &Shop, port: u16, more: &str) -> String {
    format!(
        "server {{\n  listen 127.0.0.1:{};\n  server_name {HOST} {OTHER_HOST};\n  {more}\n  location / {{\n    \
         proxy_pass http://127.0.0.1:{port};\n    proxy_set_header Host $host;\n  }}\n}}\n",
        shop.sandbox.nginx_port()
    )
}

#[test]
fn a_valid_site_is_served() {
    let shop = PLAIN.lock();
    let port = set_free_port(&shop);
    shop.app.write("nginx.conf", &site(&shop, port, "add_header X-Site own;")).unwrap();

    shop.deploy_version("0.2.0").unwrap();

    for host in [HOST, OTHER_HOST] {
        let answer = curl(shop.sandbox, host, "/version", &[]);
        assert!(answer.contains("X-Site: own") && answer.ends_with("shop 0.2.0\n"), "{answer}");
    }
}

#[test]
fn a_site_that_passes_to_another_port_is_refused_before_anything_is_changed() {
    let shop = PLAIN.lock();
    let (port, other) = (shop.port().unwrap(), http::taken_port().unwrap());
    shop.app.write("nginx.conf", &site(&shop, other, "")).unwrap();

    assert_push_refused(
        &shop,
        &[
            &format!("passes http://{HOST}/health to 127.0.0.1:{other}"),
            &format!("the app listens on 127.0.0.1:{port}"),
            &format!("proxy_pass http://127.0.0.1:{port};"),
        ],
    );
}

#[test]
fn a_site_with_a_mistake_is_refused_with_nginxs_message() {
    let shop = PLAIN.lock();
    let port = shop.port().unwrap();
    shop.app.write("nginx.conf", &site(&shop, port, "server_nam shop;")).unwrap();

    assert_push_refused(&shop, &["nginx rejects the site", "unknown directive \"server_nam\""]);
}

#[test]
fn a_site_that_answers_the_health_path_itself_is_refused() {
    let shop = PLAIN.lock();
    let port = shop.port().unwrap();
    shop.app.write("nginx.conf", &site(&shop, port, "location = /health { return 204; }")).unwrap();

    assert_push_refused(&shop, &[&format!("answers http://{HOST}/health itself with 204"), "`path` under [health]"]);
}

#[test]
fn a_site_or_a_domains_file_with_a_host_name_of_another_project_is_refused() {
    let shop = PLAIN.lock();
    let hello = shop.sandbox.project("hello").unwrap();
    hello.write("domains", "hello.example.com\n").unwrap();
    hello.commit("Where it is served").unwrap();
    shop.gatling(&["load", "hello"]).unwrap();
    shop.gatling(&["config", "set", "hello", "RELEASE_DISTRIBUTION=none"]).unwrap();
    hello.deploy().unwrap();
    let words = ["already has the host name hello.example.com", "sites-enabled/hello"];

    shop.app.write("domains", &format!("{HOST}\nhello.example.com\n")).unwrap();
    assert_push_refused(&shop, &words);
    let port = shop.port().unwrap();
    let text = site(&shop, port, "").replace(OTHER_HOST, "hello.example.com");
    shop.app.write("nginx.conf", &text).unwrap();
    assert_push_refused(&shop, &words);

    let answer = shop.sandbox.get_as("hello.example.com", "/").unwrap();
    assert_eq!(answer, (200, "hello 0.1.0\n".to_owned()));
    shop.gatling(&["unload", "hello", "--yes"]).unwrap();
}
