// Transposed convolutions over one axis: y[p] = Σ x[i]·w[p + pad − i·stride].
//
// Samples p with the same (p + pad) % stride = phase see the same taps: phase, phase + stride, ... A tile has samples
// of one phase, and for them it is an ordinary convolution.
#pragma once

template <class K> struct Phases {
    static constexpr int stride = K::conv_transpose::stride, pad = K::conv_transpose::pad;
    static constexpr int in = K::x_width, out = K::y_width, kernel = K::w_width;
    static constexpr int taps = over(kernel, stride), eights = over(in, EIGHT);
    static constexpr int summed = eights * taps * EIGHT;
};

// What samples of a phase see; row r of the tile is the sample whose (p + pad) / stride is first + r.
template <class K> struct Seen {
    using P = Phases<K>;
    using X = decltype(K::Part::x);
    using Element = typename X::Element;
    static constexpr bool may_copy = P::in % EIGHT == 0;

    const X& x;
    const Element* data;
    long long first;

    DEVICE Seen(const X& x, long long first) : x(x), data(x.data), first(first) {}

    DEVICE bool copies() const {
        return x.stride % EIGHT == 0 && (unsigned long long)x.data % 16 == 0;
    }

    DEVICE const Element* find(int row, int column, int& count) const {
        int eight = column / EIGHT, channel = eight / P::taps * EIGHT;
        long long from = first + row - eight % P::taps;
        count = P::in - channel;
        return from >= 0 && from < x.rows() && channel < P::in ? x.row(from) + channel : nullptr;
    }

    DEVICE void numbers(float (&to)[EIGHT], int row, int column) const {
        int count = 0;
        const Element* from = find(row, column, count);
        load(to, from, from ? count : 0);
    }
};

// Taps of a phase of filters `[in, out, taps]`.
template <class K> struct PhaseFilters {
    using P = Phases<K>;
    using W = decltype(K::Part::w);
    using Element = typename W::Element;
    static constexpr bool may_copy = false;

    const W& w;
    int first;
    int phase;

    DEVICE void numbers(float (&to)[EIGHT], int row, int column) const {
        int eight = column / EIGHT, channel = eight / P::taps * EIGHT;
        int tap = phase + eight % P::taps * P::stride;
        bool inside = first + row < P::out && tap < P::kernel;
#pragma unroll
        for (int i = 0; i < EIGHT; i++) {
            bool there = inside && channel + i < P::in;
            to[i] = there ? real(w.row((long long)(channel + i) * P::out + first + row)[tap]) : 0.0f;
        }
    }
};

template <class K> DEVICE void conv_transpose_bias(const typename K::Part& part, int block) {
    using P = Phases<K>;
    constexpr bool tensor =
        IS_BF16<typename decltype(part.x)::Element> && IS_BF16<typename decltype(part.w)::Element>;
    using Tile = typename TileOf<tensor>::Type;
    static_assert(K::shared == Tile::shared, "convolution/mod.rs");
    // Every phase has at most this many samples.
    long long samples = part.y.rows() / P::stride + 2;
    int tiles = (int)((samples + Tile::rows - 1) / Tile::rows) * over(P::out, Tile::columns);
    int phase = block / tiles;
    TilePlace place(block % tiles, samples, P::out, Tile::rows, Tile::columns);
    // The first sample of the phase: p ≥ 0.
    long long first = place.row + (P::pad + P::stride - 1 - phase) / P::stride;
    Tile::run(
        Seen<K>(part.x, first), PhaseFilters<K>{part.w, place.column, phase}, P::summed,
        [&](float (&values)[2], int, int across) {
            int column = at_most(place.column + across, P::out - 1);
            float bias[2];
            load(bias, part.bias.data + column, Inside{P::out - column});
            values[0] += bias[0];
            values[1] += bias[1];
        },
        [&](const float (&values)[2], int down, int across) {
            long long row = (first + down) * P::stride + phase - P::pad;
            int column = place.column + across;
            if (row < part.y.rows() && column < P::out) {
                store(part.y.row(row) + column, values, P::out - column);
            }
        });
}
