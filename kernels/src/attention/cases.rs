//! Cases of attention beside the first ones: widths of heads, numbers of tokens, masks.

use crate::{IntRange, Kernel};

/// Widths that all ways of computing attention meet: tiles of 64 and of 32 keys, heads of some sixteens, up to the widest
/// one that tensor cores take, and two that they do not take.
const WIDTHS: [usize; 9] = [16, 48, 80, 112, 144, 208, 256, 20, 272];

/// Numbers of queries and of keys: one, less than a tile, a tile and a little.
const LENGTHS: [(usize, usize); 4] = [(1, 70), (67, 5), (33, 130), (130, 97)];

/// Adds the case that `case` makes of every width of heads.
pub(super) fn of_widths(kernel: Kernel, case: impl Fn(Kernel, usize, (usize, usize)) -> Kernel) -> Kernel {
    let lengths = LENGTHS.into_iter().cycle();
    WIDTHS.into_iter().zip(lengths).fold(kernel, |kernel, (head, lengths)| case(kernel, head, lengths))
}

/// Tokens of a case with masks: more than three tiles of any kind, and no whole number of them.
const TOKENS: usize = 400;

/// Padding that is longer than a tile.
const PADDED: IntRange = IntRange::OnesFrom(150);

/// Masks as text encoders have them, one case each: which tokens are none, and how far back a query sees.
const MASKS: [(IntRange, i32); 7] = [
    // Itself alone; and where all is padding, nothing.
    (IntRange::Just(1), 1),
    (IntRange::Just(0), TOKENS as i32),
    // Across the edges of tiles of 32, 64 and 128 keys.
    (IntRange::Just(1), 70),
    (PADDED, 134),
    // Further than there are tokens.
    (PADDED, TOKENS as i32),
    (IntRange::Below(2), i32::MAX),
    (IntRange::OnesFrom(1), 1024),
];

/// Adds a case for every mask, with heads that both classes of kernels take.
pub(super) fn of_masks(kernel: Kernel) -> Kernel {
    let tokens = TOKENS;
    MASKS.into_iter().fold(kernel, |kernel, (valid, window)| {
        let shapes: [&[usize]; 5] = [&[tokens, 128], &[tokens, 64], &[tokens, 64], &[tokens], &[1]];
        kernel.cuda_case("2 1 0.125 1", &shapes).with("valid", valid).with("window", IntRange::Just(window))
    })
}

/// Adds the window of Gemma's sliding layers, over more tokens than it holds.
pub(super) fn of_long_window(kernel: Kernel) -> Kernel {
    kernel
        .cuda_case("1 1 0.125 1", &[&[1100, 64], &[1100, 64], &[1100, 64], &[1100], &[1]])
        .with("valid", IntRange::OnesFrom(30))
        .with("window", IntRange::Just(1024))
}

/// Spans whose tokens see all of it, with how far back a query sees: the first token and how many, across tiles of any kind,
/// at both ends, of one token, beyond the window.
const SPANS: [(usize, usize, i32); 5] =
    [(100, 256, 1024), (0, 70, 90), (393, 7, 1024), (200, 1, i32::MAX), (130, 200, 40)];

/// Adds a case for every span, with heads that both classes of kernels take.
pub(super) fn of_spans(kernel: Kernel) -> Kernel {
    let tokens = TOKENS;
    SPANS.into_iter().fold(kernel, |kernel, (first, span, window)| {
        let shapes: [&[usize]; 6] =
            [&[tokens, 128], &[tokens, 64], &[tokens, 64], &[tokens], &[1], &[tokens]];
        kernel
            .cuda_case("2 1 0.125 1", &shapes)
            .with("valid", IntRange::OnesFrom(20))
            .with("window", IntRange::Just(window))
            .with("until", IntRange::Until(first, span))
    })
}

/// Blocks of a bias that hide keys: of one number, and, two side by side, wider than any tile.
const HIDDEN: [(usize, usize); 2] = [(1, 1), (40, 70)];

/// Adds a case for all of these blocks, with heads that both classes of kernels take.
pub(super) fn of_hidden(kernel: Kernel) -> Kernel {
    let (queries, keys) = (90, 150);
    HIDDEN.into_iter().fold(kernel, |kernel, (rows, columns)| {
        let shapes: [&[usize]; 4] = [&[queries, 128], &[keys, 128], &[keys, 128], &[queries, keys]];
        kernel.cuda_case("2 2 0.125 0", &shapes).hides("bias", rows, columns)
    })
}

/// Keys that no query sees, as [`of_hidden`] has them: single ones, and, two of such stretches side by side, more than any
/// tile has.
pub(super) fn of_hidden_keys(kernel: Kernel) -> Kernel {
    let (queries, keys) = (90, 230);
    [1, 70].into_iter().fold(kernel, |kernel, columns| {
        let shapes: [&[usize]; 4] = [&[queries, 128], &[keys, 128], &[keys, 128], &[1, keys]];
        kernel.cuda_case("2 2 0.125 0", &shapes).hides("bias", 1, columns)
    })
}

/// Adds cases of one query or a few, at the first key, at the last one, and beyond more keys than warps take together;
/// with windows of one key, of some, and further than there are keys.
pub(super) fn of_few_queries(kernel: Kernel) -> Kernel {
    let cases = [(1, 256, 300, 299, 1024), (1, 256, 300, 270, 70), (3, 20, 97, 0, 1), (2, 272, 130, 127, 33)];
    cases.into_iter().fold(kernel, |kernel, (queries, head, keys, place, window)| {
        let shapes: [&[usize]; 6] = [&[queries, 2 * head], &[keys, head], &[keys, head], &[keys], &[1], &[1]];
        kernel
            .cuda_case("2 1 0.0625 1", &shapes)
            .with("valid", IntRange::Just(1))
            .with("window", IntRange::Just(window))
            .with("place", IntRange::Just(place))
    })
}
