//! Sound and video that a clip is made for, or that a part of is made anew (docs/given.md).

mod footage;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use zoetrope_model_spec::ltx::sizes::TIME;
use zoetrope_runtime::plan::{Facts, Plan, Port, Role};

use super::ask::{self, Ask, named};
use super::build::{Build, Shape};
pub(in crate::commands) use footage::same_rate;

use crate::failure::Failure;
use crate::media::{AUDIO_RATES, Footage, SAMPLE_RATE, Sound, SourceError};
use crate::run::Rows;
use crate::tensors::{Named, Tensor};
use crate::terminal;
use crate::windows::Windows;

/// Options of plans that are given sound or video.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Plans for given sound or video")]
pub struct GivenArgs {
    /// The sound that the clip is made for
    #[arg(long, value_name = "FILE", alias = "audio-path")]
    audio: Option<PathBuf>,
    /// Where in the sound the clip begins, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, allow_negative_numbers = true, value_parser = seconds, alias = "audio-start-time")]
    audio_start: f64,
    /// The clip that a part of is made anew; its sound, too, unless --audio names another
    #[arg(long, value_name = "FILE", alias = "video-path")]
    video: Option<PathBuf>,
    /// Where the part begins, in seconds
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = seconds, alias = "start-time")]
    start: Option<f64>,
    /// Where it ends
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = seconds, alias = "end-time")]
    end: Option<f64>,
    /// Instead of a part: make what comes before or after a video that is shorter than the plan's clip
    #[arg(long, value_enum, conflicts_with_all = ["start", "end"])]
    extend: Option<Extend>,
}

/// Where a video is made longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Extend {
    Before,
    After,
}

fn seconds(text: &str) -> Result<f64, String> {
    let wanted = || "wanted seconds from 0 on".to_string();
    text.parse().ok().filter(|x: &f64| x.is_finite() && *x >= 0.0).ok_or_else(wanted)
}

/// Files that were read, as a plan takes them.
#[derive(Default)]
pub struct Given {
    /// A video, and the frame of the clip that it begins at.
    footage: Option<(Footage, usize)>,
    /// As many frames as the plan takes.
    frames: usize,
    /// From the clip's beginning to its end.
    sound: Option<Sound>,
    /// What is made anew, by the port that says where it begins or ends.
    spans: Vec<(String, f64)>,
}

/// What a plan is given.
struct Wants {
    /// A video of this shape.
    footage: Option<Shape>,
    sound: bool,
    /// Whether the clip has the video's own sound, because the plan makes none.
    keeps_sound: bool,
    /// The streams of which a part is made anew, with the ports that say where it begins and ends.
    spans: BTreeMap<String, [String; 2]>,
}

impl Wants {
    fn of(plan: &Plan) -> Wants {
        let ports: Vec<&Port> = plan.phases.iter().flat_map(|phase| phase.inputs.iter()).collect();
        let mut spans: BTreeMap<String, [String; 2]> = BTreeMap::new();
        for port in &ports {
            let (stream, end) = match &port.role {
                Role::RegionStart { stream } => (stream, 0),
                Role::RegionEnd { stream } => (stream, 1),
                _ => continue,
            };
            spans.entry(stream.to_string()).or_default()[end] = port.name.to_string();
        }
        Wants {
            footage: ask::footage(plan).and_then(|port| shape(port, &plan.facts)),
            sound: ask::sound(plan),
            keeps_sound: plan.results() == [Role::Video],
            spans,
        }
    }
}

/// The shape of a video that lasts as long as a plan's clip.
fn shape(port: &Port, facts: &Facts) -> Option<Shape> {
    let [.., frames, height, width] = port.shape[..] else { return None };
    let between = |frames: u32| f64::from(frames.max(2) - 1);
    let fps = facts.fps * (between(frames) / between(facts.frames));
    Some(Shape { width: width as usize, height: height as usize, frames: frames as usize, fps })
}

impl GivenArgs {
    /// A video, and nothing else.
    pub fn of_video(path: &Path) -> GivenArgs {
        GivenArgs { video: Some(path.to_owned()), ..GivenArgs::default() }
    }

