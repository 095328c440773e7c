//! The site that Gatling writes.

use std::fs;

use gatling_tests::HOST;
use gatling_tests::shop::OTHER_HOST;

use crate::{PLAIN, curl};

#[test]
fn a_body_larger_than_the_projects_limit_is_refused_by_nginx() {
    let shop = PLAIN.lock();
    let upload = |size: usize| {
        let file = shop.sandbox.root().join("body");
        fs::write(&file, vec![b'x'; size]).unwrap();
        let data = format!("@{}", file.display());
        curl(shop.sandbox, HOST, "/upload", &["--data-binary", &data, "--header", "Expect:"])
    };

    let (small, large) = (upload(900_000), upload(1_100_000));

    assert!(small.starts_with("HTTP/1.1 200 ") && small.ends_with("\r\n900000\n"), "{small}");
    assert!(large.starts_with("HTTP/1.1 413 ") && large.contains("nginx"), "{large}");
}

#[test]
fn a_host_name_that_the_project_adds_is_served_and_one_that_it_removes_is_not() {
    let shop = PLAIN.lock();
    shop.app.write("domains", &format!("{HOST}\n*.example.org\n")).unwrap();

    shop.deploy_version("0.2.0").unwrap();

    assert_eq!(shop.sandbox.get_as("any.example.org", "/version").unwrap(), (200, "shop 0.2.0\n".to_owned()));
    assert_eq!(shop.sandbox.get_as(OTHER_HOST, "/version").unwrap().0, 404);
}
