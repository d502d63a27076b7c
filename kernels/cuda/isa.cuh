// The instructions that kernels use, each declared once, with what it does.
//
// Kernels are written in these functions and plain C++ and know no other way to a thread's number, to shared memory or
// to a neighbour's registers. Two backends define them: device.cuh as PTX, host/isa.h as an emulation on a CPU.
#pragma once

#if defined(ZOETROPE_EMULATED)
#define DEVICE inline
#else
#define DEVICE __device__ __forceinline__
#endif

// A number of 16 bits: the upper half of an f32.
struct bf16 {
    unsigned short bits;
};

// IEEE half precision.
struct f16 {
    unsigned short bits;
};

// The thread's number in its block, and the block's in the launch (both have one dimension).
DEVICE int thread_index();
DEVICE int block_index();

// Waits for all threads of the block (bar.sync); what they wrote to memory before is seen behind it.
DEVICE void block_barrier();

// The block's shared memory, aligned to 1024 bytes. Its first contents are not defined.
DEVICE unsigned char* shared_memory();

// The value of the lane whose number differs in the bits of `mask` (shfl.sync.bfly), of lane `lane` (shfl.sync.idx).
// All 32 lanes of a warp call it together.
DEVICE float shuffle_xor(float value, int mask);
DEVICE float shuffle_from(float value, int lane);

// An asynchronous copy of 16 bytes from global to shared memory, both aligned to 16 (cp.async.cg). Only the first
// `bytes` (0 or 16) are read, the rest becomes zeros.
DEVICE void copy_async(void* shared, const void* global, int bytes);

// Closes a group of copies (cp.async.commit_group); waits until all but the last N groups of this thread have arrived
// (cp.async.wait_group). Other threads' copies are seen behind a barrier only.
DEVICE void copy_async_commit();
template <int N> DEVICE void copy_async_wait();

// Four matrices of 8 rows of 16 bytes (ldmatrix.x4); lane l names row l % 8 of matrix l / 8. Of each matrix, lane l
// receives elements 2·(l % 4) and 2·(l % 4) + 1 of row l / 4.
DEVICE void load_matrix(unsigned (&to)[4], const void* row);

// N times load_matrix, of `row(0)`, `row(1)`.. in this order. On a CPU a warp meets once for what one call does.
template <int N, class Row> DEVICE void load_matrices(unsigned (&to)[N][4], Row row);

// sums[i][first + j] += a[i]·b[j] for all a and b, row by row: a [16, 16] and b [16, 8] of bf16, sums [16, 8] of f32
// (mma.sync.m16n8k16). Two matrices b are side by side in an element of `b`. Lane l holds
// of a: rows l/4 and l/4 + 8, columns 2·(l%4) + {0, 1} and 8 more, in the order (row, column) (0,0) (8,0) (0,8) (8,8);
// of b: column l/4, rows 2·(l%4) + {0, 1} and 8 more; of sums: rows l/4 and l/4 + 8, columns 2·(l%4) + {0, 1}.
template <int DOWN, int ACROSS, int PAIRS>
DEVICE void multiply_all(float (&sums)[DOWN][ACROSS][4], int first, const unsigned (&a)[DOWN][4],
                         const unsigned (&b)[PAIRS][4]);

// sums[j] += a·b[j], of which b[j] and b[j + 1] are loaded from `row(j)`, j even, just before they are wanted. A lane
// receives as by load_matrix; transposed, elements of column l / 4.
template <bool TRANSPOSED, int ACROSS, class Row>
DEVICE void multiply_loaded(float (&sums)[ACROSS][4], const unsigned (&a)[4], Row row);

// Conversions: bf16 and f16 to f32 are exact, the other way rounds to nearest even; a pair has `low` in the lower half.
DEVICE float widen(bf16 x);
DEVICE float widen(f16 x);
DEVICE bf16 narrow(float x);
DEVICE unsigned narrow_pair(float low, float high);

// 2^x within two units in the last place; 0 for −∞ (ex2.approx.ftz).
DEVICE float exp2_fast(float x);

// x / y within two units in the last place (div.full).
DEVICE float divide_fast(float x, float y);

// The larger one of two numbers; where one is no number, the other.
DEVICE float larger(float x, float y);

// x·y + z, rounded once. Nothing else is contracted.
DEVICE float multiply_add(float x, float y, float z);

#if defined(ZOETROPE_EMULATED)
#include "host/isa.h"
#else
#include "device.cuh"
#endif
