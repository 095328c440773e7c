//! What a user does with a stock app, from the first push on.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use gatling_tests::{Output, processes};

use super::app::App;
use super::server::{Server, end_of};
use super::steps::Steps;
use super::visitor::Tally;
use super::{HOSTS, Release, troubles};

/// The sizes of two files: one that can be uploaded, and one that is larger than the 8 MB that a
/// visitor may send.
const UPLOADS: [usize; 2] = [7_900_000, 8_100_000];

/// The IPv4 and IPv6 addresses of this machine alone, as the kernel writes them.
const LOOPBACK: [&str; 3] = ["0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"];

/// All that is done with the app that the generator makes by default.
pub(crate) fn whole(app: App, server: &mut Server<'_>, steps: &mut Steps<'_>, keep: bool) -> Result<()> {
    load(server, steps)?;
    set_database(server, steps);
    if app.release == Release::V1_7 {
        first_push(app, server, steps)?;
        look(app, server, steps, "0.1.0", "http");
        steps.need("HTTPS: a certificate in the operator's file, and another push", || {
            server.serve_https()?;
            server.deploy("https", "0.1.0")?;
            Ok(String::new())
        })?;
    } else {
        refuse_without_https(server, steps);
        steps.need("a certificate in the operator's file", || server.serve_https().map(|()| String::new()))?;
        first_push(app, server, steps)?;
    }
    let first = server.project.head()?;
    look(app, server, steps, "0.1.0", "https");
    through_nginx(server, steps);
    on_the_server(server, steps);
    upgrade(app, server, steps, Some("create_orders"))?;
    undo_migration(server, steps);
    if app.has_assets() {
        reconnect(app, server, steps);
    }
    troubles::all(app, server, steps);
    if app.has_assets() {
        hot(app, server, steps);
    }
    upload(app, server, steps);
    errors(app, server, steps);
    steps.take("rollback: git push -f server OLD:main", || {
        let (output, tally) = server.visitor.during(|| server.push("rollback", &["-f", &format!("{first}:main")]))?;
        ensure!(output.says(" is serving at "), "it was not deployed:\n{}", end_of(&output));
        server.visitor.expect_version("0.1.0")?;
        Ok(tally.to_string())
    });
    commands(server, steps);
    if !keep {
        unload(server, steps);
    }
    Ok(())
}

/// What is done with an app of other options.
pub(crate) fn short(app: App, server: &mut Server<'_>, steps: &mut Steps<'_>, keep: bool) -> Result<()> {
    load(server, steps)?;
    if app.has_database() {
        set_database(server, steps);
    }
    steps.need("a certificate in the operator's file", || server.serve_https().map(|()| String::new()))?;
    first_push(app, server, steps)?;
    look(app, server, steps, "0.1.0", "https");
    upgrade(app, server, steps, app.has_database().then_some("create_orders"))?;
    look(app, server, steps, "0.2.0", "upgraded");
    if app.has_assets() {
        hot(app, server, steps);
    }
    if !keep {
        unload(server, steps);
    }
    Ok(())
}

fn load(server: &Server<'_>, steps: &mut Steps<'_>) -> Result<()> {
    steps.need("gatling load shop", || server.load())
}

fn set_database(server: &Server<'_>, steps: &mut Steps<'_>) {
    const LINE: &str = "gatling config set shop DATABASE_URL=-";
    steps.take("a push without DATABASE_URL is refused, with the line to type", || {
        server.expect_refusal("without-database-url", &[LINE])?;
        Ok(String::new())
    });
    steps.take(LINE, || {
        server.set_secret("DATABASE_URL", &server.postgres.url("shop_prod"))?;
        Ok(String::new())
    });
}

fn refuse_without_https(server: &Server<'_>, steps: &mut Steps<'_>) {
    steps.take("a push to a server without HTTPS is refused, and names force_ssl", || {
        let seen = format!("http://{}/ would be redirected to https://{}/", HOSTS[0], HOSTS[0]);
        server.expect_refusal("without-https", &["force_ssl", &seen, "[[nginx.certificates]]"])?;
        Ok(String::new())
    });
}

