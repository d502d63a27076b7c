//! The MP4 file that encoded tracks become.
//!
//! The order is `ftyp`, `moov`, `mdat`: with the tables in front, a player can start before it has the whole file.

use std::io::{self, Write};

use shiguredo_mp4::boxes::{Brand, FtypBox, MdatBox};
use shiguredo_mp4::{BoxHeader, BoxSize, Encode};

use super::movie::{Chunk, Movie};
use super::{MediaError, tables};

/// A finished MP4 file.
pub struct Mp4 {
    /// `ftyp`, `moov` and the header of `mdat`.
    head: Vec<u8>,
    chunks: Vec<Chunk>,
    movie: Movie,
}

impl Mp4 {
    /// Places the tracks of `movie` in a file.
    pub(super) fn of(movie: Movie) -> Result<Mp4, MediaError> {
        let chunks = interleave(&movie);
        let payload = chunks.iter().map(|c| c.bytes).sum::<u64>();
        let ftyp = FtypBox {
            major_brand: Brand::ISOM,
            minor_version: 512,
            compatible_brands: vec![Brand::ISOM, Brand::ISO2, Brand::AVC1, Brand::MP41],
        };
        let mdat = BoxHeader {
            box_type: MdatBox::TYPE,
            box_size: BoxSize::with_payload_size(MdatBox::TYPE, payload),
        };
        let (ftyp, mdat) = (bytes(&ftyp)?, bytes(&mdat)?);
        // The length of the tables does not depend on the offsets in them, only on whether these have 32 or 64 bits.
        let mut wide = false;
        let mut length = bytes(&tables::moov(&movie, &chunks, 0, wide)?)?.len();
        let start = |length: usize| (ftyp.len() + length + mdat.len()) as u64;
        if start(length) + payload > u64::from(u32::MAX) {
            wide = true;
            length = bytes(&tables::moov(&movie, &chunks, 0, wide)?)?.len();
        }
        let moov = bytes(&tables::moov(&movie, &chunks, start(length), wide)?)?;
        Ok(Mp4 { head: [ftyp, moov, mdat].concat(), chunks, movie })
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.head.len() as u64 + self.chunks.iter().map(|c| c.bytes).sum::<u64>()
    }

    /// Writes the file from front to back.
    ///
    /// # Errors
    /// Whatever `out` says.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.head)?;
        // How much of each track is written.
        let (mut video, mut audio) = (0, 0);
        for chunk in &self.chunks {
            let (track, done) = match &self.movie.audio {
                Some(track) if chunk.audio => (&track.data, &mut audio),
                _ => (&self.movie.video.data, &mut video),
            };
            track.copy(*done, chunk.bytes, out)?;
            *done += chunk.bytes;
        }
        Ok(())
    }
}

/// Half a second of frames, the audio of that time, and so on, so that a player reads the file front to back.
fn interleave(movie: &Movie) -> Vec<Chunk> {
    let rate = movie.video.rate;
    let per_chunk = (rate.fps() / 2.0).ceil() as usize;
    let mut chunks = Vec::new();
    let mut audio = movie.audio.as_ref().map(|s| (s, &s.sizes[..]));
    let mut frames_done = 0;
    for frames in movie.video.sizes.chunks(per_chunk) {
        chunks.push(chunk(false, frames));
        frames_done += frames.len();
        if let Some((track, left)) = &mut audio {
            let until = rate.time(frames_done as u64, track.rate) + u64::from(track.priming);
            let wanted = until.div_ceil(u64::from(track.frame_length)) as usize;
            let done = track.sizes.len() - left.len();
            // What outlasts the frames follows the last of them.
            let last = frames_done == movie.video.sizes.len();
            let now = if last { left.len() } else { wanted.saturating_sub(done).min(left.len()) };
            if now > 0 {
                chunks.push(chunk(true, &left[..now]));
                *left = &left[now..];
            }
        }
    }
    chunks
}

fn chunk(audio: bool, sizes: &[u32]) -> Chunk {
    Chunk { audio, frames: sizes.len() as u32, bytes: sizes.iter().map(|s| u64::from(*s)).sum() }
}

/// The bytes of a box.
fn bytes(part: &impl Encode) -> Result<Vec<u8>, MediaError> {
    part.encode_to_vec().map_err(|e| MediaError::Tables(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::FrameRate;
    use super::super::movie::{AudioTrack, VideoTrack};
    use super::super::store::Store;
    use super::*;

    fn stored(bytes: &[u8]) -> Store {
        let mut store = Store::new(None);
        store.append(bytes).unwrap();
        store
    }

    fn movie(fps: f64, frames: usize, samples: u64) -> Movie {
        let video = VideoTrack {
            width: 32,
            height: 32,
            rate: FrameRate::new(fps).unwrap(),
            sequence_parameters: vec![0x67, 66, 0, 10],
            picture_parameters: vec![0x68],
            key_frames: vec![0],
            sizes: vec![10; frames],
            data: stored(&vec![1; 10 * frames]),
        };
        let count = (samples + 2048).div_ceil(1024) as usize;
        let audio = (samples > 0).then(|| AudioTrack {
            config: vec![0x11, 0x90],
            frame_length: 1024,
            priming: 2048,
            samples,
            rate: 48_000,
            bit_rate: 192_000,
            sizes: vec![3; count],
            data: stored(&vec![2; 3 * count]),
        });
        Movie { video, audio, metadata: Vec::new() }
    }

    #[test]
    fn chunks_alternate_and_cover_everything() {
        for (frames, samples) in [(1, 0), (1, 48_000), (25, 50_000), (241, 482_000), (48, 100), (24, 480_000)]
        {
            let movie = movie(24.0, frames, samples);
            let chunks = interleave(&movie);
            let count =
                |audio| chunks.iter().filter(|c| c.audio == audio).map(|c| c.frames as usize).sum::<usize>();
            assert_eq!(count(false), frames);
            assert_eq!(count(true), movie.audio.as_ref().map_or(0, |s| s.sizes.len()));
            assert!(chunks.iter().all(|c| c.frames > 0));
            assert!(chunks.windows(2).all(|w| !(w[0].audio && w[1].audio)));
            let bytes = movie.video.data.bytes() + movie.audio.as_ref().map_or(0, |s| s.data.bytes());
            assert_eq!(chunks.iter().map(|c| c.bytes).sum::<u64>(), bytes);
        }
    }

    #[test]
    fn audio_is_never_far_from_its_video() {
        let movie = movie(24.0, 240, 480_000);
        let (mut shown, mut played) = (0u64, 0u64);
        for chunk in interleave(&movie) {
            if chunk.audio {
                played += u64::from(chunk.frames);
                let heard = played as f64 * 1024.0 / 48_000.0 - 2048.0 / 48_000.0;
                assert!((heard - shown as f64 / 24.0).abs() < 0.05, "{heard} {shown}");
            } else {
                shown += u64::from(chunk.frames);
            }
        }
    }
}
