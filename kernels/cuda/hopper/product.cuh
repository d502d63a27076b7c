// Products of matrices by warpgroups: tiles of the result, their operands through a ring of shared memory.
//
// A tile is left·rightᵀ, both operands rows of the summed axis. A block makes several tiles one after the other; while
// two warpgroups finish one, the third already brings the operands of the next.
#pragma once

// Columns of a tile for a result of WIDTH columns: wide tiles read less, narrow ones are more for a short result.
template <int WIDTH> constexpr int WARPGROUP_COLUMNS = WIDTH > 2048 ? 256 : 128;

template <int COLUMNS> struct WarpgroupTile {
    static constexpr int rows = 128, columns = COLUMNS, depth = BOX_COLUMNS, threads = 3 * WARPGROUP;
    static constexpr int left_bytes = rows * depth * 2, right_bytes = columns * depth * 2;
    static constexpr int stage = left_bytes + right_bytes, stages = 192 * 1024 / stage;
    // 128 bytes are room for the barriers of up to eight stages.
    static constexpr int shared = stages * stage + 128;
    static constexpr int readers = 8;
    using Stages = Ring<stages>;

    // `bring(left, right, barrier, at, step)` starts the copies of a step's boxes, of left_bytes and right_bytes;
    // `change(values, at, row, column)` and `write(..)` get four neighbours of the tile's result, as each_four has them.
    // `at` is what `place(tile)` says of a tile. Tiles are `first`, `first` + `stride` and so on below `tiles`.
    template <class Place, class Bring, class Change, class Write>
    static DEVICE void run(int first, int stride, int tiles, int steps, Place place, Bring bring, Change change,
                           Write write) {
        unsigned char* memory = shared_memory();
        Stages ring(memory + stages * stage);
        if (thread_index() == 0) {
            ring.init(readers);
            mbarrier_init_fence();
        }
        block_barrier();
        RingPlace<stages> here;
        if (warpgroup_index() == 0) {
            give_registers<BRINGING_REGISTERS>();
            if (thread_index() == 0) {
                for (int tile = first; tile < tiles; tile += stride) {
                    auto at = place(tile);
                    for (int step = 0; step < steps; step++) {
                        Mbarrier* barrier = ring.begin(here, stage);
                        unsigned char* to = memory + here.stage * stage;
                        bring(to, to + left_bytes, barrier, at, step);
                        here.next();
                    }
                }
            }
            return;
        }
        take_registers<COMPUTING_REGISTERS>();
        int first_row = (warpgroup_index() - 1) * 64;
        for (int tile = first; tile < tiles; tile += stride) {
            float sums[columns / 2];
            compute(sums, memory, first_row, ring, here, steps);
            auto at = place(tile);
            each_four(
                sums, [&](float (&values)[4], int row, int column) { change(values, at, first_row + row, column); },
                [&](const float (&values)[4], int row, int column) { write(values, at, first_row + row, column); });
        }
    }

    // The sums of 64 rows of a tile.
    static DEVICE void compute(float (&sums)[columns / 2], const unsigned char* memory, int first_row,
                               const Stages& ring, RingPlace<stages>& here, int steps) {
        RingPlace<stages> before;
        for (int step = 0; step < steps; step++) {
            ring.wait(here);
            const unsigned char* left = memory + here.stage * stage;
            unsigned long long a = matrix_descriptor(left + first_row * BOX_ROW_BYTES, 0, PATTERN_BYTES);
            unsigned long long b = matrix_descriptor(left + left_bytes, 0, PATTERN_BYTES);
            products_fence(sums);
#pragma unroll
            for (int k = 0; k < depth; k += 16) {
                multiply_shared<columns>(sums, advance(a, k * 2), advance(b, k * 2), step > 0 || k > 0);
            }
            products_commit();
            // The step before is done; this one goes on while the next stage is awaited.
            products_wait<1>(sums);
            if (step > 0) {
                ring.release(before);
            }
            before = here;
            here.next();
        }
        products_wait<0>(sums);
        ring.release(before);
    }
};
