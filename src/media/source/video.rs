//! H.264 in MP4 files to frames.

use openh264::OpenH264API;
use openh264::decoder::{DecodedYUV, Decoder, DecoderConfig, Flush};
use openh264::formats::YUVSource;
use shiguredo_mp4::BoxType;
use shiguredo_mp4::boxes::{Avc1Box, HdlrBox, SampleEntry};

use super::error::Problem;
use super::mp4::{self, Track};
use super::yuv::{Colours, rgb};

/// Frames of a video.
#[derive(Debug)]
pub(super) struct Frames {
    pub width: usize,
    pub height: usize,
    /// Frames a second.
    pub fps: f64,
    /// RGB, [height, width, 3] each.
    pub frames: Vec<Vec<u8>>,
    /// How many there are in the file, where that is known.
    pub total: Option<usize>,
}

/// The number of a profile and what the decoder knows of it: 4:2:0 of 8 bits.
const PROFILES: [u8; 3] = [66, 77, 100];

fn foreign(why: &str) -> Problem {
    Problem::Foreign(why.to_string())
}

/// The first `most` frames of the first video of a file.
pub(super) fn decode(file: &[u8], most: usize) -> Result<Frames, Problem> {
    if !mp4::is_mp4(file) {
        return Err(foreign("it is no MP4 file"));
    }
    let track = Track::find(file, HdlrBox::HANDLER_TYPE_VIDE)?;
    let SampleEntry::Avc1(entry) = &track.entry else {
        return Err(foreign("it is not coded as H.264"));
    };
    if !PROFILES.contains(&entry.avcc_box.avc_profile_indication) {
        return Err(foreign("its kind of H.264 is a rare one"));
    }
    if !track.upright {
        return Err(foreign("it is shown turned"));
    }
    let fps = rate(&track)?;
    if track.delay * fps > 0.5 {
        return Err(foreign("it begins later than its sound"));
    }
    let skipped = track.samples.iter().filter(|sample| sample.at < track.start).count();
    let end = track.seconds.map(|seconds| track.start as f64 + seconds * f64::from(track.clock));
    // Half a frame of room for how edits are rounded.
    let room = 0.5 * f64::from(track.clock) / fps;
    let shown = |at: i64| at >= track.start && end.is_none_or(|end| (at as f64) < end - room);
    let total = track.samples.iter().filter(|sample| shown(sample.at)).count();
    let mut decoded = Decoded { size: None, skipped, most, frames: Vec::new(), colours: colours(entry)? };
    decoded.all(&track, entry).map_err(Problem::Damaged)?;
    let Decoded { size, mut frames, .. } = decoded;
    frames.truncate(total);
    let [width, height] = size.ok_or(Problem::Missing)?;
    if frames.len() < total.min(most) {
        return Err(Problem::Damaged(format!("only {} of {total} frames can be decoded", frames.len())));
    }
    Ok(Frames { width, height, fps, frames, total: Some(total) })
}

/// Frames a second, where all last as long.
fn rate(track: &Track<'_>) -> Result<f64, Problem> {
    let lasts: Vec<u32> = track.samples.iter().map(|sample| sample.ticks).collect();
    // The last one may stand for anything.
    let all = &lasts[..(lasts.len() - 1).max(1)];
    let sum: u64 = all.iter().map(|ticks| u64::from(*ticks)).sum();
    let mean = sum as f64 / all.len() as f64;
    if sum == 0 {
        return Err(Problem::Damaged("its frames last no time".to_string()));
    }
    // Clocks of milliseconds cannot say 41.67.
    if all.iter().any(|ticks| (f64::from(*ticks) - mean).abs() > (mean * 0.02).max(1.0)) {
        return Err(foreign("its frame rate varies"));
    }
    Ok(f64::from(track.clock) / mean)
}

/// What the box of colours says; where there is none, they are those that this program writes.
fn colours(entry: &Avc1Box) -> Result<Colours, Problem> {
    let colr = entry.unknown_boxes.iter().find(|b| b.box_type == BoxType::Normal(*b"colr"));
    let said = colr.map(|b| b.payload.as_slice()).filter(|payload| payload.starts_with(b"nclx"));
    let Some([_, _, _, _, _, _, _, _, high, low, rest @ ..]) = said else { return Ok(Colours::BT709) };
    let full = rest.first().is_some_and(|flags| flags & 0x80 != 0);
    Colours::of(u16::from_be_bytes([*high, *low]), full)
        .ok_or_else(|| foreign("its colours are of a rare kind"))
}

/// What has come out of the decoder.
struct Decoded {
    size: Option<[usize; 2]>,
    /// Frames in front that nobody is shown.
    skipped: usize,
    most: usize,
    frames: Vec<Vec<u8>>,
    colours: Colours,
}

impl Decoded {
    fn all(&mut self, track: &Track<'_>, entry: &Avc1Box) -> Result<(), String> {
        let failed = |e: openh264::Error| e.to_string();
        // Frames come in the order in which they are shown, once nothing can come before them.
        let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
        let mut decoder = Decoder::with_api_config(OpenH264API::from_source(), config).map_err(failed)?;
        let avcc = &entry.avcc_box;
        let length = usize::from(avcc.length_size_minus_one.get()) + 1;
        let mut stream = Vec::new();
        let sets = avcc.sps_list.iter().chain(&avcc.pps_list);
        sets.for_each(|set| push_unit(&mut stream, set));
        for (number, sample) in track.samples.iter().enumerate() {
            let mut rest = sample.data;
            while !rest.is_empty() {
                let short = || format!("frame {number} is cut short");
                let (said, after) = rest.split_at_checked(length).ok_or_else(short)?;
                let count = said.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                let (unit, after) = after.split_at_checked(count).ok_or_else(short)?;
                push_unit(&mut stream, unit);
                rest = after;
            }
            let decoded = decoder.decode(&stream).map_err(|e| format!("frame {number}: {e}"))?;
            stream.clear();
            decoded.map_or(Ok(()), |frame| self.push(&frame))?;
            if self.frames.len() == self.most {
                return Ok(());
            }
        }
        decoder.flush_remaining().map_err(failed)?.iter().try_for_each(|frame| self.push(frame))
    }

    fn push(&mut self, frame: &DecodedYUV<'_>) -> Result<(), String> {
        let (width, height) = frame.dimensions();
        if *self.size.get_or_insert([width, height]) != [width, height] {
            return Err("its size changes on the way".to_string());
        }
        if self.skipped > 0 {
            self.skipped -= 1;
        } else if self.frames.len() < self.most {
            let (luma, blue, red) = frame.strides();
            let planes = [(frame.y(), luma), (frame.u(), blue), (frame.v(), red)];
            self.frames.push(rgb(planes, [width, height], [2, 2], self.colours));
        }
        Ok(())
    }
}

/// A unit as decoders take it, behind a start code.
fn push_unit(stream: &mut Vec<u8>, unit: &[u8]) {
    stream.extend([0, 0, 0, 1]);
    stream.extend_from_slice(unit);
}
