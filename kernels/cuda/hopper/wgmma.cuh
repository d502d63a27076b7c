// The products of hopper/isa.cuh as PTX. Every sum is an operand of its own, so their lists are put together by macros.
#pragma once

// Names of ten and of two operands.
#define TEN(t)                                                                                                         \
    "%" #t "0, %" #t "1, %" #t "2, %" #t "3, %" #t "4, %" #t "5, %" #t "6, %" #t "7, %" #t "8, %" #t "9, "
#define FIRST_TEN "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, "
#define NAMES_32 FIRST_TEN TEN(1) TEN(2) "%30, %31"
#define NAMES_64 FIRST_TEN TEN(1) TEN(2) TEN(3) TEN(4) TEN(5) "%60, %61, %62, %63"
#define NAMES_128                                                                                                      \
    FIRST_TEN TEN(1) TEN(2) TEN(3) TEN(4) TEN(5) TEN(6) TEN(7) TEN(8) TEN(9) TEN(10) TEN(11)                           \
    "%120, %121, %122, %123, %124, %125, %126, %127"

// Sums from number `i` on, as operands that are read and written.
#define SUMS_4(i) "+f"(sum[i]), "+f"(sum[i + 1]), "+f"(sum[i + 2]), "+f"(sum[i + 3])
#define SUMS_16(i) SUMS_4(i), SUMS_4(i + 4), SUMS_4(i + 8), SUMS_4(i + 12)
#define SUMS_32 SUMS_16(0), SUMS_16(16)
#define SUMS_64 SUMS_32, SUMS_16(32), SUMS_16(48)
#define SUMS_128 SUMS_64, SUMS_16(64), SUMS_16(80), SUMS_16(96), SUMS_16(112)

// Behind the sums are the factors, and behind those whether to add. 1, 1: neither factor is negated; then, for factors
// from shared memory, whether the summed axis is the outer one.
#define PRODUCT(n, names, factors, add, majors, ...)                                                                   \
    asm volatile("{\n"                                                                                                 \
                 ".reg .pred also;\n"                                                                                   \
                 "setp.ne.b32 also, " add ", 0;\n"                                                                      \
                 "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32.bf16.bf16 {" names "}, " factors ", also, 1, 1, " majors \
                 ";\n"                                                                                                 \
                 "}"                                                                                                   \
                 : __VA_ARGS__)

template <int N>
DEVICE void multiply_shared(float (&sum)[N / 2], unsigned long long a, unsigned long long b, bool add) {
    static_assert(N == 64 || N == 128 || N == 256, "widths that kernels use");
    if constexpr (N == 64) {
        PRODUCT(64, NAMES_32, "%32, %33", "%34", "0, 0", SUMS_32 : "l"(a), "l"(b), "r"((int)add));
    } else if constexpr (N == 128) {
        PRODUCT(128, NAMES_64, "%64, %65", "%66", "0, 0", SUMS_64 : "l"(a), "l"(b), "r"((int)add));
    } else {
        PRODUCT(256, NAMES_128, "%128, %129", "%130", "0, 0", SUMS_128 : "l"(a), "l"(b), "r"((int)add));
    }
}

template <int N>
DEVICE void multiply_registers(float (&sum)[N / 2], const unsigned (&a)[4], unsigned long long b, bool add) {
    static_assert(N == 64 || N == 128, "widths that kernels use");
    if constexpr (N == 64) {
        PRODUCT(64, NAMES_32, "{%32, %33, %34, %35}, %36", "%37", "1",
                SUMS_32 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)add));
    } else {
        PRODUCT(128, NAMES_64, "{%64, %65, %66, %67}, %68", "%69", "1",
                SUMS_64 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)add));
    }
}

#undef TEN
#undef FIRST_TEN
#undef NAMES_32
#undef NAMES_64
#undef NAMES_128
#undef SUMS_4
#undef SUMS_16
#undef SUMS_32
#undef SUMS_64
#undef SUMS_128
#undef PRODUCT
