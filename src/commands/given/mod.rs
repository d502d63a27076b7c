//! Sound and video that a clip is made for, or that a part of is made anew (docs/given.md).

mod footage;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use zoetrope_model_spec::ltx::sizes::TIME;
use zoetrope_runtime::plan::{Facts, Plan, Port, Role};

use crate::failure::Failure;
use crate::media::{AUDIO_RATES, Footage, SAMPLE_RATE, Sound, SourceError};
use crate::tensors::{Named, Tensor};
use crate::terminal;

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
    frames: usize,
    /// From the clip's beginning on.
    sound: Option<Sound>,
    /// What is made anew, by the port that says where it begins or ends.
    spans: Vec<(String, f64)>,
}

/// What a plan is given.
struct Wants {
    footage: bool,
    sound: bool,
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
            footage: ports.iter().any(|port| port.role == Role::Footage),
            sound: ports.iter().any(|port| port.role == Role::Spectrogram),
            spans,
        }
    }
}

impl GivenArgs {
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

    /// Whether a run of `plan` takes what is given, and all that it takes is there.
    ///
    /// # Errors
    /// Names what is too much, or missing.
    pub fn check(&self, plan: &Plan) -> Result<(), Failure> {
        let wants = Wants::of(plan);
        let named = format!("plan {} ({})", plan.name, plan.facts.pipeline);
        let recipes = |what: &str, recipes: &str| {
            Failure::usage(format!(
                "{named} takes no {what}\n  help  build one with pipeline = {recipes}: docs/given.md"
            ))
        };
        let span = self.start.is_some() || self.end.is_some() || self.extend.is_some();
        if self.audio.is_some() && !wants.sound {
            return Err(recipes("sound", "\"audio-to-video\" or \"retake\""));
        }
        if self.video.is_some() && !wants.footage {
            return Err(recipes("video", "\"retake\""));
        }
        if span && wants.spans.is_empty() {
            return Err(recipes("part of a clip", "\"retake\""));
        }
        let missing =
            |what: &str, help: &str| Err(Failure::usage(format!("{named} wants {what}\n  help  {help}")));
        if wants.footage && self.video.is_none() {
            return missing("a video", "--video FILE");
        }
        if wants.sound && self.audio.is_none() && self.video.is_none() {
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

    /// Reads what a run of `plan` takes, which [`GivenArgs::check`] has seen. Says how it was read.
    ///
    /// # Errors
    /// A file that cannot be used, or is of another rate, size or length than the plan's clip.
    pub fn open(&self, plan: &Plan) -> Result<Given, Failure> {
        let (wants, facts) = (Wants::of(plan), &plan.facts);
        let (frames, clip) = (facts.frames as usize, f64::from(facts.frames) / facts.fps);
        let mut given = Given { frames, ..Given::default() };
        let mut span = [self.start.unwrap_or(0.0), self.end.unwrap_or(clip)];
        let mut silence = 0.0;
        if let Some(path) = self.video.as_deref().filter(|_| wants.footage) {
            // More than is wanted, to know how many are too many.
            let footage = Footage::open(path, frames + TIME)?;
            note(path, footage.notes());
            footage::check(path, &footage, plan, self.extend.is_some())?;
            let have = footage.frames().min(frames);
            let first = if self.extend == Some(Extend::Before) { frames - have } else { 0 };
            silence = first as f64 / facts.fps;
            match self.extend {
                Some(Extend::After) => span[0] = have as f64 / facts.fps,
                Some(Extend::Before) => span[1] = silence,
                None => {}
            }
            given.footage = Some((footage, first));
        }
        if wants.sound {
            given.sound = self.sound(&wants, facts)?.map(|sound| sound.delayed(silence).part(0.0, clip));
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
    fn sound(&self, wants: &Wants, facts: &Facts) -> Result<Option<Sound>, Failure> {
        let clip = f64::from(facts.frames) / facts.fps;
        let Some(path) = &self.audio else {
            let Some(video) = &self.video else { return Ok(None) };
            return match opened_sound(video) {
                Ok(sound) => Ok(Some(sound)),
                Err(error) if error.is_missing() && wants.spans.contains_key("a") => {
                    terminal::note(format_args!(
                        "{} has no sound: all of the clip's is made",
                        video.display()
                    ));
                    Ok(None)
                }
                Err(error) => Err(error.into()),
            };
        };
        let sound = opened_sound(path)?;
        let part = sound.part(self.audio_start, clip);
        // The last latent is complete a little before the clip's end.
        let short = clip - part.seconds() > 1.0 / f64::from(LATENTS_OF_SECOND);
        if short && !wants.spans.contains_key("a") {
            let fits = footage::legal_frames((part.seconds() * facts.fps) as usize)[0];
            return Err(Failure::usage(format!(
                "{} is too short for the clip\n  want  {clip:.2} s from {} s on\n  have  {:.2} s\n  \
                 help  a plan of {fits} frames fits; or add silence",
                path.display(),
                self.audio_start,
                part.seconds()
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

    /// Its sound, as a run takes it.
    pub fn spectrogram(&self) -> Option<Box<dyn Fn(usize) -> Tensor + '_>> {
        let sound = self.sound.as_ref()?;
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
mod tests {
    use std::sync::LazyLock;

    use clap::Parser;
    use zoetrope_compiler::frontend::compile_target;
    use zoetrope_model_spec::ltx::recipe::Recipe;
    use zoetrope_model_spec::ltx::sizes::Size;
    use zoetrope_model_spec::target::Target;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        given: GivenArgs,
    }

    fn args(line: &[&str]) -> GivenArgs {
        Line::try_parse_from([&["generate"], line].concat()).map_err(|e| e.to_string()).unwrap().given
    }

    fn plan(recipe: &str, frames: usize) -> Plan {
        let recipe = Recipe::named(recipe).unwrap();
        let size = Size { width: 64, height: 64, frames, fps: 25.0 };
        let target = Target { recipe, size, ..Target::preset("res-tiny").unwrap() };
        compile_target(&target, "".as_ref()).unwrap()
    }

    static RETAKE: LazyLock<Plan> = LazyLock::new(|| plan("retake", 9));

    fn fixture(name: &str) -> String {
        format!("{}/tests/fixtures/media/{name}", env!("CARGO_MANIFEST_DIR"))
    }

    fn refused(plan: &Plan, line: &[&str], words: &[&str]) {
        let given = args(line);
        let error = given.check(plan).and_then(|()| given.open(plan).map(|_| ())).unwrap_err();
        assert_eq!(error.kind as u8, 2, "{error}");
        assert!(words.iter().all(|word| error.message.contains(word)), "{words:?} are not in: {error}");
    }

    #[test]
    fn a_plan_says_what_it_takes() {
        let (plain, clip) = (plan("distilled-single-stage", 9), fixture("b-frames.mp4"));
        refused(&plain, &["--audio", &clip], &["takes no sound", "audio-to-video"]);
        refused(&plain, &["--video", &clip], &["takes no video", "\"retake\""]);
        refused(&plain, &["--start", "1", "--end", "2"], &["takes no part of a clip"]);
        args(&[]).check(&plain).unwrap();
        let sung = plan("audio-to-video", 9);
        refused(&sung, &[], &["wants a sound", "--audio FILE"]);
        refused(&sung, &["--video", &clip], &["takes no video"]);
        refused(&RETAKE, &["--start", "0", "--end", "1"], &["wants a video", "--video FILE"]);
        refused(&RETAKE, &["--video", &clip], &["--start SECONDS --end SECONDS, or --extend"]);
        for span in [["0.3", "0.2"], ["0.2", "0.2"], ["0.5", "0.6"]] {
            refused(
                &RETAKE,
                &["--video", &clip, "--start", span[0], "--end", span[1]],
                &["nothing lies between"],
            );
        }
    }

    /// 13 frames of 64x48 at 25 a second, with sound.
    #[test]
    fn a_video_fits_the_plan() {
        let (clip, span) = (fixture("b-frames.mp4"), ["--start", "0.1", "--end", "0.2"]);
        let line = |more: &[&'static str]| [&["--video", clip.as_str()], more].concat();
        // Four frames too many are left out, and 48 rows are scaled to 64.
        let given = args(&line(&span)).open(&RETAKE).unwrap();
        let frames = given.footage().unwrap()(64, 64);
        assert_eq!((frames.shape.as_slice(), given.spans.len()), (&[3, 9, 64, 64][..], 4));
        let sound = given.kept_sound().unwrap();
        assert!(sound.rate() == 44_100 && (sound.seconds() - 0.36).abs() < 1e-3, "{}", sound.seconds());

        let shorter = plan("retake", 17);
        refused(
            &shorter,
            &line(&span),
            &["have  13 frames", "want  17 frames", "9 or 17 frames", "--extend after"],
        );
        refused(&RETAKE, &line(&["--extend", "after"]), &["want  fewer than 9 frames"]);
        let ends = |given: &Given| given.spans.iter().map(|(_, at)| (at * 100.0).round()).collect::<Vec<_>>();
        let after = args(&line(&["--extend", "after"])).open(&shorter).unwrap();
        assert_eq!(ends(&after), [52.0, 68.0, 52.0, 68.0]);
        let before = args(&line(&["--extend", "before"])).open(&shorter).unwrap();
        assert_eq!(ends(&before), [0.0, 16.0, 0.0, 16.0]);
        // The sound moves with its video.
        let [left, _] = before.sound.as_ref().unwrap().channels();
        assert!(left[..7056].iter().all(|x| *x == 0.0) && left.len() == 29_988, "{}", left.len());

        let mut other = RETAKE.clone();
        other.facts.fps = 30.0;
        refused(&other, &line(&span), &["have  25 frames a second", "want  30", "fps = 25"]);
        other.facts = Facts { fps: 25.0, width: 128, ..RETAKE.facts.clone() };
        refused(&other, &line(&span), &["have  64x48", "want  128x64", "width = 64 and height = 64"]);
    }

    #[test]
    fn a_sound_is_long_enough() {
        let sung = plan("audio-to-video", 9);
        let flac = fixture("sound.flac");
        // 0.25 s are 6 frames; 0.36 s are wanted.
        refused(&sung, &["--audio", &flac], &["too short", "want  0.36 s", "have  0.25 s", "1 frames"]);
        let clip = fixture("b-frames.mp4");
        let given = args(&["--audio", &clip, "--audio-start", "0.1"]).open(&sung).unwrap();
        assert!(given.footage().is_none() && given.spans().is_empty());
        assert_eq!(given.spectrogram().unwrap()(33).shape, [2, 33, 64]);
        refused(&sung, &["--audio", &clip, "--audio-start", "0.3"], &["too short", "from 0.3 s on"]);
    }
}
