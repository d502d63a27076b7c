//! What a pass leaves out of the transformer's blocks (docs/model/transformer.md 9).

use std::ops::Range;

use serde::Deserialize;

/// The blocks in which a pass skips each of their attentions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Skip {
    /// Self-attention of the video: every token takes its own value instead.
    pub video: Vec<usize>,
    /// Self-attention of the audio, likewise.
    pub audio: Vec<usize>,
    /// What enters the video from the audio: nothing does.
    pub a2v: Vec<usize>,
    /// What enters the audio from the video.
    pub v2a: Vec<usize>,
}

/// Which attentions of one block are skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    pub video: bool,
    pub audio: bool,
    pub a2v: bool,
    pub v2a: bool,
}

impl Skip {
    /// Self-attention of both streams in these blocks.
    pub fn perturbed(blocks: &[usize]) -> Skip {
        Skip { video: blocks.to_vec(), audio: blocks.to_vec(), ..Skip::default() }
    }

    /// Everything between the streams of a model of so many blocks.
    pub fn isolated(layers: usize) -> Skip {
        let all: Vec<usize> = (0..layers).collect();
        Skip { a2v: all.clone(), v2a: all, ..Skip::default() }
    }

    /// What is skipped in a block.
    pub fn at(&self, block: usize) -> Skipped {
        let has = |blocks: &[usize]| blocks.contains(&block);
        Skipped { video: has(&self.video), audio: has(&self.audio), a2v: has(&self.a2v), v2a: has(&self.v2a) }
    }

    /// The blocks of its lists that a model of so many blocks does not have.
    pub fn beyond(&self, layers: usize) -> impl Iterator<Item = usize> {
        let blocks = [&self.video, &self.audio, &self.a2v, &self.v2a].into_iter().flatten();
        blocks.copied().filter(move |block| *block >= layers)
    }
}

/// All `layers` in stretches in which no pass changes what it skips.
pub fn stretches(layers: usize, skips: &[&Skip]) -> Vec<Range<usize>> {
    let at = |block: usize| skips.iter().map(|skip| skip.at(block)).collect::<Vec<_>>();
    let mut out: Vec<Range<usize>> = Vec::new();
    for block in 0..layers {
        match out.last_mut() {
            Some(last) if at(last.start) == at(block) => last.end = block + 1,
            _ => out.push(block..block + 1),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_end_where_a_pass_changes_what_it_skips() {
        let (all, none) = (Skip::isolated(48), Skip::default());
        assert_eq!(stretches(48, &[&none, &all]), vec![0..48; 1]);
        assert_eq!(stretches(48, &[&none, &Skip::perturbed(&[28]), &all]), [0..28, 28..29, 29..48]);
        assert_eq!(stretches(3, &[&Skip::perturbed(&[0, 1])]), [0..2, 2..3]);
        let apart = Skip { video: vec![0, 1], a2v: vec![1], ..Skip::default() };
        assert_eq!(stretches(4, &[&apart]), [0..1, 1..2, 2..4]);
        assert_eq!(stretches(4, &[&apart, &Skip::perturbed(&[3])]), [0..1, 1..2, 2..3, 3..4]);
    }
}
