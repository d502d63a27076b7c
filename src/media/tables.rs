//! The `moov` box: what the tracks are and where their frames lie.

use std::num::{NonZeroU16, NonZeroU32};

use shiguredo_mp4::boxes::{
    AudioSampleEntryFields, Avc1Box, AvccBox, Co64Box, DinfBox, EdtsBox, ElstBox, ElstEntry, EsdsBox,
    HdlrBox, MdhdBox, MdiaBox, MinfBox, MoovBox, Mp4aBox, MvhdBox, SampleEntry, SmhdBox, StblBox, StcoBox,
    StscBox, StscEntry, StsdBox, StssBox, StszBox, SttsBox, SttsEntry, TkhdBox, TrakBox, UnknownBox,
    VisualSampleEntryFields, VmhdBox,
};
use shiguredo_mp4::descriptors::{
    DecoderConfigDescriptor, DecoderSpecificInfo, EsDescriptor, SlConfigDescriptor,
};
use shiguredo_mp4::{BoxSize, BoxType, Either, Encode, FixedPointNumber, Mp4FileTime, Uint};

use super::movie::{AudioTrack, Chunk, Movie, VideoTrack};
use super::{MediaError, SAMPLE_RATE};

const VIDEO_ID: u32 = 1;
const AUDIO_ID: u32 = 2;
/// Ticks per second of the movie: with those of the audio, its edit list is exact.
const MOVIE_CLOCK: u32 = SAMPLE_RATE;
const ONE: NonZeroU32 = NonZeroU32::MIN;

/// The tables of `movie`, whose `chunks` follow one another from byte `start` of the file on, with 64-bit offsets if
/// `wide`.
pub(super) fn moov(movie: &Movie, chunks: &[Chunk], start: u64, wide: bool) -> Result<MoovBox, MediaError> {
    let mut traks = vec![video_trak(&movie.video, placed(chunks, start, false), wide)?];
    let mut duration = traks[0].tkhd_box.duration;
    if let Some(audio) = &movie.audio {
        traks.push(audio_trak(audio, placed(chunks, start, true), wide)?);
        duration = duration.max(audio.samples);
    }
    Ok(MoovBox {
        mvhd_box: MvhdBox {
            creation_time: Mp4FileTime::default(),
            modification_time: Mp4FileTime::default(),
            timescale: nonzero(MOVIE_CLOCK)?,
            duration,
            rate: MvhdBox::DEFAULT_RATE,
            volume: MvhdBox::DEFAULT_VOLUME,
            matrix: MvhdBox::DEFAULT_MATRIX,
            next_track_id: AUDIO_ID + 1,
        },
        trak_boxes: traks,
        mvex_box: None,
        unknown_boxes: metadata(&movie.metadata)?,
    })
}

/// Frames per chunk and offset in the file, for the chunks of one track.
fn placed(chunks: &[Chunk], start: u64, audio: bool) -> Vec<(u32, u64)> {
    let mut offset = start;
    let mut placed = Vec::new();
    for chunk in chunks {
        if chunk.audio == audio {
            placed.push((chunk.frames, offset));
        }
        offset += chunk.bytes;
    }
    placed
}

