//! The script as a service of the system, with the default folders.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use gatling_tests::mounts::{apart, with_mounts_of};
use gatling_tests::server::{Run, VERSION, answer};
use gatling_tests::{HOST, Output, Sandbox, http, places, waiting};
use rustix::process::{Pid, geteuid};

use crate::OTHER;

/// A machine with its own /etc and /run, where Gatling uses its default folders instead of a sandbox.
struct Machine {
    sandbox: Sandbox,
    /// The process that keeps the mounts. It ends when its standard input is closed.
    holder: Child,
    port: u16,
}

impl Machine {
    /// Copies /etc, with an nginx on its own port. None if this user cannot mount anything.
    fn new() -> Option<Self> {
        let sandbox = Sandbox::new().unwrap();
        let port = http::free_port().unwrap();
        let root = sandbox.root().display();
        // Its own /run hides this machine's systemd.
        let script = format!(
            "cp -a /etc {root}/system-etc
            rm -rf {root}/system-etc/nginx
            cp -a {root}/nginx {root}/system-etc/nginx
            rm -f {root}/system-etc/nginx/*.pid
            mkdir -p {root}/system-etc/gatling
            mount --bind {root}/system-etc /etc
            mount -t tmpfs tmpfs /run
            mount -t tmpfs tmpfs /var/lib
            if [ -d /var/log/nginx ]; then mount -t tmpfs tmpfs /var/log/nginx; fi
            touch {root}/mounted
            exec cat"
        );
        let mut holder = apart(&sandbox, sandbox.root(), &script)?;
        let holder = holder.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let machine = Self { sandbox, holder, port };
        let mounted = machine.sandbox.root().join("mounted");
        waiting::wait_for("the mounts", || mounted.exists().then_some(())).unwrap();
        machine.configure();
        Some(machine)
    }

    fn configure(&self) {
        let config = self.etc().join("nginx/nginx.conf");
        let text = fs::read_to_string(&config).unwrap();
        let text = text.replace(&self.sandbox.nginx_dir().display().to_string(), "/etc/nginx");
        let listen = |port| format!("listen 127.0.0.1:{port} ");
        fs::write(&config, text.replace(&listen(self.sandbox.nginx_port()), &listen(self.port))).unwrap();
        let settings = format!("[nginx]\nlisten = [\"127.0.0.1:{}\"]\n", self.port);
        fs::write(self.etc().join("gatling/gatling.toml"), settings).unwrap();
        self.run("nginx", &[], 0);
    }

    /// The path of the machine's /etc from outside.
    fn etc(&self) -> PathBuf {
        self.sandbox.root().join("system-etc")
    }

    /// The number of symlinks that start and stop hello with the machine.
    fn runlevel_links(&self) -> usize {
        let folders = fs::read_dir(self.etc()).unwrap().map(|entry| entry.unwrap().path());
        let levels =
            folders.filter(|folder| folder.join(".").is_dir() && folder.extension().is_some_and(|name| name == "d"));
        let files = levels.flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap());
        files
            .filter(|file| file.file_name().to_string_lossy().ends_with("hello"))
            .filter(|file| !file.path().ends_with("init.d/hello"))
            .count()
    }

    /// Runs a program there and asserts that it exits with `code`.
    #[track_caller]
    fn run(&self, program: &str, args: &[&str], code: i32) -> String {
        self.run_in(self.sandbox.root(), program, args, code)
    }

    #[track_caller]
    fn run_in(&self, folder: &Path, program: &str, args: &[&str], code: i32) -> String {
        let mut command = with_mounts_of(Pid::from_child(&self.holder), &self.sandbox, program, folder);
        for (name, _) in self.sandbox.variables() {
            command.env_remove(name);
        }
        let run = Run::from(Output::of(command.env("HOME", self.sandbox.home()).args(args)).unwrap());
        assert_eq!(run.code, Some(code), "the exit code of {program} {args:?}; it said:\n{}", run.text());
        run.text()
    }

    fn wait_for_answer(&self, status: u16, body: &str) {
        let answer = (status, body.to_owned());
        let right = || http::get(self.port, HOST, "/").is_ok_and(|got| got == answer).then_some(());
        waiting::wait_for(body, right).unwrap();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        _ = self.holder.kill();
        _ = self.holder.wait();
    }
}

#[test]
fn with_the_default_roots_the_app_is_a_service_of_the_system() {
    let Some(machine) = Machine::new() else { return };
    let hello = machine.sandbox.project("hello").unwrap();
    let site = machine.etc().join("nginx/sites-enabled/hello");
    machine.run("gatling", &["load", "hello"], 0);
    machine.run("gatling", &["config", "set", "hello", "RELEASE_DISTRIBUTION=none"], 0);

    let told = machine.run_in(hello.dir(), "git", &["push", "server", "main"], 0);

    for command in ["$ /etc/init.d/hello upgrade 0.1.0", "$ nginx -t", "$ nginx -s reload"] {
        assert!(told.lines().any(|line| line.trim() == command), "{command} is not in:\n{told}");
    }
    machine.wait_for_answer(200, &answer(VERSION));
    assert!(machine.etc().join("init.d/hello").is_file() && site.is_symlink());
    assert!(machine.runlevel_links() >= 5, "the app would not start with the machine");
    let read = machine.run("logrotate", &["--debug", "/etc/logrotate.d/hello"], 0);
    assert!(read.contains("deployments/hello/log/hello.log") && !read.contains("error:"), "{read}");

    hello.set_version(OTHER).unwrap();
    hello.commit("Version 0.2.0").unwrap();
    let told = machine.run_in(hello.dir(), "git", &["push", "server", "main"], 0);
    assert!(told.contains("$ /etc/init.d/hello start-beside 0.2.0"), "{told}");
    machine.wait_for_answer(200, &answer(OTHER));

    machine.run("service", &["hello", "upgrade", VERSION], 0);
    machine.wait_for_answer(200, &answer(VERSION));
    machine.run("service", &["hello", "stop"], 0);
    machine.run("service", &["hello", "status"], 3);
    machine.run("service", &["hello", "start"], 0);

    machine.run("gatling", &["unload", "hello", "--yes"], 0);
    assert!(!machine.etc().join("init.d/hello").exists() && !site.is_symlink());
    assert!(!machine.etc().join("logrotate.d/hello").exists());
    assert_eq!(machine.runlevel_links(), 0);
    machine.wait_for_answer(404, "no project is served under this name\n");
    assert!(!Path::new("/etc/init.d/hello").exists(), "the real system was touched");
}

#[test]
fn a_user_without_roots_rights_deploys_with_sudo_and_owns_the_app() {
    if !geteuid().is_root() {
        eprintln!("SKIPPED: only root can make a user to deploy as");
        return;
    }
    let Some(machine) = Machine::new() else { return };
    let root = machine.sandbox.root();
    let hello = machine.sandbox.project("hello").unwrap();
    let user = ["--no-create-home", "--home-dir", &machine.sandbox.home().display().to_string(), "deploy"];
    machine.run("useradd", &user, 0);
    // The user can read the program, but none of root's files.
    fs::create_dir(root.join("bin")).unwrap();
    fs::copy(places::gatling().unwrap(), root.join("bin/gatling")).unwrap();
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
    let owned = [machine.sandbox.home(), hello.dir().to_owned()].map(|path| path.display().to_string());
    machine.run("chown", &["-R", "deploy", &owned[0], &owned[1]], 0);
    let as_deploy = |command: &str| {
        let home = machine.sandbox.home();
        let script = format!("PATH={}/bin:$PATH HOME={}; export PATH HOME; {command}", root.display(), home.display());
        machine.run_in(
            hello.dir(),
            "setpriv",
            &["--reuid", "deploy", "--regid", "deploy", "--init-groups", "sh", "-ec", &script],
            0,
        )
    };
    let install = "| install -m 440 /dev/stdin /etc/sudoers.d/gatling-hello";
    let told = as_deploy("gatling load hello; gatling config set hello RELEASE_DISTRIBUTION=none");
    assert!(told.contains("su - deploy -c ") && told.contains(install), "{told}");
    let told = as_deploy("git push server main");
    assert!(
        told.contains("sudo refuses `sudo -n nginx -T`. As root: su - deploy -c ") && told.contains(install),
        "{told}"
    );
    let rule = as_deploy("gatling sudoers hello");
    fs::write(machine.etc().join("sudoers.d/gatling-hello"), rule).unwrap();

    let told = as_deploy("gatling deploy hello");

    assert!(told.contains("$ /etc/init.d/hello upgrade 0.1.0") && told.contains("$ sudo -n nginx -t"), "{told}");
    machine.wait_for_answer(200, &answer(VERSION));
    let pid = fs::read_to_string(machine.sandbox.home().join("deployments/hello/run/hello.pid")).unwrap();
    let owner = fs::metadata(format!("/proc/{}", pid.trim())).unwrap().uid();
    assert_ne!(owner, 0, "the app runs as root");

    // Root runs logrotate, because it must read all its settings; it rotates the log as the app's user.
    let log = machine.sandbox.home().join("deployments/hello/log/hello.log");
    // An empty log is not rotated.
    File::options().append(true).open(&log).unwrap().write_all(b"a line\n").unwrap();
    let state = root.join("logrotate-state").display().to_string();
    machine.run("logrotate", &["--force", "--state", &state, "/etc/logrotate.d/hello"], 0);
    let owner_of = |path: &Path| fs::metadata(path).unwrap().uid();
    assert_eq!(owner_of(&log.with_extension("log.1")), owner);
    assert_eq!(fs::metadata(&log).unwrap().len(), 0, "the log is not empty after its rotation");

    hello.set_version(OTHER).unwrap();
    as_deploy("git commit --quiet --all --message 'Version 0.2.0'; git push server main");
    machine.wait_for_answer(200, &answer(OTHER));

    as_deploy("gatling unload hello --yes");
    assert!(!machine.etc().join("init.d/hello").exists());
    machine.wait_for_answer(404, "no project is served under this name\n");
}
