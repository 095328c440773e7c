//! The app moves to another port.

use gatling_tests::http;

use crate::{PLAIN, assert_push_refused, set_free_port};

#[test]
fn the_site_follows_the_app_to_another_port() {
    let shop = PLAIN.lock();
    let before = shop.port().unwrap();
    let port = set_free_port(&shop);

    shop.deploy_version("0.2.0").unwrap();

    assert_ne!(port, before);
    assert_eq!(shop.port().unwrap(), port);
    assert_eq!(shop.sandbox.get_direct(port, "/version").unwrap(), (200, "shop 0.2.0\n".to_owned()));
    assert!(http::get(before, "localhost", "/version").is_err(), "the old release still runs");
}

#[test]
fn with_a_broken_site_the_app_keeps_its_port() {
    let shop = PLAIN.lock();
    set_free_port(&shop);
    shop.app.write("nginx.conf", "server { listen 80; nonsense; }\n").unwrap();
    shop.app.set_version("0.2.0").unwrap();

    assert_push_refused(&shop, &["nginx rejects the site", "unknown directive \"nonsense\""]);
}
