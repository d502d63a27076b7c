// Products of matrices: tiles of the result, their operands through shared memory.
//
// A tile is left·rightᵀ, both operands rows of the summed axis. Operands are classes that give eight numbers of a row
// from a place on (`numbers`), so that a kernel decides what a row is: a row of a tensor, the surroundings of a position,
// numbers through a function first. Those that `may_copy` find eights in memory, which are then copied asynchronously
// where they are whole and aligned (`copies`).
#pragma once

constexpr int EIGHT = 8;

// Leaves numbers as they are.
struct Same {
    DEVICE float operator()(float x) const {
        return x;
    }
};

template <class F> constexpr bool IS_SAME = false;
template <> constexpr bool IS_SAME<Same> = true;

template <class T> constexpr bool IS_BF16 = false;
template <> constexpr bool IS_BF16<bf16> = true;

// Rows of a tensor from `first` on, `columns` of each from `column` on, through `before`; zeros outside.
template <class X, class F = Same> struct Rows {
    using Element = typename X::Element;
    static constexpr bool may_copy = IS_SAME<F>;

    const Element* data;
    long long stride;
    int rows;
    int columns;
    F before;
    bool whole;

    DEVICE Rows(const X& x, long long first, int column, int columns, F before = F())
        : data(x.row(first) + column), stride(x.stride), columns(columns), before(before) {
        long long left = x.rows() - first;
        rows = left < (1 << 30) ? (int)left : 1 << 30;
        whole = columns % EIGHT == 0 && stride % EIGHT == 0 && ((unsigned long long)data & 15) == 0;
    }

    // True when every eight is whole and aligned.
    DEVICE bool copies() const {
        return whole;
    }

    // Where an eight begins and how many of it there are; null where there is none.
    DEVICE const Element* find(int row, int column, int& count) const {
        count = columns - column;
        return row < rows && column < columns ? data + row * stride + column : nullptr;
    }

    DEVICE void numbers(float (&to)[EIGHT], int row, int column) const {
        int count = 0;
        const Element* from = find(row, column, count);
        load(to, from, from ? count : 0);
#pragma unroll
        for (int i = 0; i < EIGHT; i++) {
            to[i] = before(to[i]);
        }
    }
};

// Whether numbers of a storage are bf16 in shared memory: those that are, and bytes that are decoded (encoded.cuh).
template <class T> constexpr bool AS_BF16 = IS_BF16<T>;
template <> constexpr bool AS_BF16<unsigned char> = true;

// How the rows of a weight are read: as they are stored. encoded.cuh says how those of bytes are.
template <class K, class W, class T = typename W::Element> struct WeightRows {
    using Type = Rows<W>;
};

// Whether an operand is decoded on its way.
template <class Operand> constexpr bool DECODES = false;

// Brings ROWS rows of DEPTH numbers, from column `k` of the operand on, to where `place(row, eight)` says.
template <int ROWS, int DEPTH, int THREADS, class Operand, class Place>
DEVICE void bring(const Operand& operand, int k, Place place) {
    constexpr int eights = DEPTH / EIGHT, all = ROWS * eights;
    if constexpr (Operand::may_copy && IS_BF16<typename Operand::Element>) {
        if (operand.copies()) {
#pragma unroll
            for (int i = 0; i < over(all, THREADS); i++) {
                int number = i * THREADS + thread_index(), row = number / eights, eight = number % eights;
                if (all % THREADS == 0 || number < all) {
                    int count = 0;
                    const bf16* from = operand.find(row, k + eight * EIGHT, count);
                    copy_async(place(row, eight), from ? from : operand.data, from ? 16 : 0);
                }
            }
            return;
        }
    }
#pragma unroll 1
    for (int number = thread_index(); number < all; number += THREADS) {
        int row = number / eights, eight = number % eights;
        float numbers[EIGHT];
        operand.numbers(numbers, row, k + eight * EIGHT);
        store(place(row, eight), numbers, EIGHT);
    }
}

// A stage of an operand on its way to shared memory: begun early, ended when its bytes have had time to arrive. Copies go
// by themselves.
template <int ROWS, int DEPTH, int THREADS, class Operand, bool = DECODES<Operand>> struct Coming {
    template <class Place> DEVICE void begin(const Operand& operand, int k, Place place) {
        bring<ROWS, DEPTH, THREADS>(operand, k, place);
    }

    template <class Place> DEVICE void end(const Operand&, int, Place) {}
};

