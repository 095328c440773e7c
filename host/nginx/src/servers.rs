//! The servers of a site: their host names and addresses.

use std::fmt;
use std::path::PathBuf;

use super::config::{Directive, visit};

/// The addresses at which visitors reach a host name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// For `http://`.
    pub http: Option<Transport>,
    /// For `https://`.
    pub https: Option<Transport>,
}

/// An address to connect to, independent of the host name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// An IP address and port.
    Tcp(String),
    /// A Unix domain socket.
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

/// The names and addresses of a `server` block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// The arguments of its `server_name` directives.
    pub names: Vec<String>,
    /// Its `listen` directives.
    pub listens: Vec<Listen>,
    /// The file that contains it.
    pub file: String,
}

/// A `listen` directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The address, as in the configuration.
    pub address: String,
    /// Whether it is for HTTPS.
    pub ssl: bool,
}

impl Listen {
    /// Parses the arguments of a `listen` directive.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut words = text.split_whitespace();
        let address = words.next().unwrap_or("80").to_owned();
        Self { address, ssl: words.any(|word| word == "ssl") }
    }

    /// The address to connect to from this machine.
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

    /// The port, or the socket. Two servers can only conflict if they share it.
    fn port_or_socket(&self) -> String {
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
        // The `server` directives of an `upstream` have no block.
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

/// Whether a `server_name` matches this host name.
fn matches_host(name: &str, host: &str) -> bool {
    let below = |parent: &str| host.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1);
    match (name.strip_prefix("*."), name.strip_prefix('.')) {
        (Some(parent), _) => below(parent),
        (None, Some(parent)) => host == parent || below(parent),
        (None, None) => host.eq_ignore_ascii_case(name),
    }
}

/// The addresses at which visitors reach a host name.
#[must_use]
pub fn endpoints(servers: &[Server], host: &str) -> Endpoints {
    let named: Vec<_> =
        servers.iter().filter(|server| server.names.iter().any(|name| matches_host(name, host))).collect();
    let is_nameless = |server: &&Server| server.names.iter().all(|name| name.is_empty() || name == "_");
    let matching = if named.is_empty() { servers.iter().filter(is_nameless).collect() } else { named };
    let listens: Vec<_> = matching.iter().flat_map(|server| &server.listens).collect();
    let first = |ssl: bool| {
        let mut transports = listens.iter().filter(|listen| listen.ssl == ssl).map(|listen| listen.transport());
        let first = transports.next()?;
        // Every machine has IPv4.
        let is_ipv4 = |transport: &Transport| matches!(transport, Transport::Tcp(address) if !address.starts_with('['));
        Some(if is_ipv4(&first) { first } else { transports.find(is_ipv4).unwrap_or(first) })
    };
    Endpoints { http: first(false), https: first(true) }
}

/// The host names of servers, without patterns.
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

/// A host name that two servers share at the same port or socket, and the file of the other server.
#[must_use]
pub fn conflict<'a>(own: &[Server], others: &'a [Server]) -> Option<(String, &'a str)> {
    let meet = |one: &Server, other: &Server| {
        one.listens
            .iter()
            .any(|listen| other.listens.iter().any(|another| listen.port_or_socket() == another.port_or_socket()))
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
    fn a_host_name_is_reached_where_a_server_of_that_name_listens() {
        let site = of("server { listen [::]:80; listen 80; server_name a.example .b.example; }
            server { listen 10.0.0.1:443 ssl http2; server_name a.example *.c.example; }
            upstream u { server 127.0.0.1:4000; }");
        let tcp = |address: &str| Some(Transport::Tcp(address.to_owned()));
        let here = |http: &str, https: &str| Endpoints { http: tcp(http), https: tcp(https) };
        assert_eq!(endpoints(&site, "a.example"), here("127.0.0.1:80", "10.0.0.1:443"));
        for host in ["b.example", "x.b.example"] {
            assert_eq!(endpoints(&site, host), Endpoints { http: tcp("127.0.0.1:80"), https: None });
        }
        assert_eq!(endpoints(&site, "x.c.example"), Endpoints { http: None, https: tcp("10.0.0.1:443") });
        assert_eq!(endpoints(&site, "c.example"), Endpoints::default());
        assert_eq!(plain_names(&site), ["a.example"]);
    }

    #[test]
    fn equal_names_only_conflict_at_the_same_port() {
        let own = of("server { listen 80; server_name a.example b.example; }");
        let others =
            of("server { listen 443 ssl; server_name a.example; } server { listen *:80; server_name B.example; }");
        assert_eq!(conflict(&own, &others), Some(("b.example".to_owned(), "site")));
        assert_eq!(conflict(&own, &others[..1]), None);
        assert_eq!(conflict(&of("server { server_name _; }"), &of("server { server_name _; }")), None);
    }

    #[test]
    fn a_listen_address_is_turned_into_one_to_connect_to() {
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
