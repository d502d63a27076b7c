// Positions that fold into channels, alone and behind a convolution, and means of channels.
#pragma once

#include "convolution/convolution.cu"

// Offset (a, b, d) of a position goes to channel ((c·st + a)·sh + b)·sw + d of a folded one. The first frame stands
// `repeat` more times in front of itself.
template <class Op> struct SpaceToDepth {
    static constexpr int step = Op::st * Op::sh * Op::sw;

    // Calls `found(row, offset)` with every row of y where the position `place` goes, and its offset among the channels.
    template <class Y, class F> static DEVICE void places(const Y& y, const Axes& place, F found) {
        int copies = place.at[0] == 0 ? Op::repeat : 0;
        for (int copy = 0; copy <= copies; copy++) {
            int frame = place.at[0] + Op::repeat - copy;
            long long line = (long long)(frame / Op::st) * y.extent[1] + place.at[1] / Op::sh;
            int offset = (frame % Op::st * Op::sh + place.at[1] % Op::sh) * Op::sw + place.at[2] % Op::sw;
            found(line * y.extent[2] + place.at[2] / Op::sw, offset);
        }
    }

    // The number that channel `channel` of the folded position `place` is.
    template <class X> static DEVICE float at(const X& x, const Axes& place, int channel) {
        int offset = channel % step;
        int frame = place.at[0] * Op::st + offset / (Op::sh * Op::sw) - Op::repeat;
        long long line = (long long)(frame < 0 ? 0 : frame) * x.extent[1] + place.at[1] * Op::sh + offset / Op::sw % Op::sh;
        return real(x.row(line * x.extent[2] + place.at[2] * Op::sw + offset % Op::sw)[channel / step]);
    }
};

// The mean of `size` channels, each of which is `number(channel)`.
template <int SIZE, class F> DEVICE float mean_of(int group, F number) {
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < SIZE; i++) {
        sum += number(group * SIZE + i);
    }
    return sum / SIZE;
}

template <class Y> DEVICE Axes place_in(const Y& y, long long row) {
    return place_of(row, {y.extent[0], y.extent[1], y.extent[2]});
}

template <class K> DEVICE void conv_bias_space_to_depth_skip(const typename K::Part& part, int block) {
    using Fold = SpaceToDepth<typename K::space_to_depth>;
    using Skip = SpaceToDepth<typename K::space_to_depth_2>;
    auto write = [&](const float (&values)[2], const Axes& place, long long, int column, int count) {
        Fold::places(part.y, place, [&](long long row, int offset) {
            Axes folded = place_in(part.y, row);
            for (int i = 0; i < count; i++) {
                int channel = (column + i) * Fold::step + offset;
                float skip = mean_of<K::group_mean::size>(
                    channel, [&](int of) { return Skip::at(part.skip, folded, of); });
                put(part.y.row(row) + channel, values[i] + skip);
            }
        });
    };
    convolve<K, false>(part, block, [](float (&)[2], long long, int, Inside) {}, write);
}

// A thread makes a unit of y; `number(row, column)` is one of its numbers.
template <class K, class F> DEVICE void by_units(const typename K::Part& part, int block, F number) {
    unit_of<K::y_width, K::threads>(part.y.rows(), block, [&](long long row, int column, int count) {
        for (int i = 0; i < count; i++) {
            put(part.y.row(row) + column + i, number(row, column + i));
        }
    });
}

template <class K> DEVICE void space_to_depth(const typename K::Part& part, int block) {
    by_units<K>(part, block, [&](long long row, int column) {
        return SpaceToDepth<typename K::space_to_depth>::at(part.x, place_in(part.y, row), column);
    });
}

template <class K> DEVICE void group_mean(const typename K::Part& part, int block) {
    by_units<K>(part, block, [&](long long row, int column) {
        return mean_of<K::group_mean::size>(column, [&](int of) { return real(part.x.row(row)[of]); });
    });
}

// x has planes: channel c·p² + column·p + row of a patch is pixel (row, column) of plane c.
template <class K> DEVICE void patchify(const typename K::Part& part, int block) {
    constexpr int patch = K::patchify::patch;
    by_units<K>(part, block, [&](long long row, int channel) {
        Axes place = place_in(part.y, row);
        int down = channel % patch, across = channel / patch % patch, plane = channel / (patch * patch);
        long long frame = (long long)plane * part.x.extent[1] + place.at[0];
        return real(part.x.row(frame * part.x.extent[2] + place.at[1] * patch + down)[place.at[2] * patch + across]);
    });
}
