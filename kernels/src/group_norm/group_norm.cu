// Norms over all positions and the channels of a group: a block for a group, which goes over it three times.
#pragma once

template <class K, class F> DEVICE void normalized(const typename K::Part& part, int group, F finish) {
    constexpr int size = K::x_width / K::group_norm::groups;
    Columns<size, K::threads, decltype(part.x)> columns{part.x, group * size};
    float mean = (float)(columns.sum([](float x) { return x; }) / columns.elements());
    double variance = columns.sum([&](float x) { return (x - mean) * (x - mean); }) / columns.elements();
    double inverse = 1.0 / sqrt(variance + (double)K::group_norm::eps);
    columns.each([&](long long row, int column, int count) {
        float values[UNIT], w[UNIT], bias[UNIT];
        load(values, part.x.row(row) + column, count);
        load(w, part.w.data + column, count);
        load(bias, part.bias.data + column, count);
#pragma unroll
        for (int i = 0; i < UNIT; i++) {
            values[i] = (values[i] - mean) * (float)(inverse * (double)w[i]) + bias[i];
        }
        finish(values, row, column, count);
        store(part.y.row(row) + column, values, count);
    });
}

template <class K> DEVICE void group_norm(const typename K::Part& part, int block) {
    normalized<K>(part, block, [](float (&)[UNIT], long long, int, int) {});
}

template <class K> DEVICE void group_norm_silu(const typename K::Part& part, int block) {
    normalized<K>(part, block, [](float (&values)[UNIT], long long, int, int) {
#pragma unroll
        for (int i = 0; i < UNIT; i++) {
            values[i] = silu(values[i]);
        }
    });
}

template <class K> DEVICE void group_norm_residual_silu(const typename K::Part& part, int block) {
    normalized<K>(part, block, [&](float (&values)[UNIT], long long row, int column, int count) {
        float residual[UNIT];
        load(residual, part.residual.row(row) + column, count);
#pragma unroll
        for (int i = 0; i < UNIT; i++) {
            values[i] = silu(residual[i] + values[i]);
        }
    });
}
