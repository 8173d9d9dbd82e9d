//! Keeps a log line one line, whatever text is in it.
//!
//! Control characters, marks that change the direction of text, and `<` become `\uXXXX`. That is plain text in
//! the text format, and in JSON another way to write the same character.

use std::io::{self, Write};

use tracing_subscriber::fmt::MakeWriter;

/// Makes writers that escape.
#[derive(Clone, Debug)]
pub(super) struct Escaping<M>(pub(super) M);

/// Escapes what it writes; every write is one whole line.
pub(super) struct EscapingWriter<W>(W);

impl<'writer, M: MakeWriter<'writer>> MakeWriter<'writer> for Escaping<M> {
    type Writer = EscapingWriter<M::Writer>;

    fn make_writer(&'writer self) -> Self::Writer {
        EscapingWriter(self.0.make_writer())
    }
}

impl<W: Write> Write for EscapingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if is_plain(bytes) {
            return self.0.write_all(bytes);
        }
        let text = String::from_utf8_lossy(bytes);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        if !line.contains(is_unsafe) {
            return self.0.write_all(bytes);
        }
        let mut out = String::with_capacity(bytes.len() + 32);
        for letter in line.chars() {
            if is_unsafe(letter) {
                out.push_str(&format!("\\u{:04x}", u32::from(letter)));
            } else {
                out.push(letter);
            }
        }
        out.push('\n');
        self.0.write_all(out.as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Whether a line is of printable ASCII alone and opens no tag, as nearly every one is: looked at in one pass
/// without reading characters.
fn is_plain(bytes: &[u8]) -> bool {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    line.iter().fold(true, |is_plain, byte| is_plain & matches!(byte, b' '..=b'~') & (*byte != b'<'))
}

/// Line breaks and controls (ANSI sequences among them), direction marks, and what opens a tag. All of them lie
/// in the range that four digits write.
fn is_unsafe(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '<' | '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(letter, '\u{2066}'..='\u{2069}')
}
