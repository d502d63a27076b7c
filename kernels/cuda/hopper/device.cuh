// The instructions of hopper/isa.cuh as PTX, but for the products, which hopper/wgmma.cuh has.
#pragma once

#include "hopper/wgmma.cuh"

DEVICE int warpgroup_index() {
    // The shuffle tells the compiler that a warp has one number, so that what is made of it needs no vector registers.
    return __shfl_sync(0xFFFFFFFFu, threadIdx.x / WARPGROUP, 0);
}

DEVICE void mbarrier_init(Mbarrier* barrier, int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}

DEVICE void mbarrier_init_fence() {
    asm volatile("fence.mbarrier_init.release.cluster;\nfence.proxy.async.shared::cta;" ::: "memory");
}

DEVICE void mbarrier_arrive(Mbarrier* barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}

DEVICE void mbarrier_expect(Mbarrier* barrier, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
                 : "memory");
}

// The instruction itself sleeps for a while before it says no.
DEVICE void mbarrier_wait(Mbarrier* barrier, unsigned parity) {
    asm volatile("{\n"
                 ".reg .pred over;\n"
                 "again:\n"
                 "mbarrier.try_wait.parity.shared::cta.b64 over, [%0], %1;\n"
                 "@!over bra again;\n"
                 "}" ::"r"(shared_address(barrier)),
                 "r"(parity)
                 : "memory");
}

DEVICE void copy_box(void* shared, const TensorMap& map, Mbarrier* barrier, int column, int row) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%3, %4}], [%2];" ::"r"(shared_address(shared)),
                 "l"(&map), "r"(shared_address(barrier)), "r"(column), "r"(row)
                 : "memory");
}

DEVICE void prefetch_map(const TensorMap& map) {
    asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}

DEVICE unsigned long long matrix_descriptor(const void* tile, int leading, int stride) {
    // Addresses and distances in units of 16 bytes; 1 in the upper bits: a swizzle of 128 bytes.
    unsigned address = (shared_address(tile) & 0x3FFFF) >> 4;
    unsigned low = address | (unsigned)(leading >> 4) << 16, high = (unsigned)(stride >> 4) | 1u << 30;
    return (unsigned long long)high << 32 | low;
}

DEVICE unsigned long long advance(unsigned long long descriptor, int bytes) {
    return descriptor + (unsigned)(bytes >> 4);
}

// What stands in front of it is done to the registers there, what stands behind it here: compilers would otherwise move
// arithmetic over instructions that do not name its registers.
template <int N> DEVICE void settle(float (&sum)[N]) {
#pragma unroll
    for (int i = 0; i < N; i++) {
        asm volatile("" : "+f"(sum[i])::"memory");
    }
}

template <int N> DEVICE void products_fence(float (&sum)[N]) {
    settle(sum);
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

template <int N, int COUNT> DEVICE void products_fence(float (&sum)[N], unsigned (&a)[COUNT][4]) {
#pragma unroll
    for (int i = 0; i < COUNT * 4; i++) {
        asm volatile("" : "+r"(a[i / 4][i % 4])::"memory");
    }
    products_fence(sum);
}

DEVICE void products_commit() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

template <int LEFT, int N> DEVICE void products_wait(float (&sum)[N]) {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LEFT) : "memory");
    settle(sum);
}

template <int COUNT> DEVICE void give_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(COUNT));
}

template <int COUNT> DEVICE void take_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(COUNT));
}

DEVICE void named_barrier_wait(int number, int threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(number), "r"(threads) : "memory");
}

DEVICE void named_barrier_arrive(int number, int threads) {
    asm volatile("bar.arrive %0, %1;" ::"r"(number), "r"(threads) : "memory");
}
