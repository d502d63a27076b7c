//! The runs that make the windows of a clip, one after the other.

use std::collections::BTreeMap;

use zoetrope_runtime::{Error, Executor, Result};

use super::Windows;
use crate::media::Image;
use crate::run::{Carried, Finished, Frames, Image as RunImage, Request, Rows, contexts, run};
use crate::session::{Session, Watch};
use crate::tensors::{Named, Tensor, Values};
use crate::tokenize::Encoded;

/// From one window's seed to the next one's: an odd number, so that no seed comes twice, and so large that the clips of
/// neighbouring seeds share none.
const SEEDS_APART: u64 = 0x9E37_79B9_7F4A_7C15;

/// What differs from window to window.
pub struct PerWindow<'a> {
    /// The prompts: what a window shall be, and where the plan hears of it, what it shall not be. The last ones are those of
    /// all further windows.
    pub prompts: Vec<Vec<&'a Encoded>>,
    /// What a window is made from.
    pub given: &'a dyn Fn(usize) -> Given<'a>,
}

/// What of the files of a request a window is made from.
#[derive(Default)]
pub struct Given<'a> {
    /// Images, by their numbers in the plan.
    pub images: BTreeMap<u32, RunImage<'a>>,
    /// What is heard of a sound.
    pub sound: Option<Rows<'a>>,
    /// What is seen of reference videos, by their numbers in the plan.
    pub references: BTreeMap<u32, Frames<'a>>,
    /// Tensors, by their names.
    pub tensors: Named,
}

impl<'a> PerWindow<'a> {
    fn prompts(&self, window: usize) -> &[&'a Encoded] {
        let last = self.prompts.len().saturating_sub(1);
        self.prompts.get(window.min(last)).map_or(&[], Vec::as_slice)
    }

    /// The first window that has the prompts of this one.
    fn first_like(&self, window: usize) -> usize {
        let said = |window: usize| self.prompts(window).iter().map(|prompt| &prompt.input_ids);
        (0..window).find(|other| said(*other).eq(said(window))).unwrap_or(window)
    }
}

/// Makes a clip, and hands on what every window leaves. `request` is what all windows share. `keep` hears of the latents of a
/// window after the phase that made them.
///
/// In memory is one window, and the contexts of prompts that a later window has, too.
///
/// # Errors
/// Whatever stops a window ([`run`]), or what `take` says.
pub fn make<'a, 'r, E: Executor<'a>, F: From<Error>>(
    session: &mut Session<E>,
    windows: &Windows,
    mut request: Request<'r>,
    per_window: &PerWindow<'r>,
    watch: &mut dyn Watch,
    keep: &mut dyn FnMut(usize, &str, &Named) -> Result<()>,
    take: &mut dyn FnMut(Finished) -> std::result::Result<(), F>,
) -> std::result::Result<(), F> {
    let mut texts: BTreeMap<usize, Named> = BTreeMap::new();
    let (seed, mut carried, mut begins_with) = (request.seed, Carried::new(), None);
    for window in 0..windows.count {
        let given = (per_window.given)(window);
        request.images = given.images;
        request.images.extend(begins_with.take().map(|image| (0, first_frame(image))));
        request.spectrogram = given.sound;
        request.references = given.references;
        request.tensors.extend(given.tensors);
        request.prompts = per_window.prompts(window).to_vec();
        request.seed = seed.wrapping_add(SEEDS_APART.wrapping_mul(window as u64));
        request.carried = std::mem::take(&mut carried);
        if windows.count > 1 {
            watch.window(window, windows.count);
            let first = per_window.first_like(window);
            let text = match texts.remove(&first) {
                Some(text) => text,
                None => contexts(session, &request, watch)?,
            };
            if (window + 1..windows.count).any(|later| per_window.first_like(later) == first) {
                texts.insert(first, text.clone());
            }
            request.tensors.extend(text);
        }
        let mut finished = run(session, &request, watch, &mut |phase, left| keep(window, phase, left))?;
        if window + 1 < windows.count {
            carried = std::mem::take(&mut finished.carried);
            begins_with = carried_frame(windows, &finished);
        }
        take(finished)?;
    }
    Ok(())
}

/// The frame of a window that the next one begins with.
fn carried_frame(windows: &Windows, finished: &Finished) -> Option<Image> {
    let video = finished.video.as_ref()?;
    let (Values::Byte(planes), [.., width]) = (&video.values, &video.shape[..]) else { return None };
    let frame = planes.chunks_exact(planes.len() / windows.size).nth(windows.apart())?;
    Some(Image::of_planes(frame, *width))
}

fn first_frame<'a>(image: Image) -> RunImage<'a> {
    let pixels =
        move |width: usize, height: usize| Tensor::real(&[3, height, width], image.fit(width, height));
    RunImage { strength: 1.0, frame: 0, pixels: Box::new(pixels) }
}
