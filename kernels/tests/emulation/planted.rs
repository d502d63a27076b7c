//! Faults, each of them a piece of a source and what is planted in its place.

/// Kernel, file, what stands there, and the fault in its place.
pub const FAULTS: [(&str, &str, &str, &str); 24] = [
    // One row too many.
    ("affine", "tensor.cuh", "if (row < rows)", "if (row <= rows)"),
    // Arguments exchanged.
    ("normalize", "elementwise/elementwise.cu", "part.mean, part.std, part.y", "part.std, part.mean, part.y"),
    // Sums of warps read before all are there.
    ("rms_norm_weight", "functions.cuh", "        block_barrier();\n        x = 0.0f;", "        x = 0.0f;"),
    // A square turned before it is whole.
    ("permute", "movement/movement.cu", "    block_barrier();", ""),
    // A step's numbers used before other threads' copies are seen.
    (
        "linear_bias",
        "product.cuh",
        "            block_barrier();\n            if (step + stages - 1 < steps)",
        "            if (step + stages - 1 < steps)",
    ),
    // A wait that is one group too weak.
    ("linear_bias", "product.cuh", "copy_async_wait<stages - 2>", "copy_async_wait<stages - 1>"),
    // Keys overwritten while slower warps still read them, and keys used before they are there.
    (
        "attention",
        "attention/attention.cu",
        "            block_barrier();\n            if (tile + 1 < tiles) {\n                self",
        "            if (tile + 1 < tiles) {\n                self",
    ),
    ("attention", "attention/attention.cu", "copy_async_wait<0>", "copy_async_wait<1>"),
    // A query that does not see itself.
    ("attention_causal", "attention/seen.cu", "key <= query", "key < query"),
    // A window with one key too many, one that begins too late, and keys that are padding.
    ("attention_causal", "attention/seen.cu", "key > query - window", "key >= query - window"),
    ("attention_causal", "attention/seen.cu", "query - window + 1;", "query - window + 65;"),
    ("attention_causal", "attention/seen.cu", " && valid[key] != 0", ""),
    // Tokens of an image that do not see those behind them, and tiles that end before these.
    ("attention_causal_until", "attention/seen.cu", "key <= until[query]", "key <= query"),
    ("attention_causal_until", "attention/seen.cu", "until[query] < keys ? until[query] : keys - 1", "query"),
    // Keys behind the last one are seen.
    ("attention", "attention/seen.cu", "return key < keys;", "return true;"),
    // Biases of other units, of a query behind the last one, so low that nothing is seen, and weighed as small ones are.
    ("attention_bias", "attention/seen.cu", ", one, product)", ", 1.0f, product)"),
    ("attention_bias", "attention/seen.cu", " && query < part.q.extent[0]", ""),
    ("attention_bias", "attention/seen.cu", "score < LEAST ? LEAST : score", "score"),
    ("attention_key_bias", "attention/seen.cu", "part.bias.data[key]", "part.bias.data[0]"),
    ("attention_low_rank_bias", "attention/seen.cu", "part.share.row(key)", "part.share.row(0)"),
    ("attention_bias", "attention/attention.cu", "Mask::adds ? (scores[i] - most) * scale : ", ""),
    // Offsets of 32 bits.
    ("affine", "tensor.cuh", "return data + i * stride;", "return data + (int)(i * stride);"),
    ("linear_bias", "product.cuh", "data + row * stride + column", "data + (int)(row * stride) + column"),
    // A barrier that not all threads reach.
    (
        "rms_norm",
        "norm.cuh",
        "active = row < rows;",
        "active = row < rows; if (thread_index() == 7) { block_barrier(); }",
    ),
];

