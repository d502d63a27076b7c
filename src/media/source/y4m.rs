//! YUV4MPEG2 streams of 8-bit 4:4:4, as ffmpeg hands frames over.

use std::io::{self, BufRead, Read};

/// The most bytes of a header.
const MAX_LINE: u64 = 1024;
/// The most pixels of a frame.
const MAX_PIXELS: usize = 1 << 26;

/// Frames and what they are.
#[derive(Debug, PartialEq)]
pub struct Stream {
    pub width: usize,
    pub height: usize,
    /// Frames a second.
    pub fps: f64,
    /// Three planes of width·height bytes each.
    pub frames: Vec<Vec<u8>>,
}

/// Reads a stream of up to `most` frames.
///
/// # Errors
/// Says what is wrong with it.
pub fn read(mut from: impl BufRead, most: usize) -> Result<Stream, String> {
    let header = line(&mut from)?.ok_or("there is no frame")?;
    let mut fields = header.split(' ');
    if fields.next() != Some("YUV4MPEG2") {
        return Err("it is no YUV4MPEG2 stream".to_string());
    }
    let (mut width, mut height, mut fps) = (0, 0, 0.0);
    for field in fields.filter(|field| !field.is_empty()) {
        let (kind, value) = field.split_at_checked(1).unwrap_or((field, ""));
        match kind {
            "W" => width = value.parse().unwrap_or(0),
            "H" => height = value.parse().unwrap_or(0),
            "F" => {
                let parts = value.split_once(':').map(|(n, d)| (n.parse::<u32>(), d.parse::<u32>()));
                if let Some((Ok(n), Ok(d))) = parts {
                    fps = f64::from(n) / f64::from(d.max(1));
                }
            }
            "C" if value != "444" => return Err(format!("its colours are {value}, wanted 444")),
            _ => {}
        }
    }
    let pixels = usize::checked_mul(width, height).filter(|pixels| (1..=MAX_PIXELS).contains(pixels));
    let pixels = pixels.ok_or_else(|| format!("its frames are {width}x{height}"))?;
    if fps <= 0.0 {
        return Err("it has no frame rate".to_string());
    }
    let mut frames = Vec::new();
    while frames.len() < most {
        match line(&mut from)? {
            None => break,
            Some(head) if head.split(' ').next() == Some("FRAME") => {}
            Some(head) => {
                return Err(format!(
                    "{:?} stands where a frame begins",
                    head.chars().take(20).collect::<String>()
                ));
            }
        }
        let mut frame = Vec::new();
        from.by_ref().take(3 * pixels as u64).read_to_end(&mut frame).map_err(|e| e.to_string())?;
        if frame.len() < 3 * pixels {
            return Err(format!("frame {} ends too early", frames.len()));
        }
        frames.push(frame);
    }
    Ok(Stream { width, height, fps, frames })
}

/// The next line without its end; `None` behind the last one.
fn line(from: &mut impl BufRead) -> Result<Option<String>, String> {
    let mut bytes = Vec::new();
    from.by_ref().take(MAX_LINE).read_until(b'\n', &mut bytes).map_err(|e: io::Error| e.to_string())?;
    match bytes.pop() {
        None => Ok(None),
        Some(b'\n') => String::from_utf8(bytes).map(Some).map_err(|_| "a header is no text".to_string()),
        Some(_) => Err("a header has no end".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole() {
        let text = b"YUV4MPEG2 W2 H1 F30000:1001 Ip A1:1 C444\nFRAME\nabcdefFRAME x\nABCDEF";
        let stream = read(&text[..], 9).unwrap();
        assert_eq!((stream.width, stream.height, stream.frames.len()), (2, 1, 2));
        assert!((stream.fps - 29.97).abs() < 0.001 && stream.frames[1] == b"ABCDEF");
        assert_eq!(read(&text[..], 1).unwrap().frames.len(), 1);
    }

    #[test]
    fn broken_streams_are_refused() {
        for (text, words) in [
            ("", "no frame"),
            ("RIFF\n", "no YUV4MPEG2"),
            ("YUV4MPEG2 W2 H1", "no end"),
            ("YUV4MPEG2 W2 F25:1\n", "2x0"),
            ("YUV4MPEG2 W9999999999 H99999999999 F25:1\n", "9999999999x99999999999"),
            ("YUV4MPEG2 W2 H1\n", "no frame rate"),
            ("YUV4MPEG2 W2 H1 F25:1 C420\n", "420"),
            ("YUV4MPEG2 W2 H1 F25:1\nFRAME\nabc", "frame 0 ends too early"),
            ("YUV4MPEG2 W2 H1 F25:1\nFRAMED\nabcdef", "FRAMED"),
        ] {
            let error = read(text.as_bytes(), 9).unwrap_err();
            assert!(error.contains(words), "{text:?}: {error}");
        }
    }
}
