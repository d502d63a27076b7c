// Norms of rows, and what follows them.
#pragma once

// y = f(x·factor, row, column, i) where factor is the slice's 1/RMS; `f` changes a unit of numbers.
template <class K, class F> DEVICE void over_rms(const typename K::Part& part, int block, F f) {
    constexpr int slices = K::rms_norm::groups;
    Team<K::x_width / slices, K::threads> team(part.x.rows(), slices, block);
    float inverse = team.inverse_rms(part.x, K::rms_norm::eps);
    team.units([&](int column, int count) {
        float values[UNIT];
        load(values, part.x.row(team.row) + column, count);
#pragma unroll
        for (int i = 0; i < UNIT; i++) {
            values[i] *= inverse;
        }
        f(values, team.row, column, column - team.first, count);
        store(part.y.row(team.row) + column, values, count);
    });
}

// As over_rms, for (x − mean)/sqrt(variance + eps).
template <class K, class F> DEVICE void standardized(const typename K::Part& part, int block, F f) {
    constexpr int width = K::x_width;
    Team<width, K::threads> team(part.x.rows(), 1, block);
    float mean = team.sum(part.x, [](float x) { return x; }) / width;
    float variance = team.sum(part.x, [&](float x) { return (x - mean) * (x - mean); }) / width;
    float inverse = 1.0f / sqrtf(variance + K::layer_norm::eps);
    team.units([&](int column, int count) {
        float values[UNIT];
        load(values, part.x.row(team.row) + column, count);
#pragma unroll
        for (int i = 0; i < UNIT; i++) {
            values[i] = (values[i] - mean) * inverse;
        }
        f(values, team.row, column, count);
        store(part.y.row(team.row) + column, values, count);
    });
}

// values·(scale·factor + offset) + shift, the rows `from` of scale and shift.
template <class K>
DEVICE void modulated(const typename K::Part& part, float (&values)[UNIT], long long from, int column, int count) {
    float scale[UNIT], shift[UNIT];
    load(scale, part.scale.row(from) + column, count);
    load(shift, part.shift.row(from) + column, count);
#pragma unroll
    for (int i = 0; i < UNIT; i++) {
        values[i] = values[i] * (scale[i] * K::affine::scale + K::affine::offset) + shift[i];
    }
}

template <class K>
DEVICE void weighted(const typename K::Part& part, float (&values)[UNIT], int column, int count) {
    float weight[UNIT];
    load(weight, part.weight.data + column, count);
#pragma unroll
    for (int i = 0; i < UNIT; i++) {
        values[i] *= weight[i] + K::rms_norm::offset;
    }
}

template <class K> DEVICE void rms_norm(const typename K::Part& part, int block) {
    over_rms<K>(part, block, [](float (&)[UNIT], long long, int, int, int) {});
}

template <class K> DEVICE void rms_norm_weight(const typename K::Part& part, int block) {
    over_rms<K>(part, block, [&](float (&values)[UNIT], long long, int, int in_slice, int count) {
        weighted<K>(part, values, in_slice, count);
    });
}

template <class K> DEVICE void rms_norm_weight_residual(const typename K::Part& part, int block) {
    over_rms<K>(part, block, [&](float (&values)[UNIT], long long row, int column, int in_slice, int count) {
        float residual[UNIT];
        weighted<K>(part, values, in_slice, count);
        load(residual, part.residual.row(row) + column, count);
#pragma unroll
        for (int i = 0; i < UNIT; i++) {
            values[i] += residual[i];
        }
    });
}

template <class K> DEVICE void rms_norm_modulate(const typename K::Part& part, int block) {
    over_rms<K>(part, block, [&](float (&values)[UNIT], long long row, int column, int, int count) {
        modulated<K>(part, values, part.class_.data[row], column, count);
    });
}

template <class K> DEVICE void layer_norm(const typename K::Part& part, int block) {
    standardized<K>(part, block, [](float (&)[UNIT], long long, int, int) {});
}

template <class K> DEVICE void layer_norm_affine(const typename K::Part& part, int block) {
    standardized<K>(part, block, [&](float (&values)[UNIT], long long, int column, int count) {
        float weight[UNIT], bias[UNIT];
        load(weight, part.weight.data + column, count);
        load(bias, part.bias.data + column, count);
#pragma unroll
        for (int i = 0; i < UNIT; i++) {
            values[i] = values[i] * weight[i] + bias[i];
        }
    });
}

template <class K> DEVICE void layer_norm_modulate(const typename K::Part& part, int block) {
    standardized<K>(part, block, [&](float (&values)[UNIT], long long row, int column, int count) {
        modulated<K>(part, values, part.class_.data[row], column, count);
    });
}

template <class K> DEVICE void modulate(const typename K::Part& part, int block) {
    unit_of<K::y_width, K::threads>(part.y.rows(), block, [&](long long row, int column, int count) {
        float values[UNIT];
        load(values, part.x.row(row) + column, count);
        modulated<K>(part, values, 0, column, count);
        store(part.y.row(row) + column, values, count);
    });
}
