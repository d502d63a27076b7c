//! Which of the upscalers a file is, and which one a plan reads.

use zoetrope_model_spec::ltx::builtin::ltx_2_3_22b;
use zoetrope_model_spec::ltx::config::Enlarges;
use zoetrope_model_spec::ltx::read_config::{ConfigTexts, read_config};
use zoetrope_runtime::plan::{Origin, Plan, Source};

const SOURCES: [(Enlarges, Source); 3] = [
    (Enlarges::SpaceX2, Source::SpatialUpscaler),
    (Enlarges::SpaceX1_5, Source::SpatialUpscalerX1_5),
    (Enlarges::TimeX2, Source::TemporalUpscaler),
];

/// What an upscaler is by the `config` in its header; without one that can be read, it is taken for the spatial x2 one.
pub fn source_of(config: Option<&str>) -> Source {
    let texts = ConfigTexts { upscaler: config, ..ConfigTexts::default() };
    let enlarges =
        config.and_then(|_| read_config(&texts, &ltx_2_3_22b()).ok()).map(|model| model.upscaler.enlarges);
    let of = |(by, _): &&(Enlarges, Source)| Some(*by) == enlarges;
    SOURCES.iter().find(of).map_or(Source::SpatialUpscaler, |(_, source)| *source)
}

/// What an upscaler enlarges; `None` for other sources.
pub fn enlarges(source: Source) -> Option<Enlarges> {
    SOURCES.iter().find(|(_, of)| *of == source).map(|(by, _)| *by)
}

/// The upscaler that a plan reads.
pub fn read_by(plan: &Plan) -> Option<Source> {
    let sources = plan.constants.iter().filter_map(|constant| match constant.origin {
        Origin::Weight { source, .. } => Some(source),
        Origin::Table { .. } => None,
    });
    sources.into_iter().find(|source| source.is_upscaler())
}
