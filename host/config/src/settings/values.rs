//! Values of settings: durations and sizes.

use std::fmt;
use std::time::Duration;

use bytesize::ByteSize;
use jiff::SignedDuration;
use serde::{Deserializer, de};

/// Parses a value from a string or, if allowed, from a number.
struct ValueVisitor<T> {
    /// A description of the value, with an example.
    expected: &'static str,
    from_text: fn(&str) -> Result<T, String>,
    from_number: Option<fn(u64) -> T>,
}

impl<T> de::Visitor<'_> for ValueVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.from_text)(text).map_err(|why| E::custom(format!("{text:?} is not {}: {why}", self.expected)))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        let from_number = self.from_number.ok_or_else(|| E::invalid_type(de::Unexpected::Unsigned(number), &self))?;
        Ok(from_number(number))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(de::Unexpected::Signed(number), &self)),
        }
    }
}

pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(ValueVisitor {
        expected: "a time such as \"30s\" or \"5m\"",
        from_text: |text| {
            let span: SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
            match Duration::try_from(span) {
                Ok(time) if !time.is_zero() => Ok(time),
                _ => Err("it must be greater than zero".to_owned()),
            }
        },
        from_number: None,
    })
}

pub(super) fn duration_or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(ValueVisitor {
        expected: "a time such as \"3s\" or \"0s\"",
        from_text: |text| {
            let span: SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
            Duration::try_from(span).map_err(|_| "it must not be negative".to_owned())
        },
        from_number: None,
    })
}

pub(super) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
    some_size(deserializer).map(Option::unwrap_or_default)
}

pub(super) fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

pub(super) fn some_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ByteSize>, D::Error> {
    let size = deserializer.deserialize_any(ValueVisitor {
        expected: "a size such as \"64MiB\" or \"3kB\"",
        from_text: str::parse,
        from_number: Some(ByteSize::b),
    });
    size.map(Some)
}
