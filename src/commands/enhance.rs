//! `generate --enhance-prompt`: the text encoder writes a better prompt first (docs/enhancement.md).

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use clap::Args;
use zoetrope_runtime::Executor;
use zoetrope_runtime::files::given_text;
use zoetrope_runtime::plan::Plan;

use super::ask::{self, Ask};
use super::previews::Previews;
use crate::enhance::{
    Asked, END_OF_TURN, EOS, MOST_TOKENS, SYSTEM, SYSTEM_IMAGE, Sampler, Sight, asked, asked_of_image,
    cleaned, room, sight, written,
};
use crate::failure::Failure;
use crate::media::Image;
use crate::session::{Session, Watch};
use crate::tensors::Tensor;
use crate::terminal;
use crate::tokenize::{Encoded, Tokenizer};

/// A system text is a page.
const MAX_BYTES: u64 = 1 << 20;

/// Who writes the prompt.
#[derive(Args, Clone, Debug, Default)]
pub struct EnhanceArgs {
    /// Let the text encoder write a better prompt first, with the seed and in view of the first image; the clip is made
    /// from that one
    #[arg(long, alias = "enhance")]
    enhance_prompt: bool,
    /// What it is asked to do, from a text file; otherwise a text of zoetrope's own
    #[arg(long, value_name = "FILE", requires = "enhance_prompt")]
    enhance_system: Option<PathBuf>,
}

/// What the text encoder is asked, where it is asked at all: a system text, and whether it is shown an image.
pub struct Asking(Option<(String, bool)>);

/// What is asked, in tokens.
pub struct Chat {
    ids: Vec<i32>,
    /// Where the image's tokens begin, and how it is shown.
    image: Option<(usize, Sight)>,
}

impl EnhanceArgs {
    /// The files that are given.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.enhance_system.iter().map(PathBuf::as_path)
    }

    /// What it asks of a plan, for a clip that is made from images or not.
    pub fn asks(&self, image: bool) -> Option<Ask<'static>> {
        self.enhance_prompt.then_some(Ask::Enhancement { image })
    }

    /// Checks that a plan can do it, for a clip that is made from an image or not and has so many prompts, and reads the system
    /// text.
    ///
    /// # Errors
    /// The plan has no room for it; there are several prompts; the text cannot be read.
    pub fn open(&self, plan: &Plan, image: bool, prompts: usize) -> Result<Asking, Failure> {
        if !self.enhance_prompt {
            return Ok(Asking(None));
        }
        if prompts > 1 {
            return Err(Failure::usage(format!(
                "--enhance-prompt writes one prompt for the whole clip\n  have  {prompts} prompts, of windows"
            )));
        }
        ask::check(plan, self.asks(image).as_slice())?;
        let usual = if image { SYSTEM_IMAGE } else { SYSTEM };
        let Some(path) = &self.enhance_system else { return Ok(Asking(Some((usual.to_string(), image)))) };
        let text = given_text(path, MAX_BYTES);
        let text = text.map_err(|e| {
            Failure::usage(format!("cannot read the system text from {}: {e}", path.display()))
        })?;
        Ok(Asking(Some((text, image))))
    }
}

impl Asking {
    /// Whether it is asked at all.
    pub fn is_any(&self) -> bool {
        self.0.is_some()
    }

    /// What is asked for a prompt; `None` where nothing is.
    ///
    /// # Errors
    /// The plan has no room for so many tokens, or they cannot be told.
    pub fn chat(&self, plan: &Plan, tokenizer: &Tokenizer, prompt: &str) -> Result<Option<Chat>, Failure> {
        let Some((system, image)) = &self.0 else { return Ok(None) };
        let chat = match sight(plan).filter(|_| *image) {
            None => Chat { ids: tokenizer.ids(&asked(system, prompt))?, image: None },
            Some(sight) => {
                let [before, behind] = asked_of_image(system, prompt);
                let mut ids = tokenizer.ids(&before)?;
                let first = ids.len();
                ids.resize(first + sight.tokens, 0);
                // The tokenizer puts its start token in front of either.
                ids.extend(tokenizer.ids(&behind)?.into_iter().skip(1));
                Chat { ids, image: Some((first, sight)) }
            }
        };
        let (ids, room) = (&chat.ids, room(plan).unwrap_or(0));
        if ids.len() >= room {
            return Err(Failure::usage(format!(
                "the prompt to enhance is too long\n  want  fewer than {room} tokens with the system text, so that some \
                 can follow\n  have  {}\n  help  enhance = {} in a target file (docs/enhancement.md)",
                ids.len(),
                enough(ids.len(), *image)
            )));
        }
        Ok(Some(chat))
    }
}

/// What a target file says that has room for so many tokens and an answer.
fn enough(tokens: usize, image: bool) -> String {
    let tokens = (tokens + MOST_TOKENS).next_power_of_two();
    if image { format!("{{ tokens = {tokens}, image = true }}") } else { tokens.to_string() }
}

impl Chat {
    /// The same with the image that it has places for.
    pub fn showing(self, image: Option<&Image>) -> Asked {
        let shown = self.image.zip(image).map(|((first, Sight { width, height, .. }), image)| {
            (first, Tensor::real(&[1, 3, height, width], image.stretched(width, height)))
        });
        Asked { ids: self.ids, image: shown }
    }
}

/// A prompt that is written before a run.
pub struct Writing<'r> {
    pub asked: Asked,
    pub tokenizer: &'r Tokenizer,
    /// Where it is left.
    pub better: &'r OnceCell<(String, Encoded)>,
    /// Prints a line of the result.
    pub say: fn(&str),
}