// What is decoded waits in registers.
template <int ROWS, int DEPTH, int THREADS, class Operand> struct Coming<ROWS, DEPTH, THREADS, Operand, true> {
    static constexpr int eights = DEPTH / EIGHT, own = ROWS * eights / THREADS;
    static_assert(ROWS * eights % THREADS == 0, "threads have the same number of eights");

    typename Operand::Codes codes[own];

    template <class Place> DEVICE void begin(const Operand& operand, int k, Place) {
#pragma unroll
        for (int i = 0; i < own; i++) {
            int number = i * THREADS + thread_index();
            codes[i] = operand.fetch(number / eights, k + number % eights * EIGHT);
        }
    }

    template <class Place> DEVICE void end(const Operand& operand, int k, Place place) {
#pragma unroll
        for (int i = 0; i < own; i++) {
            int number = i * THREADS + thread_index(), eight = number % eights;
            float numbers[EIGHT];
            operand.decode(numbers, codes[i], k + eight * EIGHT);
            store(place(number / eights, eight), numbers, Whole());
        }
    }
};

// Which tile of the result a block makes: tiles of a column band lie close in time, so that both operands' rows are
// found in the second-level cache.
struct TilePlace {
    long long row;
    int column;

    DEVICE TilePlace(int block, long long rows, int columns, int tile_rows, int tile_columns) {
        constexpr int band = 8;
        int down = (int)((rows + tile_rows - 1) / tile_rows), across = over(columns, tile_columns);
        int first = block / (band * across) * band;
        int height = at_most(band, down - first), in_band = block - first * across;
        row = (long long)(first + in_band % height) * tile_rows;
        column = in_band / height * tile_columns;
    }
};

// A tile on tensor cores: bf16 operands, f32 sums.
struct TensorTile {
    static constexpr int rows = 128, columns = 128, depth = 32, stages = 3, threads = 256;
    static constexpr int warp_rows = 64, warp_columns = 32;
    static constexpr int stage = (rows + columns) * depth;
    static constexpr int shared = stages * stage * 2;

    // Eights of a row change places with the row's number, so that eight rows lie in all banks.
    static DEVICE int at(int row, int eight) {
        return row * depth + (eight ^ (row / 2 % 4)) * EIGHT;
    }

    template <class Right> using ComingRight = Coming<columns, depth, threads, Right>;

    template <class Left, class Right>
    static DEVICE void begin_stage(bf16* memory, int step, const Left& left, const Right& right, ComingRight<Right>& coming) {
        bf16* to = memory + step % stages * stage;
        bring<rows, depth, threads>(left, step * depth, [&](int row, int eight) { return to + at(row, eight); });
        bf16* behind = to + rows * depth;
        coming.begin(right, step * depth, [&](int row, int eight) { return behind + at(row, eight); });
    }

    // The stage is no longer read by any thread.
    template <class Right>
    static DEVICE void end_stage(bf16* memory, int step, const Right& right, ComingRight<Right>& coming) {
        bf16* behind = memory + step % stages * stage + rows * depth;
        coming.end(right, step * depth, [&](int row, int eight) { return behind + at(row, eight); });
    }

