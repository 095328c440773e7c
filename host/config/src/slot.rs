//! The two places in which a release can run, so that a new one can start while the old one serves.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One of the two places in which a release can run. Each has its own port and its own node name.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Slot {
    /// The first: also that of releases without a slot, which older versions of Gatling have deployed.
    #[default]
    Blue,
    /// The second: nginx passes requests to it while [`ProjectPaths::green_flag`](crate::paths::ProjectPaths::green_flag)
    /// exists.
    Green,
}

impl Slot {
    /// The other slot.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Blue => Self::Green,
            Self::Green => Self::Blue,
        }
    }

    /// Its name, as in the settings of a release.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Green => "green",
        }
    }

    /// The slot with this name; [`Slot::Blue`] if there is none.
    #[must_use]
    pub fn named(name: Option<&str>) -> Self {
        if name == Some("green") { Self::Green } else { Self::Blue }
    }

    /// The name that the app's node has otherwise, from the name of the node that runs in this slot.
    #[must_use]
    pub fn base_of_node(self, name: &str) -> String {
        match self {
            Self::Blue => name.to_owned(),
            Self::Green => {
                let (name, host) = name.split_once('@').map_or((name, None), |(name, host)| (name, Some(host)));
                let name = name.strip_suffix("-green").unwrap_or(name);
                host.map_or(name.to_owned(), |host| format!("{name}@{host}"))
            }
        }
    }

    /// The name of the node that runs in this slot, from the name that the app's node has otherwise. Two nodes of the same
    /// name cannot run at the same time.
    #[must_use]
    pub fn node(self, name: &str) -> String {
        match (self, name.split_once('@')) {
            (Self::Blue, _) => name.to_owned(),
            (Self::Green, Some((name, host))) => format!("{name}-green@{host}"),
            (Self::Green, None) => format!("{name}-green"),
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The ports of both slots, and how nginx is asked for one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotPorts {
    /// The port of the blue slot.
    pub blue: u16,
    /// The port of the green slot.
    pub green: u16,
    /// A random word that visitors do not know: who sends it may choose the slot.
    pub token: String,
}

impl SlotPorts {
    /// The port of a slot.
    #[must_use]
    pub fn of(&self, slot: Slot) -> u16 {
        match slot {
            Slot::Blue => self.blue,
            Slot::Green => self.green,
        }
    }

    /// The ports, with one of them changed.
    #[must_use]
    pub fn with(mut self, slot: Slot, port: u16) -> Self {
        match slot {
            Slot::Blue => self.blue = port,
            Slot::Green => self.green = port,
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slot_has_its_own_node_name() {
        assert_eq!(Slot::Blue.node("shop@127.0.0.1"), "shop@127.0.0.1");
        assert_eq!(Slot::Green.node("shop@127.0.0.1"), "shop-green@127.0.0.1");
        assert_eq!(Slot::Green.node("shop"), "shop-green");
        for slot in [Slot::Blue, Slot::Green] {
            for name in ["shop@127.0.0.1", "my-green-shop@127.0.0.1", "shop"] {
                assert_eq!(slot.base_of_node(&slot.node(name)), name);
            }
        }
    }

    #[test]
    fn slots_are_read_by_name() {
        for slot in [Slot::Blue, Slot::Green] {
            assert_eq!(Slot::named(Some(slot.name())), slot);
            assert_eq!(slot.other().other(), slot);
        }
        assert_eq!(Slot::named(None), Slot::Blue);
    }
}
