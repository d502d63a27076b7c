// The instructions of isa.cuh as PTX. No header of the toolkit is needed.
#pragma once

DEVICE int thread_index() {
    return threadIdx.x;
}

DEVICE int block_index() {
    return blockIdx.x;
}

DEVICE void block_barrier() {
    __syncthreads();
}

DEVICE unsigned char* shared_memory() {
    extern __shared__ __align__(1024) unsigned char memory[];
    return memory;
}

// An address in the window of shared memory, as PTX wants it.
DEVICE unsigned shared_address(const void* pointer) {
    return (unsigned)__cvta_generic_to_shared(pointer);
}

DEVICE float shuffle_xor(float value, int mask) {
    return __shfl_xor_sync(0xFFFFFFFFu, value, mask);
}

DEVICE float shuffle_from(float value, int lane) {
    return __shfl_sync(0xFFFFFFFFu, value, lane);
}

DEVICE void copy_async(void* shared, const void* global, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(bytes)
                 : "memory");
}

DEVICE void copy_async_commit() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int N> DEVICE void copy_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

DEVICE void load_matrix(unsigned (&to)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(row))
                 : "memory");
}

DEVICE void load_matrix_transposed(unsigned (&to)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(row))
                 : "memory");
}

template <int N, class Row> DEVICE void load_matrices(unsigned (&to)[N][4], Row row) {
#pragma unroll
    for (int i = 0; i < N; i++) {
        load_matrix(to[i], row(i));
    }
}

DEVICE void multiply(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

template <int DOWN, int ACROSS, int PAIRS>
DEVICE void multiply_all(float (&sums)[DOWN][ACROSS][4], int first, const unsigned (&a)[DOWN][4],
                         const unsigned (&b)[PAIRS][4]) {
#pragma unroll
    for (int i = 0; i < DOWN; i++) {
#pragma unroll
        for (int j = 0; j < PAIRS * 2; j++) {
            multiply(sums[i][first + j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
        }
    }
}

template <bool TRANSPOSED, int ACROSS, class Row>
DEVICE void multiply_loaded(float (&sums)[ACROSS][4], const unsigned (&a)[4], Row row) {
#pragma unroll
    for (int j = 0; j < ACROSS; j += 2) {
        unsigned b[4];
        if (TRANSPOSED) {
            load_matrix_transposed(b, row(j));
        } else {
            load_matrix(b, row(j));
        }
        multiply(sums[j], a, b[0], b[1]);
        multiply(sums[j + 1], a, b[2], b[3]);
    }
}

DEVICE float widen(bf16 x) {
    return __uint_as_float((unsigned)x.bits << 16);
}

DEVICE float widen(f16 x) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
}

DEVICE bf16 narrow(float x) {
    bf16 y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}

DEVICE unsigned narrow_pair(float low, float high) {
    unsigned y;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
    return y;
}

DEVICE float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

DEVICE float divide_fast(float x, float y) {
    float z;
    asm("div.full.f32 %0, %1, %2;" : "=f"(z) : "f"(x), "f"(y));
    return z;
}

DEVICE float larger(float x, float y) {
    return fmaxf(x, y);
}

DEVICE float multiply_add(float x, float y, float z) {
    return __fmaf_rn(x, y, z);
}
