// Filters along time, per channel: a thread for every sample and channel, channels next to each other.
#pragma once

// The square has period π: x = n·π + r, π in three parts of which the first two have few bits, and sin r a polynomial.
DEVICE float sin_squared(float x) {
    float n = rintf(x * 0.318309886f);
    float r = multiply_add(n, -1.509958e-7f, multiply_add(n, -9.675026e-4f, multiply_add(n, -3.140625f, x)));
    float q = r * r, p = 1.0f / 6227020800.0f;
    p = multiply_add(q, p, -1.0f / 39916800.0f);
    p = multiply_add(q, p, 1.0f / 362880.0f);
    p = multiply_add(q, p, -1.0f / 5040.0f);
    p = multiply_add(q, p, 1.0f / 120.0f);
    p = multiply_add(q, p, -1.0f / 6.0f);
    float s = multiply_add(q * r, p, r);
    return s * s;
}

DEVICE float snaked(float x, float alpha, float beta) {
    return multiply_add(sin_squared(x * expf(alpha)), 1.0f / (expf(beta) + 1e-9f), x);
}

DEVICE long long limited(long long x, long long last) {
    return x < 0 ? 0 : x > last ? last : x;
}

// Calls `f(sample, channel)` for the thread's element of y.
template <class K, class F> DEVICE void each_sample(const typename K::Part& part, int block, F f) {
    long long i = (long long)block * K::threads + thread_index();
    if (i < part.y.elements()) {
        put(part.y.row(i / K::y_width) + i % K::y_width, f(i / K::y_width, (int)(i % K::y_width)));
    }
}

// Sample `at` of the transposed convolution of x, its edges repeated `pad` times, times the ratio.
template <int RATIO, int PAD, int CROP, int TAPS, class X, class G>
DEVICE float raised(const X& x, const G& filter, long long at, int channel) {
    long long place = at + CROP, last = x.rows() - 1;
    float sum = 0.0f;
    for (int tap = (int)(place % RATIO); tap < TAPS; tap += RATIO) {
        long long from = (place - tap) / RATIO;
        // Outside the repeated edges there are zeros.
        if (place >= tap && from < last + 1 + 2 * PAD) {
            float weight = real(filter.data[tap]) * RATIO;
            sum = multiply_add(real(x.row(limited(from - PAD, last))[channel]), weight, sum);
        }
    }
    return sum;
}

template <class K> DEVICE void filter_up(const typename K::Part& part, int block) {
    using Up = typename K::filter_up;
    each_sample<K>(part, block, [&](long long sample, int channel) {
        return raised<Up::ratio, Up::pad, Up::crop_left, K::filter_width>(part.x, part.filter, sample, channel);
    });
}

template <class K> DEVICE void filter_down(const typename K::Part& part, int block) {
    using Down = typename K::filter_down;
    long long last = part.x.rows() - 1;
    each_sample<K>(part, block, [&](long long sample, int channel) {
        float sum = 0.0f;
        for (int tap = 0; tap < K::filter_width; tap++) {
            long long from = limited(sample * Down::stride + tap - Down::pad_left, last);
            sum = multiply_add(real(part.x.row(from)[channel]), real(part.filter.data[tap]), sum);
        }
        return sum;
    });
}

template <class K> DEVICE void snake(const typename K::Part& part, int block) {
    each_sample<K>(part, block, [&](long long sample, int channel) {
        return snaked(real(part.x.row(sample)[channel]), real(part.alpha.data[channel]),
                      real(part.beta.data[channel]));
    });
}

// The samples between the two filters are made anew by every thread that reads them: they take no memory.
template <class K> DEVICE void filtered_snake(const typename K::Part& part, int block) {
    using Up = typename K::filter_up;
    using Down = typename K::filter_down;
    long long last = part.x.rows() - 1;
    long long between = (last + 2 * Up::pad) * Up::ratio + K::up_width - Up::crop_left - Up::crop_right - 1;
    each_sample<K>(part, block, [&](long long sample, int channel) {
        float alpha = real(part.alpha.data[channel]), beta = real(part.beta.data[channel]), sum = 0.0f;
        for (int tap = 0; tap < K::down_width; tap++) {
            long long from = limited(sample * Down::stride + tap - Down::pad_left, between);
            float x = raised<Up::ratio, Up::pad, Up::crop_left, K::up_width>(part.x, part.up, from, channel);
            sum = multiply_add(snaked(x, alpha, beta), real(part.down.data[tap]), sum);
        }
        return sum;
    });
}