fn video_trak(track: &VideoTrack, chunks: Vec<(u32, u64)>, wide: bool) -> Result<TrakBox, MediaError> {
    let frames = track.sizes.len() as u64;
    let [_, profile, compatibility, level, ..] = track.sequence_parameters[..] else {
        return Err(MediaError::Tables("the sequence parameter set is too short".into()));
    };
    let entry = Avc1Box {
        visual: VisualSampleEntryFields {
            data_reference_index: NonZeroU16::MIN,
            width: track.width,
            height: track.height,
            horizresolution: VisualSampleEntryFields::DEFAULT_HORIZRESOLUTION,
            vertresolution: VisualSampleEntryFields::DEFAULT_VERTRESOLUTION,
            frame_count: VisualSampleEntryFields::DEFAULT_FRAME_COUNT,
            compressorname: VisualSampleEntryFields::NULL_COMPRESSORNAME,
            depth: VisualSampleEntryFields::DEFAULT_DEPTH,
        },
        avcc_box: AvccBox {
            avc_profile_indication: profile,
            profile_compatibility: compatibility,
            avc_level_indication: level,
            length_size_minus_one: Uint::new(3),
            sps_list: vec![track.sequence_parameters.clone()],
            pps_list: vec![track.picture_parameters.clone()],
            // Only the High profiles carry these; the encoder writes Constrained Baseline.
            chroma_format: None,
            bit_depth_luma_minus8: None,
            bit_depth_chroma_minus8: None,
            sps_ext_list: Vec::new(),
        },
        unknown_boxes: vec![colour()],
    };
    let stts = SttsEntry { sample_count: frames as u32, sample_delta: track.rate.ticks_per_frame };
    let keys = track.key_frames.iter().filter_map(|i| NonZeroU32::new(i + 1)).collect();
    let mut stbl = sample_tables(SampleEntry::Avc1(entry), stts, &track.sizes, chunks, wide)?;
    stbl.stss_box = Some(StssBox { sample_numbers: keys });
    let media = Media {
        clock: track.rate.ticks_per_second,
        ticks: frames * u64::from(track.rate.ticks_per_frame),
        handler: HdlrBox::HANDLER_TYPE_VIDE,
        name: b"VideoHandler\0",
        header: Either::B(VmhdBox {
            graphicsmode: VmhdBox::DEFAULT_GRAPHICSMODE,
            opcolor: VmhdBox::DEFAULT_OPCOLOR,
        }),
    };
    let mut tkhd = track_header(VIDEO_ID, track.rate.time(frames, MOVIE_CLOCK));
    tkhd.width = FixedPointNumber::new(track.width as i16, 0);
    tkhd.height = FixedPointNumber::new(track.height as i16, 0);
    Ok(TrakBox { tkhd_box: tkhd, edts_box: None, mdia_box: media.with(stbl)?, unknown_boxes: Vec::new() })
}

fn audio_trak(track: &AudioTrack, chunks: Vec<(u32, u64)>, wide: bool) -> Result<TrakBox, MediaError> {
    let frames = track.sizes.len() as u32;
    let entry = Mp4aBox {
        audio: AudioSampleEntryFields {
            data_reference_index: NonZeroU16::MIN,
            channelcount: 2,
            samplesize: AudioSampleEntryFields::DEFAULT_SAMPLESIZE,
            samplerate: FixedPointNumber::new(track.rate as u16, 0),
        },
        esds_box: EsdsBox {
            es: EsDescriptor {
                es_id: AUDIO_ID as u16,
                stream_priority: EsDescriptor::LOWEST_STREAM_PRIORITY,
                depends_on_es_id: None,
                url_string: None,
                ocr_es_id: None,
                dec_config_descr: DecoderConfigDescriptor {
                    object_type_indication:
                        DecoderConfigDescriptor::OBJECT_TYPE_INDICATION_AUDIO_ISO_IEC_14496_3,
                    stream_type: DecoderConfigDescriptor::STREAM_TYPE_AUDIO,
                    up_stream: DecoderConfigDescriptor::UP_STREAM_FALSE,
                    buffer_size_db: Uint::new(0),
                    max_bitrate: track.bit_rate,
                    avg_bitrate: track.bit_rate,
                    dec_specific_info: Some(DecoderSpecificInfo { payload: track.config.clone() }),
                },
                sl_config_descr: SlConfigDescriptor,
            },
        },
        unknown_boxes: Vec::new(),
    };
    let stts = SttsEntry { sample_count: frames, sample_delta: track.frame_length };
    let mut stbl = sample_tables(SampleEntry::Mp4a(entry), stts, &track.sizes, chunks, wide)?;
    stbl.unknown_boxes = roll(frames);
    let media = Media {
        clock: track.rate,
        ticks: u64::from(frames) * u64::from(track.frame_length),
        handler: HdlrBox::HANDLER_TYPE_SOUN,
        name: b"AudioHandler\0",
        header: Either::A(SmhdBox { balance: SmhdBox::DEFAULT_BALANCE }),
    };
    // Playback starts after the priming and ends with the last real sample.
    let lasts = (track.samples * u64::from(MOVIE_CLOCK)).div_ceil(u64::from(track.rate));
    let edit = ElstEntry {
        edit_duration: lasts,
        media_time: i64::from(track.priming),
        media_rate: FixedPointNumber::new(1, 0),
    };
    let mut tkhd = track_header(AUDIO_ID, lasts);
    tkhd.volume = TkhdBox::DEFAULT_AUDIO_VOLUME;
    tkhd.alternate_group = 1;
    Ok(TrakBox {
        tkhd_box: tkhd,
        edts_box: Some(EdtsBox {
            elst_box: Some(ElstBox { entries: vec![edit] }),
            unknown_boxes: Vec::new(),
        }),
        mdia_box: media.with(stbl)?,
        unknown_boxes: Vec::new(),
    })
}

