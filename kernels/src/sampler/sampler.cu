// Noise, guidance and steps of the sampler.
#pragma once

// Philox4x32-10 (Salmon et al., SC 2011): four words from a counter of four and a key of two.
DEVICE void philox(unsigned (&counter)[4], unsigned low, unsigned high) {
    for (int round = 0; round < 10; round++) {
        unsigned long long p = 0xD2511F53ull * counter[0], q = 0xCD9E8D57ull * counter[2];
        counter[0] = (unsigned)(q >> 32) ^ counter[1] ^ low;
        counter[1] = (unsigned)q;
        counter[2] = (unsigned)(p >> 32) ^ counter[3] ^ high;
        counter[3] = (unsigned)p;
        low += 0x9E3779B9u;
        high += 0xBB67AE85u;
    }
}

// Two words become two normal numbers (Box and Muller), in f64.
DEVICE void normal_pair(unsigned a, unsigned b, float& first, float& second) {
    double u = ((double)a + 0.5) / 4294967296.0, v = ((double)b + 0.5) / 4294967296.0;
    double radius = sqrt(-2.0 * log(u)), angle = 6.283185307179586 * v;
    first = (float)(radius * cos(angle));
    second = (float)(radius * sin(angle));
}

// Element i comes from block i / 4 of the stream; a thread makes these four.
template <class K> DEVICE void normal(const typename K::Part& part, int block) {
    long long group = (long long)block * K::threads + thread_index(), count = part.y.elements();
    if (4 * group >= count) {
        return;
    }
    unsigned words[4] = {(unsigned)group, (unsigned)(group >> 32), (unsigned)K::normal::stream, 0};
    philox(words, (unsigned)part.seed.data[0], (unsigned)part.seed.data[1]);
    float made[4];
    normal_pair(words[0], words[1], made[0], made[1]);
    normal_pair(words[2], words[3], made[2], made[3]);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        long long at = 4 * group + i;
        if (at < count) {
            put(part.y.row(at / K::y_width) + at % K::y_width, made[i]);
        }
    }
}

template <class K> DEVICE void mix(const typename K::Part& part, int block) {
    float scale = real(part.scale.data[0]);
    zip<K::threads>(part.start, part.noise, part.y, block,
                    [=](float start, float noise) { return start + (noise - start) * scale; });
}

template <class K> DEVICE void denoised(const typename K::Part& part, int block) {
    float sigma = real(part.sigma.data[0]);
    zip<K::threads>(part.x, part.velocity, part.y, block,
                    [=](float x, float velocity) { return x - velocity * sigma; });
}

// What a token's class has.
template <class T, class C> DEVICE float of_class(const T& column, const C& class_, long long row) {
    return real(column.row(class_.data[row])[0]);
}

// values·mask + clean·(1 − mask), where `Rest` says what 1 − mask is.
template <class Rest, class T>
DEVICE void hold(float (&values)[UNIT], const T& clean, float mask, long long row, int column, int count) {
    float given[UNIT], rest = mask * Rest::scale + Rest::offset;
    load(given, clean.row(row) + column, count);
#pragma unroll
    for (int i = 0; i < UNIT; i++) {
        values[i] = values[i] * mask + given[i] * rest;
    }
}

// Writes `finish(x0, row, column, count)` of what one pass predicts.
template <class K, class F> DEVICE void over_denoised(const typename K::Part& part, int block, F finish) {
    unit_of<K::y_width, K::threads>(part.y.rows(), block, [&](long long row, int column, int count) {
        float x[UNIT], velocity[UNIT], timestep = of_class(part.timesteps, part.class_, row);
        load(x, part.x.row(row) + column, count);
        load(velocity, part.velocity.row(row) + column, count);
#pragma unroll
        for (int i = 0; i < UNIT; i++) {
            x[i] -= velocity[i] * timestep;
        }
        finish(x, row, column, count);
        store(part.y.row(row) + column, x, count);
    });
}

template <class K> DEVICE void denoised_classes(const typename K::Part& part, int block) {
    over_denoised<K>(part, block, [](float (&)[UNIT], long long, int, int) {});
}

