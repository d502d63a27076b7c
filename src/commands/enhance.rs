//! `generate --enhance-prompt`: the text encoder writes a better prompt first (docs/enhancement.md).

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use clap::Args;
use zoetrope_runtime::Executor;
use zoetrope_runtime::files::given_text;
use zoetrope_runtime::plan::Plan;

use super::ask::{self, Ask};
use super::previews::Previews;
use crate::enhance::{END_OF_TURN, EOS, SYSTEM, Sampler, asked, cleaned, room, written};
use crate::failure::Failure;
use crate::session::{Session, Watch};
use crate::terminal;
use crate::tokenize::{Encoded, Tokenizer};

/// A system text is a page.
const MAX_BYTES: u64 = 1 << 20;

/// Who writes the prompt.
#[derive(Args, Clone, Debug, Default)]
pub struct EnhanceArgs {
    /// Let the text encoder write a better prompt first, with the seed; the clip is made from that one
    #[arg(long, alias = "enhance")]
    enhance_prompt: bool,
    /// What it is asked to do, from a text file; otherwise a text of zoetrope's own
    #[arg(long, value_name = "FILE", requires = "enhance_prompt")]
    enhance_system: Option<PathBuf>,
}

/// What the text encoder is asked: a system text, where it is asked at all.
pub struct Asking(Option<String>);

/// What is asked, in tokens.
pub struct Chat(Vec<i32>);

impl EnhanceArgs {
    /// The files that are given.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.enhance_system.iter().map(PathBuf::as_path)
    }

    /// What it asks of a plan.
    pub fn asks(&self) -> Option<Ask<'static>> {
        self.enhance_prompt.then_some(Ask::Enhancement)
    }

    /// Checks that a plan can do it, for a clip that is made from images or not and has so many prompts, and reads the system
    /// text.
    ///
    /// # Errors
    /// The plan has no room for it; there are images, or several prompts; the text cannot be read.
    pub fn open(&self, plan: &Plan, images: bool, prompts: usize) -> Result<Asking, Failure> {
        if !self.enhance_prompt {
            return Ok(Asking(None));
        }
        if images {
            return Err(Failure::usage(
                "--enhance-prompt and --image do not go together: the text encoder would have to see the image, and its \
                 part that sees is not in a plan\n  help  enhance the prompt of a clip without the image, and give the \
                 new prompt with the image",
            ));
        }
        if prompts > 1 {
            return Err(Failure::usage(format!(
                "--enhance-prompt writes one prompt for the whole clip\n  have  {prompts} prompts, of windows"
            )));
        }
        ask::check(plan, self.asks().as_slice())?;
        let Some(path) = &self.enhance_system else { return Ok(Asking(Some(SYSTEM.to_string()))) };
        let text = given_text(path, MAX_BYTES);
        let text = text.map_err(|e| {
            Failure::usage(format!("cannot read the system text from {}: {e}", path.display()))
        })?;
        Ok(Asking(Some(text)))
    }
}

impl Asking {
    /// What is asked for a prompt; `None` where nothing is.
    ///
    /// # Errors
    /// The plan has no room for so many tokens, or they cannot be told.
    pub fn chat(&self, plan: &Plan, tokenizer: &Tokenizer, prompt: &str) -> Result<Option<Chat>, Failure> {
        let Some(system) = &self.0 else { return Ok(None) };
        let ids = tokenizer.ids(&asked(system, prompt))?;
        let room = room(plan).unwrap_or(0);
        if ids.len() >= room {
            return Err(Failure::usage(format!(
                "the prompt to enhance is too long\n  want  fewer than {room} tokens with the system text, so that some \
                 can follow\n  have  {}\n  help  enhance = {} in a target file (docs/enhancement.md)",
                ids.len(),
                (ids.len() + crate::enhance::MOST_TOKENS).next_power_of_two()
            )));
        }
        Ok(Some(Chat(ids)))
    }
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
    use zoetrope_model_spec::target::Target;

    use super::*;

    #[test]
    fn what_cannot_be_enhanced_is_refused_before_anything_is_loaded() {
        let plain = zoetrope_generated::PLANS[0];
        let usual = EnhanceArgs::default();
        let asks = EnhanceArgs { enhance_prompt: true, ..usual.clone() };
        assert!(usual.open(plain, true, 1).is_ok_and(|asking| asking.0.is_none()));
        let said =
            |args: &EnhanceArgs, plan, images| args.open(plan, images, 1).map(|_| ()).unwrap_err().message;
        assert!(said(&asks, plain, false).contains("no phases that enhance a prompt"));
        assert!(said(&asks, plain, true).starts_with("--enhance-prompt and --image do not go together"));
        let target = Target { enhance: Some(512), ..Target::preset("res-tiny").unwrap() };
        let plan = compile_target(&target, "".as_ref()).unwrap();
        let missing = EnhanceArgs { enhance_system: Some("no/such.txt".into()), ..asks.clone() };
        assert!(said(&missing, &plan, false).starts_with("cannot read the system text from no/such.txt"));

        let tokenizer = Tokenizer::from_bytes(crate::demo::TOKENIZER.as_bytes()).unwrap();
        let asking = asks.open(&plan, false, 1).unwrap();
        let long = asking.chat(&plan, &tokenizer, &"snow ".repeat(600)).map(|_| ()).unwrap_err().message;
        assert!(long.contains("fewer than 512 tokens") && long.contains("enhance = "), "{long}");
    }
}
