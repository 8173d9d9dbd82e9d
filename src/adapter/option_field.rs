//! What a provider's block in `provider_options` may hold, as data for the document of the API.
//!
//! The reading itself is the provider's; a test compares the names that it asks for with these rows.

/// One field of a block.
#[derive(Clone, Copy, Debug)]
pub struct OptionField {
    /// Its name.
    pub name: &'static str,
    /// What may stand there.
    pub shape: OptionShape,
    /// One or two sentences for a person.
    pub about: &'static str,
    /// A value that is taken, as JSON.
    pub example: &'static str,
}

/// What may stand in a field.
#[derive(Clone, Copy, Debug)]
pub enum OptionShape {
    /// Any string.
    Text,
    /// A string that matches this regular expression (ECMA-262, as JSON Schema asks).
    Pattern(&'static str),
    /// `true` or `false`.
    Flag,
    /// A whole number from the first to the second, both included.
    Whole(u64, u64),
    /// One of these numbers.
    Numbers(&'static [u64]),
    /// One of these words.
    Words(&'static [&'static str]),
    /// Any number of these words.
    WordList(&'static [&'static str]),
    /// Ids, each a string or a whole number; at least so many, and at most so many if there is a limit.
    Ids(usize, Option<usize>),
    /// Any object: it is only passed on.
    Object,
    /// An object with these fields.
    Fields(&'static [OptionField]),
}

impl OptionField {
    /// A field without a rule beyond its type.
    #[must_use]
    pub const fn new(
        name: &'static str,
        shape: OptionShape,
        about: &'static str,
        example: &'static str,
    ) -> Self {
        Self { name, shape, about, example }
    }
}
