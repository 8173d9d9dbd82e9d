//! Values that serde does not write as we need them: JSON that is passed on, exact fractions, and bytes.

/// JSON as a text, letter by letter as it was.
pub(super) mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    use crate::domain::json::JsonText;

    /// Deeper than anything that the edge or an adapter lets through.
    const MOST_DEPTH: usize = 128;

    pub(in crate::store::stored) fn serialize<S: Serializer>(
        json: &JsonText,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(json.as_str())
    }

    pub(in crate::store::stored) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<JsonText, D::Error> {
        let text = String::deserialize(deserializer)?;
        JsonText::parse(&text, MOST_DEPTH).map_err(D::Error::custom)?;
        Ok(JsonText::from_serialized(text))
    }
}

/// The same where there may be none.
pub(super) mod optional_text {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::domain::json::JsonText;

    #[derive(Deserialize)]
    struct Owned(#[serde(with = "super::text")] JsonText);

    pub(in crate::store::stored) fn serialize<S: Serializer>(
        json: &Option<JsonText>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        json.as_ref().map(JsonText::as_str).serialize(serializer)
    }

    pub(in crate::store::stored) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<JsonText>, D::Error> {
        Ok(Option::<Owned>::deserialize(deserializer)?.map(|owned| owned.0))
    }
}

/// A fraction as the shortest text that reads back as the same number.
pub(super) mod fraction {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(in crate::store::stored) fn serialize<S: Serializer>(
        number: &f64,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(in crate::store::stored) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<f64, D::Error> {
        let number: f64 = String::deserialize(deserializer)?.parse().map_err(D::Error::custom)?;
        if number.is_finite() { Ok(number) } else { Err(D::Error::custom("not a finite number")) }
    }
}

/// The same where there may be none.
pub(super) mod optional_fraction {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Fraction(#[serde(with = "super::fraction")] f64);

    pub(in crate::store::stored) fn serialize<S: Serializer>(
        number: &Option<f64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        number.map(Fraction).serialize(serializer)
    }

    pub(in crate::store::stored) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<f64>, D::Error> {
        Ok(Option::<Fraction>::deserialize(deserializer)?.map(|fraction| fraction.0))
    }
}

/// Bytes as base64 where there may be none.
pub(super) mod optional_bytes {
    use std::sync::Arc;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

    pub(in crate::store::stored) fn serialize<S: Serializer>(
        bytes: &Option<Arc<[u8]>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        bytes.as_ref().map(|bytes| STANDARD.encode(bytes)).serialize(serializer)
    }

    pub(in crate::store::stored) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Arc<[u8]>>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let bytes = text.map(|text| STANDARD.decode(text).map_err(D::Error::custom)).transpose()?;
        Ok(bytes.map(Arc::from))
    }
}
