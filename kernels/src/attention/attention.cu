// softmax(scale·q·kᵀ)·v without a score matrix: blocks of keys, and sums that are corrected when a larger score comes.
//
// bf16 goes through tensor cores: a block takes queries of a head, each of its warps 16 of them. A warp's scores stay in
// registers; rounded to bf16 they are already the left operand of the product with the values. f32, and heads that
// tensor cores do not take, have a warp for a query. A result may lie over q: a block reads its queries before it
// writes, and nobody else reads them.
//
// An entry says who sees whom and what follows; `attend` does the rest. This file has the portable one, which takes a
// block's number; attention/hopper.cu has another one for blocks with tensor maps, with the same entries.
#pragma once

#include "attention/seen.cu"

template <class K> constexpr int HEAD = K::q_width / K::attention::heads;

// What a thread knows of the two rows of queries whose scores it holds as mma and wgmma leave them: element 4·j + 2·i + c
// is of row i and of column 8·j + 2·(lane % 4) + c. Four lanes have a row.
struct Weighing {
    float largest[2] = {LEAST, LEAST};
    float total[2] = {};

    // Turns products with N · 2 keys from `key` on to weights; `query` is the first row's, the second one's is eight
    // behind. What was summed up with former weights is to be multiplied by `factor`.
    template <class K, class Mask, int N>
    DEVICE void weigh(float (&scores)[N], float (&factor)[2], Mask mask, int query, int key) {
        constexpr float scale = K::attention::scale * LOG2_E;
        static_assert(scale > 0.0f, "the largest product is the largest score");
        int first = key + thread_index() % 4 * 2;
        if (!mask.sees_all(key + N * 2)) {
            constexpr float one = 1.0f / K::attention::scale;
#pragma unroll
            for (int i = 0; i < N; i++) {
                int row = query + i / 2 % 2 * 8, column = first + i / 4 * 8 + i % 2;
                scores[i] = mask.sees(row, column) ? mask.score(scores[i], one, row, column) : minus_infinity();
            }
        }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float most = largest[half];
#pragma unroll
            for (int i = half * 2; i < N; i += 4) {
                most = larger(most, larger(scores[i], scores[i + 1]));
            }
            for (int mask = 1; mask < 4; mask *= 2) {
                most = larger(most, shuffle_xor(most, mask));
            }
            float base = most * scale;
            factor[half] = exp2_fast((largest[half] - most) * scale);
            largest[half] = most;
            total[half] *= factor[half];
#pragma unroll
            for (int i = 0; i < N; i++) {
                if (i / 2 % 2 == half) {
                    // Biases may be far from zero, where rounding one product alone is more than the difference.
                    float over_base = Mask::adds ? (scores[i] - most) * scale : multiply_add(scores[i], scale, -base);
                    scores[i] = exp2_fast(over_base);
                    total[half] += scores[i];
                }
            }
        }
    }

    // Divides sums of weighted values by the sums of all weights; a query that sees nothing has zeros.
    template <int N> DEVICE void divide(float (&sums)[N]) const {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float all = total[half];
            for (int mask = 1; mask < 4; mask *= 2) {
                all += shuffle_xor(all, mask);
            }
            float inverse = all == 0.0f ? 0.0f : 1.0f / all;
#pragma unroll
            for (int i = half * 2; i < N; i += 4) {
                sums[i] *= inverse;
                sums[i + 1] *= inverse;
            }
        }
    }
};

