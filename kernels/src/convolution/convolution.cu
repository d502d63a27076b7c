// Convolutions and what comes behind them. What comes before and how sums are made is in halo.cu and gathered.cu.
#pragma once

#include "convolution/halo.cu"

// Calls `change(values, row, column, inside)` and then `write(values, place, row, column, count)` for pairs of the
// convolution's results, bias included; several are changed before one is written. For pairs outside of the result what
// changes its last ones is read.
template <class K, bool NORM, class Change, class Write>
DEVICE void convolve(const typename K::Part& part, int block, Change change, Write write) {
    auto bias = [&](float (&values)[2], int column) {
        if constexpr (requires { part.bias; }) {
            int there = at_most(column, Shape<K>::out - 1);
            load(values, part.bias.data + there, Inside{Shape<K>::out - there});
        } else {
            values[0] = values[1] = 0.0f;
        }
    };
    if constexpr (takes_halo<K>()) {
        static_assert(K::shared == Halo<K, NORM>::shared, "convolution/cuda.rs");
        Halo<K, NORM>::run(part, block, bias, change, write);
    } else {
        static_assert(K::shared == Gathered<K, NORM>::shared, "convolution/cuda.rs");
        Gathered<K, NORM>::run(part, block, bias, change, write);
    }
}

// Where the convolution's own positions and channels are.
template <class K, bool NORM, class Change> DEVICE void in_place(const typename K::Part& part, int block, Change change) {
    convolve<K, NORM>(part, block, change, [&](const float (&values)[2], const Axes&, long long row, int column, int count) {
        store(part.y.row(row) + column, values, count);
    });
}

template <class K, bool NORM> DEVICE void alone(const typename K::Part& part, int block) {
    in_place<K, NORM>(part, block, [](float (&)[2], long long, int, Inside) {});
}

template <class K, bool NORM> DEVICE void with_residual(const typename K::Part& part, int block) {
    in_place<K, NORM>(part, block, [&](float (&values)[2], long long row, int column, Inside inside) {
        float residual[2];
        load(residual, part.residual.row(row) + column, inside);
        values[0] += residual[0];
        values[1] += residual[1];
    });
}

template <class K> DEVICE void conv(const typename K::Part& part, int block) {
    alone<K, false>(part, block);
}

template <class K> DEVICE void conv_bias(const typename K::Part& part, int block) {
    alone<K, false>(part, block);
}

template <class K> DEVICE void rms_norm_silu_conv_bias(const typename K::Part& part, int block) {
    alone<K, true>(part, block);
}

template <class K> DEVICE void conv_bias_residual(const typename K::Part& part, int block) {
    with_residual<K, false>(part, block);
}

template <class K> DEVICE void rms_norm_silu_conv_bias_residual(const typename K::Part& part, int block) {
    with_residual<K, true>(part, block);
}
