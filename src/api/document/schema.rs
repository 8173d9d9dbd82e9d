//! The few kinds of schemas that the document is made of.

use std::ops::RangeInclusive;

use serde_json::Value;
use utoipa::openapi::schema::{
    AdditionalProperties, AnyOfBuilder, ArrayBuilder, ObjectBuilder, OneOfBuilder, RefBuilder, Schema,
    SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{KnownFormat, RefOr};

/// A schema, or the name of one.
pub(in crate::api) type AnySchema = RefOr<Schema>;

/// A string.
pub(in crate::api) fn text(about: &str) -> ObjectBuilder {
    typed(Type::String, about)
}

/// A string, or `null`.
pub(in crate::api) fn nullable_text(about: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .description(Some(about))
}

/// A string that matches this regular expression.
pub(in crate::api) fn pattern(about: &str, pattern: &str) -> ObjectBuilder {
    text(about).pattern(Some(pattern))
}

/// One of these strings.
pub(in crate::api) fn word(about: &str, words: impl IntoIterator<Item = &'static str>) -> ObjectBuilder {
    text(about).enum_values(Some(words.into_iter().map(Value::from)))
}

/// A time.
pub(in crate::api) fn time(about: &str) -> ObjectBuilder {
    text(about).format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
}

/// A boolean.
pub(in crate::api) fn flag(about: &str) -> ObjectBuilder {
    typed(Type::Boolean, about)
}

/// A boolean that is `true` wherever it stands.
pub(in crate::api) fn mark(about: &str) -> ObjectBuilder {
    flag(about).enum_values(Some([true]))
}

/// A whole number in this range.
pub(in crate::api) fn whole(about: &str, range: RangeInclusive<u64>) -> ObjectBuilder {
    let number = count(about).minimum(Some(*range.start()));
    if *range.end() == u64::MAX { number } else { number.maximum(Some(*range.end())) }
}

/// A whole number, 0 or more.
pub(in crate::api) fn count(about: &str) -> ObjectBuilder {
    typed(Type::Integer, about).minimum(Some(0_u64))
}

/// A whole number of 64 bits with a sign.
pub(in crate::api) fn signed(about: &str) -> ObjectBuilder {
    typed(Type::Integer, about).format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
}

/// A number in this range.
pub(in crate::api) fn number(about: &str, range: RangeInclusive<f64>) -> ObjectBuilder {
    typed(Type::Number, about).minimum(Some(*range.start())).maximum(Some(*range.end()))
}

/// A number, 0 or more.
pub(in crate::api) fn amount(about: &str) -> ObjectBuilder {
    typed(Type::Number, about).minimum(Some(0.0))
}

/// An object with members that are only passed on.
pub(in crate::api) fn any_object(about: &str) -> ObjectBuilder {
    typed(Type::Object, about).additional_properties(Some(AdditionalProperties::FreeForm(true)))
}

/// Any JSON value.
pub(in crate::api) fn anything(about: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::AnyValue).description(Some(about))
}

/// An object whose members all look like `member`.
pub(in crate::api) fn map_of(about: &str, member: impl Into<AnySchema>) -> ObjectBuilder {
    typed(Type::Object, about).additional_properties(Some(AdditionalProperties::RefOr(member.into())))
}

/// An array.
pub(in crate::api) fn list(about: &str, item: impl Into<AnySchema>) -> ArrayBuilder {
    ArrayBuilder::new().items(item.into()).description(Some(about))
}

/// An id that may be written as a string or as an integer.
pub(in crate::api) fn id(about: &str) -> AnyOfBuilder {
    let digits = ObjectBuilder::new().schema_type(Type::Integer);
    either(about, [ObjectBuilder::new().schema_type(Type::String).into(), digits.into()])
}

/// An object or a string that are only passed on.
pub(in crate::api) fn text_or_object(about: &str) -> AnyOfBuilder {
    let object = typed(Type::Object, "Passed on as compact JSON, at most 32 levels deep.")
        .additional_properties(Some(AdditionalProperties::FreeForm(true)));
    either(about, [text("Passed on as it is.").into(), object.into()])
}

/// One of these or another.
pub(in crate::api) fn either(about: &str, schemas: impl IntoIterator<Item = AnySchema>) -> AnyOfBuilder {
    schemas.into_iter().fold(AnyOfBuilder::new().description(Some(about)), AnyOfBuilder::item)
}

/// Exactly one of these.
pub(in crate::api) fn one_of(about: &str, schemas: impl IntoIterator<Item = AnySchema>) -> OneOfBuilder {
    schemas.into_iter().fold(OneOfBuilder::new().description(Some(about)), OneOfBuilder::item)
}

/// This, or `null`.
pub(in crate::api) fn nullable(about: &str, schema: impl Into<AnySchema>) -> OneOfBuilder {
    one_of(about, [schema.into(), ObjectBuilder::new().schema_type(Type::Null).into()])
}

/// The schema of this name.
pub(in crate::api) fn named(name: &str) -> AnySchema {
    RefBuilder::new().ref_location_from_schema_name(name).into()
}

/// The schema of this name, with a sentence about this place.
pub(in crate::api) fn named_here(name: &str, about: &str) -> AnySchema {
    RefBuilder::new().ref_location_from_schema_name(name).description(Some(about)).into()
}

/// An object of a request: other fields than these are refused.
pub(in crate::api) fn closed(about: &str) -> ObjectBuilder {
    typed(Type::Object, about).additional_properties(Some(AdditionalProperties::FreeForm(false)))
}

/// An object of an answer: later versions may add fields.
pub(in crate::api) fn open(about: &str) -> ObjectBuilder {
    typed(Type::Object, about)
}

/// Adds fields to an object.
pub(in crate::api) trait Members {
    /// A field that must be there.
    fn must(self, name: &str, schema: impl Into<AnySchema>) -> Self;
    /// A field that may be missing.
    fn may(self, name: &str, schema: impl Into<AnySchema>) -> Self;
}

impl Members for ObjectBuilder {
    fn must(self, name: &str, schema: impl Into<AnySchema>) -> Self {
        self.property(name, schema).required(name)
    }

    fn may(self, name: &str, schema: impl Into<AnySchema>) -> Self {
        self.property(name, schema)
    }
}

fn typed(schema_type: Type, about: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(schema_type).description(Some(about))
}
