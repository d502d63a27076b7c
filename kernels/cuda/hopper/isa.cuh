// The instructions that kernels for Hopper (sm_90a) use beside those of isa.cuh, each declared once.
//
// What they have in common: they are asynchronous. A copy or a product is started, and what it makes may be looked at,
// or what it reads may be overwritten, only behind the wait that belongs to it. Two backends define them:
// hopper/device.cuh as PTX, host/hopper.h as an emulation on a CPU.
#pragma once

constexpr int WARPGROUP = 128;

// Warps 4·i to 4·i + 3 are warpgroup i. The number of the thread's own, known to be the same in a whole warp.
DEVICE int warpgroup_index();

// A barrier in shared memory. It is in a phase, which is over when all arrivals and all announced bytes are there; then
// the next one begins, for the same number of arrivals. Phases are told apart by their parity: 0, 1, 0..
struct alignas(8) Mbarrier {
    unsigned long long state;
};

// One thread prepares a barrier for `arrivals` arrivals a phase (mbarrier.init); the fence behind all of them makes them
// known to the other threads, which still have to meet in a barrier of the block, and to copies.
DEVICE void mbarrier_init(Mbarrier* barrier, int arrivals);
DEVICE void mbarrier_init_fence();

// An arrival; with `expect`, after `bytes` of asynchronous copies have been announced for this phase.
DEVICE void mbarrier_arrive(Mbarrier* barrier);
DEVICE void mbarrier_expect(Mbarrier* barrier, int bytes);

// Waits until the phase of parity `parity` is over (mbarrier.try_wait.parity). A new barrier is in phase 0, and the one
// before it, of parity 1, counts as over.
DEVICE void mbarrier_wait(Mbarrier* barrier, unsigned parity);

// Copies a box of an operand to shared memory (cp.async.bulk.tensor), from a column and a row on; what lies outside of
// the operand becomes zeros. The bytes of the whole box count at `barrier`. Rows of a box are 128 bytes; their 16-byte
// pieces lie swizzled: bits 4 to 6 of an address are exchanged for themselves xor bits 7 to 9. One thread calls it.
DEVICE void copy_box(void* shared, const TensorMap& map, Mbarrier* barrier, int column, int row);

// Brings a tensor map close before it is needed.
DEVICE void prefetch_map(const TensorMap& map);

// Where an operand of a product lies in shared memory, swizzled as copy_box leaves it: eights of rows of 128 bytes,
// each at a multiple of 1024. For an operand with the summed axis innermost, `stride` is the bytes from one eight of
// rows to the next, and `leading` has no meaning; for the other kind see `multiply_registers`.
DEVICE unsigned long long matrix_descriptor(const void* tile, int leading, int stride);

// The descriptor of the same operand `bytes` further.
DEVICE unsigned long long advance(unsigned long long descriptor, int bytes);

// Products of a warpgroup (wgmma.mma_async.m64nNk16), called by its 128 threads together: sum = a·b, or sum += a·b with
// `add`; a [64, 16] and b [16, N] of bf16, sum [64, N] of f32. Thread t holds of sum, as element 4·j + 2·i + c: row
// 16·(t / 32) + 8·i + t % 32 / 4, column 8·j + 2·(t % 4) + c.
//
// Both from shared memory, a as 64 rows and b as N rows of 16 numbers.
template <int N>
DEVICE void multiply_shared(float (&sum)[N / 2], unsigned long long a, unsigned long long b, bool add);

// a from registers, held as `multiply` of isa.cuh holds it by each warp's 16 rows; b as 16 rows of N numbers, of which
// 64 are a row of 128 bytes: `leading` of its descriptor is the bytes from 64 columns to the next, `stride` those from
// one eight of rows to the next.
template <int N>
DEVICE void multiply_registers(float (&sum)[N / 2], const unsigned (&a)[4], unsigned long long b, bool add);

// In front of products, with their registers: sums, and what a is taken from (wgmma.fence). What was done to these before
// is done, for the machine as for the compiler.
template <int N> DEVICE void products_fence(float (&sum)[N]);
template <int N, int COUNT> DEVICE void products_fence(float (&sum)[N], unsigned (&a)[COUNT][4]);

// Closes a group of products (wgmma.commit_group); waits until all but the last `LEFT` groups are done
// (wgmma.wait_group). `sum` is what the products make: it may be touched when nothing of it is left.
DEVICE void products_commit();
template <int LEFT, int N> DEVICE void products_wait(float (&sum)[N]);

// Gives registers of each thread of the warpgroup back, or takes what others gave back (setmaxnreg): COUNT are left, a
// multiple of 8 from 24 to 256. Taking waits until there are as many.
template <int COUNT> DEVICE void give_registers();
template <int COUNT> DEVICE void take_registers();

// A barrier of the block with a number from 1 to 15, for `threads` threads: some wait for all (bar.sync), others only
// arrive (bar.arrive).
DEVICE void named_barrier_wait(int number, int threads);
DEVICE void named_barrier_arrive(int number, int threads);

#if defined(ZOETROPE_EMULATED)
#include "host/hopper.h"
#else
#include "hopper/device.cuh"
#endif
