//! Adapters of the demo model: one in the form of the published distilled LoRA, made up, and a trained one, as kohya's
//! tools write them.

use std::collections::BTreeMap;

use half::bf16;
use zoetrope_runtime::files::{FileDtype, NewTensor, write_tensors};
use zoetrope_runtime::plan::{Plan, Source};

use super::DemoError;
use super::random::Stream;
use super::trained::Trained;
use crate::adapters::metadata_for;
use crate::model_files::{Wanted, tensors_of};

/// An adapter of the demo model.
pub struct DemoAdapter {
    /// The name of its file.
    pub file: &'static str,
    /// The largest rank; a layer has no more than its inputs and outputs.
    rank: usize,
    /// How large its changes are beside the weights.
    gain: f64,
    /// Which layers it changes.
    changes: fn(&str) -> bool,
    /// Whether names have underscores for dots, and changes an alpha.
    kohya: bool,
    /// Whether it was trained. For models of other shapes it is made up.
    trained: bool,
}

/// Changes every linear layer of the transformer, as the published distilled LoRA does (docs/model/checkpoint.md 4.2).
pub const DISTILLED: DemoAdapter = DemoAdapter {
    file: "ltx-2.3-demo-distilled-lora.safetensors",
    rank: 8,
    gain: 0.3,
    changes: |_| true,
    kohya: false,
    trained: false,
};

/// Makes clips black and white. Changes self-attention and feed-forward of the video stream.
pub const STYLE: DemoAdapter = DemoAdapter {
    file: "ltx-2.3-demo-black-and-white-lora.safetensors",
    rank: 8,
    gain: 0.5,
    changes: |module| module.contains(".attn1.") || module.contains(".ff."),
    kohya: true,
    trained: true,
};

const TRANSFORMER: &str = "model.diffusion_model.";

impl DemoAdapter {
    /// The bytes of its file, for the model of these tensors.
    ///
    /// # Errors
    /// The part that holds a trained one is damaged.
    pub fn bytes(&self, tensors: &[Wanted]) -> Result<Vec<u8>, DemoError> {
        self.written(tensors, &BTreeMap::new())
    }

    /// As [`DemoAdapter::bytes`], for the model of a plan and for its references.
    ///
    /// # Errors
    /// As [`DemoAdapter::bytes`].
    pub fn for_plan(&self, plan: &Plan) -> Result<Vec<u8>, DemoError> {
        self.written(&tensors_of(plan), &metadata_for(plan))
    }

    fn written(
        &self,
        tensors: &[Wanted],
        metadata: &BTreeMap<&'static str, String>,
    ) -> Result<Vec<u8>, DemoError> {
        let trained = if self.trained { Trained::of(Source::Adapter(0))? } else { Trained::default() };
        let mut made: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
        for Wanted { tensor, shape, .. } in
            tensors.iter().filter(|wanted| wanted.source == Source::Checkpoint)
        {
            let module = tensor.strip_prefix(TRANSFORMER).and_then(|name| name.strip_suffix(".weight"));
            let Some(module) = module.filter(|name| !name.contains("_connector.") && (self.changes)(name))
            else {
                continue;
            };
            let &[out, inner] = shape.as_slice() else { continue };
            let rank = self.rank.min(out).min(inner);
            let values = |part: &str, shape: &[usize], deviation: f64| -> Result<Vec<u8>, DemoError> {
                if let Some((_, bytes)) =
                    trained.values(&format!("diffusion_model.{module}.{part}"), shape)?
                {
                    return Ok(bytes);
                }
                let mut stream = Stream::named(&format!("{}/{module}.{part}", self.file));
                let count = shape.iter().product::<usize>();
                Ok((0..count).flat_map(|_| bf16::from_f64(deviation * stream.next()).to_le_bytes()).collect())
            };
            let (down_shape, up_shape) = (vec![rank, inner], vec![out, rank]);
            let down = values("lora_A.weight", &down_shape, 1.0 / (inner as f64).sqrt())?;
            let up = values("lora_B.weight", &up_shape, self.gain / (rank as f64).sqrt())?;
            let (module, parts) = match self.kohya {
                true => (format!("lora_unet_{}", module.replace('.', "_")), ["lora_down", "lora_up"]),
                false => (format!("diffusion_model.{module}"), ["lora_A", "lora_B"]),
            };
            made.push((format!("{module}.{}.weight", parts[0]), down_shape, down));
            made.push((format!("{module}.{}.weight", parts[1]), up_shape, up));
            if self.kohya {
                let alpha = bf16::from_f64(rank as f64).to_le_bytes().to_vec();
                made.push((format!("{module}.alpha"), Vec::new(), alpha));
            }
        }
        // The same bytes for any order of the list.
        made.sort();
        made.dedup();
        let made: Vec<NewTensor<'_>> = made
            .iter()
            .map(|(name, shape, bytes)| NewTensor { name, dtype: FileDtype::Bf16, shape, bytes })
            .collect();
        let metadata = metadata.iter().map(|(key, value)| (*key, value.as_str()));
        Ok(write_tensors(&[("format", "pt")].into_iter().chain(metadata).collect::<Vec<_>>(), &made))
    }
}
