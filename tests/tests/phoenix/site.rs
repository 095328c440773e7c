//! The site that Gatling writes.

use std::fs;

use gatling_tests::HOST;
use gatling_tests::shop::OTHER_HOST;

use crate::{PLAIN, curl};

/// The path of the digested style sheet in the page.
fn style_sheet(page: &str) -> &str {
    let path = page.split('"').find(|part| part.starts_with("/assets/app-") && part.contains(".css"));
    path.unwrap().split('?').next().unwrap()
}

#[test]
fn a_body_larger_than_the_projects_limit_is_refused_by_nginx() {
    let shop = PLAIN.lock();
    // The project's limit is 2 MB; nginx's default is 1 MB.
    let upload = |size: usize| {
        let file = shop.sandbox.root().join("body");
        fs::write(&file, vec![b'x'; size]).unwrap();
        let data = format!("@{}", file.display());
        curl(shop.sandbox, HOST, "/upload", &["--data-binary", &data, "--header", "Expect:"])
    };

    let (small, large) = (upload(1_900_000), upload(2_100_000));

    assert!(small.starts_with("HTTP/1.1 200 ") && small.ends_with("\r\n1900000\n"), "{small}");
    assert!(large.starts_with("HTTP/1.1 413 ") && large.contains("nginx"), "{large}");
}

#[test]
fn added_host_names_are_served_and_removed_ones_are_not() {
    let shop = PLAIN.lock();
    shop.app.write("domains", &format!("{HOST}\n*.example.org\n")).unwrap();

    shop.deploy_version("0.2.0").unwrap();

    assert_eq!(shop.sandbox.get_as("any.example.org", "/version").unwrap(), (200, "shop 0.2.0\n".to_owned()));
    assert_eq!(shop.sandbox.get_as(OTHER_HOST, "/version").unwrap().0, 404);
}

#[test]
fn a_page_of_the_old_version_finds_its_assets_after_the_upgrade() {
    let shop = PLAIN.lock();
    let (_, old_page) = shop.sandbox.get("/").unwrap();
    shop.app.replace("assets/css/app.css", "darkgreen", "darkred").unwrap();

    shop.deploy_version("0.2.0").unwrap();

    let (_, page) = shop.sandbox.get("/").unwrap();
    assert_ne!(style_sheet(&page), style_sheet(&old_page));
    for (page, color) in [(old_page, "darkgreen"), (page, "darkred")] {
        let (status, text) = shop.sandbox.get(style_sheet(&page)).unwrap();
        assert!(status == 200 && text.contains(color), "{status}");
    }
}