fn first_push(app: App, server: &Server<'_>, steps: &mut Steps<'_>) -> Result<()> {
    steps.need("the first push deploys 0.1.0, with a SECRET_KEY_BASE of its own", || {
        server.deploy("first", "0.1.0")?;
        let secret = server.variable("SECRET_KEY_BASE")?;
        ensure!(secret.len() >= 64, "SECRET_KEY_BASE has only {} characters", secret.len());
        if app.has_database() {
            let tables = server.postgres.psql("shop_prod", "select count(*) from items")?;
            ensure!(tables == "0", "the table of the first migration answers with {tables:?}");
        }
        Ok(String::new())
    })
}

fn look(app: App, server: &Server<'_>, steps: &mut Steps<'_>, version: &str, shot: &str) {
    for (host, shot) in HOSTS.into_iter().zip([shot.to_owned(), format!("{shot}-second-host")]) {
        let what = if app.has_assets() { "the page, and the counter that counts" } else { "the page" };
        steps.take(&format!("Chromium: {what}, at {}", server.visitor.url(host, "/")), || {
            let browser = server.visitor.browser(server.sandbox)?;
            let shot = server.evidence.join(shot);
            server.visitor.look(&browser, host, version, app.has_assets(), &shot)?;
            Ok(String::new())
        });
    }
}

fn through_nginx(server: &Server<'_>, steps: &mut Steps<'_>) {
    let visitor = &server.visitor;
    steps.take("HTTP is redirected to HTTPS, on both hosts", || {
        for host in HOSTS {
            let answer = visitor.ask(&format!("http://{host}/counter"), &[])?;
            let wanted = format!("https://{host}/counter");
            ensure!(
                answer.status == 301 && answer.header("location") == wanted,
                "http://{host}/counter answers with:\n{}",
                answer.head
            );
        }
        Ok(String::new())
    });
    steps.take("app.js and app.css come compressed, and for browsers to keep for a year", || {
        let page = visitor.get(HOSTS[0], "/")?.body;
        let mut note = Vec::new();
        for end in [".js", ".css"] {
            let asset = page.split('"').find(|text| {
                text.starts_with("/assets/")
                    && text.contains("/app-")
                    && text.split('?').next().is_some_and(|path| path.ends_with(end))
            });
            let Some(asset) = asset else { bail!("the page names no digested app{end}") };
            let answer = visitor.ask(&visitor.url(HOSTS[0], asset), &["--compressed"])?;
            ensure!(answer.status == 200, "{asset} answers with {}", answer.status);
            ensure!(answer.header("content-encoding") == "gzip", "{asset} is not compressed:\n{}", answer.head);
            let cache = answer.header("cache-control");
            ensure!(
                cache.contains("max-age=31536000") && cache.contains("immutable"),
                "{asset} has Cache-Control: {cache:?}"
            );
            note.push(asset);
        }
        Ok(note.join("\n"))
    });
    steps.take("an upload below 8 MB comes through to the app, and a larger one does not (413)", || {
        let file = server.sandbox.root().join("upload");
        let mut statuses = Vec::new();
        for size in UPLOADS {
            fs::write(&file, vec![b'a'; size])?;
            let form = format!("file=@{}", file.display());
            let arguments = ["--header", "Expect:", "--form", &form];
            statuses.push(visitor.ask(&visitor.url(HOSTS[0], "/"), &arguments)?.status);
        }
        // The app itself says that it has no such route.
        ensure!(statuses == [404, 413], "the statuses are {statuses:?} instead of 404 and 413");
        Ok(String::new())
    });
}

fn on_the_server(server: &Server<'_>, steps: &mut Steps<'_>) {
    steps.take("the app listens on 127.0.0.1 only", || {
        let addresses = processes::listening(server.app()?)?;
        ensure!(!addresses.is_empty(), "it listens nowhere");
        let is_local = |address: &&String| LOOPBACK.iter().any(|ip| address.split(':').next() == Some(ip));
        let open: Vec<_> = addresses.iter().filter(|address| !is_local(address)).cloned().collect();
        ensure!(open.is_empty(), "it listens on {} (as /proc/net writes it)", open.join(", "));
        Ok(String::new())
    });
    steps.take("bin/shop rpc, from an empty environment", || {
        let code = "IO.puts(Application.spec(:shop, :vsn))";
        let said = Output::of(&mut server.release_command(&["rpc", code]))?.expect_success()?.stdout;
        ensure!(said.trim_end() == "0.1.0", "it said {said:?}");
        Ok(String::new())
    });
    steps.take("bin/shop eval, from an empty environment", || {
        let code = "IO.puts(Application.get_env(:shop, Shop.Repo)[:url])";
        let said = Output::of(&mut server.release_command(&["eval", code]))?.expect_success()?.stdout;
        ensure!(said.trim_end() == server.postgres.url("shop_prod"), "it said {said:?}");
        Ok(String::new())
    });
}