template <class K> DEVICE void denoised_classes_held(const typename K::Part& part, int block) {
    over_denoised<K>(part, block, [&](float (&x0)[UNIT], long long row, int column, int count) {
        float mask = of_class(part.mask, part.class_, row);
        hold<typename K::affine>(x0, part.clean, mask, row, column, count);
    });
}

// What brings a guided prediction's deviation towards that of the conditional one.
template <class K, class Ratio, class Factor> DEVICE float rescaling(const typename K::Part& part) {
    float ratio = real(part.cond_deviation.data[0]) / real(part.deviation.data[0]);
    ratio = ratio * Ratio::scale + Ratio::offset;
    return ratio * real(part.rescale.data[0]) * Factor::scale + Factor::offset;
}

// Writes `finish(x0, row, column, count)` of elements times `factor`.
template <class K, class X, class F>
DEVICE void over_scaled(const typename K::Part& part, const X& x, float factor, int block, F finish) {
    unit_of<K::y_width, K::threads>(part.y.rows(), block, [&](long long row, int column, int count) {
        float values[UNIT];
        load(values, x.row(row) + column, count);
#pragma unroll
        for (int i = 0; i < UNIT; i++) {
            values[i] *= factor;
        }
        finish(values, row, column, count);
        store(part.y.row(row) + column, values, count);
    });
}

template <class K> DEVICE void rescaled(const typename K::Part& part, int block) {
    float factor = rescaling<K, typename K::affine, typename K::affine_2>(part);
    over_scaled<K>(part, part.guided, factor, block, [](float (&)[UNIT], long long, int, int) {});
}

template <class K> DEVICE void rescaled_held(const typename K::Part& part, int block) {
    float factor = rescaling<K, typename K::affine, typename K::affine_2>(part);
    over_scaled<K>(part, part.guided, factor, block, [&](float (&x0)[UNIT], long long row, int column, int count) {
        float mask = of_class(part.mask, part.class_, row);
        hold<typename K::affine_3>(x0, part.clean, mask, row, column, count);
    });
}

template <class K> DEVICE void held(const typename K::Part& part, int block) {
    over_scaled<K>(part, part.x, 1.0f, block, [&](float (&x)[UNIT], long long row, int column, int count) {
        float mask = of_class(part.mask, part.class_, row);
        hold<typename K::affine>(x, part.clean, mask, row, column, count);
    });
}

template <class K> DEVICE void guide(const typename K::Part& part, int block) {
    float scale = real(part.scale.data[0]) * K::affine::scale + K::affine::offset;
    unit_of<K::y_width, K::threads>(part.y.rows(), block, [&](long long row, int column, int count) {
        float guided[UNIT], cond[UNIT], other[UNIT];
        load(guided, part.guided.row(row) + column, count);
        load(cond, part.cond.row(row) + column, count);
        load(other, part.other.row(row) + column, count);
#pragma unroll
        for (int i = 0; i < UNIT; i++) {
            guided[i] += (cond[i] - other[i]) * scale;
        }
        store(part.y.row(row) + column, guided, count);
    });
}

// Mean and deviation of all elements, as one block goes over them twice; of rows that are seen. `sees(row)` says which.
template <class K, class Sees>
DEVICE void spread(const typename K::Part& part, Sees sees, float& mean, float& deviation) {
    Columns<K::x_width, K::threads, decltype(part.x)> all{part.x, 0};
    double* scratch = (double*)shared_memory();
    // Of a thread's elements: their number, which is exact, and a sum.
    auto sum = [&](auto f) {
        float total = 0.0f;
        all.each([&](long long row, int column, int count) {
            if (sees(row)) {
                float values[UNIT];
                load(values, part.x.row(row) + column, count);
                total += sum_of(values, count, f);
            }
        });
        return block_sum<K::threads>(total, scratch);
    };
    float rows = 0.0f;
    for (long long row = thread_index(); row < part.x.rows(); row += K::threads) {
        rows += sees(row) ? 1.0f : 0.0f;
    }
    double elements = block_sum<K::threads>(rows, scratch) * K::x_width;
    mean = 0.0f;
    deviation = 0.0f;
    if (elements < 2.0) {
        return;
    }
    mean = (float)(sum([](float x) { return x; }) / elements);
    double squares = sum([&](float x) { return (x - mean) * (x - mean); });
    deviation = (float)sqrt(squares / (elements - 1.0));
}

