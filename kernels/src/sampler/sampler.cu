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

// Where the latent `x` goes in a step that takes it for `x0` and noise.
DEVICE float step(float x, float x0, float sigma, float d_sigma) {
    return x + (x - x0) / sigma * d_sigma;
}

template <class K> DEVICE void euler_step(const typename K::Part& part, int block) {
    float sigma = real(part.sigma.data[0]), d_sigma = real(part.d_sigma.data[0]);
    zip<K::threads>(part.x, part.velocity, part.y, block, [=](float x, float velocity) {
        return step(x, x - velocity * sigma, sigma, d_sigma);
    });
}

template <class K> DEVICE void denoised(const typename K::Part& part, int block) {
    float sigma = real(part.sigma.data[0]);
    zip<K::threads>(part.x, part.velocity, part.y, block,
                    [=](float x, float velocity) { return x - velocity * sigma; });
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

// One block for all elements, which goes over them twice.
template <class K> DEVICE void deviation(const typename K::Part& part, int) {
    Columns<K::x_width, K::threads, decltype(part.x)> all{part.x, 0};
    float mean = (float)(all.sum([](float x) { return x; }) / all.elements());
    double squares = all.sum([&](float x) { return (x - mean) * (x - mean); });
    if (thread_index() == 0) {
        put(part.y.row(0), (float)sqrt(squares / (all.elements() - 1.0)));
    }
}

template <class K> DEVICE void guided_euler_step(const typename K::Part& part, int block) {
    float sigma = real(part.sigma.data[0]), d_sigma = real(part.d_sigma.data[0]);
    float ratio = real(part.cond_deviation.data[0]) / real(part.deviation.data[0]);
    ratio = ratio * K::affine::scale + K::affine::offset;
    float factor = ratio * real(part.rescale.data[0]) * K::affine_2::scale + K::affine_2::offset;
    zip<K::threads>(part.x, part.guided, part.y, block, [=](float x, float guided) {
        return step(x, guided * factor, sigma, d_sigma);
    });
}
