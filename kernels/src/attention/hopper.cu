// Attention by warpgroups: two with 64 queries each, and a third one that brings keys and values.
//
// A warpgroup's scores stay in registers; rounded to bf16 they are the left factor of the product with the values.
// While tensor cores multiply these, and the next keys, the warpgroup makes weights of scores; and the two warpgroups
// start their products alternately, so that one has weights to make while the other's products run.
#pragma once

#include "attention/attention.cu"

// A tile has KEYS keys.
template <class K, int KEYS> struct WarpgroupAttention {
    static constexpr int head = HEAD<K>;
    static constexpr int queries = 128, keys = KEYS, stages = 256 / keys, threads = 3 * WARPGROUP;
    // A tile of queries, keys or values is boxes of 64 columns, one behind the other.
    static constexpr int boxes = head / BOX_COLUMNS, box_bytes = keys * BOX_ROW_BYTES, tile_bytes = boxes * box_bytes;
    static constexpr int q_box_bytes = queries * BOX_ROW_BYTES, q_bytes = boxes * q_box_bytes;
    // Queries, stages of keys, stages of values, and room for their barriers.
    static constexpr int shared = q_bytes + 2 * stages * tile_bytes + 64 * stages;
    static constexpr int groups = K::attention::heads / K::attention::kv_heads;
    static constexpr int readers = 8;
    static_assert(head == 64 || head == 128, "heads of one or two boxes");
    using Stages = Ring<stages>;
    using Place = typename Stages::Place;

    unsigned char* q_memory;
    unsigned char* k_memory;
    unsigned char* v_memory;
    Mbarrier* q_full;
    Stages k_ring, v_ring;

    DEVICE explicit WarpgroupAttention(unsigned char* memory)
        : q_memory(memory), k_memory(memory + q_bytes), v_memory(k_memory + stages * tile_bytes),
          q_full((Mbarrier*)(v_memory + stages * tile_bytes)), k_ring((unsigned char*)(q_full + 1)),
          v_ring((unsigned char*)(q_full + 1) + Stages::bytes) {}

    // Boxes of `bytes` bytes.
    static DEVICE void bring_tile(unsigned char* to, int bytes, const TensorMap& map, Mbarrier* barrier, int column,
                                  int row) {
#pragma unroll
        for (int i = 0; i < boxes; i++) {
            copy_box(to + i * bytes, map, barrier, column + i * BOX_COLUMNS, row);
        }
    }

    // Starts scores = q·kᵀ.
    DEVICE void start_scores(float (&scores)[keys / 2], int first_row, const Place& place) const {
        k_ring.wait(place);
        unsigned long long q = matrix_descriptor(q_memory + first_row * BOX_ROW_BYTES, 0, PATTERN_BYTES);
        unsigned long long k = matrix_descriptor(k_memory + place.stage * tile_bytes, 0, PATTERN_BYTES);
        products_fence(scores);
#pragma unroll
        for (int i = 0; i < head; i += 16) {
            int box = i / BOX_COLUMNS, at = i % BOX_COLUMNS * 2;
            multiply_shared<keys>(scores, advance(q, box * q_box_bytes + at), advance(k, box * box_bytes + at), i > 0);
        }
        products_commit();
    }

    // Starts sums += weights·v.
    DEVICE void start_sums(float (&sums)[head / 2], unsigned (&weights)[keys / 16][4], const Place& place) const {
        v_ring.wait(place);
        unsigned long long v = matrix_descriptor(v_memory + place.stage * tile_bytes, box_bytes, PATTERN_BYTES);
        products_fence(sums, weights);
#pragma unroll
        for (int i = 0; i < keys / 16; i++) {
            multiply_registers<head>(sums, weights[i], advance(v, i * 16 * BOX_ROW_BYTES), true);
        }
        products_commit();
    }

    // Waits for the sums so far, if there are some, and makes them and the scores fit for the next product with values.
    DEVICE void take_weights(float (&sums)[head / 2], unsigned (&weights)[keys / 16][4],
                             const float (&scores)[keys / 2], const float (&factor)[2], Place& place, bool some) const {
        products_wait<0>(sums);
        if (some) {
            v_ring.release(place);
            place.next();
        }
#pragma unroll
        for (int i = 0; i < head / 2; i++) {
            sums[i] *= factor[i / 2 % 2];
        }
#pragma unroll
        for (int i = 0; i < keys / 4; i++) {
            weights[i / 4][i % 4] = narrow_pair(scores[2 * i], scores[2 * i + 1]);
        }
    }

    // Everything of one warpgroup's queries: adds `tiles` tiles of keys from `first_key` on to `sums` and to the rows.
    template <class Mask>
    DEVICE void compute(float (&sums)[head / 2], Weighing& rows, Mask mask, int me, int first_query, int first_key,
                        int tiles) const {
        int thread = thread_index() % WARPGROUP, query = first_query + me * 64 + thread / 32 * 16 + thread % 32 / 4;
        float scores[keys / 2], factor[2];
        unsigned weights[keys / 16][4];
        Place k_place, v_place;
        mbarrier_wait(q_full, 0);
        start_scores(scores, me * 64, k_place);
        products_wait<0>(scores);
        k_ring.release(k_place);
        rows.weigh<K>(scores, factor, mask, query, first_key);
        // Which warpgroup may start products is said by a barrier for each: the other one arrives when it has started
        // its own. Warpgroup 0 is first.
        if (me == 1 && tiles > 1) {
            named_barrier_arrive(1, 2 * WARPGROUP);
        }
        // A tile ends with new weights while the products with the ones before still run. It is the next tile that
        // waits for these: inside of a tile, compilers move what makes the weights behind the wait.
        for (int tile = 1; tile < tiles; tile++) {
            take_weights(sums, weights, scores, factor, v_place, tile > 1);
            k_place.next();
            named_barrier_wait(1 + me, 2 * WARPGROUP);
            start_scores(scores, me * 64, k_place);
            start_sums(sums, weights, v_place);
            if (me == 0 || tile + 1 < tiles) {
                named_barrier_arrive(2 - me, 2 * WARPGROUP);
            }
            products_wait<1>(scores);
            k_ring.release(k_place);
            rows.weigh<K>(scores, factor, mask, query, first_key + tile * keys);
        }
        take_weights(sums, weights, scores, factor, v_place, tiles > 1);
        start_sums(sums, weights, v_place);
        products_wait<0>(sums);
        v_ring.release(v_place);
    }

    // Calls `change(values, query, head)` and `write(values, query, head, column)` for fours of neighbours of the result,
    // as each_four does.
    template <class Mask, class Change, class Write>
    static DEVICE void run(const typename K::Part& part, const MappedBlock<K>& block, Mask mask, Change change,
                           Write write) {
        // An extent fits in an int; offsets are made of it in `row`.
        int all_queries = part.q.extent[0], bands = over(all_queries, queries);
        int head_number = block.block / bands, first_query = block.block % bands * queries;
        int end_query = at_most(first_query + queries, all_queries);
        int first_key = mask.first(first_query) / keys * keys;
        int tiles = over(mask.last(end_query - 1) + 1 - first_key, keys);
        WarpgroupAttention self(shared_memory());
        if (thread_index() == 0) {
            mbarrier_init(self.q_full, 1);
            self.k_ring.init(readers);
            self.v_ring.init(readers);
            mbarrier_init_fence();
        }
        block_barrier();
        if (warpgroup_index() == 0) {
            give_registers<BRINGING_REGISTERS>();
            if (thread_index() == 0 && tiles > 0) {
                self.bring(block.maps, head_number, first_query, first_key, tiles);
            }
            return;
        }
        take_registers<COMPUTING_REGISTERS>();
        int me = warpgroup_index() - 1;
        float sums[head / 2] = {};
        Weighing rows;
        if (tiles > 0) {
            self.compute(sums, rows, mask, me, first_query, first_key, tiles);
        }
        rows.divide(sums);
        int my_query = first_query + me * 64;
        each_four(
            sums,
            [&](float (&values)[4], int row, int) {
                change(values, at_most(my_query + row, all_queries - 1), head_number);
            },
            [&](const float (&values)[4], int row, int column) {
                if (my_query + row < all_queries) {
                    write(values, my_query + row, head_number, column);
                }
            });
    }

    // The queries, and keys and values alternately.
    DEVICE void bring(const typename K::Maps& maps, int head_number, int first_query, int first_key, int tiles) const {
        mbarrier_expect(q_full, q_bytes);
        bring_tile(q_memory, q_box_bytes, maps.q, q_full, head_number * head, first_query);
        int column = head_number / groups * head;
        Place place;
        for (int tile = 0; tile < tiles; tile++) {
            int row = first_key + tile * keys, at = place.stage * tile_bytes;
            bring_tile(k_memory + at, box_bytes, maps.k, k_ring.begin(place, tile_bytes), column, row);
            bring_tile(v_memory + at, box_bytes, maps.v, v_ring.begin(place, tile_bytes), column, row);
            place.next();
        }
    }
};

template <class K, class Mask, class F>
DEVICE void attend(const typename K::Part& part, const MappedBlock<K>& block, Mask mask, F finish) {
    // Biases on their way take registers, for which fewer scores leave room.
    using Attention = WarpgroupAttention<K, Mask::adds ? 64 : 128>;
    static_assert(Attention::shared == K::shared && Attention::threads == K::threads, "kernels/src/attention/mod.rs");
    Attention::run(part, block, mask, finish, [&](const float (&values)[4], long long row, int head, int column) {
        store(part.y.row(row) + head * HEAD<K> + column, values, Whole());
    });
}
