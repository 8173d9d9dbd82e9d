//! Elements for what stands behind a URL: pictures, sounds, files and videos.
//!
//! Source: message formats, section by element type, read 2026-11-21. What a URL names is downloaded by the
//! receivers' clients; the provider does not fetch it (Assumed).

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::adapter::sandbox::percent_decode;
use crate::domain::fault::FaultCode;
use crate::domain::message::{Audio, File, Image, Thumbnail, Video, whole_seconds};
use crate::providers::tencent_tim::content::Findings;
use crate::providers::tencent_tim::wire::{self, DOWNLOAD_BY_URL, Element, ImageInfo};

/// A picture in three sizes.
pub(super) fn image<'a>(image: &'a Image, findings: &mut Findings) -> Element<'a> {
    findings.refuse("secret", image.secret.is_some());
    findings.refuse("thumbnail_secret", image.thumbnail.secret.is_some());
    findings.leave_out("filename", image.filename.is_some());
    findings.leave_out("thumbnail_format", image.thumbnail.format.is_some());
    let original = ImageInfo {
        role: 1,
        size: image.size_bytes.unwrap_or_default(),
        width: image.width.unwrap_or_default(),
        height: image.height.unwrap_or_default(),
        url: &image.url,
    };
    let format = image.format.as_deref().or_else(|| extension(&image.url));
    Element::Image {
        uuid: uuid(image.id.as_deref(), &image.url),
        image_format: image_format(format.unwrap_or_default()),
        image_info_array: [
            original,
            ImageInfo { role: 2, ..original },
            thumbnail(&image.thumbnail, original, findings),
        ],
    }
}

/// The third size of a picture: the thumbnail, or the picture itself where there is none.
fn thumbnail<'a>(
    thumbnail: &'a Thumbnail,
    original: ImageInfo<'a>,
    findings: &mut Findings,
) -> ImageInfo<'a> {
    let Some(url) = thumbnail.url.as_deref() else {
        findings.leave_out("thumbnail_width", thumbnail.width.is_some());
        findings.leave_out("thumbnail_height", thumbnail.height.is_some());
        findings.leave_out("thumbnail_size_bytes", thumbnail.size_bytes.is_some());
        return ImageInfo { role: 3, ..original };
    };
    ImageInfo {
        role: 3,
        size: thumbnail.size_bytes.unwrap_or_default(),
        width: thumbnail.width.unwrap_or_default(),
        height: thumbnail.height.unwrap_or_default(),
        url,
    }
}

/// Source: message formats, `ImageFormat`: 1 JPG, 2 GIF, 3 PNG, 4 BMP, 255 other.
fn image_format(format: &str) -> u8 {
    match format.to_ascii_lowercase().as_str() {
        "jpg" | "jpeg" => 1,
        "gif" => 2,
        "png" => 3,
        "bmp" => 4,
        _ => 255,
    }
}

/// A sound.
pub(super) fn audio<'a>(audio: &'a Audio, findings: &mut Findings) -> Element<'a> {
    findings.refuse("secret", audio.secret.is_some());
    findings.leave_out("filename", audio.filename.is_some());
    Element::Sound {
        url: &audio.url,
        uuid: uuid(audio.id.as_deref(), &audio.url),
        size: audio.size_bytes.unwrap_or_default(),
        second: audio.duration_seconds.map_or(0, whole_seconds),
        download_flag: DOWNLOAD_BY_URL,
    }
}

/// Any file.
pub(super) fn file<'a>(file: &'a File, findings: &mut Findings) -> Element<'a> {
    findings.refuse("secret", file.secret.is_some());
    let from_url = || {
        let segment = last_segment(&file.url);
        let decoded = percent_decode(segment).map_or(Cow::Borrowed(segment), Cow::Owned);
        (!decoded.is_empty()).then_some(decoded)
    };
    Element::File {
        url: &file.url,
        uuid: uuid(file.id.as_deref(), &file.url),
        file_size: file.size_bytes.unwrap_or_default(),
        file_name: file.filename.as_deref().map(Cow::Borrowed).or_else(from_url),
        download_flag: DOWNLOAD_BY_URL,
    }
}

/// A video with its cover; `None` if a fault was added.
pub(super) fn video<'a>(video: &'a Video, findings: &mut Findings) -> Option<Element<'a>> {
    findings.refuse("secret", video.secret.is_some());
    findings.refuse("thumbnail_secret", video.thumbnail.secret.is_some());
    findings.leave_out("filename", video.filename.is_some());
    let Some(thumb_url) = video.thumbnail.url.as_deref() else {
        let detail = "a video needs a `thumbnail_url`: the provider requires its cover";
        findings.fault("thumbnail_url", FaultCode::Required, detail);
        return None;
    };
    let format = video.format.as_deref().or_else(|| extension(&video.url));
    Some(Element::Video(wire::Video {
        video_url: &video.url,
        video_uuid: digest(&video.url),
        video_size: video.size_bytes.unwrap_or_default(),
        video_second: video.duration_seconds.map_or(0, whole_seconds),
        video_format: format.unwrap_or("mp4"),
        video_download_flag: DOWNLOAD_BY_URL,
        thumb_url,
        thumb_uuid: digest(thumb_url),
        thumb_size: video.thumbnail.size_bytes.unwrap_or_default(),
        thumb_width: video.thumbnail.width.unwrap_or_default(),
        thumb_height: video.thumbnail.height.unwrap_or_default(),
        thumb_format: video.thumbnail.format.as_deref().unwrap_or("JPG"),
        thumb_download_flag: DOWNLOAD_BY_URL,
    }))
}

/// The caller's id, or one that is the same whenever the URL is.
fn uuid<'a>(id: Option<&'a str>, url: &str) -> Cow<'a, str> {
    id.map_or_else(|| Cow::Owned(digest(url)), Cow::Borrowed)
}

/// The first 32 hexadecimal digits of the URL's SHA-256.
fn digest(url: &str) -> String {
    let mut digits = String::with_capacity(32);
    for byte in Sha256::digest(url.as_bytes()).iter().take(16) {
        digits.push_str(&format!("{byte:02x}"));
    }
    digits
}

/// What stands behind the last slash of a URL's path; empty if the URL has no path.
fn last_segment(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    path.rsplit_once('/').map_or("", |(_, segment)| segment)
}

/// The extension of the file that a URL names.
fn extension(url: &str) -> Option<&str> {
    let (_, extension) = last_segment(url).rsplit_once('.')?;
    (!extension.is_empty()).then_some(extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_extensions_come_from_the_path_only() {
        for (url, segment, found) in [
            ("https://a.example/b/photo.PNG?x=1.gif#y.bmp", "photo.PNG", Some("PNG")),
            ("https://a.example/b/photo", "photo", None),
            ("https://a.example/", "", None),
            ("https://a.example", "", None),
            ("https://a.example?x=/y.jpg", "", None),
            ("https://a.example/photo.", "photo.", None),
        ] {
            assert_eq!(last_segment(url), segment, "{url}");
            assert_eq!(extension(url), found, "{url}");
        }
    }

    #[test]
    fn picture_formats_are_numbers() {
        for (format, number) in
            [("JPG", 1), ("jpeg", 1), ("gif", 2), ("Png", 3), ("bmp", 4), ("webp", 255), ("", 255)]
        {
            assert_eq!(image_format(format), number, "{format}");
        }
    }
}
