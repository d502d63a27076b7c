// Convolutions as products: a row of the left operand is what a position of the result sees, a row of the right one the
// filter of a channel of the result.
//
// The summed axis goes through eights of channels, and in each of them through all taps: what neighbours see of an eight
// of channels is then found in the first-level cache.
#pragma once

// Three axes, the last ones the real ones; an axis that is not there has one place.
struct Axes {
    int at[3];
};

template <class K> struct Shape {
    using X = decltype(K::Part::x);
    static constexpr int axes = X::rank - 1, skipped = 3 - axes;
    static constexpr int in = K::x_width, out = K::w_shape[0], eights = over(in, EIGHT);

    static constexpr int kernel(int axis) {
        return axis < skipped ? 1 : K::w_shape[1 + axis - skipped];
    }
    static constexpr int pad(int axis, int side) {
        return axis < skipped ? 0 : K::conv::pads[2 * (axis - skipped) + side];
    }
    static constexpr int taps = kernel(0) * kernel(1) * kernel(2);
    // Numbers that a sum runs over; channels are filled up to whole eights.
    static constexpr int summed = eights * taps * EIGHT;

    static DEVICE Axes extents(const X& x) {
        Axes extent = {1, 1, 1};
        for (int axis = skipped; axis < 3; axis++) {
            extent.at[axis] = x.extent[axis - skipped];
        }
        return extent;
    }

    // Positions of the result; stride and dilation are those of the last axis.
    static DEVICE Axes positions(const X& x) {
        Axes extent = extents(x);
        for (int axis = 0; axis < 3; axis++) {
            int reach = (kernel(axis) - 1) * (axis == 2 ? K::conv::dilation : 1) + 1;
            int padded = extent.at[axis] + pad(axis, 0) + pad(axis, 1);
            extent.at[axis] = (padded - reach) / (axis == 2 ? K::conv::stride : 1) + 1;
        }
        return extent;
    }
};

