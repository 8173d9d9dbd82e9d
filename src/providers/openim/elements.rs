//! The provider's message elements: the objects that stand in `content`.
//!
//! No field is left out: optional ones that nobody gave are empty or 0, as the provider's own clients write
//! them.
//! Source: OpenIM, message content types; open-im-server `pkg/apistruct/msg.go`, read 2026-11-21.

use serde::Serialize;

/// Content of a text (101).
#[derive(Serialize)]
pub(super) struct TextElem<'a> {
    pub(super) content: &'a str,
}

/// Content of an image (102).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PictureElem<'a> {
    pub(super) source_path: &'a str,
    pub(super) source_picture: Picture<'a>,
    pub(super) big_picture: Picture<'a>,
    pub(super) snapshot_picture: Picture<'a>,
}

/// One size of an image.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Picture<'a> {
    pub(super) uuid: &'a str,
    #[serde(rename = "type")]
    pub(super) format: &'a str,
    pub(super) size: u64,
    pub(super) width: u64,
    pub(super) height: u64,
    pub(super) url: &'a str,
}

/// Content of an audio (103); `duration` in seconds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SoundElem<'a> {
    pub(super) uuid: &'a str,
    pub(super) sound_path: &'a str,
    pub(super) source_url: &'a str,
    pub(super) data_size: u64,
    pub(super) duration: u64,
}

/// Content of a video (104); `duration` in seconds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VideoElem<'a> {
    pub(super) video_path: &'a str,
    #[serde(rename = "videoUUID")]
    pub(super) video_uuid: &'a str,
    pub(super) video_url: &'a str,
    pub(super) video_type: &'a str,
    pub(super) video_size: u64,
    pub(super) duration: u64,
    pub(super) snapshot_path: &'a str,
    #[serde(rename = "snapshotUUID")]
    pub(super) snapshot_uuid: &'a str,
    pub(super) snapshot_size: u64,
    pub(super) snapshot_url: &'a str,
    pub(super) snapshot_width: u64,
    pub(super) snapshot_height: u64,
}

/// Content of a file (105).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FileElem<'a> {
    pub(super) file_path: &'a str,
    pub(super) uuid: &'a str,
    pub(super) source_url: &'a str,
    pub(super) file_name: &'a str,
    pub(super) file_size: u64,
}

/// Content of a location (109).
#[derive(Serialize)]
pub(super) struct LocationElem<'a> {
    pub(super) description: &'a str,
    pub(super) longitude: f64,
    pub(super) latitude: f64,
}

/// Content of a custom message (110).
#[derive(Serialize)]
pub(super) struct CustomElem<'a> {
    pub(super) data: &'a str,
    pub(super) description: &'a str,
    pub(super) extension: &'a str,
}

/// Content of a face (115).
#[derive(Serialize)]
pub(super) struct FaceElem<'a> {
    pub(super) index: i64,
    pub(super) data: &'a str,
}
