//! What is wrong with a request or a setting.

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// JSON pointer (RFC 6901) relative to where the reader started; empty = the whole.
    pub pointer: String,
    /// What kind of fault it is.
    pub code: FaultCode,
    /// One sentence for a person.
    pub detail: String,
}

impl Fault {
    /// Makes a fault.
    #[must_use]
    pub fn new(pointer: impl Into<String>, code: FaultCode, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, detail: detail.into() }
    }

    /// The same fault seen from further outside.
    #[must_use]
    pub fn within(mut self, prefix: &str) -> Self {
        self.pointer.insert_str(0, prefix);
        self
    }
}

/// Kinds of faults: the `errors[].code` of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultCode {
    /// Something is missing.
    Required,
    /// Nobody knows this field.
    UnknownField,
    /// Another JSON type is needed.
    WrongType,
    /// The value is outside its range or set.
    OutOfRange,
    /// Too long or too many.
    TooLarge,
    /// Two things contradict each other.
    Conflict,
    /// This provider or channel cannot carry it.
    Unsupported,
    /// This deployment does not allow it.
    NotAllowed,
    /// No channel has this name.
    UnknownChannel,
    /// The provider cannot take this recipient id.
    InvalidRecipient,
}

impl FaultCode {
    /// Every kind, in the order of the API document.
    pub const ALL: [Self; 10] = [
        Self::Required,
        Self::UnknownField,
        Self::WrongType,
        Self::OutOfRange,
        Self::TooLarge,
        Self::Conflict,
        Self::Unsupported,
        Self::NotAllowed,
        Self::UnknownChannel,
        Self::InvalidRecipient,
    ];

    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::UnknownField => "unknown_field",
            Self::WrongType => "wrong_type",
            Self::OutOfRange => "out_of_range",
            Self::TooLarge => "too_large",
            Self::Conflict => "conflict",
            Self::Unsupported => "unsupported",
            Self::NotAllowed => "not_allowed",
            Self::UnknownChannel => "unknown_channel",
            Self::InvalidRecipient => "invalid_recipient",
        }
    }
}

/// Escapes one name for use in a JSON pointer (RFC 6901, section 3).
#[must_use]
pub fn pointer_token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
