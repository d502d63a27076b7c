// Norms over all positions and the channels of a group: a block for a group, which goes over it three times.
#pragma once

// The sums of warps meet in f64: a group has up to 1e8 elements, a thread's own sum a thousandth of them.
template <int THREADS> DEVICE double block_sum(float x, double* scratch) {
    x = warp_sum(x);
    if (thread_index() % 32 == 0) {
        scratch[thread_index() / 32] = x;
    }
    block_barrier();
    double total = 0.0;
    for (int warp = 0; warp < THREADS / 32; warp++) {
        total += scratch[warp];
    }
    block_barrier();
    return total;
}

template <class K, class F> DEVICE void normalized(const typename K::Part& part, int group, F finish) {
    constexpr int size = K::x_width / K::group_norm::groups, units = over(size, UNIT);
    double* scratch = (double*)shared_memory();
    long long rows = part.x.rows(), all = rows * units;
    auto each = [&](auto f) {
        for (long long unit = thread_index(); unit < all; unit += K::threads) {
            int in_group = (int)(unit % units) * UNIT;
            f(unit / units, group * size + in_group, at_most(UNIT, size - in_group));
        }
    };
    auto sum = [&](auto f) {
        float total = 0.0f;
        each([&](long long row, int column, int count) {
            float values[UNIT];
            load(values, part.x.row(row) + column, count);
            float some = 0.0f;
#pragma unroll
            for (int i = 0; i < UNIT; i++) {
                some += i < count ? f(values[i]) : 0.0f;
            }
            total += some;
        });
        return block_sum<K::threads>(total, scratch) / (double)(rows * size);
    };
    float mean = (float)sum([](float x) { return x; });
    double variance = sum([&](float x) { return (x - mean) * (x - mean); });
    double inverse = 1.0 / sqrt(variance + (double)K::group_norm::eps);
    each([&](long long row, int column, int count) {
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
