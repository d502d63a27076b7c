//! Reference videos that a clip follows (IC-LoRA, docs/given.md).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use zoetrope_model_spec::ltx::sizes::{SPACE, TIME};
use zoetrope_runtime::plan::{Phase, Plan, Port, Role};

use super::ask::{self, Ask, named};
use super::build::{Build, Shape};
use super::given::same_rate;
use crate::adapters::Given;
use crate::failure::Failure;
use crate::media::Footage;
use crate::run::{Frames, filled};
use crate::tensors::{Named, Tensor};
use crate::terminal;
use crate::windows::Windows;

/// The option whose value may be followed by a strength.
pub const REFERENCE: &str = "--reference";

/// Videos that the clip follows.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Plans for given sound or video")]
pub struct ReferenceArgs {
    /// A video that the clip follows as its adapter was trained to (depth, edges, poses, ..), and how strongly it is held to
    /// it (0 to 1, the default); several times where the plan takes several
    #[arg(long, value_name = "PATH[:STRENGTH]", aliases = ["video-conditioning", "reference-video"])]
    reference: Vec<Given>,
    /// How strongly the clip and its references attend to each other, 0 to 1 (the default)
    #[arg(long, value_name = "W", alias = "conditioning-attention-strength", value_parser = share)]
    attention_strength: Option<f32>,
    /// A video that says it of each place: white as strongly as that, black not at all
    #[arg(long, value_name = "FILE")]
    reference_mask: Option<PathBuf>,
}

fn share(text: &str) -> Result<f32, String> {
    let wanted = || "wanted 0 to 1".to_string();
    text.parse().ok().filter(|x| (0.0..=1.0).contains(x)).ok_or_else(wanted)
}

/// What a plan takes of a reference.
struct Room {
    frames: usize,
    /// One of so many frames is taken, behind the first.
    every: usize,
}

/// The references that a plan takes, by their numbers.
fn room(plan: &Plan) -> BTreeMap<u32, Room> {
    let room = |port: &Port| match port.role {
        Role::Reference { number, every, .. } => {
            Some((number, Room { frames: port.shape[2] as usize, every: every as usize }))
        }
        _ => None,
    };
    plan.phases.iter().flat_map(|phase| phase.inputs.iter()).filter_map(room).collect()
}

/// The ports that say how strongly a reference and the clip attend to each other, each with its phase.
fn attention(plan: &Plan) -> impl Iterator<Item = (&Phase, &Port)> {
    let ports = plan.phases.iter().flat_map(|phase| phase.inputs.iter().map(move |port| (phase, port)));
    ports.filter(|(_, port)| matches!(port.role, Role::ReferenceAttention { .. }))
}

/// The latent cells of which such a port says it, where it does not say it of all at once.
fn cells(port: &Port) -> Option<[usize; 3]> {
    let [frames, rows, columns] = port.shape[..] else { return None };
    Some([frames, rows, columns].map(|extent| extent as usize))
}

/// Frames of the video that a phase denoises, and their width and height in pixels.
fn stage_size(phase: &Phase) -> Option<(usize, (usize, usize))> {
    let latent = phase.outputs.iter().find(|port| port.role == Role::Latent && port.shape.len() == 5)?;
    let [.., frames, rows, columns] = latent.shape[..] else { return None };
    let [frames, rows, columns] = [frames, rows, columns].map(|extent| extent as usize);
    Some((TIME * (frames - 1) + 1, (SPACE * columns, SPACE * rows)))
}

/// References that were read.
#[derive(Default)]
pub struct References {
    /// Each with how many of its frames one is taken of, behind the first.
    videos: BTreeMap<u32, (Footage, usize)>,
    /// How strongly they are held, by the ports that say it.
    strengths: Named,
    /// How strongly they and the clip attend to each other.
    attention: Vec<Attention>,
    mask: Option<Footage>,
}

/// What a port takes that says how strongly a reference and the clip attend to each other.
struct Attention {
    /// The same everywhere, or the most that a mask makes of it.
    everywhere: (String, Tensor),
    /// The cells of a mask: those of so many frames of this size.
    cells: Option<([usize; 3], usize, (usize, usize))>,
}