fn upgrade(app: App, server: &Server<'_>, steps: &mut Steps<'_>, migration: Option<&str>) -> Result<()> {
    let title = match migration {
        Some(_) => "an upgrade to 0.2.0, whose log names its migration",
        None => "an upgrade to 0.2.0",
    };
    steps.need(title, || {
        app.set_version(server.project, "0.2.0")?;
        if let Some(name) = migration {
            app.add_migration(server.project, name, "create table(:orders), do: add(:item, :string)")?;
        }
        let ((output, slow), tally) = server
            .visitor
            .during(|| server.visitor.during_slow_requests(SLOW_PAGE, || server.deploy("upgrade", "0.2.0")))?;
        if let Some(name) = migration {
            ensure!(output.says(name), "nothing names the migration {name}");
            server.postgres.psql("shop_prod", "select count(*) from orders")?;
        }
        ensure!(tally.failed == 0, "{tally}");
        Ok(format!("{tally}; {slow} that took 12 s each, 0 failed"))
    })
}

/// Goes to 0.2.1 while a visitor has the counter open.
fn reconnect(app: App, server: &Server<'_>, steps: &mut Steps<'_>) {
    steps.take("an upgrade while a page is open: LiveView connects to 0.2.1 within a second", || {
        let browser = server.visitor.browser(server.sandbox)?;
        browser.open(&server.visitor.url(HOSTS[0], "/counter"))?;
        browser.wait_for_text("#socket", "live")?;
        browser.run_js(WATCH_SOCKET)?;
        app.set_version(server.project, "0.2.1")?;
        let (_, tally) = server.visitor.during(|| server.deploy("reconnect", "0.2.1"))?;
        browser.wait_for_text("#version", "shop 0.2.1")?;
        browser.click("#plus")?;
        browser.wait_for_text("#count", "1")?;
        let away = browser.run_js("return window.gatlingAway")?;
        let away = away.as_f64().context("the page did not notice the switch")?;
        ensure!(tally.failed == 0 && away < 1000.0, "{tally}; the socket was away for {away} ms");
        Ok(format!("{tally}; the socket was away for {away:.0} ms"))
    });
    steps.take("gatling rollback shop, and gatling maintenance shop on and off", || {
        let (_, tally) = server.visitor.during(|| server.gatling(&["rollback", server.project.name()]))?;
        ensure!(tally.failed == 0, "{tally}");
        server.visitor.expect_version("0.2.0")?;
        server.gatling(&["maintenance", server.project.name(), "on"])?;
        let closed = server.visitor.get(HOSTS[0], "/")?;
        ensure!(closed.status == 503 && closed.header("retry-after") == "60", "{closed:?}");
        server.gatling(&["maintenance", server.project.name(), "off"])?;
        server.visitor.expect_version("0.2.0")?;
        Ok(tally.to_string())
    });
}

/// Goes back to 0.1.0, which does not know the migration of 0.2.0, and on to 0.2.0 again.
fn undo_migration(server: &Server<'_>, steps: &mut Steps<'_>) {
    let name = server.project.name();
    steps.take("gatling rollback shop --migrate-down, and gatling upgrade shop", || {
        let refused = server.sandbox.run(&["rollback", name])?;
        ensure!(refused.status.code() == Some(1) && refused.says("create_orders"), "{}", end_of(&refused));
        let table = || server.postgres.psql("shop_prod", "select coalesce(to_regclass('orders')::text, 'none')");
        let (_, back) = server.visitor.during(|| server.gatling(&["rollback", name, "--migrate-down"]))?;
        server.visitor.expect_version("0.1.0")?;
        ensure!(table()? == "none", "the table of the migration is still there");
        let (_, forth) = server.visitor.during(|| server.gatling(&["upgrade", name]))?;
        server.visitor.expect_version("0.2.0")?;
        ensure!(table()? == "orders", "the table of the migration is not there");
        ensure!(back.failed + forth.failed == 0, "{back}\n{forth}");
        Ok(format!("{back}\n{forth}"))
    });
}

