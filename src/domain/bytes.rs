//! How many bytes a batch holds, roughly: what every bound of memory counts. Sums of lengths and nothing else.

use std::collections::HashSet;
use std::sync::Arc;

use crate::domain::json::TextOrJson;
use crate::domain::message::{Audio, Custom, File, Image, Location, Message, Thumbnail, Video};
use crate::domain::report::{Report, RouteReport};
use crate::domain::route::{Push, Route};

/// What a report takes beside texts, recipients and outcomes.
pub const REPORT_BYTES: usize = 1024;

impl Route {
    /// Bytes of what it says beside its recipients: message, custom data, push and options.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        let mut texts = Texts::default();
        texts.route(self);
        texts.bytes
    }
}

impl Report {
    /// Bytes that it holds, its batch included; what several routes share counts once.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let seen = (self.batch.routes.len() > 1).then(HashSet::new);
        let mut texts = Texts { seen, bytes: REPORT_BYTES };
        for (route, report) in self.batch.routes.iter().zip(&self.routes) {
            texts.route(route);
            texts.bytes += recipients(route, report);
        }
        let outcomes = self.routes.iter().flat_map(|route| route.settled.iter().chain(&route.unsent));
        let outcomes: usize = outcomes.map(|settled| settled.outcomes.bytes()).sum();
        let request_ids = self.routes.iter().flat_map(|route| &route.provider_request_ids);
        let request_ids: usize = request_ids.map(|id| size_of::<Box<str>>() + id.len()).sum();
        let warnings: usize = self.warnings.iter().map(|warning| warning.detail.len()).sum();
        texts.bytes + outcomes + request_ids + warnings
    }
}

/// The entries of `to`, and whoever was sent to in their place.
fn recipients(route: &Route, report: &RouteReport) -> usize {
    let mut lists = vec![&route.to];
    for list in route.only.iter().chain([&report.recipients]) {
        if !lists.iter().any(|known| Arc::ptr_eq(known, list)) {
            lists.push(list);
        }
    }
    lists.into_iter().map(|list| list.bytes()).sum()
}

/// A sum of texts.
#[derive(Default)]
struct Texts {
    /// Where those that may come again are; `None` = each comes once.
    seen: Option<HashSet<usize>>,
    bytes: usize,
}

// Everything is taken apart, so that a new field has to be looked at here.
impl Texts {
    fn text(&mut self, text: &str) {
        if self.seen.as_mut().is_none_or(|seen| seen.insert(text.as_ptr().addr())) {
            self.bytes += text.len();
        }
    }

    fn texts<const COUNT: usize>(&mut self, texts: [&Option<Arc<str>>; COUNT]) {
        for text in texts.into_iter().flatten() {
            self.text(text);
        }
    }

    fn data(&mut self, data: Option<&TextOrJson>) {
        if let Some(data) = data {
            self.text(data.as_text());
        }
    }

    fn route(&mut self, route: &Route) {
        let Route {
            channel: _,
            sender,
            to: _,
            target_type: _,
            message,
            ext,
            push,
            provider_options,
            sealed_options,
            only: _,
        } = route;
        self.texts([sender]);
        self.message(message);
        self.data(ext.as_ref());
        if let Some(push) = push {
            let Push { disabled: _, title, body, ext, ios_sound, ios_badge: _, android_sound } = push;
            self.texts([title, body, ios_sound, android_sound]);
            self.data(ext.as_ref());
        }
        if let Some(options) = provider_options {
            self.text(options.as_str());
        }
        self.bytes += sealed_options.as_ref().map_or(0, |sealed| sealed.len());
    }

