//! `generate --enhance-prompt`: the text encoder writes a better prompt first (docs/enhancement.md).

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use clap::Args;
use zoetrope_runtime::Executor;
use zoetrope_runtime::files::given_text;
use zoetrope_runtime::plan::Plan;

use super::ask::{self, Ask};
use super::images::ImageArgs;
use super::previews::Previews;
use crate::enhance::{
    Asked, END_OF_TURN, EOS, MOST_TOKENS, SYSTEM, SYSTEM_IMAGE, Sampler, asked, asked_of_image, cleaned,
    room, sight, written,
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
    /// Let the text encoder write a better prompt first, with the seed and before the eyes the first image; the clip is made
    /// from that one
    #[arg(long, alias = "enhance")]
    enhance_prompt: bool,
    /// What it is asked to do, from a text file; otherwise a text of zoetrope's own
    #[arg(long, value_name = "FILE", requires = "enhance_prompt")]
    enhance_system: Option<PathBuf>,
}

/// What the text encoder is asked, where it is asked at all: a system text, and the image that it is shown.
pub struct Asking(Option<(String, Option<Image>)>);

/// What is asked, in tokens.
pub struct Chat(Asked);

impl EnhanceArgs {
    /// The files that are given.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.enhance_system.iter().map(PathBuf::as_path)
    }

    /// What it asks of a plan, for a clip that is made from images or not.
    pub fn asks(&self, images: &ImageArgs) -> Option<Ask<'static>> {
        self.enhance_prompt.then_some(Ask::Enhancement { image: images.any() })
    }

    /// Checks that a plan can do it, for a clip that is made from these images and has so many prompts, and reads the system
    /// text and the image.
    ///
    /// # Errors
    /// The plan has no room for it; there are several prompts; the text or the image cannot be read.
    pub fn open(&self, plan: &Plan, images: &ImageArgs, prompts: usize) -> Result<Asking, Failure> {
        if !self.enhance_prompt {
            return Ok(Asking(None));
        }
        if prompts > 1 {
            return Err(Failure::usage(format!(
                "--enhance-prompt writes one prompt for the whole clip\n  have  {prompts} prompts, of windows"
            )));
        }
        ask::check(plan, self.asks(images).as_slice())?;
        let image = images.first_as_it_is()?;
        let usual = if image.is_some() { SYSTEM_IMAGE } else { SYSTEM };
        let Some(path) = &self.enhance_system else { return Ok(Asking(Some((usual.to_string(), image)))) };
        let text = given_text(path, MAX_BYTES);
        let text = text.map_err(|e| {
            Failure::usage(format!("cannot read the system text from {}: {e}", path.display()))
        })?;
        Ok(Asking(Some((text, image))))
    }
}

impl Asking {
    /// What is asked for a prompt; `None` where nothing is.
    ///
    /// # Errors
    /// The plan has no room for so many tokens, or they cannot be told.
    pub fn chat(&self, plan: &Plan, tokenizer: &Tokenizer, prompt: &str) -> Result<Option<Chat>, Failure> {
        let Some((system, image)) = &self.0 else { return Ok(None) };
        let asked = match image.as_ref().zip(sight(plan)) {
            None => Asked { ids: tokenizer.ids(&asked(system, prompt))?, image: None },
            Some((image, sight)) => {
                let [before, behind] = asked_of_image(system, prompt);
                let mut ids = tokenizer.ids(&before)?;
                let first = ids.len();
                ids.resize(first + sight.tokens, 0);
                // The tokenizer puts its start token in front of either.
                ids.extend(tokenizer.ids(&behind)?.into_iter().skip(1));
                let pixels = image.stretched(sight.width, sight.height);
                let pixels = Tensor::real(&[1, 3, sight.height, sight.width], pixels);
                Asked { ids, image: Some((first, pixels)) }
            }
        };
        let (ids, room) = (&asked.ids, room(plan).unwrap_or(0));
        if ids.len() >= room {
            return Err(Failure::usage(format!(
                "the prompt to enhance is too long\n  want  fewer than {room} tokens with the system text, so that some \
                 can follow\n  have  {}\n  help  enhance = {} in a target file (docs/enhancement.md)",
                ids.len(),
                enough(ids.len(), asked.image.is_some())
            )));
        }
        Ok(Some(Chat(asked)))
    }
}

