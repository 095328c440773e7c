//! HTTPS, served by nginx or by another proxy in front of it.

use std::fs;

use gatling_tests::{Browser, Certificate, HOST, PhoenixApp, Sandbox, http};

use crate::{assert_refused, curl};

/// An app that redirects every visitor to HTTPS, ready for its first push.
fn secure_app(sandbox: &Sandbox) -> PhoenixApp<'_> {
    let shop = sandbox.phoenix_app().unwrap().without_ecto().unwrap().with_force_ssl().unwrap();
    shop.write("gatling.toml", "[health]\nwatch = \"1s\"\n").unwrap();
    shop.commit("Settings").unwrap();
    sandbox.run(&["load", "shop"]).unwrap().expect_success().unwrap();
    shop.configure_without_database().unwrap();
    shop
}

/// Adds lines to the operator's file, under `[nginx]`.
fn configure_nginx(sandbox: &Sandbox, lines: &str) {
    let text = fs::read_to_string(sandbox.config()).unwrap();
    fs::write(sandbox.config(), text + lines).unwrap();
}

#[test]
fn an_app_that_redirects_to_https_is_refused_unless_nginx_or_a_proxy_serves_https() {
    let sandbox = Sandbox::new().unwrap();
    let shop = secure_app(&sandbox);

    let refused = shop.push().unwrap();

    let words = [
        "`force_ssl`",
        "config/prod.exs",
        &format!("no certificate for {HOST}"),
        "[[nginx.certificates]]",
        "behind_proxy = true",
        "shop is not deployed",
    ];
    assert_refused(&refused, &words);

    configure_nginx(&sandbox, "behind_proxy = true\n");
    sandbox.run(&["deploy", "shop"]).unwrap().expect_success().unwrap();

    // The proxy's request for a visitor with HTTPS, and for one without.
    let secure = curl(&sandbox, HOST, "/version", &["--header", "X-Forwarded-Proto: https"]);
    assert!(secure.ends_with("shop 0.1.0\n"), "{secure}");
    let plain = curl(&sandbox, HOST, "/version", &[]);
    assert!(plain.contains(&format!("https://{HOST}/version")), "{plain}");
}

#[test]
fn with_a_certificate_visitors_are_redirected_to_https_and_stay_there() {
    let sandbox = Sandbox::new().unwrap();
    let shop = secure_app(&sandbox);
    let certificate = Certificate::new(&sandbox, &[HOST]).unwrap();
    let port = http::free_port().unwrap();
    let settings = format!(
        "https_listen = [\"127.0.0.1:{port} ssl\"]\n[[nginx.certificates]]\ndomains = [\"*.example.com\"]\n\
         certificate = {:?}\nkey = {:?}\n",
        certificate.certificate, certificate.key
    );
    configure_nginx(&sandbox, &settings);

    let output = shop.deploy().unwrap();

    assert!(output.says("does not trust the certificate"), "{output:?}");
    let plain = curl(&sandbox, HOST, "/version?a=b", &[]);
    assert!(plain.starts_with("HTTP/1.1 301 ") && plain.contains(&format!("https://{HOST}/version?a=b")), "{plain}");

    let browser = Browser::builder(&sandbox).host(HOST, 80, sandbox.nginx_port()).host(HOST, 443, port);
    let browser = browser.trust(&certificate).unwrap().start().unwrap();
    browser.open(&format!("http://{HOST}/")).unwrap();
    assert_eq!(browser.url().unwrap(), format!("https://{HOST}/"));
    browser.wait_for_text("#live", "connected").unwrap();
    browser.click("#ask").unwrap();
    browser.wait_for_text("#echo", "asked").unwrap();
    browser.open(&format!("https://{HOST}/headers")).unwrap();
    assert!(browser.text("body").unwrap().contains("x-forwarded-proto: https"));
}
