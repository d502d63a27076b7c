// Functions of single numbers, as kernels/src/eval/math defines them, and sums over warps and blocks.
#pragma once

// Functions that a kernel is made for; the generated description of a variant names them.
enum class Function { silu, gelu, sigmoid, exp, log, sin, cos, sqrt, add, sub, mul, div };

// e^−x as 2^(x·−log2(e)): off by |x|·1e-7, which is much only where it is small beside 1, or the quotient is.
DEVICE float sigmoid(float x) {
    return divide_fast(1.0f, 1.0f + exp2_fast(x * -1.4426950f));
}

DEVICE float silu(float x) {
    return divide_fast(x, 1.0f + exp2_fast(x * -1.4426950f));
}

// The tanh form, written as x·sigmoid(2u) with u = √(2/π)·(x + 0.044715·x³).
DEVICE float gelu(float x) {
    return divide_fast(x, 1.0f + exp2_fast(x * multiply_add(x * x, -0.10294324f, -2.3022082f)));
}

// A NaN stays one.
DEVICE float clamp(float x, float lo, float hi) {
    float raised = x < lo ? lo : x;
    return raised > hi ? hi : raised;
}

// Those that appear in tables and embeddings, with arguments of 2e4 and more, go through f64 and round once.
template <Function F> DEVICE float apply(float x) {
    if constexpr (F == Function::silu) return silu(x);
    if constexpr (F == Function::gelu) return gelu(x);
    if constexpr (F == Function::sigmoid) return sigmoid(x);
    if constexpr (F == Function::exp) return (float)exp((double)x);
    if constexpr (F == Function::log) return (float)log((double)x);
    if constexpr (F == Function::sin) return (float)sin((double)x);
    if constexpr (F == Function::cos) return (float)cos((double)x);
    if constexpr (F == Function::sqrt) return sqrtf(x);
}

template <Function F> DEVICE float apply(float x, float y) {
    if constexpr (F == Function::add) return x + y;
    if constexpr (F == Function::sub) return x - y;
    if constexpr (F == Function::mul) return x * y;
    if constexpr (F == Function::div) return x / y;
}

// The sum over the 32 lanes of a warp, the same bits in every lane.
DEVICE float warp_sum(float x) {
#pragma unroll
    for (int mask = 16; mask > 0; mask /= 2) {
        x += shuffle_xor(x, mask);
    }
    return x;
}

DEVICE float warp_max(float x) {
#pragma unroll
    for (int mask = 16; mask > 0; mask /= 2) {
        float y = shuffle_xor(x, mask);
        x = y > x ? y : x;
    }
    return x;
}

// The sum over teams of TEAM threads (32, or all of the block, whose warps then meet in `scratch`, one float each).
// All threads of the block call it together; `scratch` can be used again behind it.
template <int TEAM> DEVICE float team_sum(float x, float* scratch) {
    x = warp_sum(x);
    if constexpr (TEAM > 32) {
        int thread = thread_index();
        if (thread % 32 == 0) {
            scratch[thread / 32] = x;
        }
        block_barrier();
        x = 0.0f;
        for (int warp = 0; warp < TEAM / 32; warp++) {
            x += scratch[warp];
        }
        block_barrier();
    }
    return x;
}