    /// What it asks of a plan.
    pub fn asks(&self) -> Vec<Ask<'_>> {
        let span = self.start.is_some() || self.end.is_some() || self.extend.is_some();
        let sound = self.audio.as_ref().map(|_| Ask::Sound);
        let longer = self.extend.is_some();
        let video = self.video.as_deref().map(|path| Ask::Video { path, longer });
        [sound, video, span.then_some(Ask::Part)].into_iter().flatten().collect()
    }

    /// The files that are given.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        [&self.audio, &self.video].into_iter().flatten().map(PathBuf::as_path)
    }

    /// The sound that is given, of so many seconds.
    ///
    /// # Errors
    /// None is given, or it cannot be used.
    pub fn only_sound(&self, seconds: f64) -> Result<Sound, Failure> {
        let path = self.audio.as_deref().or(self.video.as_deref());
        let path = path.ok_or_else(|| Failure::usage("phase sound wants a sound\n  help  --audio FILE"))?;
        Ok(opened_sound(path)?.part(self.audio_start, seconds))
    }

    /// The first frames of the video that is given.
    ///
    /// # Errors
    /// None is given, or it cannot be used.
    pub fn only_footage(&self, frames: usize) -> Result<Footage, Failure> {
        let wanted = || Failure::usage("phase footage wants a video\n  help  --video FILE");
        let path = self.video.as_deref().ok_or_else(wanted)?;
        let footage = Footage::open(path, frames)?;
        note(path, footage.notes());
        Ok(footage)
    }

    /// The file whose sound a run takes, where the clip follows `reference`.
    fn sound_of<'p>(&'p self, reference: Option<&'p Path>) -> Option<&'p Path> {
        self.audio.as_deref().or(self.video.as_deref()).or(reference)
    }

    /// Whether a run of `plan` takes the sound of `reference`, the video that the clip follows.
    pub fn hears_reference(&self, plan: &Plan, reference: Option<&Path>) -> bool {
        Wants::of(plan).sound && reference.is_some() && self.sound_of(None).is_none()
    }

    /// Whether a run of `plan` takes what is given, and all that it takes is there; `reference` is the video that the clip
    /// follows.
    ///
    /// # Errors
    /// Names what is too much, or missing.
    pub fn check(&self, plan: &Plan, reference: Option<&Path>) -> Result<(), Failure> {
        ask::check(plan, &self.asks())?;
        let (wants, named) = (Wants::of(plan), named(plan));
        let missing =
            |what: &str, help: &str| Err(Failure::usage(format!("{named} wants {what}\n  help  {help}")));
        if wants.footage.is_some() && self.video.is_none() {
            return missing("a video", "--video FILE");
        }
        if wants.sound && self.sound_of(reference).is_none() {
            return missing("a sound", "--audio FILE");
        }
        if !wants.spans.is_empty() && self.extend.is_none() && (self.start.is_none() || self.end.is_none()) {
            return missing("the part that is made anew", "--start SECONDS --end SECONDS, or --extend after");
        }
        let clip = f64::from(plan.facts.frames) / plan.facts.fps;
        match (self.start, self.end) {
            (Some(start), Some(end)) if start >= end || start >= clip => Err(Failure::usage(format!(
                "nothing lies between {start} and {end} s\n  want  a start before the end, within the clip's {clip:.2} s"
            ))),
            _ => Ok(()),
        }
    }

    /// Reads what runs of `plan` take that make a clip in these windows, which [`GivenArgs::check`] has seen. Says how it
    /// was read.
    ///
    /// # Errors
    /// A file that cannot be used, or is of another rate, size or length than the clip.
    pub fn open(&self, plan: &Plan, windows: &Windows, reference: Option<&Path>) -> Result<Given, Failure> {
        let (wants, facts) = (Wants::of(plan), &plan.facts);
        let clip = windows.seconds();
        let Shape { frames, fps, .. } = wants.footage.unwrap_or_else(|| Shape::of_plan(facts));
        let mut given = Given { frames, ..Given::default() };
        let mut span = [self.start.unwrap_or(0.0), self.end.unwrap_or(clip)];
        let mut silence = 0.0;
        if let Some((path, shape)) = self.video.as_deref().zip(wants.footage) {
            // More than is wanted, to know how many are too many.
            let footage = Footage::open(path, frames + TIME)?;
            note(path, footage.notes());
            footage::check(path, &footage, plan, shape, self.extend.is_some())?;
            let have = footage.frames().min(frames);
            let first = if self.extend == Some(Extend::Before) { frames - have } else { 0 };
            silence = first as f64 / fps;
            match self.extend {
                Some(Extend::After) => span[0] = have as f64 / fps,
                Some(Extend::Before) => span[1] = silence,
                None => {}
            }
            given.footage = Some((footage, first));
        }
        if wants.sound || (wants.keeps_sound && given.footage.is_some()) {
            given.sound = self
                .sound(&wants, (plan, clip), reference)?
                .map(|sound| sound.delayed(silence).part(0.0, clip));
        }
        for (stream, ports) in &wants.spans {
            // A sound that is not there is made from its beginning to its end.
            let all = stream == "a" && given.sound.is_none();
            let ends = if all { [-1.0, clip + 1.0] } else { span };
            given.spans.extend(ports.iter().cloned().zip(ends));
        }
        Ok(given)
    }

    /// The sound, from where the clip begins; `None` where there is none, and all of it is made.
    fn sound(
        &self,
        wants: &Wants,
        (plan, clip): (&Plan, f64),
        reference: Option<&Path>,
    ) -> Result<Option<Sound>, Failure> {
        let facts = &plan.facts;
        if let (None, Some(video)) = (&self.audio, &self.video) {
            return match opened_sound(video) {
                Ok(sound) => Ok(Some(sound)),
                Err(error) if error.is_missing() && !wants.sound => Ok(None),
                Err(error) if error.is_missing() && wants.spans.contains_key("a") => {
                    terminal::note(format_args!(
                        "{} has no sound: all of the clip's is made",
                        video.display()
                    ));
                    Ok(None)
                }
                Err(error) => Err(error.into()),
            };
        }
        let Some(path) = self.sound_of(reference) else { return Ok(None) };
        let sound = opened_sound(path)?;
        let part = sound.part(self.audio_start, clip);
        // The last latent is complete a little before the clip's end.
        let short = clip - part.seconds() > 1.0 / f64::from(LATENTS_OF_SECOND);
        if short && !wants.spans.contains_key("a") {
            let have = part.seconds();
            let help = if have > Windows::one(facts).seconds() {
                // Down, so that it is long enough.
                format!("add silence, or --seconds {}", (have * 100.0).floor() / 100.0)
            } else {
                let frames = footage::legal_frames((have * facts.fps) as usize)[0];
                let build = Build::same(plan, Shape { frames, ..Shape::of_plan(facts) });
                format!("add silence, or build a plan of {frames} frames:{build}")
            };
            return Err(Failure::usage(format!(
                "{} is too short for the clip\n  want  {clip:.2} s from {} s on\n  have  {have:.2} s\n  help  {help}",
                path.display(),
                self.audio_start,
            )));
        }
        Ok(Some(part))
    }
}