impl ReferenceArgs {
    /// The files that are given.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.reference.iter().map(|given| given.path.as_path()).chain(self.reference_mask.as_deref())
    }

    /// The file of the first one.
    pub fn first(&self) -> Option<&Path> {
        self.reference.first().map(|given| given.path.as_path())
    }

    /// What it asks of a plan.
    pub fn asks(&self) -> Vec<Ask<'_>> {
        let count = Some(self.reference.len()).filter(|count| *count > 0).map(Ask::References);
        let strength = self.attention_strength.map(|_| Ask::AttentionStrength);
        let mask = self.reference_mask.as_ref().map(|_| Ask::ReferenceMask);
        count.into_iter().chain(strength).chain(mask).collect()
    }

    /// Whether a run of `plan` takes as many references as are given.
    ///
    /// # Errors
    /// Names what is too much, or missing.
    pub fn check(&self, plan: &Plan) -> Result<(), Failure> {
        let want = room(plan).len();
        if self.reference.is_empty() && want > 0 {
            let named = named(plan);
            return Err(Failure::usage(format!(
                "the number of references does not fit {named}\n  want  {want}\n  have  0\n  help  {REFERENCE} FILE"
            )));
        }
        ask::check(plan, &self.asks())?;
        if let Some(given) = self.reference.iter().find(|given| !(0.0..=1.0).contains(&given.strength)) {
            return Err(Failure::usage(format!("the strength is {}; wanted 0 to 1", given.strength)));
        }
        Ok(())
    }

    /// The mask of a plan that takes one, for all frames of the clip.
    fn mask(&self, plan: &Plan, frames: usize) -> Result<Option<Footage>, Failure> {
        let Some(path) = &self.reference_mask else { return Ok(None) };
        let footage = Footage::open(path, frames)?;
        let shown = path.display();
        footage.notes().iter().for_each(|note| terminal::note(format_args!("{shown}: {note}")));
        let have = footage.frames();
        if have > 1 && have < frames {
            return Err(Failure::usage(format!(
                "{shown} is too short for plan {}\n  want  {frames} frames, or one for all of them\n  have  {have}",
                plan.name
            )));
        }
        Ok(Some(footage))
    }

    /// Reads the references that runs of `plan` take that make a clip in these windows, which [`ReferenceArgs::check`] has
    /// seen. Says how they were read. `in_time` says that their sound is heard beside them, so that they have to be as fast as the clip.
    ///
    /// # Errors
    /// A file that cannot be used, or is too short, or too fast or slow.
    pub fn open(&self, plan: &Plan, windows: &Windows, in_time: bool) -> Result<References, Failure> {
        let mut references = References::default();
        let number = |x: f32| Tensor::real(&[1], vec![x]);
        for ((i, room), given) in room(plan).into_iter().zip(&self.reference) {
            let path = given.path.display();
            // The first frame, and one of so many behind it.
            let one = 1 + room.frames.saturating_sub(2) * room.every + usize::from(room.frames > 1);
            // Of the last window, what is behind the clip's end is left out.
            let wanted = if windows.count > 1 { windows.frames } else { one };
            let footage = Footage::open(&given.path, if in_time { wanted + TIME } else { wanted })?;
            footage.notes().iter().for_each(|note| terminal::note(format_args!("{path}: {note}")));
            if footage.frames() < wanted {
                let (name, have) = (&plan.name, footage.frames());
                let help = if windows.count > 1 && have >= windows.size {
                    format!("--seconds {}", (have as f64 / windows.fps * 100.0).floor() / 100.0)
                } else {
                    let shape = Shape { frames: have, ..Shape::of_plan(&plan.facts) }.legal();
                    format!("build a plan of {} frames:{}", shape.frames, Build::same(plan, shape))
                };
                return Err(Failure::usage(format!(
                    "{path} is too short for plan {name}\n  want  {wanted} frames\n  have  {have}\n  help  {help}"
                )));
            }
            let (have, want) = (footage.fps(), plan.facts.fps);
            if in_time && !same_rate(have, want) {
                return Err(Failure::usage(format!(
                    "{path} does not fit plan {}, which hears it\n  want  {want} frames a second\n  have  {have:.3}\n  \
                     help  build a plan with fps = {have:.3}, or give the video another rate",
                    plan.name
                )));
            }
            let total = footage.total().unwrap_or(footage.frames());
            if in_time && total >= wanted + TIME {
                terminal::note(format_args!(
                    "{path} has {total} frames: those behind the first {wanted} are left out"
                ));
            }
            if (have / want - 1.0).abs() > 0.01 {
                terminal::note(format_args!(
                    "{path} has {have:.3} frames a second, the clip {want}: frame for frame, it is followed at another speed"
                ));
            }
            references.videos.insert(i, (footage, room.every));
            references.strengths.insert(format!("v.reference{i}_strength"), number(given.strength));
        }
        let strength = self.attention_strength.unwrap_or(1.0);
        references.mask = self.mask(plan, windows.frames)?;
        references.attention = attention(plan)
            .map(|(phase, port)| Attention {
                everywhere: (port.name.to_string(), filled(port, strength)),
                cells: cells(port)
                    .zip(stage_size(phase))
                    .map(|(cells, (frames, size))| (cells, frames, size)),
            })
            .collect();
        Ok(references)
    }
}

