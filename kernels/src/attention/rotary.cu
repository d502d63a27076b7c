// Rotary positions, alone and behind a norm, and gates of heads.
#pragma once

// Rotates the pairs j .. j + count of a head (pair j is elements j and j + half): `front` pairs before all others are
// left as they are, after that pair p of the flattened ones takes frequency p / axes of axis p % axes.
template <class K>
DEVICE void rotate(const typename K::Part& part, long long row, int head, int j, int count, float (&u)[UNIT],
                   float (&v)[UNIT]) {
    constexpr int half = K::x_width / (2 * K::rope::heads);
    constexpr int pairs = K::rope::shared ? half : K::x_width / 2;
    constexpr int axes = K::index_width;
    constexpr int front = pairs - axes * K::cos_width;
    const int* index = part.index.row(row);
#pragma unroll
    for (int i = 0; i < UNIT; i++) {
        int pair = (K::rope::shared ? 0 : head * half) + j + i - front;
        if (i < count && pair >= 0) {
            long long place = index[pair % axes];
            float c = real(part.cos.row(place)[pair / axes]);
            float s = real(part.sin.row(place)[pair / axes]);
            float rotated = u[i] * c - v[i] * s;
            v[i] = v[i] * c + u[i] * s;
            u[i] = rotated;
        }
    }
}

// Units of pairs of a head.
template <class K> constexpr int HALF = K::x_width / (2 * K::rope::heads);
template <class K> constexpr int PAIR_UNITS = over(HALF<K>, UNIT);

template <class K> DEVICE void rope(const typename K::Part& part, int block) {
    long long unit = (long long)block * K::threads + thread_index();
    constexpr int per_row = PAIR_UNITS<K> * K::rope::heads;
    long long row = unit / per_row;
    int head = (int)(unit % per_row) / PAIR_UNITS<K>;
    int j = (int)(unit % PAIR_UNITS<K>) * UNIT;
    if (row >= part.x.rows()) {
        return;
    }
    int count = at_most(UNIT, HALF<K> - j);
    int column = head * 2 * HALF<K> + j;
    float u[UNIT], v[UNIT];
    load(u, part.x.row(row) + column, count);
    load(v, part.x.row(row) + column + HALF<K>, count);
    rotate<K>(part, row, head, j, count, u, v);
    store(part.y.row(row) + column, u, count);
    store(part.y.row(row) + column + HALF<K>, v, count);
}

// A slice of the norm holds whole heads. A result over x is written by other threads than those that read x for the
// statistics; the team has met in between.
template <class K> DEVICE void rms_norm_rope(const typename K::Part& part, int block) {
    constexpr int slices = K::rms_norm::groups;
    constexpr int slice = K::x_width / slices;
    constexpr int head_width = 2 * HALF<K>;
    static_assert(slice % head_width == 0, "a slice of the norm holds whole heads");
    Team<slice, K::threads> team(part.x.rows(), slices, block);
    float inverse = team.inverse_rms(part.x, K::rms_norm::eps);
    if (!team.active) {
        return;
    }
    for (int unit = team.thread; unit < slice / head_width * PAIR_UNITS<K>; unit += team.size) {
        int j = unit % PAIR_UNITS<K> * UNIT, count = at_most(UNIT, HALF<K> - j);
        int in_slice = unit / PAIR_UNITS<K> * head_width + j;
        int column = team.first + in_slice;
        float u[UNIT], v[UNIT], a[UNIT], b[UNIT];
        load(u, part.x.row(team.row) + column, count);
        load(v, part.x.row(team.row) + column + HALF<K>, count);
        load(a, part.weight.data + in_slice, count);
        load(b, part.weight.data + in_slice + HALF<K>, count);
#pragma unroll
        for (int i = 0; i < UNIT; i++) {
            u[i] = u[i] * inverse * (a[i] + K::rms_norm::offset);
            v[i] = v[i] * inverse * (b[i] + K::rms_norm::offset);
        }
        rotate<K>(part, team.row, column / head_width, j, count, u, v);
        store(part.y.row(team.row) + column, u, count);
        store(part.y.row(team.row) + column + HALF<K>, v, count);
    }
}

template <class K> DEVICE void head_gate(const typename K::Part& part, int block) {
    constexpr int head_width = K::x_width / K::head_scale::heads;
    unit_of<K::y_width, K::threads>(part.y.rows(), block, [&](long long row, int column, int count) {
        float values[UNIT];
        load(values, part.x.row(row) + column, count);
        const auto* logits = part.logits.row(row);
#pragma unroll
        for (int i = 0; i < UNIT; i++) {
            if (i < count) {
                float gate = sigmoid(real(logits[(column + i) / head_width]));
                values[i] *= gate * K::affine::scale + K::affine::offset;
            }
        }
        store(part.y.row(row) + column, values, count);
    });
}
