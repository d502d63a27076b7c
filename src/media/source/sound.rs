//! Files of sound to samples: WAV, FLAC and MP3, and AAC in MP4 files.

use std::io::Cursor;
use std::ops::RangeInclusive;

use shiguredo_mp4::boxes::{HdlrBox, SampleEntry};
use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::audio::well_known::CODEC_ID_AAC;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::TrackType;
use symphonia::core::formats::probe::Hint;
use symphonia::core::io::MediaSourceStream;
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

use super::error::Problem;
use super::mp4::{self, Track};

/// Sampling rates of sound. Far outside of them, the filters that resample would outgrow the memory.
const RATES: RangeInclusive<u32> = 1_000..=768_000;

/// Samples of one or two channels, and how many there are in a second.
pub(super) struct Samples {
    pub rate: u32,
    pub channels: Vec<Vec<f32>>,
}

/// The first sound of a file.
pub(super) fn decode(file: Vec<u8>) -> Result<Samples, Problem> {
    if mp4::is_mp4(&file) { of_mp4(&file) } else { of_others(file) }
}

fn problem(error: Error) -> Problem {
    match error {
        Error::Unsupported(what) => Problem::Foreign(what.to_string()),
        Error::IoError(_) => Problem::Damaged("it ends too early: it is cut short".to_string()),
        other => Problem::Damaged(other.to_string()),
    }
}

impl Samples {
    fn new() -> Samples {
        Samples { rate: 0, channels: Vec::new() }
    }

    fn push(&mut self, buffer: &GenericAudioBufferRef<'_>) -> Result<(), Problem> {
        let mut planes: Vec<Vec<f32>> = Vec::new();
        buffer.copy_to_vecs_planar(&mut planes);
        let rate = buffer.spec().rate();
        if !RATES.contains(&rate) {
            let (least, most) = (RATES.start(), RATES.end());
            return Err(Problem::Damaged(format!(
                "it says {rate} samples a second, {least} to {most} wanted"
            )));
        }
        if self.channels.is_empty() {
            self.rate = rate;
            self.channels.resize(planes.len(), Vec::new());
        }
        if (rate, planes.len()) != (self.rate, self.channels.len()) {
            return Err(Problem::Foreign("its rate or its channels change on the way".to_string()));
        }
        if !(1..=2).contains(&planes.len()) {
            return Err(Problem::Foreign(format!("it has {} channels", planes.len())));
        }
        self.channels.iter_mut().zip(&planes).for_each(|(all, plane)| all.extend_from_slice(plane));
        Ok(())
    }

    /// Only what lies from sample `first` on, up to `count` of them, behind `before` of silence.
    fn edited(mut self, before: usize, first: usize, count: Option<usize>) -> Samples {
        for channel in &mut self.channels {
            channel.drain(..first.min(channel.len()));
            channel.truncate(count.unwrap_or(usize::MAX));
            channel.splice(..0, std::iter::repeat_n(0.0, before));
        }
        self
    }
}

/// Whatever format the bytes show.
fn of_others(file: Vec<u8>) -> Result<Samples, Problem> {
    let stream = MediaSourceStream::new(Box::new(Cursor::new(file)), Default::default());
    let probe = symphonia::default::get_probe();
    let mut format = probe
        .probe(&Hint::new(), stream, Default::default(), Default::default())
        .map_err(|_| Problem::Foreign("it is no WAV, FLAC, MP3 or MP4 file".to_string()))?;
    let track = format.default_track(TrackType::Audio).ok_or(Problem::Missing)?;
    let (id, params) = (track.id, track.codec_params.as_ref().and_then(|params| params.audio()));
    let params = params.ok_or(Problem::Missing)?;
    let mut decoder = decoder(params)?;
    let mut samples = Samples::new();
    loop {
        match format.next_packet() {
            Ok(Some(packet)) if packet.track_id != id => {}
            Ok(Some(packet)) => samples.push(&decoder.decode(&packet).map_err(problem)?)?,
            // Some formats have a sum of all samples.
            Ok(None) if decoder.finalize().verify_ok == Some(false) => {
                return Err(Problem::Damaged("its checksum is another one".to_string()));
            }
            Ok(None) => return Ok(samples),
            // A file without its last bytes still has what came before.
            Err(Error::IoError(_)) if !samples.channels.is_empty() => return Ok(samples),
            Err(error) => return Err(problem(error)),
        }
    }
}

fn decoder(params: &AudioCodecParameters) -> Result<Box<dyn AudioDecoder>, Problem> {
    let codecs = symphonia::default::get_codecs();
    codecs.make_audio_decoder(params, &AudioDecoderOptions::default().verify(true)).map_err(problem)
}

/// AAC. What encoders put in front is left out, as the file's edits say: others read MP4 files without these.
fn of_mp4(file: &[u8]) -> Result<Samples, Problem> {
    let track = Track::find(file, HdlrBox::HANDLER_TYPE_SOUN)?;
    let SampleEntry::Mp4a(entry) = &track.entry else {
        return Err(Problem::Foreign("it is no AAC".to_string()));
    };
    let config = &entry.esds_box.es.dec_config_descr.dec_specific_info;
    let config = config.as_ref().ok_or_else(|| Problem::Foreign("it is no AAC".to_string()))?;
    let mut params = AudioCodecParameters::new();
    params.for_codec(CODEC_ID_AAC).with_extra_data(config.payload.clone().into_boxed_slice());
    let mut decoder = decoder(&params)?;
    let mut samples = Samples::new();
    for sample in &track.samples {
        let lasts = Duration::new(u64::from(sample.ticks));
        let packet = Packet::new(0, Timestamp::new(sample.at), lasts, sample.data);
        samples.push(&decoder.decode(&packet).map_err(problem)?)?;
    }
    let (rate, clock) = (f64::from(samples.rate), f64::from(track.clock));
    let of = |seconds: f64| (seconds * rate).round() as usize;
    let first = (track.start as f64 / clock * rate).round() as usize;
    Ok(samples.edited(of(track.delay.min(3600.0)), first, track.seconds.map(of)))
}