impl References {
    /// As the run of a window takes them.
    pub fn of_window(&self, windows: &Windows, window: usize) -> BTreeMap<u32, Frames<'_>> {
        let first = window * windows.apart();
        let frames = |(number, (footage, every)): (&u32, &(Footage, usize))| {
            let footage = footage.behind(first).thinned(*every);
            let fitted = move |frames: usize, width: usize, height: usize| {
                Tensor::real(&[3, frames, height, width], footage.fit(0, frames, width, height))
            };
            (*number, Box::new(fitted) as Frames<'_>)
        };
        self.videos.iter().map(frames).collect()
    }

    /// How strongly they are held and attended to in a window, by the ports that say it.
    pub fn strengths(&self, windows: &Windows, window: usize) -> Named {
        let mask = self.mask.as_ref().map(|mask| mask.behind(window * windows.apart()));
        let attended = |Attention { everywhere: (port, most), cells }: &Attention| {
            let weights = match (&mask, cells) {
                (Some(mask), Some((cells, frames, size))) => {
                    let shares = mask.brightness(*frames, *size, *cells);
                    let most = most.reals();
                    Tensor::real(cells, shares.iter().zip(most).map(|(share, most)| share * most).collect())
                }
                _ => most.clone(),
            };
            (port.clone(), weights)
        };
        self.strengths.clone().into_iter().chain(self.attention.iter().map(attended)).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use zoetrope_compiler::frontend::compile_target;
    use zoetrope_model_spec::target::Target;
    use zoetrope_runtime::plan::{Dtype, Facts};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        references: ReferenceArgs,
    }

    fn args(line: &[&str]) -> ReferenceArgs {
        Line::try_parse_from([&["generate"], line].concat()).map_err(|e| e.to_string()).unwrap().references
    }

    fn plan(frames: usize, stage: &str) -> Plan {
        let text = format!(
            "width = 128\nheight = 128\nframes = {frames}\nfps = 25\npipeline = \"ic-lora\"\ndtype = \"bf16\"\n\
             model = \"demo\"\n{stage}"
        );
        compile_target(&Target::parse("after", &text).unwrap(), "".as_ref()).unwrap()
    }

    fn opened(given: &ReferenceArgs, plan: &Plan, in_time: bool) -> Result<References, Failure> {
        given.open(plan, &Windows::one(&plan.facts), in_time)
    }

    /// The one window of a plan of so many frames.
    fn one(frames: u32) -> Windows {
        Windows::one(&Facts { frames, ..Facts::without_clip(Dtype::Bf16) })
    }

    fn refused(plan: &Plan, line: &[&str], words: &[&str]) {
        let given = args(line);
        let error = given.check(plan).and_then(|()| opened(&given, plan, false).map(|_| ())).unwrap_err();
        assert_eq!(error.kind as u8, 2, "{error}");
        assert!(words.iter().all(|word| error.message.contains(word)), "{words:?} are not in: {error}");
    }

    /// 13 frames of 64x48 at 25 a second.
    #[test]
    fn a_plan_takes_its_references() {
        let clip = format!("{}/tests/fixtures/media/b-frames.mp4", env!("CARGO_MANIFEST_DIR"));
        let plain = Target::preset("res-tiny").unwrap();
        let plain = compile_target(&plain, "".as_ref()).unwrap();
        refused(&plain, &["--reference", &clip], &["takes no reference", "ic-lora"]);
        let after = plan(9, "");
        refused(&after, &[], &["want  1\n  have  0", "--reference FILE"]);
        refused(&after, &["--reference", &format!("{clip}:1.5")], &["strength is 1.5", "0 to 1"]);
        refused(&after, &["--reference", &clip, "--attention-strength", "0.5"], &["attention = true"]);
        let short = ["too short", "want  17 frames", "have  13", "'frames = 9'", "'pipeline = \"ic-lora\"'"];
        refused(&plan(17, ""), &["--reference", &clip], &short);

        let read = opened(&args(&["--reference", &format!("{clip}:0.5")]), &after, false).unwrap();
        assert_eq!(read.strengths(&one(9), 0)["v.reference1_strength"].reals(), [0.5]);
        assert_eq!(read.of_window(&one(9), 0)[&1](9, 32, 32).shape, [3, 9, 32, 32]);
        // One of two frames behind the first: of 17 there are 9, the last of which is frame 15.
        let slow =
            plan(17, "stage = [{ references = [{ downscale = 2, temporal_scale = 2, attention = true }] }]");
        refused(&slow, &["--reference", &clip], &["too short", "want  16 frames"]);
        let slow = plan(9, "stage = [{ references = [{ temporal_scale = 4, attention = true }] }]");
        let read = opened(&args(&["--reference", &clip, "--attention-strength", "0.25"]), &slow, false);
        assert_eq!(read.unwrap().strengths(&one(9), 0)["v.reference1_attention"].reals(), [0.25]);
    }

