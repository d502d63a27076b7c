// Causal attention of a few queries that stand somewhere among the keys: the token that is written now, and all before it.
//
// A block takes a query of a head. Its warps share the keys, each with sums of its own, which meet at the end. A result may
// lie over q: a block has read its query when it writes.
#pragma once
#include "attention/attention.cu"

template <class K> DEVICE void attention_causal_at(const typename K::Part& part, int block) {
    constexpr int head = HEAD<K>, warps = K::threads / 32, groups = K::attention::heads / K::attention::kv_heads;
    // A lane has every 32nd unit of a row.
    constexpr int units = over(head, 32 * UNIT);
    // Keys whose rows a warp waits for together, `warps` apart.
    constexpr int together = 4;
    int query = block / K::attention::heads, head_number = block % K::attention::heads;
    int warp = thread_index() / 32, lane = thread_index() % 32;
    int q_column = head_number * head, kv_column = head_number / groups * head;
    int place = query + part.place.data[0];
    Windowed mask{(int)part.k.rows(), part.valid.data, part.window.data[0]};
    auto column = [&](int unit) { return (unit * 32 + lane) * UNIT; };

    float q[units][UNIT];
#pragma unroll
    for (int u = 0; u < units; u++) {
        load(q[u], part.q.row(query) + q_column + column(u), head - column(u));
#pragma unroll
        for (float& x : q[u]) {
            x *= K::attention::scale;
        }
    }
    float largest = LEAST, total = 0.0f, sums[units][UNIT] = {};
    for (int first = mask.first(place) + warp; first <= mask.last(place); first += warps * together) {
        float scores[together], most = largest;
#pragma unroll
        for (int i = 0; i < together; i++) {
            int key = first + i * warps;
            bool seen = mask.sees(place, key);
            float product = 0.0f;
#pragma unroll
            for (int u = 0; u < units && seen; u++) {
                float k[UNIT];
                load(k, part.k.row(key) + kv_column + column(u), head - column(u));
#pragma unroll
                for (int j = 0; j < UNIT; j++) {
                    product = multiply_add(q[u][j], k[j], product);
                }
            }
            product = warp_sum(product);
            scores[i] = seen ? product : minus_infinity();
            most = larger(most, scores[i]);
        }
        float factor = expf(largest - most);
        largest = most;
        total *= factor;
#pragma unroll
        for (int u = 0; u < units; u++) {
#pragma unroll
            for (float& sum : sums[u]) {
                sum *= factor;
            }
        }
#pragma unroll
        for (int i = 0; i < together; i++) {
            int key = first + i * warps;
            float weight = expf(scores[i] - most);
            total += weight;
            bool seen = mask.sees(place, key);
#pragma unroll
            for (int u = 0; u < units && seen; u++) {
                float v[UNIT];
                load(v, part.v.row(key) + kv_column + column(u), head - column(u));
#pragma unroll
                for (int j = 0; j < UNIT; j++) {
                    sums[u][j] = multiply_add(weight, v[j], sums[u][j]);
                }
            }
        }
    }

    // Of every warp its largest score and its total, then its sums.
    float* largest_of = (float*)shared_memory();
    float* total_of = largest_of + warps;
    float* sums_of = total_of + warps;
    if (lane == 0) {
        largest_of[warp] = largest;
        total_of[warp] = total;
    }
#pragma unroll
    for (int u = 0; u < units; u++) {
        store(sums_of + warp * head + column(u), sums[u], head - column(u));
    }
    block_barrier();
    float most = LEAST, all = 0.0f;
    for (int i = 0; i < warps; i++) {
        most = larger(most, largest_of[i]);
    }
    for (int i = 0; i < warps; i++) {
        all += total_of[i] * expf(largest_of[i] - most);
    }
    float inverse = all == 0.0f ? 0.0f : 1.0f / all;
    for (int i = thread_index(); i < head; i += K::threads) {
        float sum = 0.0f;
        for (int other = 0; other < warps; other++) {
            sum += sums_of[other * head + i] * expf(largest_of[other] - most);
        }
        put(part.y.row(query) + q_column + i, sum * inverse);
    }
}