/// Pushes a version that has an error on a page that Gatling does not visit.
fn errors(app: App, server: &Server<'_>, steps: &mut Steps<'_>) {
    steps.take("a version whose visitors get errors is taken back: 0.6.1 keeps serving", || {
        let sleep = "if not connected?(socket), do: Process.sleep(";
        let fails = format!("if params[\"seconds\"] == \"1\", do: raise(\"oh no\")\n    {sleep}");
        app.change_counter(server.project, sleep, &fails)?;
        app.set_version(server.project, "0.6.2")?;
        let stop = AtomicBool::new(false);
        let output = thread::scope(|scope| {
            let (visitor, stop) = (server.visitor.clone(), &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // What it answers is counted by the app.
                    _ = visitor.get(HOSTS[0], "/counter?seconds=1");
                    thread::sleep(Duration::from_millis(200));
                }
            });
            let output = server.expect_failure("errors", &["visitors of 0.6.2 got errors: "]);
            stop.store(true, Ordering::Relaxed);
            output
        })?;
        server.visitor.expect_version("0.6.1")?;
        let line = output.lines().into_iter().find(|line| line.contains("got errors: "));
        Ok(line.unwrap_or_default().trim().to_owned())
    });
}

/// Goes to 0.6.1 while a visitor uploads to 0.6.0.
fn upload(app: App, server: &Server<'_>, steps: &mut Steps<'_>) {
    steps.take("an upload of 100 MB that takes longer than an upgrade", || {
        server.project.write("gatling.toml", "[nginx]\nbody_size = \"150MB\"\n")?;
        app.set_version(server.project, "0.6.0")?;
        server.deploy("large-bodies", "0.6.0")?;
        let file = server.sandbox.root().join("large");
        fs::write(&file, vec![b'a'; 100_000_000])?;
        let mut curl = server.visitor.curl(&server.visitor.url(HOSTS[0], "/upload"));
        // The later --max-time counts.
        curl.args(["--max-time", "120", "--limit-rate", "4M", "--header", "Content-Type: application/octet-stream"]);
        curl.args(["--header", "Expect:", "--data-binary", &format!("@{}", file.display())]);
        let uploading = thread::spawn(move || Output::of(&mut curl));
        app.set_version(server.project, "0.6.1")?;
        let begun = Instant::now();
        server.project.commit("0.6.1")?;
        let push = server.push("upload", &["main"])?;
        let uploaded = uploading.join().expect("the thread does not panic")?;
        ensure!(uploaded.stdout == "100000000 bytes to 0.6.0", "{uploaded:?}");
        ensure!(push.says("0.6.1 is serving at "), "{}", end_of(&push));
        server.visitor.expect_version("0.6.1")?;
        Ok(format!("all of it came to 0.6.0; upload and upgrade took {:.0} s", begun.elapsed().as_secs_f64()))
    });
}

