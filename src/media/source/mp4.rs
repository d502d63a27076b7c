//! Tracks of MP4 files on their way in.

use shiguredo_mp4::boxes::{MoovBox, SampleEntry, StblBox, StszBox, TrakBox};
use shiguredo_mp4::{BoxHeader, Decode, Either};

use super::error::Problem;

/// The most samples of a track: hours of video, days of audio.
const MAX_SAMPLES: usize = 1 << 22;
/// Of a track that is shown as it is coded.
const UPRIGHT: [i32; 9] = [0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x4000_0000];

/// Whether a file begins as MP4 files do.
pub(super) fn is_mp4(file: &[u8]) -> bool {
    file.get(4..8) == Some(b"ftyp")
}

/// A track, and when it is played.
pub(super) struct Track<'a> {
    pub entry: SampleEntry,
    /// Ticks a second.
    pub clock: u32,
    pub samples: Vec<Sample<'a>>,
    /// The tick that is played first.
    pub start: i64,
    /// Seconds from the movie's beginning to that.
    pub delay: f64,
    /// How long it is played from there on, in seconds; `None` for all of it.
    pub seconds: Option<f64>,
    /// Whether it is shown as it is coded, not turned.
    pub upright: bool,
}

/// A sample of a track: a frame, or a packet of audio.
#[derive(Clone, Copy)]
pub(super) struct Sample<'a> {
    pub data: &'a [u8],
    /// When it is shown and how long it lasts, in ticks.
    pub at: i64,
    pub ticks: u32,
}

fn damaged(what: impl Into<String>) -> Problem {
    Problem::Damaged(what.into())
}

fn foreign(what: impl Into<String>) -> Problem {
    Problem::Foreign(what.into())
}

impl<'a> Track<'a> {
    /// The first track that a kind of handler plays.
    pub fn find(file: &'a [u8], handler: [u8; 4]) -> Result<Track<'a>, Problem> {
        let moov = moov(file)?;
        let movie_clock = f64::from(moov.mvhd_box.timescale.get());
        let is = |trak: &TrakBox| trak.mdia_box.hdlr_box.handler_type == handler;
        let trak = moov.trak_boxes.into_iter().find(is).ok_or(Problem::Missing)?;
        let table = trak.mdia_box.minf_box.stbl_box;
        let samples = samples(file, &table)?;
        if samples.is_empty() {
            // Fragmented files have their samples elsewhere.
            return Err(foreign("the index of the MP4 file lists no samples"));
        }
        let mut entries = table.stsd_box.entries.into_iter();
        let (Some(entry), None) = (entries.next(), entries.next()) else {
            return Err(foreign("it is coded in several ways one after the other"));
        };
        let (mut start, mut delay, mut seconds, mut parts) = (0, 0.0, None, 0);
        for edit in trak.edts_box.and_then(|edits| edits.elst_box).into_iter().flat_map(|edits| edits.entries)
        {
            let lasts = edit.edit_duration as f64 / movie_clock;
            match edit.media_time {
                time if time < 0 && parts == 0 => delay += lasts,
                time if time < 0 => {}
                time => {
                    (start, seconds) = (time, Some(lasts).filter(|lasts| *lasts > 0.0));
                    parts += 1;
                }
            }
        }
        if parts > 1 {
            return Err(foreign("it is cut together from several parts"));
        }
        let (clock, upright) = (trak.mdia_box.mdhd_box.timescale.get(), trak.tkhd_box.matrix == UPRIGHT);
        Ok(Track { entry, clock, samples, start, delay, seconds, upright })
    }
}

/// The index of the file.
fn moov(file: &[u8]) -> Result<MoovBox, Problem> {
    let mut rest = file;
    while !rest.is_empty() {
        let (header, head) = BoxHeader::decode(rest).map_err(|_| damaged("it ends within a box"))?;
        let length = match header.box_size.get() {
            0 => rest.len(),
            said => usize::try_from(said).unwrap_or(usize::MAX),
        };
        if header.box_type == MoovBox::TYPE {
            let whole = rest.get(..length).ok_or_else(|| damaged("it ends within its index"))?;
            let moov =
                MoovBox::decode(whole).map_err(|e| foreign(format!("its index is odd: {}", e.reason)))?;
            return Ok(moov.0);
        }
        rest = rest.get(length.max(head)..).unwrap_or_default();
    }
    Err(damaged("it has no index, as files that were not written to their end"))
}

/// All samples of a table. Nothing in it is trusted.
fn samples<'a>(file: &'a [u8], table: &StblBox) -> Result<Vec<Sample<'a>>, Problem> {
    let sizes: Vec<usize> = match &table.stsz_box {
        StszBox::Fixed { sample_size, sample_count } => {
            let count = (*sample_count as usize).min(MAX_SAMPLES + 1);
            vec![sample_size.get() as usize; count]
        }
        StszBox::Variable { entry_sizes } => entry_sizes.iter().map(|size| *size as usize).collect(),
    };
    if sizes.len() > MAX_SAMPLES {
        return Err(foreign("it has too many samples"));
    }
    let chunks: Vec<u64> = match &table.stco_or_co64_box {
        Either::A(stco) => stco.chunk_offsets.iter().map(|at| u64::from(*at)).collect(),
        Either::B(co64) => co64.chunk_offsets.clone(),
    };
    let odd = || damaged("its index contradicts itself");
    let lasts = table.stts_box.entries.iter();
    let mut lasts = lasts.flat_map(|e| std::iter::repeat_n(e.sample_delta, e.sample_count as usize));
    let shifts = table.ctts_box.iter().flat_map(|ctts| &ctts.entries);
    let mut shifts = shifts.flat_map(|e| std::iter::repeat_n(e.sample_offset, e.sample_count as usize));
    let (mut out, mut sizes, mut ticks) = (Vec::with_capacity(sizes.len()), sizes.into_iter(), 0i64);
    for (number, chunk) in (1u32..).zip(chunks) {
        let entry = table.stsc_box.entries.iter().rev().find(|e| e.first_chunk.get() <= number);
        let mut at = usize::try_from(chunk).map_err(|_| odd())?;
        for size in sizes.by_ref().take(entry.ok_or_else(odd)?.sample_per_chunk as usize) {
            let end = at.checked_add(size).ok_or_else(odd)?;
            let data = file.get(at..end).ok_or_else(|| damaged("it ends too early: it is cut short"))?;
            let lasts = lasts.next().ok_or_else(odd)?;
            let shift = shifts.next().unwrap_or(0).clamp(-(1 << 40), 1 << 40);
            out.push(Sample { data, at: ticks + shift, ticks: lasts });
            ticks += i64::from(lasts);
            at = end;
        }
    }
    if sizes.next().is_some() { Err(odd()) } else { Ok(out) }
}
