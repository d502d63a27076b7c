// Convolutions of any shape as products: a row of the left operand is what a position of the result sees, gathered tap
// by tap, a row of the right one the filter of a channel of the result. For storage as f32, for one axis, and for
// strides, dilations and taps that halo.cu does not take.
//
// The summed axis goes through eights of channels, and in each of them through all taps: what neighbours see of an eight
// of channels is then found in the first-level cache.
#pragma once

#include "convolution/positions.cu"

// What is read of x as it is.
struct Plain {
    static constexpr bool same = true;

    DEVICE void operator()(float (&)[EIGHT], int, int) const {}
};

// SiLU of the RMS norm over channels; a factor for every row of the tile and every tap.
template <int TAPS> struct NormSilu {
    static constexpr bool same = false;

    const float* factors;

    DEVICE void operator()(float (&numbers)[EIGHT], int row, int tap) const {
#pragma unroll
        for (int i = 0; i < EIGHT; i++) {
            numbers[i] = silu(numbers[i] * factors[row * TAPS + tap]);
        }
    }
};

// The surroundings of positions.
template <class K, class Before> struct Patches {
    using S = Shape<K>;
    using X = typename S::X;
    using Element = typename X::Element;
    static constexpr bool may_copy = Before::same && S::in % EIGHT == 0;

    const X& x;
    const Element* data;
    // Of the tile's rows; the first axis is −1 where there is no row.
    const Axes* places;
    Axes extent;
    bool whole;
    Before before;

    DEVICE Patches(const X& x, const Axes* places, Before before)
        : x(x), data(x.data), places(places), extent(S::extents(x)), whole(aligned_rows(x)), before(before) {}

    DEVICE bool copies() const {
        return whole;
    }

    // The position that tap `tap` of row `row` sees; null outside.
    DEVICE const Element* position(int row, int tap) const {
        Axes place = places[row];
        bool inside = place.at[0] >= 0;
        place.at[0] += tap / (S::kernel(1) * S::kernel(2));
        place.at[1] += tap / S::kernel(2) % S::kernel(1);
        place.at[2] = place.at[2] * S::stride + tap % S::kernel(2) * S::dilation;
        return inside ? S::seen(x, extent, place) : nullptr;
    }

    DEVICE const Element* find(int row, int column, int& count) const {
        int eight = column / EIGHT, first = eight / S::taps * EIGHT;
        count = S::in - first;
        const Element* from = first < S::in ? position(row, eight % S::taps) : nullptr;
        return from ? from + first : nullptr;
    }

    DEVICE void numbers(float (&to)[EIGHT], int row, int column) const {
        int count = 0;
        const Element* from = find(row, column, count);
        load(to, from, from ? count : 0);
        before(to, row, column / EIGHT % S::taps);
    }
};

// Filters `[out, taps.., in]`, from one on.
template <class K> struct Filters {
    using S = Shape<K>;
    using W = typename S::W;
    using Element = typename W::Element;
    static constexpr bool may_copy = S::in % EIGHT == 0;

    const W& w;
    const Element* data;
    int first;
    bool whole;

    DEVICE Filters(const W& w, int first) : w(w), data(w.data), first(first), whole(aligned_rows(w)) {}

    DEVICE bool copies() const {
        return whole;
    }

    DEVICE const Element* find(int row, int column, int& count) const {
        int eight = column / EIGHT, channel = eight / S::taps * EIGHT;
        count = S::in - channel;
        bool inside = first + row < S::out && channel < S::in;
        return inside ? w.row((long long)(first + row) * S::taps + eight % S::taps) + channel : nullptr;
    }

    DEVICE void numbers(float (&to)[EIGHT], int row, int column) const {
        int count = 0;
        const Element* from = find(row, column, count);
        load(to, from, from ? count : 0);
    }
};

// A block makes a tile of the product: positions of the whole result one after the other.
template <class K, bool NORM> struct Gathered {
    using S = Shape<K>;
    using Tile = typename TileOf<S::tensor>::Type;
    // Numbers that a sum runs over; channels are filled up to whole eights.
    static constexpr int summed = over(S::in, EIGHT) * S::taps * EIGHT;
    static constexpr int shared = Tile::shared + Tile::rows * (12 + (NORM ? S::taps * 4 : 0));

    // Writes where each row of the tile is to `places`.
    static DEVICE void write_places(Axes* places, long long first, const Axes& positions) {
        long long rows = (long long)positions.at[0] * positions.at[1] * positions.at[2];
        for (int i = thread_index(); i < Tile::rows; i += Tile::threads) {
            places[i] = first + i < rows ? place_of(first + i, positions) : Axes{{-1, 0, 0}};
        }
        block_barrier();
    }

    // The factor 1/RMS of every position that the tile sees: a warp for a row and a tap.
    static DEVICE void write_factors(float* factors, const Patches<K, Plain>& patches) {
        for (int i = thread_index() / 32; i < Tile::rows * S::taps; i += Tile::threads / 32) {
            const auto* x = patches.position(i / S::taps, i % S::taps);
            float sum = 0.0f;
            for (int channel = thread_index() % 32 * EIGHT; x && channel < S::in; channel += 32 * EIGHT) {
                float numbers[EIGHT];
                load(numbers, x + channel, S::in - channel);
#pragma unroll
                for (int j = 0; j < EIGHT; j++) {
                    sum += numbers[j] * numbers[j];
                }
            }
            factors[i] = factor_of<K>(warp_sum(sum));
        }
        block_barrier();
    }

    // Calls `change` and `write`, as `convolve` says, for pairs of sums, those of a channel on top of `bias(values, column)`.
    template <class B, class Change, class Write>
    static DEVICE void run(const typename K::Part& part, int block, B bias, Change change, Write write) {
        Axes* places = (Axes*)(shared_memory() + Tile::shared);
        float* factors = (float*)(places + Tile::rows);
        Axes positions = S::positions(part.x);
        long long rows = (long long)positions.at[0] * positions.at[1] * positions.at[2];
        TilePlace place(block, rows, S::out, Tile::rows, Tile::columns);
        write_places(places, place.row, positions);
        Patches<K, Plain> plain(part.x, places, Plain());
        Filters<K> filters(part.w, place.column);
        auto finish = [&](float (&values)[2], int down, int across) {
            long long row = place.row + down < rows ? place.row + down : rows - 1;
            int column = at_most(place.column + across, S::out - 1);
            float first[2];
            bias(first, column);
            values[0] += first[0];
            values[1] += first[1];
            change(values, row, column, Inside{at_most(2, S::out - column)});
        };
        auto put = [&](const float (&values)[2], int down, int across) {
            long long row = place.row + down;
            int column = place.column + across;
            if (row < rows && column < S::out) {
                write(values, places[down], row, column, at_most(2, S::out - column));
            }
        };
        if constexpr (NORM) {
            write_factors(factors, plain);
            Patches<K, NormSilu<S::taps>> normed(part.x, places, NormSilu<S::taps>{factors});
            Tile::run(normed, filters, summed, finish, put);
        } else {
            Tile::run(plain, filters, summed, finish, put);
        }
    }
};