/// Goes to 0.4.0 and 0.5.0 in the same process, while a visitor has the counter open.
fn hot(app: App, server: &Server<'_>, steps: &mut Steps<'_>) {
    steps.take("`strategy = \"hot\"`: 0.4.0 and 0.5.0 in the same process, and back", || {
        let process = server.app()?;
        let browser = server.visitor.browser(server.sandbox)?;
        browser.open(&server.visitor.url(HOSTS[0], "/counter"))?;
        browser.wait_for_text("#socket", "live")?;
        browser.click("#plus")?;
        browser.wait_for_text("#count", "1")?;
        browser.run_js(WATCH_SOCKET)?;
        let styles = || -> Result<String> {
            let page = server.visitor.get(HOSTS[0], "/counter")?.body;
            let style = page.split('"').find(|text| text.contains("/app-") && text.contains(".css"));
            Ok(style.context("the page names no style")?.to_owned())
        };
        let old_styles = styles()?;
        let upgrade = |version: &str| -> Result<Tally> {
            app.set_version(server.project, version)?;
            let (output, tally) = server.visitor.during(|| server.deploy(&format!("hot-{version}"), version))?;
            ensure!(output.says("in the same process as before"), "it was not upgraded in place:\n{}", end_of(&output));
            ensure!(tally.failed == 0, "{tally}");
            Ok(tally)
        };

        server.project.write("gatling.toml", "strategy = \"hot\"\n")?;
        app.change_counter(server.project, "&(&1 + 1)", "&(&1 + 10)")?;
        let first = upgrade("0.4.0")?;
        browser.click("#plus")?;
        browser.wait_for_text("#count", "11").context("the page that was open does not run the new code")?;
        app.change_counter(server.project, "text-3xl", "text-3xl underline")?;
        let second = upgrade("0.5.0")?;
        let new_styles = styles()?;
        ensure!(new_styles != old_styles, "the page still names {old_styles}");
        let answer = server.visitor.get(HOSTS[0], &new_styles)?;
        ensure!(
            answer.status == 200 && answer.body.contains("underline"),
            "{new_styles} answers with {}",
            answer.status
        );

        let (_, back) = server.visitor.during(|| server.gatling(&["rollback", server.project.name()]))?;
        ensure!(back.failed == 0, "{back}");
        server.visitor.expect_version("0.4.0")?;
        browser.click("#plus")?;
        browser.wait_for_text("#count", "21")?;
        ensure!(
            browser.run_js("return window.gatlingAway ?? null")?.is_null(),
            "LiveView was not connected all the time"
        );
        ensure!(server.app()? == process, "the process is another one");
        Ok(format!("{first}\n{second}\n{back}\nthe socket stayed connected, and the page its count"))
    });
}

/// A page whose answer takes 12 s.
const SLOW_PAGE: &str = "/counter?seconds=12";

/// Notes for how many milliseconds LiveView was not connected, the last time.
const WATCH_SOCKET: &str = "
let lost = null;
setInterval(() => {
  if (!window.liveSocket.isConnected()) lost ??= performance.now();
  else if (lost !== null) { window.gatlingAway = performance.now() - lost; lost = null; }
}, 5);";

fn commands(server: &Server<'_>, steps: &mut Steps<'_>) {
    let name = server.project.name();
    steps.take("gatling restart shop", || {
        let before = server.app()?;
        server.gatling(&["restart", name])?;
        ensure!(server.app()? != before, "the process is still {}", before.as_raw_nonzero());
        server.visitor.expect_version("0.1.0")?;
        Ok(String::new())
    });
    steps.take("gatling logs shop", || {
        let said = server.gatling(&["logs", name])?.stdout;
        ensure!(said.contains("ShopWeb.Endpoint"), "it doesn't say that the endpoint was started:\n{said}");
        Ok(String::new())
    });
    steps.take("gatling run shop -- shop eval ..., and rpc", || {
        let code = "IO.puts(Application.get_env(:shop, Shop.Repo)[:url])";
        let said = server.gatling(&["run", name, "--", "shop", "eval", code])?.stdout;
        ensure!(said.trim_end() == server.postgres.url("shop_prod"), "eval said {said:?}");
        let code = "IO.puts(Application.spec(:shop, :vsn))";
        let said = server.gatling(&["run", name, "--", "shop", "rpc", code])?.stdout;
        ensure!(said.trim_end() == "0.1.0", "rpc said {said:?}");
        Ok(String::new())
    });
}

fn unload(server: &Server<'_>, steps: &mut Steps<'_>) {
    steps.take("gatling unload shop --yes, which leaves no app, no epmd and no site", || {
        server.gatling(&["unload", server.project.name(), "--yes"])?;
        let programs = processes::of(server.sandbox.root()).into_iter().map(processes::arguments);
        let left: Vec<_> =
            programs.filter_map(|arguments| is_erlangs(&arguments).then(|| arguments.join(" "))).collect();
        ensure!(left.is_empty(), "these still run:\n{}", left.join("\n"));
        let status = server.visitor.ask(&format!("http://{}/", HOSTS[0]), &[])?.status;
        ensure!(status == 404, "the site still answers with {status}");
        Ok(String::new())
    });
}

fn is_erlangs(arguments: &[String]) -> bool {
    let program = arguments.first().map(String::as_str).unwrap_or_default();
    ["beam.smp", "epmd"].iter().any(|name| program.ends_with(name))
}