impl<'r> Writing<'r> {
    /// The prompt; `None` where there is no text.
    fn answer<'a, E: Executor<'a>>(
        &self,
        session: &mut Session<E>,
        seed: u64,
        watch: &mut dyn Watch,
    ) -> Result<Option<String>, Failure> {
        let mut sampler = Sampler::new(seed);
        let mut choose =
            |logits: &[f32]| Some(sampler.draw(logits)).filter(|token| ![EOS, END_OF_TURN].contains(token));
        let ids = written(session, &self.asked, &mut choose, watch)?;
        let text = cleaned(&self.tokenizer.text(&ids));
        Ok(Some(text.trim().to_string()).filter(|text| !text.is_empty()))
    }

    /// Has it written, and says what it is; `None` where nothing is written.
    ///
    /// # Errors
    /// Whatever stops a phase, or a text without tokens.
    pub fn written<'a, E: Executor<'a>>(
        &self,
        session: &mut Session<E>,
        seed: u64,
        watch: &mut Previews<'_>,
    ) -> Result<Option<&'r Encoded>, Failure> {
        let Some(text) = self.answer(session, seed, watch)? else {
            let nothing = || terminal::note("the text encoder wrote nothing: the prompt stays as it is");
            watch.progress.aside(nothing);
            return Ok(None);
        };
        watch.progress.aside(|| (self.say)(&format!("prompt: {text}")));
        let encoded = self.tokenizer.encode(&text)?;
        Ok(Some(&self.better.get_or_init(|| (text, encoded)).1))
    }
}

#[cfg(test)]
mod tests {
    use zoetrope_compiler::frontend::compile_target;
    use zoetrope_model_spec::ltx::enhance::Enhance;
    use zoetrope_model_spec::target::Target;

    use super::*;

    /// A plan of the demo model with this room.
    fn plan(enhance: Option<Enhance>) -> Plan {
        compile_target(&Target { enhance, ..Target::preset("res-tiny").unwrap() }, "".as_ref()).unwrap()
    }

    #[test]
    fn what_cannot_be_enhanced_is_refused_before_anything_is_loaded() {
        let plain = zoetrope_generated::PLANS[0];
        let usual = EnhanceArgs::default();
        let asks = EnhanceArgs { enhance_prompt: true, ..usual.clone() };
        assert!(usual.open(plain, true, 1).is_ok_and(|asking| asking.0.is_none()));
        let said =
            |args: &EnhanceArgs, plan, images| args.open(plan, images, 1).map(|_| ()).unwrap_err().message;
        assert!(said(&asks, plain, false).contains("no phases that enhance a prompt"));
        assert!(said(&asks, plain, true).contains("ZOETROPE_ENHANCE=image cargo build"));
        let text = plan(Some(Enhance { tokens: 512, image: false }));
        let missing = EnhanceArgs { enhance_system: Some("no/such.txt".into()), ..asks.clone() };
        assert!(said(&missing, &text, false).starts_with("cannot read the system text from no/such.txt"));
        let blind = said(&asks, &text, true);
        assert!(blind.contains("no phase that shows an image to the text encoder"), "{blind}");
        assert!(blind.contains("ZOETROPE_ENHANCE=image"), "{blind}");

        let tokenizer = Tokenizer::from_bytes(crate::demo::TOKENIZER.as_bytes()).unwrap();
        let long = |plan: &Plan, image| {
            let asking = asks.open(plan, image, 1).unwrap();
            asking.chat(plan, &tokenizer, &"snow ".repeat(600)).map(|_| ()).unwrap_err().message
        };
        let said = long(&text, false);
        assert!(said.contains("fewer than 512 tokens") && said.contains("enhance = 2048 in"), "{said}");
        let said = long(&plan(Some(Enhance { tokens: 512, image: true })), true);
        assert!(said.contains("enhance = { tokens = 2048, image = true } in"), "{said}");
    }

    /// The image stands between its own two tokens, and the tokenizer's start token in front of all alone.
    #[test]
    fn an_image_has_its_places_in_the_chat() {
        let plan = plan(Some(Enhance { tokens: 2048, image: true }));
        let asks = EnhanceArgs { enhance_prompt: true, ..EnhanceArgs::default() };
        let tokenizer = Tokenizer::from_bytes(crate::demo::TOKENIZER.as_bytes()).unwrap();
        let asking = asks.open(&plan, true, 1).unwrap();
        let image = Image::open("tests/demo/first.png".as_ref(), 0).unwrap();
        let chat = asking.chat(&plan, &tokenizer, "it rolls").unwrap().unwrap();
        let Asked { ids, image } = chat.showing(Some(&image));
        let (first, pixels) = image.unwrap();
        assert_eq!(pixels.shape, [1, 3, 112, 112]);
        let (before, behind) = (tokenizer.text(&ids[..first]), tokenizer.text(&ids[first + 16..]));
        assert!(before.ends_with("\n\n\n\n<start_of_image>"), "{before}");
        let prompt = "<end_of_image>\n\nUser Raw Input Prompt: it rolls.";
        assert!(behind.starts_with(prompt), "{behind}");
        assert_eq!(ids[first..first + 16], [0; 16]);
        let starts: Vec<usize> = (0..ids.len()).filter(|i| ids[*i] == 2).collect();
        assert_eq!(starts, [0, 1]);
    }
}