template <class K> struct TensorAttention {
    static constexpr int head = HEAD<K>;
    // With eight warps the scores of one become weights while another one multiplies; wide heads leave no room for them.
    static constexpr int threads = head > 128 ? 128 : 256, queries = threads / 2;
    static constexpr int keys = head > 128 ? 32 : head > 64 ? 48 : 64;
    // Whole sixteens: what a head lacks of the last one is zeros.
    static constexpr int wide = over(head, 16) * 16;
    // Rows lie an odd number of eights apart: eight of them are in all banks.
    static constexpr int pitch = wide + EIGHT;
    static constexpr int stage = 2 * keys * pitch;
    static constexpr int shared = (queries * pitch + 2 * stage) * 2;
    static constexpr int groups = K::attention::heads / K::attention::kv_heads;
    static constexpr int score_tiles = keys / 8, head_tiles = wide / 8;
    // Wide heads leave no registers for products that are prepared ahead.
    static constexpr int unrolled = head > 128 ? 4 : wide / 16;
    static constexpr bool takes = IS_BF16<typename decltype(K::Part::q)::Element> &&
                                  IS_BF16<typename decltype(K::Part::k)::Element> &&
                                  IS_BF16<typename decltype(K::Part::v)::Element> && head % EIGHT == 0 && head <= 256;

    const typename K::Part& part;
    int first_key;
    int kv_column;

    // Keys `tile` and their values, to one of two stages.
    DEVICE void bring_keys(bf16* memory, int tile) const {
        using Keys = Rows<decltype(part.k)>;
        using Held = Rows<decltype(part.v)>;
        int first = first_key + tile * keys;
        bf16* to = memory + tile % 2 * stage;
        bf16* behind = to + keys * pitch;
        bring<keys, wide, threads>(Keys(part.k, first, kv_column, head), 0,
                                      [&](int row, int eight) { return to + row * pitch + eight * EIGHT; });
        bring<keys, wide, threads>(Held(part.v, first, kv_column, head), 0,
                                      [&](int row, int eight) { return behind + row * pitch + eight * EIGHT; });
    }

    // Calls `finish(values, row, head, column)` for pairs of the result.
    template <class Mask, class F> static DEVICE void run(const typename K::Part& part, int block, Mask mask, F finish) {
        // An extent fits in an int; offsets are made of it in `row`.
        int all_queries = part.q.extent[0], bands = over(all_queries, queries);
        int head_number = block / bands, lane = thread_index() % 32;
        int first_query = block % bands * queries, end_query = at_most(first_query + queries, all_queries);
        int first_key = mask.first(first_query) / keys * keys;
        int tiles = over(mask.last(end_query - 1) + 1 - first_key, keys);
        TensorAttention self{part, first_key, head_number / groups * head};

        bf16* q_memory = (bf16*)shared_memory();
        bf16* memory = q_memory + queries * pitch;
        bring<queries, wide, threads>(
            Rows<decltype(part.q)>(part.q, first_query, head_number * head, head), 0,
            [&](int row, int eight) { return q_memory + row * pitch + eight * EIGHT; });
        if (tiles > 0) {
            self.bring_keys(memory, 0);
        }
        copy_async_commit();
        int warp_row = thread_index() / 32 * 16;
        int query = first_query + warp_row + lane / 4;
        Weighing rows;
        float sums[head_tiles][4] = {};
        for (int tile = 0; tile < tiles; tile++) {
            copy_async_wait<0>();
            // Behind it, all have this tile's keys, and none still reads those of the tile before.
            block_barrier();
            if (tile + 1 < tiles) {
                self.bring_keys(memory, tile + 1);
            }
            copy_async_commit();
            const bf16* k_tile = memory + tile % 2 * stage;
            float scores[score_tiles][4] = {};
#pragma unroll unrolled
            for (int eight = 0; eight < wide / EIGHT; eight += 2) {
                unsigned a[4];
                load_matrix(a, q_memory + (warp_row + lane % 16) * pitch + (eight + lane / 16) * EIGHT);
                multiply_loaded<false>(scores, a, [&](int j) {
                    int row = j * 8 + lane / 16 * 8 + lane % 8;
                    return k_tile + row * pitch + (eight + lane / 8 % 2) * EIGHT;
                });
            }
            float factor[2];
            rows.weigh<K>((float (&)[score_tiles * 4])scores, factor, mask, query, first_key + tile * keys);
#pragma unroll
            for (int j = 0; j < head_tiles; j++) {
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    sums[j][i] *= factor[i / 2];
                }
            }
            const bf16* v_tile = k_tile + keys * pitch;
#pragma unroll
            for (int i = 0; i < score_tiles; i += 2) {
                unsigned a[4] = {narrow_pair(scores[i][0], scores[i][1]), narrow_pair(scores[i][2], scores[i][3]),
                                 narrow_pair(scores[i + 1][0], scores[i + 1][1]),
                                 narrow_pair(scores[i + 1][2], scores[i + 1][3])};
                multiply_loaded<true>(sums, a, [&](int j) {
                    return v_tile + (i * 8 + lane % 16) * pitch + (j + lane / 16) * EIGHT;
                });
            }
        }
        rows.divide((float (&)[head_tiles * 4])sums);
#pragma unroll
        for (int half = 0; half < 2; half++) {
#pragma unroll
            for (int j = 0; j < head / EIGHT; j++) {
                float pair[2] = {sums[j][half * 2], sums[j][half * 2 + 1]};
                if (query + half * 8 < all_queries) {
                    finish(pair, query + half * 8, head_number, j * 8 + lane % 4 * 2);
                }
            }
        }
    }
};

