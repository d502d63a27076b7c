// Channels that unfold into space and time, alone and behind a convolution.
#pragma once

#include "convolution/convolution.cu"

// Where channel `column` of the position `place` goes: a row and a channel of y; no row for a frame that is left out.
// Channel ((c·st + a)·sh + b)·sw + d goes to offset (a, b, d).
template <class K> struct DepthToSpace {
    using Op = typename K::depth_to_space;
    static constexpr int step = Op::st * Op::sh * Op::sw;

    template <class Y> static DEVICE long long row(const Y& y, const Axes& place, int column) {
        int a = column / (Op::sh * Op::sw) % Op::st, b = column / Op::sw % Op::sh, d = column % Op::sw;
        long long frame = (long long)place.at[0] * Op::st + a - Op::drop;
        return (frame * y.extent[1] + place.at[1] * Op::sh + b) * y.extent[2] + place.at[2] * Op::sw + d;
    }
};

// Channel c·p² + column·p + row goes to offset (row, column).
template <class K> struct Unpatchify {
    static constexpr int patch = K::unpatchify::patch, step = patch * patch;

    template <class Y> static DEVICE long long row(const Y& y, const Axes& place, int column) {
        int down = column % patch, across = column / patch % patch;
        long long line = (long long)place.at[0] * y.extent[1] + place.at[1] * patch + down;
        return line * y.extent[2] + place.at[2] * patch + across;
    }
};

// Leading rows are those of frames that are left out.
template <class Order, class Y> DEVICE void put_unfolded(const Y& y, const Axes& place, int column, float value) {
    long long row = Order::row(y, place, column);
    if (row >= 0) {
        put(y.row(row) + column / Order::step, value);
    }
}

template <class K, bool NORM, class Order> DEVICE void unfolded(const typename K::Part& part, int block) {
    auto write = [&](const float (&values)[2], const Axes& place, long long, int column, int count) {
        for (int i = 0; i < count; i++) {
            put_unfolded<Order>(part.y, place, column + i, values[i]);
        }
    };
    convolve<K, NORM>(part, block, [](float (&)[2], long long, int, Inside) {}, write);
}

template <class K> DEVICE void conv_bias_depth_to_space(const typename K::Part& part, int block) {
    unfolded<K, false, DepthToSpace<K>>(part, block);
}

template <class K> DEVICE void rms_norm_silu_conv_bias_unpatchify(const typename K::Part& part, int block) {
    unfolded<K, true, Unpatchify<K>>(part, block);
}

// A thread reads a unit of x.
template <class K, class Order> DEVICE void unfold(const typename K::Part& part, int block) {
    unit_of<K::x_width, K::threads>(part.x.rows(), block, [&](long long row, int column, int count) {
        Axes place = place_of(row, {part.x.extent[0], part.x.extent[1], part.x.extent[2]});
        for (int i = 0; i < count; i++) {
            put_unfolded<Order>(part.y, place, column + i, real(part.x.row(row)[column + i]));
        }
    });
}

template <class K> DEVICE void depth_to_space(const typename K::Part& part, int block) {
    unfold<K, DepthToSpace<K>>(part, block);
}

template <class K> DEVICE void unpatchify(const typename K::Part& part, int block) {
    unfold<K, Unpatchify<K>>(part, block);
}
