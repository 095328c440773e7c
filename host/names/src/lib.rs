//! The names of pipelines and steps, and of the hooks before and after steps.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of the hook for a failure.
pub const ON_FAILURE: &str = "on_failure";

/// The name of a pipeline or of a step: `mix_compile`. It consists of words that are joined by underscores. Each
/// word has lowercase letters and digits and starts with a letter. So, with hyphens for underscores, it can be part
/// of the name of an exported function in WIT.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Name(Cow<'static, str>);

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a valid name: use words of lowercase letters and digits, each starting with a letter, joined by \
     underscores, such as \"mix_compile\""
)]
pub struct InvalidName(String);

impl Name {
    /// A name from a string literal.
    ///
    /// # Panics
    /// When the name is not valid. In a constant, this is a compile error.
    #[must_use]
    pub const fn literal(name: &'static str) -> Self {
        assert!(is_name(name.as_bytes()), "a name consists of words of lowercase letters and digits");
        Self(Cow::Borrowed(name))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const fn is_name(text: &[u8]) -> bool {
    let mut at_start = true;
    let mut i = 0;
    while i < text.len() {
        let is_allowed = match text[i] {
            b'a'..=b'z' => true,
            b'0'..=b'9' | b'_' => !at_start,
            _ => false,
        };
        if !is_allowed {
            return false;
        }
        at_start = text[i] == b'_';
        i += 1;
    }
    !at_start
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        text.to_owned().try_into()
    }
}

impl TryFrom<String> for Name {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        if is_name(text.as_bytes()) { Ok(Self(Cow::Owned(text))) } else { Err(InvalidName(text)) }
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Where in a pipeline a hook is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HookPoint {
    /// Before this step.
    Before(Name),
    /// After this step, if it succeeded.
    After(Name),
    /// When the run fails or is cancelled.
    OnFailure,
}

impl HookPoint {
    /// The step that it belongs to, if it belongs to one.
    #[must_use]
    pub fn step(&self) -> Option<&Name> {
        match self {
            Self::Before(step) | Self::After(step) => Some(step),
            Self::OnFailure => None,
        }
    }

    /// Whether it is `before` or `after` its step, if it belongs to one.
    #[must_use]
    pub fn phase(&self) -> Option<&'static str> {
        match self {
            Self::Before(_) => Some("before"),
            Self::After(_) => Some("after"),
            Self::OnFailure => None,
        }
    }
}

/// The hook point as text: `before mix_compile`.
impl fmt::Display for HookPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Before(step) => write!(f, "before {step}"),
            Self::After(step) => write!(f, "after {step}"),
            Self::OnFailure => f.write_str("when the run fails"),
        }
    }
}

/// A function that the hooks file of a pipeline can export.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hook {
    /// The pipeline whose hooks file exports it.
    pub pipeline: Name,
    /// Where it is called.
    pub point: HookPoint,
}

impl Hook {
    /// The hooks of a pipeline with these steps, in the order in which they are called. `on_failure`, which can be
    /// called at any time, comes last.
    pub fn of_pipeline<'a>(
        pipeline: &'a Name,
        steps: impl IntoIterator<Item = Name, IntoIter: 'a>,
    ) -> impl Iterator<Item = Self> + 'a {
        let points = steps.into_iter().flat_map(|step| [HookPoint::Before(step.clone()), HookPoint::After(step)]);
        points.chain([HookPoint::OnFailure]).map(|point| Self { pipeline: pipeline.clone(), point })
    }

    /// Its name with underscores: `before_mix_compile`.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.point {
            HookPoint::Before(step) => format!("before_{step}"),
            HookPoint::After(step) => format!("after_{step}"),
            HookPoint::OnFailure => ON_FAILURE.to_owned(),
        }
    }

    /// The name of its export in a component: `before-mix-compile`.
    #[must_use]
    pub fn export(&self) -> String {
        self.name().replace('_', "-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_can_be_part_of_an_exports_name_are_valid() {
        for name in ["a", "mix_compile", "step2", "a_b_c"] {
            assert_eq!(name.parse::<Name>().expect(name), name);
        }
        for text in ["", "_", "a_", "_a", "a__b", "a_2", "2a", "Mix", "mix-compile", "mïx", "mix compile", "a\n"] {
            let error = text.parse::<Name>().expect_err(text).to_string();
            assert!(error.contains("such as \"mix_compile\""), "{error}");
        }
    }

    #[test]
    fn hooks_are_named_after_their_steps_and_are_in_pipeline_order() {
        let steps = ["dump", "upload_all"].map(|step| step.parse().expect("a name"));
        let backup = Name::literal("backup");
        let hooks: Vec<_> = Hook::of_pipeline(&backup, steps).collect();
        let names: Vec<_> = hooks.iter().map(Hook::name).collect();
        assert_eq!(names, ["before_dump", "after_dump", "before_upload_all", "after_upload_all", "on_failure"]);
        assert_eq!(hooks[2].export(), "before-upload-all");
        let places: Vec<_> = hooks.iter().map(|hook| hook.point.to_string()).collect();
        assert_eq!(places[3..], ["after upload_all", "when the run fails"]);
    }
}
