//! Takes the body apart in one pass: recipients are read where they stand, everything else stays raw.
//!
//! Only the grammar of JSON can fail here. A value of the wrong shape is noted as such, so that it becomes one
//! fault among others.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::adapter::fields::members::{Key, keep};
use crate::adapter::fields::{Fields, Numbers};
use crate::api::dto::entries::{Allowance, Entries, EntriesSeed, Reading};
use crate::domain::fault::{Fault, FaultCode};

/// A value that should have a certain shape.
#[derive(Debug)]
pub enum Shape<T> {
    /// It has.
    Right(T),
    /// Another JSON type stands there.
    Other,
}

/// The methods of a [`Visitor`] for which the value is [`Shape::Other`]; the argument names the compound
/// shape that is wrong too.
macro_rules! visit_other_shapes {
    (scalars) => {
        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("any JSON value")
        }
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok(Shape::Other)
        }
        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok(Shape::Other)
        }
        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok(Shape::Other)
        }
        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok(Shape::Other)
        }
        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok(Shape::Other)
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Shape::Other)
        }
    };
    (map) => {
        visit_other_shapes!(scalars);
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<serde::de::IgnoredAny, serde::de::IgnoredAny>()?.is_some() {}
            Ok(Shape::Other)
        }
    };
    (seq) => {
        visit_other_shapes!(scalars);
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
            while sequence.next_element::<serde::de::IgnoredAny>()?.is_some() {}
            Ok(Shape::Other)
        }
    };
}
pub(crate) use visit_other_shapes;

/// One object of a request: the body itself, or a route.
#[derive(Debug)]
pub struct Source<'a> {
    /// Every member but the two below, as it stands.
    pub members: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// The recipients.
    pub to: Option<Shape<Entries>>,
    /// The routes; only the body itself has some.
    pub routes: Option<Shape<Routes<'a>>>,
    /// Which of the two was given more than once.
    pub repeated: Vec<&'static str>,
}

/// The value of `routes`.
#[derive(Debug)]
pub struct Routes<'a> {
    /// The first ones, as many as are allowed.
    pub list: Vec<Shape<Source<'a>>>,
    /// How many there are.
    pub count: usize,
}

/// Why a body cannot be taken apart.
#[derive(Debug)]
pub enum Unreadable {
    /// Not JSON: the parser's words, with line and column.
    NotJson(String),
    /// JSON, but wrong.
    Fault(Fault),
}

/// Takes `text` apart.
///
/// # Errors
/// [`Unreadable`] if it is no JSON, no object, or holds a number or a text that cannot be looked at.
pub fn parse<'a>(text: &'a str, allowance: &Allowance, most_routes: usize) -> Result<Source<'a>, Unreadable> {
    let read = |reading| {
        let seed = SourceSeed { allowance, most_routes: Some(most_routes), reading };
        let mut deserializer = serde_json::Deserializer::from_str(text);
        seed.deserialize(&mut deserializer).and_then(|source| deserializer.end().map(|()| source))
    };
    let parsed = read(Reading::Texts).or_else(|_| {
        allowance.restart();
        read(Reading::Any)
    });
    match parsed {
        Ok(Shape::Right(source)) => Ok(source),
        Ok(Shape::Other) => Err(Unreadable::Fault(no_object())),
        Err(error) => Err(explain(text, &error)),
    }
}

fn no_object() -> Fault {
    Fault::new("", FaultCode::WrongType, "the body must be an object")
}

/// Tells text that is no JSON from JSON that the parser gave up on: a number beyond every range, or half a
/// surrogate pair, where an array, an object or a name was expected.
#[cold]
fn explain(text: &str, error: &serde_json::Error) -> Unreadable {
    if let Err(syntax) = serde_json::from_str::<&RawValue>(text) {
        return Unreadable::NotJson(syntax.to_string());
    }
    if !text.trim_start().starts_with('{') {
        return Unreadable::Fault(no_object());
    }
    if let Ok(mut fields) = Fields::parse(text, "", Numbers::Strict) {
        for name in ["to", "routes"] {
            if fields.raw(name).is_some_and(|raw| !raw.get().starts_with('[')) {
                return Unreadable::Fault(Fault::new(
                    format!("/{name}"),
                    FaultCode::WrongType,
                    "must be an array",
                ));
            }
        }
    }
    let detail = format!("holds a name or a number that cannot be used: {error}");
    Unreadable::Fault(Fault::new("", FaultCode::WrongType, detail))
}

/// Reads one object; `most_routes` is `None` inside a route, where `routes` is a field like any other.
#[derive(Clone, Copy)]
struct SourceSeed<'b> {
    allowance: &'b Allowance,
    most_routes: Option<usize>,
    reading: Reading,
}

impl<'de, 'b> DeserializeSeed<'de> for SourceSeed<'b> {
    type Value = Shape<Source<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, 'b> Visitor<'de> for SourceSeed<'b> {
    type Value = Shape<Source<'de>>;

    visit_other_shapes!(seq);

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut source =
            Source { members: Vec::with_capacity(8), to: None, routes: None, repeated: Vec::new() };
        while let Some(Key(name)) = map.next_key::<Key<'de>>()? {
            match (&*name, self.most_routes) {
                ("to", _) if source.to.is_none() => {
                    source.to = Some(map.next_value_seed(EntriesSeed(self.allowance, self.reading))?);
                }
                ("routes", Some(most)) if source.routes.is_none() => {
                    source.routes = Some(map.next_value_seed(RoutesSeed(self, most))?);
                }
                ("to", _) => {
                    map.next_value::<IgnoredAny>()?;
                    note(&mut source.repeated, "to");
                }
                ("routes", Some(_)) => {
                    map.next_value::<IgnoredAny>()?;
                    note(&mut source.repeated, "routes");
                }
                _ => keep(&mut source.members, name, &mut map)?,
            }
        }
        Ok(Shape::Right(source))
    }
}

/// Notes a name that is repeated, once.
fn note(repeated: &mut Vec<&'static str>, name: &'static str) {
    if !repeated.contains(&name) {
        repeated.push(name);
    }
}

/// Reads the value of `routes`.
struct RoutesSeed<'b>(SourceSeed<'b>, usize);

impl<'de, 'b> DeserializeSeed<'de> for RoutesSeed<'b> {
    type Value = Shape<Routes<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, 'b> Visitor<'de> for RoutesSeed<'b> {
    type Value = Shape<Routes<'de>>;

    visit_other_shapes!(map);

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let seed = SourceSeed { most_routes: None, ..self.0 };
        let mut list = Vec::new();
        while list.len() < self.1 {
            match sequence.next_element_seed(seed)? {
                Some(route) => list.push(route),
                None => break,
            }
        }
        let mut count = list.len();
        while count >= self.1 && sequence.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Shape::Right(Routes { list, count }))
    }
}