    // Calls `change(values, row, column)` and then `write(values, row, column)` for all pairs of neighbours in a row of the
    // tile. Of four pairs all are changed before one is written: what changes them is then read for all together. Eight
    // would need more registers than two blocks of a multiprocessor have.
    template <class Left, class Right, class Change, class Write>
    static DEVICE void run(const Left& left, const Right& right, int k, Change change, Write write) {
        constexpr int down = warp_rows / 16, across = warp_columns / 8, together = 4;
        bf16* memory = (bf16*)shared_memory();
        int lane = thread_index() % 32, warp = thread_index() / 32;
        int first_row = warp % (rows / warp_rows) * warp_rows, first_column = warp / (rows / warp_rows) * warp_columns;
        int steps = over(k, depth);
        float sums[down][across][4] = {};
        ComingRight<Right> coming;
#pragma unroll 1
        for (int step = 0; step < stages - 1; step++) {
            if (step < steps) {
                begin_stage(memory, step, left, right, coming);
                end_stage(memory, step, right, coming);
            }
            copy_async_commit();
        }
        for (int step = 0; step < steps; step++) {
            copy_async_wait<stages - 2>();
            // Behind it, all have this step's numbers, and none still reads those of the step before.
            block_barrier();
            if (step + stages - 1 < steps) {
                begin_stage(memory, step + stages - 1, left, right, coming);
            }
            copy_async_commit();
            const bf16* a_tile = memory + step % stages * stage;
            const bf16* b_tile = a_tile + rows * depth;
#pragma unroll
            for (int eight = 0; eight < depth / EIGHT; eight += 2) {
                unsigned a[down][4], b[across / 2][4];
                load_matrices(
                    a, [&](int i) { return a_tile + at(first_row + i * 16 + lane % 16, eight + lane / 16); });
                load_matrices(b, [&](int j) {
                    int row = first_column + j * 16 + lane / 16 * 8 + lane % 8;
                    return b_tile + at(row, eight + lane / 8 % 2);
                });
                multiply_all(sums, 0, a, b);
            }
            if (step + stages - 1 < steps) {
                end_stage(memory, step + stages - 1, right, coming);
            }
        }
#pragma unroll
        for (int first = 0; first < down * across * 2; first += together) {
            float pairs[together][2];
            auto eight = [&](int pair) { return (first + pair) / 2 % across; };
            auto sixteen = [&](int pair) { return (first + pair) / 2 / across; };
            auto row = [&](int pair) { return first_row + sixteen(pair) * 16 + pair % 2 * 8 + lane / 4; };
            auto column = [&](int pair) { return first_column + eight(pair) * 8 + lane % 4 * 2; };
#pragma unroll
            for (int pair = 0; pair < together; pair++) {
                pairs[pair][0] = sums[sixteen(pair)][eight(pair)][pair % 2 * 2];
                pairs[pair][1] = sums[sixteen(pair)][eight(pair)][pair % 2 * 2 + 1];
                change(pairs[pair], row(pair), column(pair));
            }
#pragma unroll
            for (int pair = 0; pair < together; pair++) {
                write(pairs[pair], row(pair), column(pair));
            }
        }
    }
};

// A tile by multiply-adds of f32: for operands stored as f32, which tensor cores would round.
struct PlainTile {
    static constexpr int rows = 64, columns = 64, depth = 16, threads = 256;
    static constexpr int pitch = rows + 4;
    static constexpr int shared = 2 * depth * pitch * 4;

    // As TensorTile::run; the operands lie in shared memory with the summed axis first.
    template <class Left, class Right, class Change, class Write>
    static DEVICE void run(const Left& left, const Right& right, int k, Change change, Write write) {
        float* a = (float*)shared_memory();
        float* b = a + depth * pitch;
        int thread = thread_index(), x = thread % 16 * 4, y = thread / 16 * 4;
        int row = thread % 128 / 2, eight = thread % 2 * EIGHT;
        float sums[4][4] = {};
        for (int first = 0; first < k; first += depth) {
            float numbers[EIGHT];
            if (thread < 128) {
                left.numbers(numbers, row, first + eight);
            } else {
                right.numbers(numbers, row, first + eight);
            }
            float* to = thread < 128 ? a : b;
#pragma unroll
            for (int i = 0; i < EIGHT; i++) {
                to[(eight + i) * pitch + row] = numbers[i];
            }
            block_barrier();
#pragma unroll
            for (int i = 0; i < depth; i++) {
                float u[4], v[4];
                load(u, a + i * pitch + y, 4);
                load(v, b + i * pitch + x, 4);
#pragma unroll
                for (int r = 0; r < 4; r++) {
#pragma unroll
                    for (int c = 0; c < 4; c++) {
                        sums[r][c] = multiply_add(u[r], v[c], sums[r][c]);
                    }
                }
            }
            block_barrier();
        }
        float pairs[8][2];
#pragma unroll
        for (int pair = 0; pair < 8; pair++) {
            pairs[pair][0] = sums[pair / 2][pair % 2 * 2];
            pairs[pair][1] = sums[pair / 2][pair % 2 * 2 + 1];
            change(pairs[pair], y + pair / 2, x + pair % 2 * 2);
        }
#pragma unroll
        for (int pair = 0; pair < 8; pair++) {
            write(pairs[pair], y + pair / 2, x + pair % 2 * 2);
        }
    }
};

template <bool TENSOR> struct TileOf {
    using Type = TensorTile;
};
template <> struct TileOf<false> {
    using Type = PlainTile;
};