template <class K> struct PlainAttention {
    static constexpr int head = HEAD<K>;
    static constexpr int warps = K::threads / 32;
    static constexpr int shared = warps * head * 4;
    static constexpr int groups = K::attention::heads / K::attention::kv_heads;
    // Pairs of the result that a lane makes: of columns 2·lane, 2·lane + 64, ..
    static constexpr int lane_pairs = over(head, 64);

    template <class Mask, class F> static DEVICE void run(const typename K::Part& part, int block, Mask mask, F finish) {
        int lane = thread_index() % 32;
        long long job = (long long)block * warps + thread_index() / 32;
        int query = (int)(job / K::attention::heads), head_number = (int)(job % K::attention::heads);
        int kv_column = head_number / groups * head;
        bool active = query < part.q.extent[0];
        float* q = (float*)shared_memory() + thread_index() / 32 * head;
        for (int i = lane; i < head && active; i += 32) {
            q[i] = real(part.q.row(query)[head_number * head + i]) * K::attention::scale;
        }
        block_barrier();
        if (!active) {
            return;
        }
        float largest = LEAST, total = 0.0f, sums[lane_pairs][2] = {};
        for (int first = mask.first(query); first <= mask.last(query); first += 32) {
            int key = first + lane;
            float score = minus_infinity();
            if (mask.sees(query, key)) {
                const auto* k = part.k.row(key) + kv_column;
                score = 0.0f;
                for (int i = 0; i < head; i++) {
                    score = multiply_add(q[i], real(k[i]), score);
                }
                score = mask.score(score, 1.0f, query, key);
            }
            float most = larger(warp_max(score), largest);
            float factor = expf(largest - most), weight = expf(score - most);
            total = total * factor + warp_sum(weight);
            largest = most;
#pragma unroll
            for (int i = 0; i < lane_pairs; i++) {
                sums[i][0] *= factor;
                sums[i][1] *= factor;
            }
            for (int other = 0; other < 32 && first + other <= mask.last(query); other++) {
                float share = shuffle_from(weight, other);
                const auto* v = part.v.row(first + other) + kv_column;
#pragma unroll
                for (int i = 0; i < lane_pairs; i++) {
                    float pair[2];
                    int column = i * 64 + lane * 2;
                    load(pair, v + column, head - column);
                    sums[i][0] = multiply_add(share, pair[0], sums[i][0]);
                    sums[i][1] = multiply_add(share, pair[1], sums[i][1]);
                }
            }
        }
        float inverse = total == 0.0f ? 0.0f : 1.0f / total;
#pragma unroll
        for (int i = 0; i < lane_pairs; i++) {
            float pair[2] = {sums[i][0] * inverse, sums[i][1] * inverse};
            if (i * 64 + lane * 2 < head) {
                finish(pair, query, head_number, i * 64 + lane * 2);
            }
        }
    }
};

template <class K, class Mask, class F>
DEVICE void attend(const typename K::Part& part, int block, Mask mask, F finish) {
    auto write = [&](float (&values)[2], long long row, int head, int column) {
        finish(values, row, head);
        store(part.y.row(row) + head * HEAD<K> + column, values, at_most(2, HEAD<K> - column));
    };
    if constexpr (TensorAttention<K>::takes) {
        using Attention = TensorAttention<K>;
        static_assert(Attention::shared == K::shared && Attention::threads == K::threads, "kernels/src/attention/mod.rs");
        Attention::run(part, block, mask, write);
    } else {
        static_assert(PlainAttention<K>::shared == K::shared, "kernels/src/attention/mod.rs");
        PlainAttention<K>::run(part, block, mask, write);
    }
}

// Attention, each head of each query scaled by its gate.
template <class K, class Block, class Mask>
DEVICE void attend_gate(const typename K::Part& part, const Block& block, Mask mask) {
    attend<K>(part, block, mask, [&](auto& values, long long row, int head) {
        float gate = sigmoid(real(part.logits.row(row)[head])) * K::affine::scale + K::affine::offset;
#pragma unroll
        for (float& value : values) {
            value *= gate;
        }
    });
}

template <class K, class Block> DEVICE void attention(const typename K::Part& part, const Block& block) {
    attend<K>(part, block, All{(int)part.k.rows()}, [](auto&, long long, int) {});
}

template <class K, class Block> DEVICE void attention_gate(const typename K::Part& part, const Block& block) {
    attend_gate<K>(part, block, All{(int)part.k.rows()});
}

template <class K, class Block> DEVICE void attention_bias(const typename K::Part& part, const Block& block) {
    attend<K>(part, block, Biased<K>(part), [](auto&, long long, int) {});
}

template <class K, class Block> DEVICE void attention_bias_gate(const typename K::Part& part, const Block& block) {
    attend_gate<K>(part, block, Biased<K>(part));
}

template <class K, class Block> DEVICE void attention_key_bias(const typename K::Part& part, const Block& block) {
    attend<K>(part, block, KeyBiased<K>(part), [](auto&, long long, int) {});
}

template <class K, class Block> DEVICE void attention_key_bias_gate(const typename K::Part& part, const Block& block) {
    attend_gate<K>(part, block, KeyBiased<K>(part));
}

template <class K, class Block> DEVICE void attention_low_rank_bias(const typename K::Part& part, const Block& block) {
    attend<K>(part, block, LowRankBiased<K>(part), [](auto&, long long, int) {});
}

template <class K, class Block>
DEVICE void attention_low_rank_bias_gate(const typename K::Part& part, const Block& block) {
    attend_gate<K>(part, block, LowRankBiased<K>(part));
}

template <class K, class Block> DEVICE void attention_causal(const typename K::Part& part, const Block& block) {
    Windowed mask{(int)part.k.rows(), part.valid.data, part.window.data[0]};
    attend<K>(part, block, mask, [](auto&, long long, int) {});
}

template <class K, class Block> DEVICE void attention_causal_until(const typename K::Part& part, const Block& block) {
    Spanned mask{{(int)part.k.rows(), part.valid.data, part.window.data[0]}, part.until.data};
    attend<K>(part, block, mask, [](auto&, long long, int) {});
}
