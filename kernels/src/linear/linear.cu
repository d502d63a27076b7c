// x·wᵀ and what follows it, on the tile while it is in registers.
//
// An entry says what follows, on neighbours of a row, of which some are there (`Inside`), or all (`Whole`); `product`
// makes the sums. This file has the portable one, which takes a block's number; linear/hopper.cu has another one for blocks with
// tensor maps, with the same entries.
#pragma once

// Tiles of before(x)·wᵀ; `f(values, row, column, inside)` makes results of sums, of which so many are inside. For pairs
// outside of the result what belongs to its last ones is read.
template <class K, class Before, class F>
DEVICE void product(const typename K::Part& part, int block, Before before, F f) {
    using X = decltype(part.x);
    using W = decltype(part.w);
    using Tile =
        typename TileOf<IS_BF16<typename X::Element> && AS_BF16<typename W::Element>>::Type;
    static_assert(Tile::shared == K::shared && Tile::threads == K::threads, "kernels/src/cuda/product.rs");
    TilePlace place(block, part.y.rows(), K::y_width, Tile::rows, Tile::columns);
    Rows<X, Before> left(part.x, place.row, 0, K::x_width, before);
    typename WeightRows<K, W>::Type right(part.w, place.column, 0, K::x_width);
    long long last = part.y.rows() - 1;
    Tile::run(
        left, right, K::x_width,
        [&](float (&values)[2], int down, int across) {
            long long row = place.row + down < last ? place.row + down : last;
            int column = at_most(place.column + across, K::y_width - 1);
            f(values, row, column, Inside{at_most(2, K::y_width - column)});
        },
        [&](const float (&values)[2], int down, int across) {
            long long row = place.row + down;
            int column = place.column + across;
            if (row <= last && column < K::y_width) {
                store(part.y.row(row) + column, values, at_most(2, K::y_width - column));
            }
        });
}

template <class K, class F> DEVICE void product(const typename K::Part& part, int block, F f) {
    product<K>(part, block, Same(), f);
}

template <int N, class T, class Count> DEVICE void add(float (&values)[N], const T* from, Count count) {
    float other[N];
    load(other, from, count);
#pragma unroll
    for (int i = 0; i < N; i++) {
        values[i] += other[i];
    }
}

template <int N, class T, class Count> DEVICE void times(float (&values)[N], const T* from, Count count) {
    float other[N];
    load(other, from, count);
#pragma unroll
    for (int i = 0; i < N; i++) {
        values[i] *= other[i];
    }
}

template <Function F, int N> DEVICE void apply(float (&values)[N]) {
#pragma unroll
    for (int i = 0; i < N; i++) {
        values[i] = apply<F>(values[i]);
    }
}

template <class K, class Block> DEVICE void linear(const typename K::Part& part, const Block& block) {
    product<K>(part, block, [](auto&, long long, int, auto) {});
}

template <class K, class Block> DEVICE void linear_bias(const typename K::Part& part, const Block& block) {
    product<K>(part, block, [&](auto& values, long long, int column, auto count) {
        add(values, part.bias.data + column, count);
    });
}

template <class K, class Block> DEVICE void linear_bias_unary(const typename K::Part& part, const Block& block) {
    product<K>(part, block, [&](auto& values, long long, int column, auto count) {
        add(values, part.bias.data + column, count);
        apply<K::unary::f>(values);
    });
}

// The function before a product.
template <Function F> struct Applied {
    DEVICE float operator()(float x) const {
        return apply<F>(x);
    }
};

template <class K> DEVICE void unary_linear_bias(const typename K::Part& part, int block) {
    product<K>(part, block, Applied<K::unary::f>(), [&](auto& values, long long, int column, auto count) {
        add(values, part.bias.data + column, count);
    });
}

template <class K, class Block> DEVICE void linear_bias_residual(const typename K::Part& part, const Block& block) {
    product<K>(part, block, [&](auto& values, long long row, int column, auto count) {
        add(values, part.bias.data + column, count);
        add(values, part.residual.row(row) + column, count);
    });
}

template <class K, class Block> DEVICE void linear_bias_gate_residual(const typename K::Part& part, const Block& block) {
    product<K>(part, block, [&](auto& values, long long row, int column, auto count) {
        add(values, part.bias.data + column, count);
        times(values, part.gate.data + column, count);
        add(values, part.residual.row(row) + column, count);
    });
}

template <class K, class Block> DEVICE void linear_bias_class_gate_residual(const typename K::Part& part, const Block& block) {
    product<K>(part, block, [&](auto& values, long long row, int column, auto count) {
        add(values, part.bias.data + column, count);
        times(values, part.gate.row(part.class_.data[row]) + column, count);
        add(values, part.residual.row(row) + column, count);
    });
}

template <class K, class Block> DEVICE void linear_bias_residual_unary(const typename K::Part& part, const Block& block) {
    product<K>(part, block, [&](auto& values, long long row, int column, auto count) {
        add(values, part.bias.data + column, count);
        add(values, part.partial.row(row) + column, count);
        apply<K::unary::f>(values);
    });
}

template <class K, class Block> DEVICE void linear_bias_partial_gate_residual(const typename K::Part& part, const Block& block) {
    product<K>(part, block, [&](auto& values, long long row, int column, auto count) {
        add(values, part.bias.data + column, count);
        add(values, part.partial.row(row) + column, count);
        times(values, part.gate.data + column, count);
        add(values, part.residual.row(row) + column, count);
    });
}

template <class K, class Block> DEVICE void linear_bias_partial_class_gate_residual(const typename K::Part& part, const Block& block) {
    product<K>(part, block, [&](auto& values, long long row, int column, auto count) {
        add(values, part.bias.data + column, count);
        add(values, part.partial.row(row) + column, count);
        times(values, part.gate.row(part.class_.data[row]) + column, count);
        add(values, part.residual.row(row) + column, count);
    });
}

template <class K, class Block> DEVICE void linear_unary(const typename K::Part& part, const Block& block) {
    product<K>(part, block, [](auto& values, long long, int, auto) { apply<K::unary::f>(values); });
}

template <class K, class Block> DEVICE void linear_times(const typename K::Part& part, const Block& block) {
    product<K>(part, block, [&](auto& values, long long row, int column, auto count) {
        times(values, part.factor.row(row) + column, count);
    });
}

template <class K, class Block> DEVICE void linear_clamp_log(const typename K::Part& part, const Block& block) {
    product<K>(part, block, [](auto& values, long long, int, auto) {
#pragma unroll
        for (float& value : values) {
            value = logf(clamp(value, K::clamp::lo, K::clamp::hi));
        }
    });
}
