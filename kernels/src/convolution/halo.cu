// Convolutions over frames on tensor cores: a block makes the results of a patch of one frame, and what all taps of a
// frame see of a chunk of channels is brought to shared memory once, the patch with its halo. A tap is then the same
// rows of shared memory, moved: eight neighbours lie in all banks wherever they begin.
//
// A norm and its SiLU are applied where the patch lies, each thread to what it has brought itself, a little of the next
// patch with every tap. For its factors a block reads all channels of all that it sees once before: about a sixth of
// what it reads in all.
#pragma once

#include "convolution/gathered.cu"

// The convolutions that halo.cu takes; `halo` in kernels/src/convolution/cuda.rs says the same.
template <class K> constexpr bool takes_halo() {
    using S = Shape<K>;
    bool near = S::kernel(0) <= 3 && S::kernel(1) <= 3 && S::kernel(2) <= 3 && S::kernel(1) * S::kernel(2) > 1;
    return S::tensor && S::axes > 1 && near && S::stride == 1 && S::dilation == 1 && S::in % EIGHT == 0;
}

template <class K, bool NORM> struct Halo {
    using S = Shape<K>;
    static constexpr int side = 16, rows = side * side, columns = S::out <= 64 ? 64 : 128;
    static constexpr int depth = 32, eights = depth / EIGHT, stages = 4, threads = 256;
    // Of the patch with its halo: positions from a row to the next, and all of them.
    static constexpr int pitch = side + S::kernel(2) - 1, halo = (side + S::kernel(1) - 1) * pitch;
    static constexpr int taps = S::kernel(1) * S::kernel(2), chunks = over(S::in, depth);
    static constexpr int patches = S::kernel(0) * chunks, steps = patches * taps;
    // Elements of a patch and of a stage of filters.
    static constexpr int patch = halo * depth, stage = columns * depth;
    static constexpr int shared = 2 * (2 * patch + stages * stage) + (NORM ? S::kernel(0) * halo * 4 : 0);
    // Of a warp: 64 columns, and rows of the patch.
    static constexpr int warps_across = columns / 64, warp_rows = rows / (threads / 32 / warps_across);
    static constexpr int down = warp_rows / side, across = 8;
    // Eights of a patch for each thread. Those of the next patch are there from tap `begin` on, and then changed by and
    // by up to the last tap.
    static constexpr int rounds = over(halo * eights, threads), begin = at_most(stages - 1, taps - 1);
    static constexpr int rounds_a_tap = over(rounds, taps - begin);

    const typename S::X& x;
    const typename S::W& w;
    bf16* memory;
    float* factors;
    Axes extent;
    // The first position of the patch, and the first channel of the result.
    Axes corner;
    int column;
    bool x_aligned, w_aligned;

    DEVICE Halo(const typename K::Part& part, const Axes& corner, int column)
        : x(part.x), w(part.w), memory((bf16*)shared_memory()), extent(S::extents(part.x)), corner(corner),
          column(column), x_aligned(aligned_rows(part.x)), w_aligned(aligned_rows(part.w)) {
        factors = (float*)(memory + 2 * patch + stages * stage);
    }

    // Eights of a row change places with the row's number, so that eight rows lie in all banks.
    static DEVICE int at(int row, int eight) {
        return row * depth + (eight ^ (row / 2 % 4)) * EIGHT;
    }

    DEVICE bf16* patch_of(int number) const {
        return memory + number % 2 * patch;
    }

    // The position `number` of the halo, in the frame that temporal tap `frame` sees; null where zeros are.
    DEVICE const bf16* position(int frame, int number) const {
        int y = number / pitch, x_place = number % pitch;
        return S::seen(x, extent, {corner.at[0] + frame, corner.at[1] + y, corner.at[2] + x_place});
    }

    // Brings an eight, or zeros where there is none.
    static DEVICE void bring(bf16* to, const bf16* from, const bf16* anything, bool by_copy) {
        if (by_copy) {
            copy_async(to, from ? from : anything, from ? 16 : 0);
        } else {
            float numbers[EIGHT];
            load(numbers, from, from ? EIGHT : 0);
            store(to, numbers, EIGHT);
        }
    }

    DEVICE void bring_patch(int number) const {
        int frame = number / chunks, first = number % chunks * depth;
        // Unrolled, its places would be kept in registers that the sums need.
#pragma unroll 1
        for (int i = 0; i < rounds; i++) {
            int place = i * threads + thread_index(), row = place / eights, eight = place % eights;
            int channel = first + eight * EIGHT;
            if ((i + 1) * threads <= halo * eights || row < halo) {
                const bf16* from = channel < S::in ? position(frame, row) : nullptr;
                bring(patch_of(number) + at(row, eight), from ? from + channel : nullptr, x.data, x_aligned);
            }
        }
    }

    // Filters of tap `tap` of all, channels from `first` on.
    DEVICE void bring_filters(int step, int tap, int first) const {
        bf16* to = memory + 2 * patch + step % stages * stage;
#pragma unroll
        for (int i = 0; i < columns * eights / threads; i++) {
            int number = i * threads + thread_index(), row = number / eights, eight = number % eights;
            int channel = first + eight * EIGHT;
            bool inside = column + row < S::out && channel < S::in;
            const bf16* filter = w.row((long long)(inside ? column + row : 0) * S::taps + tap) + channel;
            bring(to + at(row, eight), inside ? filter : nullptr, w.data, w_aligned);
        }
    }

    // Factors of everything that the block sees. A team of lanes takes a position, several positions at a time, so that
    // many loads are under way.
    template <bool ALIGNED> DEVICE void write_factors() const {
        constexpr int all = S::kernel(0) * halo, some = ALIGNED ? 8 : 1;
        constexpr int lanes = S::in >= 256 ? 32 : S::in >= 128 ? 16 : S::in >= 64 ? 8 : 4, teams = 32 / lanes;
        int lane = thread_index() % 32;
#pragma unroll 1
        for (int first = thread_index() / 32 * teams * some; first < all; first += threads / 32 * teams * some) {
            const bf16* from[some];
            float sums[some] = {};
#pragma unroll
            for (int i = 0; i < some; i++) {
                int number = first + i * teams + lane / lanes;
                from[i] = number < all ? position(number / halo, number % halo) : nullptr;
            }
#pragma unroll 1
            for (int channel = lane % lanes * EIGHT; channel < S::in; channel += lanes * EIGHT) {
                // For a position that is not there another one is read: without branches, all reads are under way before
                // the first is waited for.
                Pack<bf16, EIGHT> packs[some];
#pragma unroll
                for (int i = 0; i < some; i++) {
                    packs[i] = eight_at<ALIGNED>((from[i] ? from[i] : x.data) + channel);
                }
#pragma unroll
                for (int i = 0; i < some * EIGHT; i++) {
                    float number = widen(packs[i / EIGHT].at[i % EIGHT]);
                    sums[i / EIGHT] = multiply_add(number, number, sums[i / EIGHT]);
                }
            }
#pragma unroll
            for (int i = 0; i < some; i++) {
#pragma unroll
                for (int mask = lanes / 2; mask > 0; mask /= 2) {
                    sums[i] += shuffle_xor(sums[i], mask);
                }
                int number = first + i * teams + lane / lanes;
                if (lane % lanes == 0 && number < all) {
                    factors[number] = from[i] ? factor_of<K>(sums[i]) : 0.0f;
                }
            }
        }
    }

    template <bool ALIGNED> static DEVICE Pack<bf16, EIGHT> eight_at(const bf16* from) {
        if constexpr (ALIGNED) {
            return *(const Pack<bf16, EIGHT>*)from;
        } else {
            Pack<bf16, EIGHT> pack;
#pragma unroll
            for (int i = 0; i < EIGHT; i++) {
                pack.at[i] = from[i];
            }
            return pack;
        }
    }

    // Norm and SiLU of what this thread brought of a patch in round `round`. Zeros stay zeros.
    DEVICE void activate(int number, int round) const {
        int unit = round * threads + thread_index(), row = unit / eights, eight = unit % eights;
        if (row < halo) {
            auto* place = (Pack<bf16, EIGHT>*)(patch_of(number) + at(row, eight));
            Pack<bf16, EIGHT> pack = *place;
            float factor = factors[number / chunks * halo + row];
#pragma unroll
            for (int i = 0; i < EIGHT; i += 2) {
                float low = silu(widen(pack.at[i]) * factor);
                unsigned pair = narrow_pair(low, silu(widen(pack.at[i + 1]) * factor));
                pack.at[i] = {(unsigned short)pair};
                pack.at[i + 1] = {(unsigned short)(pair >> 16)};
            }
            *place = pack;
        }
    }

    // Calls `change` and `write`, as `convolve` says, for pairs of sums, which begin with `bias(values, column)`.
    template <class B, class Change, class Write>
    static DEVICE void run(const typename K::Part& part, int block, B bias, Change change, Write write) {
        Axes positions = S::positions(part.x);
        int tiles_across = over(positions.at[2], side), tiles = over(positions.at[1], side) * tiles_across;
        TilePlace place(block, (long long)positions.at[0] * tiles * rows, S::out, rows, columns);
        int tile = (int)(place.row / rows), in_frame = tile % tiles;
        Axes corner = {tile / tiles, in_frame / tiles_across * side, in_frame % tiles_across * side};
        Halo(part, corner, place.column).make(positions, bias, change, write);
    }

    template <class B, class Change, class Write>
    DEVICE void make(const Axes& positions, B bias, Change change, Write write) const {
        int lane = thread_index() % 32, warp = thread_index() / 32;
        int first_row = warp / warps_across * down, first_column = warp % warps_across * 64;
        // A warp without results only brings.
        bool active = corner.at[1] + first_row < positions.at[1] && column + first_column < S::out;
        // Of the filters that are brought next: spatial tap, tap of all, first channel.
        int next_tap = 0, next_of_all = 0, next_first = 0;
        auto bring_next = [&](int step) {
            if (step < steps) {
                bring_filters(step, next_of_all, next_first);
                next_tap++;
                next_of_all++;
                if (next_tap == taps) {
                    next_tap = 0;
                    next_first += depth;
                    if (next_first < S::in) {
                        next_of_all -= taps;
                    } else {
                        next_first = 0;
                    }
                }
            }
            copy_async_commit();
        };
        bring_patch(0);
#pragma unroll 1
        for (int step = 0; step < stages - 1; step++) {
            bring_next(step);
        }
        if constexpr (NORM) {
            x_aligned ? write_factors<true>() : write_factors<false>();
            copy_async_wait<stages - 2>();
            block_barrier();
#pragma unroll 1
            for (int round = 0; round < rounds; round++) {
                activate(0, round);
            }
        }
        float sums[down][across][4];
#pragma unroll
        for (int j = 0; j < across; j++) {
            float first[2];
            bias(first, column + first_column + j * 8 + lane % 4 * 2);
#pragma unroll
            for (int i = 0; i < down * 4; i++) {
                sums[i / 4][j][i % 4] = first[i % 2];
            }
        }
#pragma unroll 1
        for (int number = 0; number < patches; number++) {
#pragma unroll 1
            for (int tap = 0; tap < taps; tap++) {
                int step = number * taps + tap;
                copy_async_wait<stages - 2>();
                if (begin < stages - 1 && tap == begin) {
                    // So few taps that the next patch is not among what has been waited for.
                    copy_async_wait<begin - 1>();
                }
                // Behind it, all have this step's numbers, and none still reads those of the step before.
                block_barrier();
                if (tap == 0 && number + 1 < patches) {
                    bring_patch(number + 1);
                }
                bring_next(step + stages - 1);
                if (active) {
                    int moved = tap / S::kernel(2) * pitch + tap % S::kernel(2);
                    multiply_step(sums, number, step, first_row * pitch + moved, first_column);
                }
                if (NORM && tap >= begin && number + 1 < patches) {
#pragma unroll
                    for (int i = 0; i < rounds_a_tap; i++) {
                        activate(number + 1, (tap - begin) * rounds_a_tap + i);
                    }
                }
            }
        }
        constexpr int together = 8;
#pragma unroll
        for (int first = 0; first < down * across * 2; first += together) {
            float pairs[together][2];
            // Pairs of eight columns and of both halves of a row of the patch, then those of the next columns.
            auto of = [&](int pair) { return (first + pair) / 2; };
            auto place = [&](int pair) {
                int y = corner.at[1] + first_row + of(pair) / across, x = corner.at[2] + pair % 2 * 8 + lane / 4;
                return Axes{corner.at[0], y, x};
            };
            auto row = [&](const Axes& at) {
                return ((long long)at.at[0] * positions.at[1] + at.at[1]) * positions.at[2] + at.at[2];
            };
            auto channel = [&](int pair) { return column + first_column + of(pair) % across * 8 + lane % 4 * 2; };
#pragma unroll
            for (int pair = 0; pair < together; pair++) {
                pairs[pair][0] = sums[of(pair) / across][of(pair) % across][pair % 2 * 2];
                pairs[pair][1] = sums[of(pair) / across][of(pair) % across][pair % 2 * 2 + 1];
                Axes at = place(pair);
                at.at[1] = at_most(at.at[1], positions.at[1] - 1);
                at.at[2] = at_most(at.at[2], positions.at[2] - 1);
                int there = at_most(channel(pair), S::out - 1);
                change(pairs[pair], row(at), there, Inside{at_most(2, S::out - there)});
            }
#pragma unroll
            for (int pair = 0; pair < together; pair++) {
                Axes at = place(pair);
                if (at.at[1] < positions.at[1] && at.at[2] < positions.at[2] && channel(pair) < S::out) {
                    write(pairs[pair], at, row(at), channel(pair), at_most(2, S::out - channel(pair)));
                }
            }
        }
    }

    // Adds one tap's products of a chunk: rows of the halo from `first` on, a row of the patch for each sixteen.
    DEVICE void multiply_step(float (&sums)[down][across][4], int number, int step, int first, int first_column) const {
        int lane = thread_index() % 32;
        const bf16* a_tile = patch_of(number);
        const bf16* b_tile = memory + 2 * patch + step % stages * stage;
#pragma unroll
        for (int eight = 0; eight < eights; eight += 2) {
            // Sixteen columns of filters are loaded while the ones before are multiplied.
            unsigned a[down][4], b[2][1][4];
            auto load_columns = [&](int j) {
                int row = first_column + j * 16 + lane / 16 * 8 + lane % 8;
                load_matrix(b[j % 2][0], b_tile + at(row, eight + lane / 8 % 2));
            };
            load_matrices(a, [&](int i) { return a_tile + at(first + i * pitch + lane % 16, eight + lane / 16); });
            load_columns(0);
#pragma unroll
            for (int j = 0; j < across / 2; j++) {
                if (j + 1 < across / 2) {
                    load_columns(j + 1);
                }
                multiply_all(sums, j * 2, a, b[j % 2]);
            }
        }
    }
};