/// Latents of a second of sound.
const LATENTS_OF_SECOND: u32 = 25;

/// Says how a file was read, where that is not usual.
fn note(path: &Path, notes: &[String]) {
    notes.iter().for_each(|note| terminal::note(format_args!("{}: {note}", path.display())));
}

fn opened_sound(path: &Path) -> Result<Sound, SourceError> {
    let sound = Sound::open(path)?;
    note(path, sound.notes());
    Ok(sound)
}

impl Given {
    /// The frames of the clip, as a run takes them.
    pub fn footage(&self) -> Option<Box<dyn Fn(usize, usize) -> Tensor + '_>> {
        let (footage, first) = self.footage.as_ref()?;
        let fitted = move |width: usize, height: usize| {
            let shape = [3, self.frames, height, width];
            Tensor::real(&shape, footage.fit(*first, self.frames, width, height))
        };
        Some(Box::new(fitted))
    }

    /// Its sound in one of its windows, as a run takes it.
    pub fn spectrogram(&self, windows: &Windows, window: usize) -> Option<Rows<'_>> {
        let frames = |frames: usize| frames as f64 / windows.fps;
        let sound = self.sound.as_ref()?.part(frames(window * windows.apart()), frames(windows.size));
        let rows_of = move |rows: usize| {
            let mel = sound.spectrogram(rows);
            Tensor::real(&[2, rows, mel.len() / rows.max(1) / 2], mel)
        };
        Some(Box::new(rows_of))
    }

    /// What is made anew, by the ports that say it.
    pub fn spans(&self) -> Named {
        let number = |(port, at): &(String, f64)| (port.clone(), Tensor::real(&[1], vec![*at as f32]));
        self.spans.iter().map(number).collect()
    }

    /// The sound of the clip where a run makes none, at a rate that can be written.
    pub fn kept_sound(&self) -> Option<Sound> {
        let sound = self.sound.as_ref()?;
        Some(if AUDIO_RATES.contains(&sound.rate()) { sound.clone() } else { sound.at(SAMPLE_RATE) })
    }
}

#[cfg(test)]
mod tests;
