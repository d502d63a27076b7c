//! The images that a clip is made from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use zoetrope_runtime::plan::Plan;

use super::ask::{self, Ask};
use crate::failure::Failure;
use crate::media::{DEFAULT_CRF, Image, MAX_CRF};
use crate::run;
use crate::tensors::Tensor;
use crate::terminal;
use crate::windows::Windows;

/// Options whose value may be followed by numbers, as the official command line has them, and how many.
pub const NUMBERS: (&str, usize) = ("--image", 3);

/// Images that the clip is held to. The official command line's form, PATH FRAME STRENGTH CRF, is accepted too.
#[derive(Args, Clone, Debug, Default)]
pub struct ImageArgs {
    /// An image that the clip begins with: its frame (0, unless said), how strongly it is held to it (0 to 1, the default),
    /// and how much the image is compressed first, as a frame of a video is (0 to 51; 33 unless said, 0 for not at all)
    #[arg(long, value_name = "PATH[:FRAME[:STRENGTH[:CRF]]]")]
    image: Vec<Given>,
}

/// An image as it is given.
#[derive(Clone, Debug, PartialEq)]
struct Given {
    path: PathBuf,
    frame: u32,
    strength: f32,
    crf: u8,
}

impl FromStr for Given {
    type Err = String;

    fn from_str(text: &str) -> Result<Given, String> {
        let mut rest = text;
        let mut numbers = Vec::new();
        while let Some((path, number)) = rest.rsplit_once(':').filter(|_| numbers.len() < NUMBERS.1) {
            let Ok(number) = number.parse::<f32>() else { break };
            numbers.insert(0, number);
            rest = path;
        }
        let number = |i: usize, usual: f32| numbers.get(i).copied().unwrap_or(usual);
        let (frame, strength, crf) = (number(0, 0.0), number(1, 1.0), number(2, f32::from(DEFAULT_CRF)));
        let whole = |x: f32, most: f32| x.fract() == 0.0 && (0.0..=most).contains(&x);
        if rest.is_empty() {
            return Err("there is no path".to_string());
        }
        if !whole(frame, 65536.0) {
            return Err(format!("the frame is {frame}; wanted a whole number from 0 on"));
        }
        if !(0.0..=1.0).contains(&strength) {
            return Err(format!("the strength is {strength}; wanted 0 to 1"));
        }
        if !whole(crf, f32::from(MAX_CRF)) {
            return Err(format!("the CRF is {crf}; wanted a whole number from 0 to {MAX_CRF}"));
        }
        Ok(Given { path: rest.into(), frame: frame as u32, strength, crf: crf as u8 })
    }
}

impl Given {
    /// The image. Says what of it is left out.
    fn read(&self) -> Result<Image, Failure> {
        Ok(self.noted(Image::open(&self.path, self.crf)?))
    }

    /// The same behind the image as it was before its compression.
    fn read_whole(&self) -> Result<[Image; 2], Failure> {
        let [whole, image] = Image::open_whole(&self.path, self.crf)?;
        Ok([whole, self.noted(image)])
    }

    fn noted(&self, image: Image) -> Image {
        for note in image.notes() {
            terminal::note(format_args!("{}: {note}", self.path.display()));
        }
        image
    }
}

/// Images that were read.
pub struct Images {
    /// By the window of the clip and their number in the plan, each with its strength and its frame of the window.
    of_windows: BTreeMap<(usize, u32), (Image, f32, u32)>,
    /// The first that was given, uncompressed, where the text encoder is shown one.
    shown: Option<Image>,
}

impl ImageArgs {
    /// The files that are given.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.image.iter().map(|given| given.path.as_path())
    }

    /// What it asks of a plan. The windows of a clip that is `longer` than the plan's share its images, and it is not known
    /// yet how.
    pub fn asks(&self, longer: bool) -> Vec<Ask<'static>> {
        let others = self.image.iter().filter(|given| given.frame > 0).count();
        self.asking(if longer { others.min(1) } else { others })
    }

    /// What it asks of a plan where so many images of a window are for other frames than the first one.
    fn asking(&self, others: usize) -> Vec<Ask<'static>> {
        let first = self.image.iter().any(|given| given.frame == 0);
        if first || others > 0 { vec![Ask::Images { first, others }] } else { Vec::new() }
    }

    /// Whether there are some.
    pub fn any(&self) -> bool {
        !self.image.is_empty()
    }

    /// The one image that is given, as a clip of one frame: [1, 3, 1, height, width] in -1..1.
    ///
    /// # Errors
    /// None or several are given, or it cannot be used.
    pub fn only(&self, width: usize, height: usize) -> Result<Tensor, Failure> {
        let [given] = &self.image[..] else {
            return Err(Failure::usage("phase image wants one image\n  help  --image PATH"));
        };
        Ok(Tensor::real(&[1, 3, 1, height, width], given.read()?.fit(width, height)))
    }

    /// Reads the images that runs of `plan` take for the windows of a clip, of which the first may be `shown` to the text
    /// encoder. Says what of them is left out.
    ///
    /// # Errors
    /// More images than the plan has room for, or for other frames; one that cannot be used.
    pub fn open(&self, plan: &Plan, windows: &Windows, shown: bool) -> Result<Images, Failure> {
        let of = |window| {
            move |given: &&Given| given.frame > 0 && windows.of_frame(given.frame as usize).0 == window
        };
        let most = (0..windows.count).map(|window| self.image.iter().filter(of(window)).count()).max();
        ask::check(plan, &self.asking(most.unwrap_or(0)))?;
        let room = ask::images(plan);
        let replaced = |frame: u32| frame == 0 && room.contains(&0);
        let keyframes: Vec<u32> = room.iter().copied().filter(|number| *number > 0).collect();
        let refused = |given: &Given, why: String| {
            Err(Failure::usage(format!(
                "{} is an image for frame {}, and {why}\n  help  docs/images.md says which plan takes which images",
                given.path.display(),
                given.frame
            )))
        };
        let (mut images, mut whole) = (BTreeMap::new(), None);
        for given in &self.image {
            let (window, frame) = windows.of_frame(given.frame as usize);
            let taken = images.keys().filter(|(other, number)| *other == window && *number > 0).count();
            let number = match given.frame {
                frame if replaced(frame) && images.contains_key(&(0, 0)) => {
                    return refused(given, "there is one already".to_string());
                }
                frame if replaced(frame) => 0,
                frame if frame as usize >= windows.frames => {
                    return refused(given, format!("the clip has frames 0 to {}", windows.frames - 1));
                }
                _ => match keyframes.get(taken) {
                    Some(number) => *number,
                    None => return refused(given, "there are as many as the plan has room for".to_string()),
                },
            };
            let image = if shown && whole.is_none() {
                let [first, image] = given.read_whole()?;
                whole = Some(first);
                image
            } else {
                given.read()?
            };
            images.insert((window, number), (image, given.strength, frame as u32));
        }
        Ok(Images { of_windows: images, shown: whole })
    }
}