/// What differs between the media boxes of the tracks.
struct Media {
    /// Ticks per second.
    clock: u32,
    /// Duration.
    ticks: u64,
    handler: [u8; 4],
    name: &'static [u8],
    header: Either<SmhdBox, VmhdBox>,
}

impl Media {
    fn with(self, stbl: StblBox) -> Result<MdiaBox, MediaError> {
        Ok(MdiaBox {
            mdhd_box: MdhdBox {
                creation_time: Mp4FileTime::default(),
                modification_time: Mp4FileTime::default(),
                timescale: nonzero(self.clock)?,
                duration: self.ticks,
                language: MdhdBox::LANGUAGE_UNDEFINED,
            },
            hdlr_box: HdlrBox { handler_type: self.handler, name: self.name.into() },
            minf_box: MinfBox {
                smhd_or_vmhd_box: Some(self.header),
                dinf_box: DinfBox::LOCAL_FILE,
                stbl_box: stbl,
                unknown_boxes: Vec::new(),
            },
            unknown_boxes: Vec::new(),
        })
    }
}

fn track_header(track_id: u32, duration: u64) -> TkhdBox {
    TkhdBox {
        flag_track_enabled: true,
        flag_track_in_movie: true,
        flag_track_in_preview: false,
        flag_track_size_is_aspect_ratio: false,
        creation_time: Mp4FileTime::default(),
        modification_time: Mp4FileTime::default(),
        track_id,
        duration,
        layer: TkhdBox::DEFAULT_LAYER,
        alternate_group: TkhdBox::DEFAULT_ALTERNATE_GROUP,
        volume: TkhdBox::DEFAULT_VIDEO_VOLUME,
        matrix: TkhdBox::DEFAULT_MATRIX,
        width: FixedPointNumber::new(0, 0),
        height: FixedPointNumber::new(0, 0),
    }
}

fn sample_tables(
    entry: SampleEntry,
    stts: SttsEntry,
    sizes: &[u32],
    chunks: Vec<(u32, u64)>,
    wide: bool,
) -> Result<StblBox, MediaError> {
    let mut runs: Vec<StscEntry> = Vec::new();
    for (first_chunk, (frames, _)) in (1u32..).zip(&chunks) {
        if runs.last().is_none_or(|run| run.sample_per_chunk != *frames) {
            runs.push(StscEntry {
                first_chunk: nonzero(first_chunk)?,
                sample_per_chunk: *frames,
                sample_description_index: ONE,
            });
        }
    }
    let offsets = chunks.iter().map(|(_, offset)| *offset);
    let offsets = if wide {
        Either::B(Co64Box { chunk_offsets: offsets.collect() })
    } else {
        Either::A(StcoBox { chunk_offsets: offsets.map(|o| o as u32).collect() })
    };
    Ok(StblBox {
        stsd_box: StsdBox { entries: vec![entry] },
        stts_box: SttsBox { entries: vec![stts] },
        ctts_box: None,
        cslg_box: None,
        stsc_box: StscBox { entries: runs },
        stsz_box: StszBox::Variable { entry_sizes: sizes.to_vec() },
        stco_or_co64_box: offsets,
        stss_box: None,
        sdtp_box: None,
        unknown_boxes: Vec::new(),
    })
}