/// The same for kernels of the Hopper class.
pub const HOPPER_FAULTS: [(&str, &str, &str, &str); 20] = [
    // A stage that is never given back.
    ("linear_bias", "hopper/pipeline.cuh", "mbarrier_arrive(empty + place.stage);", ""),
    // A wait for the phase before.
    (
        "linear_bias",
        "hopper/pipeline.cuh",
        "full + place.stage, place.parity);",
        "full + place.stage, place.parity ^ 1);",
    ),
    // Fewer bytes announced than come.
    ("linear_bias", "hopper/pipeline.cuh", "full + place.stage, bytes)", "full + place.stage, bytes - 16)"),
    // Barriers that copies may not know yet.
    ("linear_bias", "hopper/product.cuh", "            mbarrier_init_fence();", ""),
    // More registers than there are.
    ("linear_bias", "hopper/pipeline.cuh", "COMPUTING_REGISTERS = 232", "COMPUTING_REGISTERS = 240"),
    // Sums used before the last product is done.
    ("linear_bias", "hopper/product.cuh", "        products_wait<0>(sums);", ""),
    // A stage given back while a product still reads it.
    ("linear_bias", "hopper/product.cuh", "products_wait<1>(sums)", "products_wait<2>(sums)"),
    // Products without a fence in front of them.
    ("linear_bias", "hopper/product.cuh", "            products_fence(sums);", ""),
    // A fence that compilers may move weights over.
    ("attention_gate", "attention/hopper.cu", "products_fence(sums, weights);", "products_fence(sums);"),
    // Columns of the right factor too close together, and its rows.
    ("linear_bias", "hopper/product.cuh", "advance(b, k * 2)", "advance(b, k)"),
    (
        "linear_bias",
        "hopper/product.cuh",
        "left + left_bytes, 0, PATTERN_BYTES",
        "left + left_bytes, 0, PATTERN_BYTES / 2",
    ),
    // Boxes that lie in another order than products read.
    ("linear_bias", "host/tensor_map.h", "swizzled(place / PIECE * PIECE)", "(place / PIECE * PIECE)"),
    // One operand for the other.
    ("linear_bias", "linear/hopper.cu", "copy_box(left, block.maps.x", "copy_box(left, block.maps.w"),
    // One row too many.
    ("linear_bias", "linear/hopper.cu", "if (row < rows && column", "if (row <= rows && column"),
    // Offsets of 32 bits.
    ("linear_bias", "tensor.cuh", "return data + i * stride;", "return data + (int)(i * stride);"),
    // Scores used before they are there.
    ("attention_gate", "attention/hopper.cu", "products_wait<1>(scores)", "products_wait<2>(scores)"),
    // Sums changed while a product adds to them.
    (
        "attention_gate",
        "attention/hopper.cu",
        "        products_wait<0>(sums);\n        if (some)",
        "        if (some)",
    ),
    // Products that no warpgroup may start.
    ("attention_gate", "attention/hopper.cu", "me == 1 && tiles > 1", "me == 1 && tiles > 99"),
    // Half of the values' columns at a wrong distance.
    (
        "attention_gate",
        "attention/hopper.cu",
        "tile_bytes, box_bytes, PATTERN",
        "tile_bytes, PATTERN_BYTES, PATTERN",
    ),
    // Keys behind the last one are seen.
    ("attention_gate", "attention/seen.cu", "return end <= keys;", "return true;"),
];

/// Faults that change no result, only what a card does at memory that is not there or not aligned. The plain build does
/// not see them, or ends without a word: kernel, file, what stands there, the fault in its place, and what of it is in
/// the line that a report must name.
pub const TRACELESS: [(&str, &str, &str, &str, &str); 4] = [
    // An element behind an operand's last one, read and not used.
    (
        "affine",
        "tensor.cuh",
        "        to[i] = i < count ? real(from[i]) : 0.0f;",
        "        float x = real(from[i]);\n        to[i] = i < count ? x : 0.0f;",
        "float x = real(from[i]);",
    ),
    // A row behind the last one, copied for a row of the tile that the result does not have.
    (
        "linear_bias",
        "product.cuh",
        "return row < rows && column < columns ? data",
        "return row <= rows && column < columns ? data",
        "copy_async(place(row, eight), from",
    ),
    // The next number read ahead, behind shared memory at last.
    (
        "rms_norm_weight",
        "functions.cuh",
        "        for (int warp = 0; warp < TEAM / 32; warp++) {\n            x += scratch[warp];",
        "        float next = scratch[0];\n        for (int warp = 0; warp < TEAM / 32; warp++) {\n            x += next;\n            \
         next = scratch[warp + 1];",
        "next = scratch[warp + 1];",
    ),
    // Sixteen bytes at once from where no sixteen bytes begin.
    (
        "affine",
        "tensor.cuh",
        "if (count >= N && aligned<T, N>(from)) {",
        "if (count >= N) {",
        "Pack<T, some> pack = *(const Pack<T, some>*)(from + i);",
    ),
];