    fn message(&mut self, message: &Message) {
        match message {
            Message::Text { text } => self.text(text),
            Message::Image(image) => {
                let Image {
                    url,
                    filename,
                    size_bytes: _,
                    width: _,
                    height: _,
                    format,
                    id,
                    secret,
                    thumbnail,
                } = image;
                self.text(url);
                self.texts([filename, format, id, secret]);
                self.thumbnail(thumbnail);
            }
            Message::Audio(Audio { url, filename, duration_seconds: _, size_bytes: _, id, secret })
            | Message::File(File { url, filename, size_bytes: _, id, secret }) => {
                self.text(url);
                self.texts([filename, id, secret]);
            }
            Message::Video(video) => {
                let Video { url, filename, duration_seconds: _, size_bytes: _, format, secret, thumbnail } =
                    video;
                self.text(url);
                self.texts([filename, format, secret]);
                self.thumbnail(thumbnail);
            }
            Message::Location(Location { latitude: _, longitude: _, address }) => self.texts([address]),
            Message::Command { action, params } => {
                self.text(action);
                if let Some(params) = params {
                    self.text(params.as_str());
                }
            }
            Message::Custom(custom) => self.custom(custom),
            Message::Face { index: _, data } => self.texts([data]),
            Message::Native { payload } => self.text(payload.as_str()),
        }
    }

    fn thumbnail(&mut self, thumbnail: &Thumbnail) {
        let Thumbnail { url, width: _, height: _, size_bytes: _, format, secret } = thumbnail;
        self.texts([url, format, secret]);
    }

    fn custom(&mut self, custom: &Custom) {
        let Custom { event, exts, data, description, extension, sound } = custom;
        self.texts([event, description, extension, sound]);
        self.data(data.as_ref());
        for (name, value) in exts.iter().flatten() {
            self.text(name);
            self.text(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::BatchId;
    use crate::domain::json::JsonText;
    use crate::domain::recipients::RecipientList;
    use crate::domain::samples;

    const LONG: usize = 100_000;

    fn long() -> Arc<str> {
        "x".repeat(LONG).into()
    }

    fn bytes_of(routes: Vec<Route>) -> usize {
        let routes = routes.into_iter().map(Arc::new).collect();
        let batch = samples::batch(BatchId::new(1, 0), routes);
        let reports = batch.routes.iter().map(|route| samples::nobody_decided(route)).collect();
        samples::ended(batch, reports).bytes()
    }

    /// How many of its texts count, where each is of the same length.
    fn counted(routes: Vec<Route>) -> usize {
        bytes_of(routes) / LONG
    }

    #[test]
    fn everything_that_may_be_long_counts() {
        let json = || JsonText::from_serialized(format!("\"{}\"", long()));
        let recipients: Arc<RecipientList> = Arc::new([long()].iter().map(|id| &**id).collect());
        let route = |message| Route { message: Arc::new(message), ..samples::route("main", Arc::default()) };
        assert_eq!(counted(vec![samples::route("main", Arc::default())]), 0);
        assert_eq!(counted(vec![samples::route("main", recipients)]), 1);
        let text = Message::Text { text: long() };
        let push = Push { body: Some(long()), ext: Some(TextOrJson::Json(json())), ..Push::default() };
        let full = Route {
            ext: Some(TextOrJson::Text(long())),
            push: Some(push),
            provider_options: Some(json()),
            ..route(text)
        };
        assert_eq!((counted(vec![full.clone()]), full.text_bytes() / LONG), (5, 5));
        let messages = [
            (Message::Image(Image { url: long(), secret: Some(long()), ..Image::default() }), 2),
            (Message::Audio(Audio { url: long(), ..Audio::default() }), 1),
            (Message::Video(Video { url: long(), ..Video::default() }), 1),
            (Message::File(File { url: long(), ..File::default() }), 1),
            (Message::Location(Location { latitude: 0.0, longitude: 0.0, address: Some(long()) }), 1),
            (Message::Command { action: long(), params: Some(json()) }, 2),
            (Message::Custom(Custom { exts: Some(vec![(long(), long())]), ..Custom::default() }), 2),
            (Message::Face { index: 0, data: Some(long()) }, 1),
            (Message::Native { payload: json() }, 1),
        ];
        for (message, expected) in messages {
            assert_eq!(counted(vec![route(message.clone())]), expected, "{:?}", message.message_type());
        }
    }

    #[test]
    fn what_routes_share_counts_once() {
        let shared = Route {
            message: Arc::new(Message::Text { text: long() }),
            ext: Some(TextOrJson::Text(long())),
            ..samples::route("main", Arc::default())
        };
        let own = Route { message: Arc::new(Message::Text { text: long() }), ..shared.clone() };
        assert_eq!(counted(vec![shared.clone(), shared.clone(), shared.clone()]), 2);
        assert_eq!(counted(vec![shared.clone(), own, shared]), 3);
    }
}
