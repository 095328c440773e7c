//! The servers of a site: their names, and where visitors reach them.

use std::fmt;
use std::path::PathBuf;

use super::config::{Directive, visit};

/// Where visitors of a host name come in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Door {
    /// For `http://`.
    pub http: Option<Transport>,
    /// For `https://`.
    pub https: Option<Transport>,
}

/// How a connection is made, whatever the host's name is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// To an address and port.
    Tcp(String),
    /// To a socket in the file system.
    Unix(PathBuf),
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A `server` block, as far as it matters to visitors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// Its `server_name`s.
    pub names: Vec<String>,
    /// Its `listen`s.
    pub listens: Vec<Listen>,
    /// The file it stands in.
    pub file: String,
}

/// A `listen` of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The address, as it is written.
    pub address: String,
    /// Whether it is for HTTPS.
    pub ssl: bool,
}

impl Listen {
    /// Reads the arguments of a `listen`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut words = text.split_whitespace();
        let address = words.next().unwrap_or("80").to_owned();
        Self { address, ssl: words.any(|word| word == "ssl") }
    }

    /// How somebody on this machine connects to it.
    #[must_use]
    pub fn transport(&self) -> Transport {
        let address = self.address.as_str();
        if let Some(path) = address.strip_prefix("unix:") {
            return Transport::Unix(path.into());
        }
        Transport::Tcp(match address.rsplit_once(':') {
            None if address.chars().all(|c| c.is_ascii_digit()) => format!("127.0.0.1:{address}"),
            None => format!("{address}:80"),
            Some(("*" | "0.0.0.0", port)) => format!("127.0.0.1:{port}"),
            Some(("[::]", port)) => format!("[::1]:{port}"),
            // An IPv6 address without a port.
            Some(_) if address.ends_with(']') => format!("{address}:80"),
            Some(_) => address.to_owned(),
        })
    }

    /// The port, or the socket: what two servers have to share to be in each other's way.
    fn place(&self) -> String {
        match self.transport() {
            Transport::Unix(path) => path.display().to_string(),
            Transport::Tcp(address) => address.rsplit_once(':').map_or(String::new(), |(_, port)| port.to_owned()),
        }
    }
}

/// The servers in a configuration.
#[must_use]
pub fn servers(directives: &[Directive]) -> Vec<Server> {
    let mut servers = Vec::new();
    visit(directives, &mut |directive| {
        // The servers of an `upstream` have no block.
        if directive.name() == "server" && directive.block.is_some() {
            let mut listens: Vec<_> = directive
                .children("listen")
                .map(|listen| Listen::parse(&listen.arguments().collect::<Vec<_>>().join(" ")))
                .collect();
            if listens.is_empty() {
                listens.push(Listen::parse("80"));
            }
            servers.push(Server {
                names: directive.children("server_name").flat_map(Directive::arguments).collect(),
                listens,
                file: directive.file.clone(),
            });
        }
    });
    servers
}

/// Whether a `server_name` is for this host name.
fn is_for(name: &str, host: &str) -> bool {
    let below = |parent: &str| host.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1);
    match (name.strip_prefix("*."), name.strip_prefix('.')) {
        (Some(parent), _) => below(parent),
        (None, Some(parent)) => host == parent || below(parent),
        (None, None) => host.eq_ignore_ascii_case(name),
    }
}

/// Where visitors of a host name come in.
#[must_use]
pub fn door(servers: &[Server], host: &str) -> Door {
    let named: Vec<_> = servers.iter().filter(|server| server.names.iter().any(|name| is_for(name, host))).collect();
    let is_nameless = |server: &&Server| server.names.iter().all(|name| name.is_empty() || name == "_");
    let mine = if named.is_empty() { servers.iter().filter(is_nameless).collect() } else { named };
    let listens: Vec<_> = mine.iter().flat_map(|server| &server.listens).collect();
    let first = |ssl: bool| {
        let mut transports = listens.iter().filter(|listen| listen.ssl == ssl).map(|listen| listen.transport());
        let first = transports.next()?;
        // IPv4 is there on every machine.
        let is_ipv4 = |transport: &Transport| matches!(transport, Transport::Tcp(address) if !address.starts_with('['));
        Some(if is_ipv4(&first) { first } else { transports.find(is_ipv4).unwrap_or(first) })
    };
    Door { http: first(false), https: first(true) }
}