    /// A reference that is heard goes as fast as the clip.
    #[test]
    fn a_dub_keeps_time() {
        let clip = format!("{}/tests/fixtures/media/b-frames.mp4", env!("CARGO_MANIFEST_DIR"));
        let mut plan = plan(9, "");
        plan.facts.fps = 24.0;
        let given = args(&["--reference-video", &clip]);
        assert!(opened(&given, &plan, false).is_ok());
        let error = opened(&given, &plan, true).err().unwrap();
        assert!(
            error.message.contains("want  24 frames a second") && error.message.contains("have  25.000"),
            "{error}"
        );
        plan.facts.fps = 25.0;
        assert_eq!(
            opened(&given, &plan, true).unwrap().of_window(&one(9), 0)[&1](9, 32, 32).shape,
            [3, 9, 32, 32]
        );
    }

    /// The first frame of the mask is a latent frame of its own, the eight behind it the second one.
    #[test]
    fn a_mask_is_averaged_for_each_token() {
        let clip = format!("{}/tests/fixtures/media/b-frames.mp4", env!("CARGO_MANIFEST_DIR"));
        let line = ["--reference", &clip, "--reference-mask", &clip];
        refused(&plan(9, ""), &line, &["no attention mask", "mask = true"]);
        let masked = |frames| plan(frames, "stage = [{ references = [{ downscale = 2, mask = true }] }]");
        refused(&masked(17), &line, &["too short", "want  17 frames", "have  13"]);
        let read = opened(&args(&[&line[..], &["--attention-strength", "0.5"]].concat()), &masked(9), false)
            .unwrap();
        let weights = read.strengths(&one(9), 0)["v.reference1_attention"].clone();
        assert_eq!(weights.shape, [2, 1, 1]);
        // Pixels of the stage's 64x64, by the frames that a reference of that size would have.
        let frames = Footage::open(clip.as_ref(), 9).unwrap().fit(0, 9, 64, 64);
        let mean = |first: usize, count: usize| {
            let of = |channel: usize| &frames[(channel * 9 + first) * 4096..][..count * 4096];
            let sum: f64 = (0..3).flat_map(of).map(|x| f64::from(*x)).sum();
            (sum / (3 * count * 4096) as f64 + 1.0) / 4.0
        };
        for (made, want) in weights.reals().into_iter().zip([mean(0, 1), mean(1, 8)]) {
            assert!((f64::from(made) - want).abs() < 1e-5, "{made} for {want}");
        }
        // One number for each query, never a matrix of tokens by tokens.
        let has = |plan: &Plan, name: &str| plan.kernels.iter().any(|kernel| kernel.name == name);
        assert!(has(&masked(9), "attention_low_rank_bias") && !has(&masked(9), "attention_bias"));
        let all = opened(&args(&["--reference", &clip]), &masked(9), false).unwrap();
        assert_eq!(all.strengths(&one(9), 0)["v.reference1_attention"].reals(), [1.0; 2]);
    }

    /// 13 frames in two windows of 9, of which one is carried over: each sees what is to be seen then.
    #[test]
    fn windows_see_their_part_of_a_reference() {
        let clip = format!("{}/tests/fixtures/media/b-frames.mp4", env!("CARGO_MANIFEST_DIR"));
        let plan = plan(9, "stage = [{ references = [{ downscale = 2, temporal_scale = 2, mask = true }] }]");
        let windows = Windows::covering(&Facts { carried: 1, ..plan.facts.clone() }, 13).unwrap();
        let line = ["--reference", &clip, "--reference-mask", &clip];
        let read = args(&line).open(&plan, &windows, false).unwrap();
        let whole = Footage::open(clip.as_ref(), 13).unwrap().fit(0, 13, 16, 16);
        let frame = |all: &[f32], of: usize, number: usize| -> Vec<f32> {
            (0..3).flat_map(|channel| all[(channel * of + number) * 256..][..256].to_vec()).collect()
        };
        // The first frame, and one of two behind it; behind the end stands the last one of these.
        for (window, numbers) in [(0, [0, 1, 3, 5, 7]), (1, [8, 9, 11, 11, 11])] {
            let seen = read.of_window(&windows, window)[&1](5, 16, 16).reals();
            for (place, number) in numbers.into_iter().enumerate() {
                assert_eq!(frame(&seen, 5, place), frame(&whole, 13, number), "window {window}: {place}");
            }
        }
        let masks = [0, 1].map(|window| read.strengths(&windows, window)["v.reference1_attention"].reals());
        assert_ne!(masks[0], masks[1]);
        let longer = Windows::covering(&Facts { carried: 1, ..plan.facts.clone() }, 17).unwrap();
        let short = args(&line).open(&plan, &longer, false).err().unwrap();
        assert!(
            short.message.contains("want  17 frames") && short.message.contains("--seconds 0.52"),
            "{short}"
        );
    }
}
