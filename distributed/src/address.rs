//! A host and a port.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Where a process listens, as people write it: `host:port` or `[v6]:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// 0 asks for any free port.
    pub port: u16,
}

impl Address {
    /// Whether it stands for every address of the machine.
    pub fn is_everywhere(&self) -> bool {
        let ip: Option<IpAddr> = self.host.parse().ok();
        ip.is_some_and(|ip| ip.is_unspecified())
    }

    /// The host as it stands in a URL.
    pub(crate) fn url_host(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        }
    }

    /// The same host with another port.
    pub fn with_port(&self, port: u16) -> Self {
        Self {
            host: self.host.clone(),
            port,
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected HOST:PORT, such as 127.0.0.1:50050".to_owned();
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self {
                host: address.ip().to_string(),
                port: address.port(),
            });
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if host.is_empty() || !host.bytes().all(is_name) {
            return Err(expected());
        }
        Ok(Self {
            host: host.to_owned(),
            port: port.parse().map_err(|_| expected())?,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.url_host(), self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_refused_and_what_is_one_is_shown_as_written() {
        for text in [
            "127.0.0.1:50050",
            "scheduler-0.jobs:80",
            "[::1]:7",
            "localhost:0",
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!(address.to_string(), text);
        }
        for text in [
            "",
            "50050",
            ":50050",
            "host",
            "host:",
            "host:port",
            "host:70000",
            "http://h:1",
            "a b:1",
        ] {
            let error = text.parse::<Address>().expect_err(text);
            assert!(error.contains("127.0.0.1:50050"), "{text}: {error}");
        }
    }

    #[test]
    fn every_interface_is_told_from_one() {
        for (text, everywhere) in [
            ("0.0.0.0:1", true),
            ("[::]:1", true),
            ("127.0.0.1:1", false),
            ("host:1", false),
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!(address.is_everywhere(), everywhere, "{text}");
        }
    }
}
