//! The message part: a normalized message as `MsgBody`.
//!
//! Source: message formats, section by element type, read 2026-11-21.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::adapter::wire::push_json_string;
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::json::JsonText;
use crate::domain::message::{Custom, Location, Message};
use crate::domain::report::{Warning, WarningCode};
use crate::providers::tencent_tim::NAME;
use crate::providers::tencent_tim::media;
use crate::providers::tencent_tim::wire::Element;

/// Collects what is wrong with a message and what of it is left out.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// What is wrong; pointers are relative to the route.
    pub(super) faults: Vec<Fault>,
    /// What is left out.
    pub(super) warnings: Vec<Warning>,
}

impl Findings {
    /// Something is wrong with this field.
    pub(super) fn fault(&mut self, field: &str, code: FaultCode, detail: &str) {
        self.faults.push(Fault::new(format!("/message/{field}"), code, detail));
    }

    /// The provider cannot carry this field, and leaving it out would change the message.
    pub(super) fn refuse(&mut self, field: &str, is_given: bool) {
        if is_given {
            let detail = format!("{NAME} has no field for `{field}`");
            self.fault(field, FaultCode::Unsupported, &detail);
        }
    }

    /// The provider has no field for this description; the message is the same without it.
    pub(super) fn leave_out(&mut self, field: &str, is_given: bool) {
        if is_given {
            self.warnings.push(Warning {
                code: WarningCode::FieldLeftOut,
                channel: None,
                pointer: Some(format!("/message/{field}")),
                detail: format!("{NAME} has no place for `{field}` in this message"),
            });
        }
    }
}

/// The JSON of `MsgBody`; `None` if a fault was added.
pub(super) fn write(message: &Message, findings: &mut Findings) -> Option<String> {
    if let Message::Native { payload } = message {
        check_native(payload, findings);
        return Some(payload.as_str().to_owned());
    }
    let element = element(message, findings)?;
    match serde_json::to_string(&[element]) {
        Ok(json) => Some(json),
        Err(_) => {
            findings.faults.push(Fault::new("/message", FaultCode::WrongType, "cannot be written as JSON"));
            None
        }
    }
}

fn element<'a>(message: &'a Message, findings: &mut Findings) -> Option<Element<'a>> {
    match message {
        Message::Text { text } => Some(Element::Text { text }),
        Message::Face { index, data } => {
            Some(Element::Face { index: *index, data: data.as_deref().unwrap_or_default() })
        }
        Message::Location(place) => location(place, findings),
        Message::Custom(custom) => self::custom(custom, findings),
        Message::Command { action, params } => Some(Element::Custom {
            data: Cow::Owned(command(action, params.as_ref())),
            desc: None,
            ext: None,
            sound: None,
        }),
        Message::Image(image) => Some(media::image(image, findings)),
        Message::Audio(audio) => Some(media::audio(audio, findings)),
        Message::File(file) => Some(media::file(file, findings)),
        Message::Video(video) => media::video(video, findings),
        // Written as it is by the caller of this function.
        Message::Native { .. } => None,
    }
}

fn location<'a>(place: &'a Location, findings: &mut Findings) -> Option<Element<'a>> {
    let mut is_on_earth = true;
    for (name, degrees, most) in [("latitude", place.latitude, 90.0), ("longitude", place.longitude, 180.0)] {
        if !(-most..=most).contains(&degrees) {
            is_on_earth = false;
            let detail = format!("must be from -{most} to {most}");
            findings.fault(name, FaultCode::OutOfRange, &detail);
        }
    }
    is_on_earth.then(|| Element::Location {
        desc: place.address.as_deref().unwrap_or_default(),
        latitude: place.latitude,
        longitude: place.longitude,
    })
}

fn custom<'a>(custom: &'a Custom, findings: &mut Findings) -> Option<Element<'a>> {
    findings.refuse("event", custom.event.is_some());
    findings.refuse("exts", custom.exts.is_some());
    let Some(data) = &custom.data else {
        findings.fault("data", FaultCode::Required, "`data` is the content of a custom message");
        return None;
    };
    Some(Element::Custom {
        data: Cow::Borrowed(data.as_text()),
        desc: custom.description.as_deref(),
        ext: custom.extension.as_deref(),
        sound: custom.sound.as_deref(),
    })
}

/// The provider has no transparent message: receivers must know this convention.
fn command(action: &str, params: Option<&JsonText>) -> String {
    let mut json = b"{\"action\":".to_vec();
    push_json_string(&mut json, action);
    if let Some(params) = params {
        json.extend_from_slice(b",\"params\":");
        json.extend_from_slice(params.as_str().as_bytes());
    }
    json.push(b'}');
    String::from_utf8(json).unwrap_or_default()
}

/// The outside of an element of a native payload.
#[derive(Deserialize)]
struct Outline<'a> {
    #[serde(rename = "MsgType", borrow)]
    kind: Option<&'a RawValue>,
    #[serde(rename = "MsgContent", borrow)]
    content: Option<&'a RawValue>,
}

/// Source: message formats, "at most one `TIMCustomElem`"; batch one-to-one messages, errors 90002 and 90007.
fn check_native(payload: &JsonText, findings: &mut Findings) {
    let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(payload.as_str()) else {
        return findings.fault("payload", FaultCode::WrongType, "must be an array of elements");
    };
    if elements.is_empty() {
        findings.fault("payload", FaultCode::Required, "needs at least one element");
    }
    let mut customs = 0;
    for (index, element) in elements.iter().enumerate() {
        let outline: Option<Outline<'_>> = serde_json::from_str(element.get()).ok();
        let kind = outline.as_ref().and_then(|outline| outline.kind).map(RawValue::get);
        let content = outline.as_ref().and_then(|outline| outline.content).map(RawValue::get);
        let is_sound = kind.is_some_and(|kind| kind.starts_with('"'))
            && content.is_some_and(|content| content.starts_with('{'));
        if !is_sound {
            let detail = "must be an object with a `MsgType` string and a `MsgContent` object";
            findings.fault(&format!("payload/{index}"), FaultCode::WrongType, detail);
        }
        customs += usize::from(kind == Some("\"TIMCustomElem\""));
    }
    if customs > 1 {
        findings.fault("payload", FaultCode::TooLarge, "may hold at most one `TIMCustomElem`");
    }
}