/// The host names that servers are for, without patterns.
#[must_use]
pub fn plain_names(servers: &[Server]) -> Vec<String> {
    let mut names = Vec::new();
    for name in servers.iter().flat_map(|server| &server.names) {
        let is_plain =
            !name.is_empty() && name != "_" && !name.starts_with(['~', '*', '.', '$']) && !name.ends_with('*');
        if is_plain && !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// A name that two servers both have at the same address, and the file of the other one.
#[must_use]
pub fn conflict<'a>(own: &[Server], others: &'a [Server]) -> Option<(String, &'a str)> {
    let meet = |one: &Server, other: &Server| {
        one.listens.iter().any(|listen| other.listens.iter().any(|another| listen.place() == another.place()))
    };
    own.iter().find_map(|one| {
        others.iter().filter(|other| meet(one, other)).find_map(|other| {
            let same = |name: &&String| {
                !name.is_empty() && *name != "_" && other.names.iter().any(|other| other.eq_ignore_ascii_case(name))
            };
            Some((one.names.iter().find(same)?.clone(), other.file.as_str()))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn of(text: &str) -> Vec<Server> {
        servers(&parse(text, "site").expect("it is a configuration"))
    }

    #[test]
    fn visitors_come_in_where_a_server_of_their_name_listens() {
        let site = of("server { listen [::]:80; listen 80; server_name a.example .b.example; }
            server { listen 10.0.0.1:443 ssl http2; server_name a.example *.c.example; }
            upstream u { server 127.0.0.1:4000; }");
        let tcp = |address: &str| Some(Transport::Tcp(address.to_owned()));
        let here = |http: &str, https: &str| Door { http: tcp(http), https: tcp(https) };
        assert_eq!(door(&site, "a.example"), here("127.0.0.1:80", "10.0.0.1:443"));
        for host in ["b.example", "x.b.example"] {
            assert_eq!(door(&site, host), Door { http: tcp("127.0.0.1:80"), https: None });
        }
        assert_eq!(door(&site, "x.c.example"), Door { http: None, https: tcp("10.0.0.1:443") });
        assert_eq!(door(&site, "c.example"), Door::default());
        assert_eq!(plain_names(&site), ["a.example"]);
    }

    #[test]
    fn a_name_is_taken_only_at_the_same_port() {
        let own = of("server { listen 80; server_name a.example b.example; }");
        let others =
            of("server { listen 443 ssl; server_name a.example; } server { listen *:80; server_name B.example; }");
        assert_eq!(conflict(&own, &others), Some(("b.example".to_owned(), "site")));
        assert_eq!(conflict(&own, &others[..1]), None);
        assert_eq!(conflict(&of("server { server_name _; }"), &of("server { server_name _; }")), None);
    }

    #[test]
    fn addresses_are_reached_from_this_machine() {
        for (listen, address) in [
            ("8080", "127.0.0.1:8080"),
            ("*:80", "127.0.0.1:80"),
            ("[::]:80 ipv6only=on", "[::1]:80"),
            ("[::1]", "[::1]:80"),
            ("192.168.1.1", "192.168.1.1:80"),
            ("127.0.0.1:8443 ssl", "127.0.0.1:8443"),
        ] {
            assert_eq!(Listen::parse(listen).transport(), Transport::Tcp(address.to_owned()), "{listen}");
        }
        assert_eq!(Listen::parse("unix:/run/x").transport(), Transport::Unix("/run/x".into()));
    }
}