struct EveryRow {
    DEVICE bool operator()(long long) const {
        return true;
    }
};

template <class V> struct VisibleRows {
    const V& visible;

    DEVICE bool operator()(long long row) const {
        return real(visible.data[row]) > 0.5f;
    }
};

template <class K, class Sees> DEVICE void deviation_of(const typename K::Part& part, Sees sees) {
    float mean, deviation;
    spread<K>(part, sees, mean, deviation);
    if (thread_index() == 0) {
        put(part.y.row(0), deviation);
    }
}

template <class K> DEVICE void deviation(const typename K::Part& part, int) {
    deviation_of<K>(part, EveryRow());
}

template <class K> DEVICE void deviation_visible(const typename K::Part& part, int) {
    deviation_of<K>(part, VisibleRows<decltype(part.visible)>{part.visible});
}

// A result may lie over x: every thread writes what it has read itself, when all have read.
template <class K, class Sees> DEVICE void standard(const typename K::Part& part, Sees sees) {
    float mean, deviation;
    spread<K>(part, sees, mean, deviation);
    Columns<K::x_width, K::threads, decltype(part.x)> all{part.x, 0};
    all.each([&](long long row, int column, int count) {
        float values[UNIT];
        load(values, part.x.row(row) + column, count);
#pragma unroll
        for (int i = 0; i < UNIT; i++) {
            values[i] = deviation == 0.0f ? 0.0f : (values[i] - mean) / deviation;
        }
        store(part.y.row(row) + column, values, count);
    });
}

template <class K> DEVICE void standardize(const typename K::Part& part, int) {
    standard<K>(part, EveryRow());
}

template <class K> DEVICE void standardize_visible(const typename K::Part& part, int) {
    standard<K>(part, VisibleRows<decltype(part.visible)>{part.visible});
}

// A term of a sum: elements and what they are multiplied by.
template <class V> struct Term {
    const V& values;
    float coefficient;

    DEVICE void start(float (&sum)[UNIT], long long row, int column, int count) const {
        load(sum, values.row(row) + column, count);
#pragma unroll
        for (int i = 0; i < UNIT; i++) {
            sum[i] *= coefficient;
        }
    }

    DEVICE void add(float (&sum)[UNIT], long long row, int column, int count) const {
        float product[UNIT];
        start(product, row, column, count);
#pragma unroll
        for (int i = 0; i < UNIT; i++) {
            sum[i] += product[i];
        }
    }
};

template <class V, class C> DEVICE Term<V> term(const V& values, const C& coefficient) {
    return {values, real(coefficient.data[0])};
}

template <class K, class First, class... Others>
DEVICE void combine(const typename K::Part& part, int block, First first, Others... others) {
    unit_of<K::sum_width, K::threads>(part.sum.rows(), block, [&](long long row, int column, int count) {
        float sum[UNIT];
        first.start(sum, row, column, count);
        (others.add(sum, row, column, count), ...);
        store(part.sum.row(row) + column, sum, count);
    });
}

template <class K> DEVICE void combine_2(const typename K::Part& part, int block) {
    combine<K>(part, block, term(part.x, part.of_x), term(part.a, part.of_a));
}

template <class K> DEVICE void combine_3(const typename K::Part& part, int block) {
    combine<K>(part, block, term(part.x, part.of_x), term(part.a, part.of_a), term(part.b, part.of_b));
}

template <class K> DEVICE void combine_4(const typename K::Part& part, int block) {
    combine<K>(part, block, term(part.x, part.of_x), term(part.a, part.of_a), term(part.b, part.of_b),
               term(part.c, part.of_c));
}

template <class K> DEVICE void combine_5(const typename K::Part& part, int block) {
    combine<K>(part, block, term(part.x, part.of_x), term(part.a, part.of_a), term(part.b, part.of_b),
               term(part.c, part.of_c), term(part.d, part.of_d));
}
