// The instructions of isa.cuh on a CPU. What a warp does together is computed by the last lane to arrive.
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

inline Lane& lane() {
    return block->warp().lanes[thread_index() % LANES];
}

// Gives every lane the value of the lane that it names.
UNSEEN inline void exchange_together(Warp& warp) {
    for (Lane& lane : warp.lanes) {
        *static_cast<float*>(lane.out) = *static_cast<const float*>(warp.lanes[lane.number % LANES].in[0]);
    }
}

inline float exchange(float value, int from) {
    float result = 0.0f;
    lane() = Lane{{&value}, &result, from};
    Warp& warp = block->warp();
    block->meet_warp("shuffle", [&warp] { exchange_together(warp); });
    return result;
}

inline void arrive(std::vector<Copy>& copies) {
    for (const Copy& copy : copies) {
        memset(copy.to, 0, 16);
        memcpy(copy.to, copy.from, copy.bytes);
    }
}

inline void load_matrices(unsigned (&to)[4], const void* row, bool transposed) {
    if (reinterpret_cast<uintptr_t>(row) % 16 != 0) {
        block->fail("load_matrix: the row of thread %d is not aligned", thread_index());
    }
    touch(row, 16);
    lane() = Lane{{row}, to, 0};
    Warp& warp = block->warp();
    block->meet_warp(transposed ? "load_matrix_transposed" : "load_matrix", [&warp, transposed] {
        for (int matrix = 0; matrix < 4; matrix++) {
            uint16_t rows[8][8];
            for (int i = 0; i < 8; i++) {
                memcpy(rows[i], warp.lanes[matrix * 8 + i].in[0], 16);
            }
            for (int l = 0; l < LANES; l++) {
                int a = l / 4, b = l % 4 * 2;
                unsigned low = transposed ? rows[b][a] : rows[a][b];
                unsigned high = transposed ? rows[b + 1][a] : rows[a][b + 1];
                static_cast<unsigned*>(warp.lanes[l].out)[matrix] = low | high << 16;
            }
        }
    });
}

inline float half_of(unsigned pair, int upper) {
    uint32_t bits = upper ? pair & 0xFFFF0000u : pair << 16;
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

// Eight columns of a matrix.
typedef float Columns __attribute__((vector_size(32)));

// Adds the product of the lanes' 16 x 16 and 16 x 8 numbers to their sums.
inline void multiply_together(Warp& warp) {
    float left[16][16];
    Columns right[16], sums[16];
    auto each_sum = [&](auto f) {
        for (int l = 0; l < LANES; l++) {
            float* sum = static_cast<float*>(warp.lanes[l].out);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                f(sum[i], l / 4 + i / 2 * 8, l % 4 * 2 + i % 2);
            }
        }
    };
    for (int l = 0; l < LANES; l++) {
        const unsigned* a = static_cast<const unsigned*>(warp.lanes[l].in[0]);
        const unsigned* b = static_cast<const unsigned*>(warp.lanes[l].in[1]);
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            left[l / 4 + (i / 2 % 2) * 8][l % 4 * 2 + i / 4 * 8 + i % 2] = half_of(a[i / 2], i % 2);
        }
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            right[l % 4 * 2 + i / 2 * 8 + i % 2][l / 4] = half_of(b[i / 2], i % 2);
        }
    }
    each_sum([&](float& sum, int row, int column) { sums[row][column] = sum; });
    for (int row = 0; row < 16; row++) {
        Columns sum = sums[row];
#pragma GCC unroll 16
        for (int k = 0; k < 16; k++) {
            sum += left[row][k] * right[k];
        }
        sums[row] = sum;
    }
    each_sum([&](float& sum, int row, int column) { sum = sums[row][column]; });
}

}  // namespace emulation

DEVICE float shuffle_xor(float value, int mask) {
    return emulation::exchange(value, thread_index() % emulation::LANES ^ mask);
}

DEVICE float shuffle_from(float value, int lane) {
    return emulation::exchange(value, lane);
}

// Lands at once, or only when a wait asks for it: a wait that is missing or too weak is seen in one case, memory that
// others still read in the other.
DEVICE void copy_async(void* shared, const void* global, int bytes) {
    bool aligned = (reinterpret_cast<uintptr_t>(shared) | reinterpret_cast<uintptr_t>(global)) % 16 == 0;
    if (!aligned || (bytes != 0 && bytes != 16)) {
        emulation::block->fail("copy_async of thread %d: not 16 aligned bytes", thread_index());
    }
    emulation::touch(global, bytes);
    emulation::touch(shared, 16);
    auto& copies = emulation::block->current().copies.back();
    copies.push_back({shared, global, bytes});
    if (emulation::block->eager()) {
        emulation::arrive(copies);
        copies.clear();
    }
}

DEVICE void copy_async_commit() {
    emulation::block->current().copies.emplace_back();
}

template <int N> DEVICE void copy_async_wait() {
    auto& copies = emulation::block->current().copies;
    while (copies.size() > N + 1) {
        emulation::arrive(copies.front());
        copies.pop_front();
    }
}

DEVICE void load_matrix(unsigned (&to)[4], const void* row) {
    emulation::load_matrices(to, row, false);
}

DEVICE void load_matrix_transposed(unsigned (&to)[4], const void* row) {
    emulation::load_matrices(to, row, true);
}

DEVICE void multiply(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    using namespace emulation;
    unsigned b[2] = {b0, b1};
    emulation::lane() = Lane{{a, b}, sum, 0};
    Warp& warp = emulation::block->warp();
    emulation::block->meet_warp("multiply", [&warp] { emulation::multiply_together(warp); });
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
