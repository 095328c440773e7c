//! A hook that carries out requests ("wishes"), each a verb with its arguments. With `gatling hooks run`, the env
//! record's `domains` are the wishes; in a deployment, the lines of the project's file `wishes`. It logs the result
//! of each.

use std::fs;
use std::io::Write as _;

use wasi::filesystem::preopens::get_directories;
use wasi::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};
use wasi::http::outgoing_handler;
use wasi::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, Method, OutgoingBody, OutgoingRequest, Scheme,
};

#[gatling_hooks::hooks]
mod hooks {
    pub fn before_mix_compile(env: &Env) -> Result<()> {
        let is_trial = deployment::run_id() == "trial";
        let wishes = if is_trial { env.domains.clone() } else { super::wishes(env)? };
        for wish in &wishes {
            match super::ask(env, wish) {
                Ok(answer) => info!("{wish} -> {answer}"),
                Err(error) => info!("{wish} -> error: {error}"),
            }
        }
        Ok(())
    }
}

fn wishes(env: &gatling_hooks::Env) -> gatling_hooks::Result<Vec<String>> {
    let text = fs::read_to_string(format!("{}/wishes", env.build_dir))?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn ask(env: &gatling_hooks::Env, wish: &str) -> gatling_hooks::Result<String> {
    let mut words = wish.split(' ');
    let (word, what) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = |name: &str| match name.strip_prefix("deploy:") {
        Some(name) => format!("{}/{name}", env.deploy_dir),
        None if name.starts_with('/') => name.to_owned(),
        None => format!("{}/{name}", env.build_dir),
    };
    let other = path(words.next().unwrap_or_default());
    let place = path(what);
    Ok(match word {
        "read" => fs::read_to_string(place)?,
        "list" => {
            let mut names = Vec::new();
            for entry in fs::read_dir(place)? {
                names.push(entry?.file_name().to_string_lossy().into_owned());
            }
            names.sort();
            names.join(",")
        }
        "exists" => fs::metadata(place)?.is_dir().to_string(),
        "write" => fs::write(place, "written").map(|()| "written".to_owned())?,
        "append" => {
            fs::OpenOptions::new().append(true).create(true).open(place)?.write_all(b"more")?;
            "appended".to_owned()
        }
        "make" => fs::create_dir_all(place).map(|()| "made".to_owned())?,
        "remove" => fs::remove_file(place).map(|()| "removed".to_owned())?,
        "remove-folder" => fs::remove_dir(place).map(|()| "removed".to_owned())?,
        "rename" => fs::rename(place, other).map(|()| "renamed".to_owned())?,
        "link" => fs::hard_link(place, other).map(|()| "linked".to_owned())?,
        // These two bypass the language's own library, which would change such paths.
        "symlink" => {
            let name = other.strip_prefix(&format!("{}/", env.build_dir)).unwrap_or(&other);
            build_dir().symlink_at(what, name).map(|()| "linked".to_owned())?
        }
        "raw" => {
            let flags = (PathFlags::SYMLINK_FOLLOW, OpenFlags::empty(), DescriptorFlags::READ);
            build_dir().open_at(flags.0, what, flags.1, flags.2).map(|_| "opened".to_owned())?
        }
        "hold" => {
            let many: usize = other.rsplit('/').next().unwrap_or_default().parse()?;
            // The language's own library has a lower limit than Gatling.
            let dir = build_dir();
            let open = || dir.open_at(PathFlags::empty(), what, OpenFlags::empty(), DescriptorFlags::READ);
            let files = (0..many).map(|_| open()).collect::<Result<Vec<_>, _>>()?;
            format!("held {}", files.len())
        }
        "variable" => gatling_hooks::variable(what)?,
        "getenv" => std::env::var(what)?,
        "environment" => std::env::vars().map(|(name, _)| name).collect::<Vec<_>>().join(","),
        "flood" => {
            let many: usize = wish.rsplit(' ').next().unwrap_or_default().parse()?;
            let sent: Result<Vec<_>, _> = (0..many).map(|_| send(what)).collect();
            format!("sent {}", sent.map_err(|error| gatling_hooks::Error::msg(format!("{error:?}")))?.len())
        }
        "post" => post(what).map_err(|error| gatling_hooks::Error::msg(format!("{error:?}")))?,
        "run" => gatling_hooks::bash(what, [wish.rsplit(' ').next().unwrap_or_default()]).run()?.output,
        _ => "no such wish".to_owned(),
    })
}

/// The build dir, which is the first preopened folder.
fn build_dir() -> Descriptor {
    get_directories().swap_remove(0).0
}

/// Posts a text to a URL.
fn send(url: &str) -> Result<FutureIncomingResponse, ErrorCode> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let request = OutgoingRequest::new(Fields::new());
    let scheme = if scheme == "http" { Scheme::Http } else { Scheme::Https };
    let fits = request.set_method(&Method::Post).is_ok()
        && request.set_scheme(Some(&scheme)).is_ok()
        && request.set_authority(Some(authority)).is_ok()
        && request.set_path_with_query(Some(&format!("/{path}"))).is_ok();
    if !fits {
        return Err(ErrorCode::HttpRequestUriInvalid);
    }
    let body = request.body().map_err(|()| ErrorCode::ConfigurationError)?;
    let sent = outgoing_handler::handle(request, None)?;
    let stream = body.write().map_err(|()| ErrorCode::ConfigurationError)?;
    // If the request was refused, the body cannot be written either: only the answer counts.
    _ = stream.blocking_write_and_flush(b"it is up");
    drop(stream);
    _ = OutgoingBody::finish(body, None);
    Ok(sent)
}

/// Posts a text to a URL, and returns the status and the body of the answer.
fn post(url: &str) -> Result<String, ErrorCode> {
    let sent = send(url)?;
    sent.subscribe().block();
    let response = sent.get().and_then(Result::ok).ok_or(ErrorCode::ConfigurationError)??;
    let status = response.status();
    let body = response.consume().map_err(|()| ErrorCode::ConfigurationError)?;
    let stream = body.stream().map_err(|()| ErrorCode::ConfigurationError)?;
    let mut text = Vec::new();
    while let Ok(bytes) = stream.blocking_read(4096) {
        text.extend(bytes);
    }
    drop(stream);
    drop(IncomingBody::finish(body));
    Ok(format!("{status} {}", String::from_utf8_lossy(&text)))
}