/// BT.709 primaries, transfer and matrix, limited range.
fn colour() -> UnknownBox {
    other(*b"colr", [&b"nclx"[..], &[0, 1, 0, 1, 0, 1, 0]].concat())
}

/// Says that every AAC frame needs the one before it, so that a player that seeks starts one frame early.
fn roll(frames: u32) -> Vec<UnknownBox> {
    let description =
        [&[1, 0, 0, 0][..], b"roll", &2u32.to_be_bytes(), &1u32.to_be_bytes(), &(-1i16).to_be_bytes()];
    let members = [&[0; 4][..], b"roll", &1u32.to_be_bytes(), &frames.to_be_bytes(), &1u32.to_be_bytes()];
    vec![other(*b"sgpd", description.concat()), other(*b"sbgp", members.concat())]
}

/// Key and value pairs under any names: a `meta` box with a key table, as QuickTime and FFmpeg write and read it.
fn metadata(pairs: &[(String, String)]) -> Result<Vec<UnknownBox>, MediaError> {
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    let mut keys = [[0; 4], length(pairs.len())?].concat();
    let mut values = Vec::new();
    for (index, (key, value)) in (1u32..).zip(pairs) {
        keys.extend(length(8 + key.len())?);
        keys.extend(b"mdta");
        keys.extend(key.as_bytes());
        values.extend(length(24 + value.len())?);
        values.extend(index.to_be_bytes());
        values.extend(length(16 + value.len())?);
        values.extend(b"data");
        values.extend([0, 0, 0, 1, 0, 0, 0, 0]); // UTF-8, any language
        values.extend(value.as_bytes());
    }
    let handler = HdlrBox { handler_type: *b"mdta", name: b"\0".into() };
    let mut payload = vec![0; 4];
    for part in [&handler as &dyn Encode, &other(*b"keys", keys), &other(*b"ilst", values)] {
        payload.extend(part.encode_to_vec().map_err(|e| MediaError::Tables(e.to_string()))?);
    }
    Ok(vec![other(*b"meta", payload)])
}

/// A box that the MP4 crate has no type for.
fn other(kind: [u8; 4], payload: Vec<u8>) -> UnknownBox {
    let box_type = BoxType::Normal(kind);
    UnknownBox { box_type, box_size: BoxSize::with_payload_size(box_type, payload.len() as u64), payload }
}

/// A length field.
fn length(bytes: usize) -> Result<[u8; 4], MediaError> {
    let length =
        u32::try_from(bytes).map_err(|_| MediaError::Tables("a metadata entry is over 4 GiB".into()))?;
    Ok(length.to_be_bytes())
}

fn nonzero(n: u32) -> Result<NonZeroU32, MediaError> {
    NonZeroU32::new(n).ok_or_else(|| MediaError::Tables("a clock or chunk number is zero".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_count_the_other_track() {
        let chunk = |audio, frames, bytes| Chunk { audio, frames, bytes };
        let chunks = [chunk(false, 12, 1000), chunk(true, 24, 50), chunk(false, 3, 7), chunk(true, 2, 1)];
        assert_eq!(placed(&chunks, 100, false), [(12, 100), (3, 1150)]);
        assert_eq!(placed(&chunks, 100, true), [(24, 1100), (2, 1157)]);
    }

    #[test]
    fn large_files_get_64_bit_offsets() {
        let entry = || SampleEntry::Unknown(other(*b"test", Vec::new()));
        let stts = || SttsEntry { sample_count: 2, sample_delta: 1 };
        let chunks = vec![(1, 40), (1, 5_000_000_000)];
        let wide = sample_tables(entry(), stts(), &[1, 1], chunks, true).unwrap();
        assert_eq!(wide.stco_or_co64_box, Either::B(Co64Box { chunk_offsets: vec![40, 5_000_000_000] }));
        let narrow = sample_tables(entry(), stts(), &[1, 1], vec![(1, 40), (1, 41)], false).unwrap();
        assert_eq!(narrow.stco_or_co64_box, Either::A(StcoBox { chunk_offsets: vec![40, 41] }));
        assert_eq!(narrow.stsc_box.entries.len(), 1, "equal chunks share a run");
    }
}
