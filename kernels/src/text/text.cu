// Rows by number, masks, registers, and embeddings of timesteps.
#pragma once

// The row of the table for row `row` of the result: entries of the first axis are `inner` rows.
template <class K> DEVICE long long chosen_row(const typename K::Part& part, long long row) {
    long long inner = part.table.rows() / part.table.extent[0];
    return part.index.data[row / inner] * inner + row % inner;
}

template <class K> DEVICE void gather(const typename K::Part& part, int block) {
    unit_of<K::y_width, K::threads>(part.y.rows(), block, [&](long long row, int column, int count) {
        if constexpr (decltype(part.table)::rank == 1) {
            // Entries are single elements, and the whole result is one row.
            for (int i = column; i < column + count; i++) {
                set(part.y.data + i, part.table.data[part.index.data[i]]);
            }
        } else {
            move<UNIT>(part.y.row(row) + column, part.table.row(chosen_row<K>(part, row)) + column, count);
        }
    });
}

template <class K> DEVICE void gather_scale(const typename K::Part& part, int block) {
    float scale = real(part.scale.data[0]);
    unit_of<K::y_width, K::threads>(part.y.rows(), block, [&](long long row, int column, int count) {
        float values[UNIT];
        load(values, part.table.row(chosen_row<K>(part, row)) + column, count);
#pragma unroll
        for (int i = 0; i < UNIT; i++) {
            values[i] *= scale;
        }
        store(part.y.row(row) + column, values, count);
    });
}

// Zeros are selected: what a masked row holds may be no number.
template <class K> DEVICE void mask_rows(const typename K::Part& part, int block) {
    long long inner = part.x.rows() / K::mask_width;
    unit_of<K::y_width, K::threads>(part.y.rows(), block, [&](long long row, int column, int count) {
        float values[UNIT] = {};
        if (part.mask.data[row / inner] != 0) {
            load(values, part.x.row(row) + column, count);
        }
        store(part.y.row(row) + column, values, count);
    });
}

// A block makes a row. Every thread counts the valid rows of its stretch of the mask; the one in whose stretch the
// block's row lies finds it.
template <class K> DEVICE void place_registers(const typename K::Part& part, int block) {
    constexpr int n = K::mask_width, stretch = over(n, K::threads);
    int* counts = (int*)shared_memory();
    int* found = counts + K::threads;
    int thread = thread_index(), count = 0;
    for (int i = thread * stretch; i < at_most(n, (thread + 1) * stretch); i++) {
        count += part.mask.data[i] != 0;
    }
    counts[thread] = count;
    if (thread == 0) {
        *found = -1;
    }
    block_barrier();
    int before = 0;
    for (int i = 0; i < thread; i++) {
        before += counts[i];
    }
    if (before <= block && block < before + count) {
        for (int i = thread * stretch, valid = before; i < at_most(n, (thread + 1) * stretch); i++) {
            if (part.mask.data[i] != 0 && valid++ == block) {
                *found = i;
            }
        }
    }
    block_barrier();
    int from = *found;
    for (int column = thread * UNIT; column < K::y_width; column += K::threads * UNIT) {
        int units = at_most(UNIT, K::y_width - column);
        if (from >= 0) {
            move<UNIT>(part.y.row(block) + column, part.x.row(from) + column, units);
        } else {
            move<UNIT>(part.y.row(block) + column, part.registers.row(block % part.registers.rows()) + column, units);
        }
    }
}

// cos then sin of t·exp(−ln(10000)·i/half). Exponents, frequencies and angles are rounded to f32, functions are taken
// in f64: at t = 1000 the last bits of a frequency move the angle by 1e-5.
template <class K, class F> DEVICE void embed(const typename K::Part& part, int block, F time) {
    constexpr int half = K::sinusoid::half;
    constexpr float rate = -9.21034037197618f;
    long long i = (long long)block * K::threads + thread_index();
    long long row = i / half;
    int column = (int)(i % half);
    if (row < part.y.rows()) {
        float t = time(real(part.t.row(row / K::t_width)[row % K::t_width]));
        float frequency = (float)exp((double)(rate * (float)column / (float)half));
        double angle = (double)(t * frequency);
        put(part.y.row(row) + column, (float)cos(angle));
        put(part.y.row(row) + half + column, (float)sin(angle));
    }
}

template <class K> DEVICE void sinusoid(const typename K::Part& part, int block) {
    embed<K>(part, block, [](float t) { return t; });
}

template <class K> DEVICE void affine_sinusoid(const typename K::Part& part, int block) {
    embed<K>(part, block, [](float t) { return t * K::affine::scale + K::affine::offset; });
}
