// Functions of elements: every thread takes a unit of one row.
#pragma once

// y = f(x), element by element.
template <class K, class F> DEVICE void map(const typename K::Part& part, int block, F f) {
    unit_of<K::y_width, K::threads>(part.y.rows(), block, [&](long long row, int column, int count) {
        float x[UNIT];
        load(x, part.x.row(row) + column, count);
#pragma unroll
        for (int i = 0; i < UNIT; i++) {
            x[i] = f(x[i]);
        }
        store(part.y.row(row) + column, x, count);
    });
}

// y = f(x, a, b) with a number of each of two lists for every channel.
template <int THREADS, class X, class A, class B, class Y, class F>
DEVICE void per_channel(const X& x, const A& a, const B& b, const Y& y, int block, F f) {
    unit_of<Y::width, THREADS>(y.rows(), block, [&](long long row, int column, int count) {
        float values[UNIT], first[UNIT], second[UNIT];
        load(values, x.row(row) + column, count);
        load(first, a.data + column, count);
        load(second, b.data + column, count);
#pragma unroll
        for (int i = 0; i < UNIT; i++) {
            values[i] = f(values[i], first[i], second[i]);
        }
        store(y.row(row) + column, values, count);
    });
}

template <class K> DEVICE void unary(const typename K::Part& part, int block) {
    map<K>(part, block, [](float x) { return apply<K::unary::f>(x); });
}

// The right operand may be one row, one column or one element.
template <class K> DEVICE void binary(const typename K::Part& part, int block) {
    bool one_row = part.y.rows() == 1;
    unit_of<K::z_width, K::threads>(part.z.rows(), block, [&](long long row, int column, int count) {
        float a[UNIT], b[UNIT];
        load(a, part.x.row(row) + column, count);
        const auto* y = part.y.row(one_row ? 0 : row);
        if constexpr (K::y_width == 1) {
#pragma unroll
            for (int i = 0; i < UNIT; i++) {
                b[i] = real(*y);
            }
        } else {
            load(b, y + column, count);
        }
#pragma unroll
        for (int i = 0; i < UNIT; i++) {
            a[i] = apply<K::binary::f>(a[i], b[i]);
        }
        store(part.z.row(row) + column, a, count);
    });
}

template <class K> DEVICE void outer_add(const typename K::Part& part, int block) {
    long long rows = part.y.rows();
    unit_of<K::z_width, K::threads>(part.z.rows(), block, [&](long long row, int column, int count) {
        float a[UNIT], b[UNIT];
        load(a, part.x.row(row / rows) + column, count);
        load(b, part.y.row(row % rows) + column, count);
#pragma unroll
        for (int i = 0; i < UNIT; i++) {
            a[i] += b[i];
        }
        store(part.z.row(row) + column, a, count);
    });
}

template <class K> DEVICE void affine(const typename K::Part& part, int block) {
    map<K>(part, block, [](float x) { return x * K::affine::scale + K::affine::offset; });
}

template <class K> DEVICE void clamped(const typename K::Part& part, int block) {
    map<K>(part, block, [](float x) { return clamp(x, K::clamp::lo, K::clamp::hi); });
}

template <class K> DEVICE void affine_clamp(const typename K::Part& part, int block) {
    map<K>(part, block, [](float x) {
        return clamp(x * K::affine::scale + K::affine::offset, K::clamp::lo, K::clamp::hi);
    });
}

template <class K> DEVICE void add_clamp(const typename K::Part& part, int block) {
    zip<K::threads>(part.x, part.y, part.z, block, [](float x, float y) {
        return clamp(x + y, K::clamp::lo, K::clamp::hi);
    });
}

template <class K> DEVICE void add_affine(const typename K::Part& part, int block) {
    zip<K::threads>(part.x, part.y, part.z, block, [](float x, float y) {
        return (x + y) * K::affine::scale + K::affine::offset;
    });
}

template <class K> DEVICE void cast(const typename K::Part& part, int block) {
    unit_of<K::y_width, K::threads>(part.y.rows(), block, [&](long long row, int column, int count) {
        move<UNIT>(part.y.row(row) + column, part.x.row(row) + column, count);
    });
}

template <class K> DEVICE void cast_ints(const typename K::Part& part, int block) {
    unit_of<K::y_width, K::threads>(part.y.rows(), block, [&](long long row, int column, int count) {
        float x[UNIT];
        load(x, part.x.row(row) + column, count);
        for (int i = 0; i < count; i++) {
            part.y.row(row)[column + i] = (int)x[i];
        }
    });
}

template <class K> DEVICE void denormalize(const typename K::Part& part, int block) {
    per_channel<K::threads>(part.x, part.std, part.mean, part.y, block,
                            [](float x, float std, float mean) { return x * std + mean; });
}

template <class K> DEVICE void normalize(const typename K::Part& part, int block) {
    per_channel<K::threads>(part.x, part.mean, part.std, part.y, block,
                            [](float x, float mean, float std) { return (x - mean) / std; });
}

template <class K> DEVICE void magnitude(const typename K::Part& part, int block) {
    zip<K::threads>(part.re, part.im, part.y, block,
                    [](float re, float im) { return sqrtf(re * re + im * im); });
}