/// What a target file says that has room for so many tokens and an answer.
fn enough(tokens: usize, image: bool) -> String {
    let tokens = (tokens + MOST_TOKENS).next_power_of_two();
    if image { format!("{{ tokens = {tokens}, image = true }}") } else { tokens.to_string() }
}

impl Chat {
    /// The prompt that is written; `None` where nothing is.
    ///
    /// # Errors
    /// Whatever stops a phase.
    fn answer<'a, E: Executor<'a>>(
        &self,
        session: &mut Session<E>,
        tokenizer: &Tokenizer,
        seed: u64,
        watch: &mut dyn Watch,
    ) -> Result<Option<String>, Failure> {
        let mut sampler = Sampler::new(seed);
        let mut choose =
            |logits: &[f32]| Some(sampler.draw(logits)).filter(|token| ![EOS, END_OF_TURN].contains(token));
        let ids = written(session, &self.0, &mut choose, watch)?;
        let text = cleaned(&tokenizer.text(&ids));
        Ok(Some(text.trim().to_string()).filter(|text| !text.is_empty()))
    }
}

/// A prompt that is written before a run.
pub struct Writing<'r> {
    pub chat: Chat,
    pub tokenizer: &'r Tokenizer,
    /// Where it is left.
    pub better: &'r OnceCell<(String, Encoded)>,
    /// Prints a line of the result.
    pub say: fn(&str),
}

impl<'r> Writing<'r> {
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
        let Some(text) = self.chat.answer(session, self.tokenizer, seed, watch)? else {
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

    fn images(paths: &[&str]) -> ImageArgs {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            images: ImageArgs,
        }
        let given = paths.iter().flat_map(|path| ["--image", *path]);
        <Command as clap::Parser>::parse_from(["x"].into_iter().chain(given)).images
    }

    #[test]
    fn what_cannot_be_enhanced_is_refused_before_anything_is_loaded() {
        let plain = zoetrope_generated::PLANS[0];
        let usual = EnhanceArgs::default();
        let asks = EnhanceArgs { enhance_prompt: true, ..usual.clone() };
        let (none, one) = (images(&[]), images(&["no/such.png"]));
        assert!(usual.open(plain, &one, 1).is_ok_and(|asking| asking.0.is_none()));
        let said =
            |args: &EnhanceArgs, plan, images| args.open(plan, images, 1).map(|_| ()).unwrap_err().message;
        assert!(said(&asks, plain, &none).contains("no phases that enhance a prompt"));
        assert!(said(&asks, plain, &one).contains("ZOETROPE_ENHANCE=image cargo build"));
        let text = plan(Some(Enhance { tokens: 512, image: false }));
        let missing = EnhanceArgs { enhance_system: Some("no/such.txt".into()), ..asks.clone() };
        assert!(said(&missing, &text, &none).starts_with("cannot read the system text from no/such.txt"));
        let blind = said(&asks, &text, &one);
        assert!(blind.contains("no phase that shows an image to the text encoder"), "{blind}");
        assert!(blind.contains("ZOETROPE_ENHANCE=image"), "{blind}");
        let seeing = plan(Some(Enhance { tokens: 512, image: true }));
        assert!(said(&asks, &seeing, &one).contains("no/such.png"));

        let tokenizer = Tokenizer::from_bytes(crate::demo::TOKENIZER.as_bytes()).unwrap();
        let asking = asks.open(&text, &none, 1).unwrap();
        let long = asking.chat(&text, &tokenizer, &"snow ".repeat(600)).map(|_| ()).unwrap_err().message;
        assert!(long.contains("fewer than 512 tokens") && long.contains("enhance = 2048 in"), "{long}");
        let asking = asks.open(&seeing, &images(&["tests/demo/first.png"]), 1).unwrap();
        let long = asking.chat(&seeing, &tokenizer, &"snow ".repeat(600)).map(|_| ()).unwrap_err().message;
        assert!(long.contains("enhance = { tokens = 2048, image = true } in"), "{long}");
    }
}
