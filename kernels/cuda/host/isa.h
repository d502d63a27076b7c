// The instructions of isa.cuh on a CPU. What a warp does together is computed by the last lane to arrive.
//
// isa.cpp has what a warp does; kernels see how a lane takes part.
//
// Not modelled: the order in which memory becomes visible without a barrier inside a warp, conflicts of banks, limits
// of registers, the order of sums inside a tensor core.
#pragma once

#include "block.h"

using std::exp;
using std::log;

DEVICE int thread_index() {
    return emulation::block->current().index;
}

DEVICE int block_index() {
    return emulation::block->index;
}

DEVICE void block_barrier() {
    emulation::block->barrier();
}

DEVICE unsigned char* shared_memory() {
    return emulation::block->shared();
}

namespace emulation {

// The value of the lane `from`.
float exchange(float value, int from);

// N times `to`, of rows that the lane names.
void load_matrices(unsigned (*to)[4], const void* const* rows, int count);

// Sums are rows of `across`; of `down` times a, `pairs` times b, and sums from column `first` on.
void multiply_all(float (*sums)[4], const unsigned (*a)[4], const unsigned (*b)[4], int down, int across, int first,
                  int pairs);

// Of one row of sums, and as many rows of b as it has pairs.
void multiply_loaded(float (*sums)[4], const unsigned (&a)[4], const void* const* rows, int across, bool transposed);

void copy_async(void* shared, const void* global, int bytes);
void copy_async_commit();
// Until all but the last groups have arrived.
void copy_async_wait(int groups);

inline float half_of(unsigned pair, int upper) {
    uint32_t bits = upper ? pair & 0xFFFF0000u : pair << 16;
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

}  // namespace emulation

DEVICE float shuffle_xor(float value, int mask) {
    return emulation::exchange(value, thread_index() % emulation::LANES ^ mask);
}

DEVICE float shuffle_from(float value, int lane) {
    return emulation::exchange(value, lane);
}

DEVICE void copy_async(void* shared, const void* global, int bytes) {
    emulation::copy_async(shared, global, bytes);
}

DEVICE void copy_async_commit() {
    emulation::copy_async_commit();
}

template <int N> DEVICE void copy_async_wait() {
    emulation::copy_async_wait(N);
}

DEVICE void load_matrix(unsigned (&to)[4], const void* row) {
    emulation::load_matrices(&to, &row, 1);
}

template <int N, class Row> DEVICE void load_matrices(unsigned (&to)[N][4], Row row) {
    const void* rows[N];
    for (int i = 0; i < N; i++) {
        rows[i] = row(i);
    }
    emulation::load_matrices(to, rows, N);
}

template <int DOWN, int ACROSS, int PAIRS>
DEVICE void multiply_all(float (&sums)[DOWN][ACROSS][4], int first, const unsigned (&a)[DOWN][4],
                         const unsigned (&b)[PAIRS][4]) {
    emulation::multiply_all(sums[0], a, b, DOWN, ACROSS, first, PAIRS);
}

template <bool TRANSPOSED, int ACROSS, class Row>
DEVICE void multiply_loaded(float (&sums)[ACROSS][4], const unsigned (&a)[4], Row row) {
    const void* rows[ACROSS / 2];
    for (int j = 0; j < ACROSS; j += 2) {
        rows[j / 2] = row(j);
    }
    emulation::multiply_loaded(sums, a, rows, ACROSS, TRANSPOSED);
}

DEVICE float widen(bf16 x) {
    return emulation::half_of(x.bits, 0);
}

DEVICE float widen(f16 x) {
    int exponent = x.bits >> 10 & 31, fraction = x.bits & 1023;
    if (exponent == 31) {
        emulation::block->fail("widen: thread %d has an f16 that is not finite", thread_index());
    }
    float size = exponent == 0 ? std::ldexp((float)fraction, -24) : std::ldexp((float)(1024 + fraction), exponent - 25);
    return x.bits >> 15 ? -size : size;
}

DEVICE bf16 narrow(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if (x != x) {
        return {0x7FFF};
    }
    return {static_cast<unsigned short>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)};
}

DEVICE unsigned narrow_pair(float low, float high) {
    return narrow(low).bits | static_cast<unsigned>(narrow(high).bits) << 16;
}

DEVICE float exp2_fast(float x) {
    return exp2f(x);
}

DEVICE float divide_fast(float x, float y) {
    return fabsf(y) > 0x1p126f && !std::isinf(y) ? 0.0f : x / y;
}

DEVICE float larger(float x, float y) {
    return fmaxf(x, y);
}

DEVICE float multiply_add(float x, float y, float z) {
    return fmaf(x, y, z);
}