// Where in its three axes position `row` is.
DEVICE Axes place_of(long long row, const Axes& extent) {
    long long plane = row / extent.at[2];
    return {(int)(plane / extent.at[1]), (int)(plane % extent.at[1]), (int)(row % extent.at[2])};
}

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
        : x(x), data(x.data), places(places), extent(S::extents(x)), before(before) {
        whole = x.stride % EIGHT == 0 && (unsigned long long)x.data % 16 == 0;
    }

    DEVICE bool copies() const {
        return whole;
    }

    // The position that tap `tap` of row `row` sees; null outside.
    DEVICE const Element* position(int row, int tap) const {
        Axes place = places[row];
        bool inside = place.at[0] >= 0;
        int step[3] = {tap / (S::kernel(1) * S::kernel(2)), tap / S::kernel(2) % S::kernel(1), tap % S::kernel(2)};
        step[2] *= K::conv::dilation;
        place.at[2] *= K::conv::stride;
#pragma unroll
        for (int axis = 0; axis < 3; axis++) {
            int at = place.at[axis] + step[axis] - S::pad(axis, 0), last = extent.at[axis] - 1;
            if (K::conv::replicate && axis == S::skipped) {
                at = at < 0 ? 0 : at_most(at, last);
            }
            inside = inside && at >= 0 && at <= last;
            place.at[axis] = at;
        }
        long long line = (long long)place.at[0] * extent.at[1] + place.at[1];
        return inside ? x.row(line * extent.at[2] + place.at[2]) : nullptr;
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
    using W = decltype(K::Part::w);
    using Element = typename W::Element;
    static constexpr bool may_copy = S::in % EIGHT == 0;

    const W& w;
    const Element* data;
    int first;

    DEVICE Filters(const W& w, int first) : w(w), data(w.data), first(first) {}

    DEVICE bool copies() const {
        return w.stride % EIGHT == 0 && (unsigned long long)w.data % 16 == 0;
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

// Writes where each row of the tile is to `places`.
template <class Tile> DEVICE void write_places(Axes* places, long long first, const Axes& positions) {
    long long rows = (long long)positions.at[0] * positions.at[1] * positions.at[2];
    for (int i = thread_index(); i < Tile::rows; i += Tile::threads) {
        places[i] = first + i < rows ? place_of(first + i, positions) : Axes{{-1, 0, 0}};
    }
    block_barrier();
}

// The factor 1/RMS of every position that the tile sees: a warp for a row and a tap.
template <class K, class Tile> DEVICE void write_factors(float* factors, const Patches<K, Plain>& patches) {
    using S = Shape<K>;
    static_assert(K::rms_norm::groups == 1, "the norm is over all channels");
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
        sum = warp_sum(sum);
        factors[i] = 1.0f / sqrtf(sum / S::in + K::rms_norm::eps);
    }
    block_barrier();
}

// Calls `f(values, place, row, column, count)` for pairs of the convolution's results.
template <class K, bool NORM, class F> DEVICE void convolve(const typename K::Part& part, int block, F f) {
    using S = Shape<K>;
    constexpr bool tensor = IS_BF16<typename S::X::Element> && IS_BF16<typename decltype(part.w)::Element>;
    using Tile = typename TileOf<tensor>::Type;
    static_assert(K::shared == Tile::shared + Tile::rows * (12 + (NORM ? S::taps * 4 : 0)), "convolution/mod.rs");
    Axes* places = (Axes*)(shared_memory() + Tile::shared);
    float* factors = (float*)(places + Tile::rows);
    Axes positions = S::positions(part.x);
    long long rows = (long long)positions.at[0] * positions.at[1] * positions.at[2];
    TilePlace place(block, rows, S::out, Tile::rows, Tile::columns);
    write_places<Tile>(places, place.row, positions);
    Patches<K, Plain> plain(part.x, places, Plain());
    Filters<K> filters(part.w, place.column);
    auto finish = [&](float (&values)[2], int down, int across) {
        long long row = place.row + down;
        int column = place.column + across;
        if (row < rows && column < S::out) {
            f(values, places[down], row, column, at_most(2, S::out - column));
        }
    };
    if constexpr (NORM) {
        write_factors<K, Tile>(factors, plain);
        Patches<K, NormSilu<S::taps>> normed(part.x, places, NormSilu<S::taps>{factors});
        Tile::run(normed, filters, S::summed, finish);
    } else {
        Tile::run(plain, filters, S::summed, finish);
    }
}

template <class T> DEVICE void add(float (&values)[2], const T* from, int count) {
    float other[2];
    load(other, from, count);
    values[0] += other[0];
    values[1] += other[1];
}

template <class K> DEVICE void conv(const typename K::Part& part, int block) {
    convolve<K, false>(part, block, [&](float (&values)[2], Axes, long long row, int column, int count) {
        store(part.y.row(row) + column, values, count);
    });
}

template <class K, bool NORM> DEVICE void with_bias(const typename K::Part& part, int block) {
    convolve<K, NORM>(part, block, [&](float (&values)[2], Axes, long long row, int column, int count) {
        add(values, part.bias.data + column, count);
        store(part.y.row(row) + column, values, count);
    });
}

template <class K, bool NORM> DEVICE void with_residual(const typename K::Part& part, int block) {
    convolve<K, NORM>(part, block, [&](float (&values)[2], Axes, long long row, int column, int count) {
        add(values, part.bias.data + column, count);
        add(values, part.residual.row(row) + column, count);
        store(part.y.row(row) + column, values, count);
    });
}

template <class K> DEVICE void conv_bias(const typename K::Part& part, int block) {
    with_bias<K, false>(part, block);
}

template <class K> DEVICE void rms_norm_silu_conv_bias(const typename K::Part& part, int block) {
    with_bias<K, true>(part, block);
}

template <class K> DEVICE void conv_bias_residual(const typename K::Part& part, int block) {
    with_residual<K, false>(part, block);
}

template <class K> DEVICE void rms_norm_silu_conv_bias_residual(const typename K::Part& part, int block) {
    with_residual<K, true>(part, block);
}