impl Images {
    /// The one that the text encoder is shown.
    pub fn shown(&self) -> Option<&Image> {
        self.shown.as_ref()
    }

    /// Those of a window, as a run takes them.
    pub fn of_window(&self, window: usize) -> BTreeMap<u32, run::Image<'_>> {
        let fitted = |image: &Image, width: usize, height: usize| {
            Tensor::real(&[3, height, width], image.fit(width, height))
        };
        let mut images: BTreeMap<u32, run::Image<'_>> = BTreeMap::new();
        for ((_, number), (image, strength, frame)) in self.of_windows.range((window, 0)..(window + 1, 0)) {
            let pixels = Box::new(move |width, height| fitted(image, width, height));
            images.insert(*number, run::Image { strength: *strength, frame: *frame, pixels });
        }
        images
    }
}

#[cfg(test)]
mod tests {
    use zoetrope_compiler::frontend::compile_target;
    use zoetrope_model_spec::ltx::recipe::Recipe;
    use zoetrope_model_spec::target::Target;

    use super::*;

    /// Between keyframes the first frame is one of them, and there is room for as many as the plan says.
    #[test]
    fn an_interpolation_takes_all_images_as_keyframes() {
        let target = Target {
            recipe: Recipe::named("keyframe-interpolation").unwrap(),
            ..Target::preset("res-tiny").unwrap()
        };
        let plan = compile_target(&target, "".as_ref()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        image::RgbImage::from_pixel(8, 8, image::Rgb([200, 30, 30])).save(&path).unwrap();
        let open = |frames: &[u32]| {
            let given = |frame: &u32| Given { path: path.clone(), frame: *frame, strength: 1.0, crf: 0 };
            ImageArgs { image: frames.iter().map(given).collect() }.open(
                &plan,
                &Windows::one(&plan.facts),
                false,
            )
        };
        let taken = open(&[0, 24]).unwrap();
        let frames: Vec<(u32, u32)> =
            taken.of_windows.iter().map(|((_, number), (.., frame))| (*number, *frame)).collect();
        assert_eq!(frames, [(1, 0), (2, 24)]);
        let refused = open(&[0, 8, 24]).err().unwrap().to_string();
        for words in
            ["has room for 2 keyframes", "ZOETROPE_KEYFRAMES=3 cargo build --release --features res-tiny"]
        {
            assert!(refused.contains(words), "{refused}");
        }
    }

    /// Where there is no video, no room for keyframes would help, and none is made.
    #[test]
    fn audio_alone_takes_no_image() {
        let mut recipe = Recipe::named("text-to-audio").unwrap();
        recipe.with_keyframes(3);
        let target = Target { recipe, ..Target::preset("res-tiny").unwrap() };
        let plan = compile_target(&target, "".as_ref()).unwrap();
        assert!(ask::images(&plan).is_empty());
        for frame in [0, 8] {
            let given = Given { path: "a.png".into(), frame, strength: 1.0, crf: 0 };
            let refused = ImageArgs { image: vec![given] }
                .open(&plan, &Windows::one(&plan.facts), false)
                .err()
                .unwrap()
                .to_string();
            assert!(refused.contains("takes no image") && !refused.contains("KEYFRAMES"), "{refused}");
        }
    }

    #[test]
    fn numbers_stand_behind_the_path() {
        let given = |text: &str| text.parse::<Given>();
        let of = |path: &str, frame, strength, crf| Given { path: path.into(), frame, strength, crf };
        assert_eq!(given("a.png"), Ok(of("a.png", 0, 1.0, 33)));
        assert_eq!(given("a.png:8"), Ok(of("a.png", 8, 1.0, 33)));
        assert_eq!(given("a:b.png:0:0.7"), Ok(of("a:b.png", 0, 0.7, 33)));
        assert_eq!(given("a.png:0:1:0"), Ok(of("a.png", 0, 1.0, 0)));
        for wrong in ["", ":0", "a.png:-1", "a.png:0.5", "a.png:0:2", "a.png:0:nan", "a.png:0:1:52"] {
            assert!(given(wrong).is_err(), "{wrong}");
        }
    }
}
