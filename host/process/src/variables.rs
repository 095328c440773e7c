//! Environment variables with secret values.

use std::fmt;

/// Environment variables, in order, each name once. Their values can be secrets, so `Debug` shows only the names.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Variables(Vec<(String, String)>);

impl Variables {
    /// The value of a variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Sets a variable. If it exists, it keeps its position.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The names with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<'a> Extend<(&'a str, &'a str)> for Variables {
    fn extend<T: IntoIterator<Item = (&'a str, &'a str)>>(&mut self, variables: T) {
        variables.into_iter().for_each(|(name, value)| self.set(name, value));
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Variables {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a str)>>(variables: T) -> Self {
        let mut all = Self::default();
        all.extend(variables);
        all
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_counts_once_and_no_value_is_shown() {
        let mut variables: Variables = [("A", "1"), ("B", "secret"), ("A", "2")].into_iter().collect();
        variables.set("C", "3");
        assert_eq!(variables.iter().collect::<Vec<_>>(), [("A", "2"), ("B", "secret"), ("C", "3")]);
        assert_eq!((variables.get("B"), variables.get("D")), (Some("secret"), None));
        assert_eq!(format!("{variables:?}"), r#"["A", "B", "C"]"#);
    }
}
