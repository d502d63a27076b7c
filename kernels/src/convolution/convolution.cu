// Convolutions and what comes behind them. What comes before and how sums are made is in halo.cu and gathered.cu.
#pragma once

#include "convolution/halo.cu"

// Calls `f(values, place, row, column, count)` for pairs of the convolution's results, bias included.
template <class K, bool NORM, class F> DEVICE void convolve(const typename K::Part& part, int block, F f) {
    auto bias = [&](float (&values)[2], int column) {
        if constexpr (requires { part.bias; }) {
            load(values, part.bias.data + column, Shape<K>::out - column);
        } else {
            values[0] = values[1] = 0.0f;
        }
    };
    if constexpr (takes_halo<K>()) {
        static_assert(K::shared == Halo<K, NORM>::shared, "convolution/cuda.rs");
        Halo<K, NORM>::run(part, block, bias, f);
    } else {
        static_assert(K::shared == Gathered<K, NORM>::shared, "convolution/cuda.rs");
        Gathered<K, NORM>::run(part, block, bias, f);
    }
}

template <class K, bool NORM> DEVICE void alone(const typename K::Part& part, int block) {
    convolve<K, NORM>(part, block, [&](float (&values)[2], Axes, long long row, int column, int count) {
        store(part.y.row(row) + column, values, count);
    });
}

template <class K, bool NORM> DEVICE void with_residual(const typename K::Part& part, int block) {
    convolve<K, NORM>(part, block, [&](float (&values)[2], Axes, long long row, int column, int count) {
        float residual[2];
        load(residual, part.residual.row(row) + column, count);
        values[0] += residual[0];
        values[1] += residual[1];
        store(part.y.row(row) + column, values, count);
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
