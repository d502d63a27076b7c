// Products of warpgroups on a CPU, done at once or when a wait asks for them.
#pragma once

#include "block.h"

namespace emulation {

// Sums of a warpgroup that products in flight make: where each thread holds them, and what they will be.
struct Sums {
    float* held[WARPGROUP];
    int columns;
    int products = 0;
    std::vector<float> values;

    // The number held as element `element` by a thread.
    float& value(int thread, int element) {
        int row = thread / LANES * 16 + element / 2 % 2 * 8 + thread % LANES / 4;
        int column = element / 4 * 8 + thread % 4 * 2 + element % 2;
        return values[row * columns + column];
    }
};

struct Product {
    std::shared_ptr<Sums> sums;
    // Registers of each thread, or null: the left factor is in shared memory.
    const unsigned* left_held[WARPGROUP];
    uint64_t left, right;
    bool add;
    int group;
};

// Registers of a thread that a fence names: sums, and left factors up to `end`.
struct Fenced {
    const float* sum = nullptr;
    const unsigned* left = nullptr;
    const unsigned* end = nullptr;

    bool names(const float* sums, const unsigned* held) const {
        return sums == sum && (!held || (held >= left && held < end));
    }
};

struct Warpgroup {
    Meeting meeting;
    int registers = 0;
    // What the threads bring to a product.
    float* sums[WARPGROUP] = {};
    const unsigned* left[WARPGROUP] = {};
    uint64_t descriptors[WARPGROUP][2] = {};
    // What the last fence behind a wait named; groups that have been closed.
    Fenced fenced[WARPGROUP] = {};
    int closed[WARPGROUP] = {};
    std::deque<Product> flying;

    void start(int columns, bool add);
    void finish(int groups_left);
};

// A number whose bits no sum has.
constexpr uint32_t IN_FLIGHT = 0xFFFFFFFF;

// An operand in shared memory, as its descriptor says.
struct Operand {
    uint32_t start, leading, stride;

    explicit Operand(uint64_t descriptor)
        : start((descriptor & 0x3FFF) << 4), leading((descriptor >> 16 & 0x3FFF) << 4),
          stride((descriptor >> 32 & 0x3FFF) << 4) {
        if (descriptor >> 62 != 1 || (descriptor >> 49 & 7) != 0) {
            block->fail("a matrix descriptor of another kind: %llx", static_cast<unsigned long long>(descriptor));
        }
        if (start % 1024 >= 128) {
            block->fail("a matrix descriptor %u bytes behind a multiple of 1024", start % 1024);
        }
    }

    // Number `i` of row `row` of 16, or of column `column` where rows go along the other axis.
    float along(int row, int i) const {
        return read(start + row / 8 * stride + row % 8 * 128 + i * 2);
    }
    float across(int row, int column) const {
        return read(start + row / 8 * stride + row % 8 * 128 + column / 64 * leading + column % 64 * 2);
    }

    static float read(uint32_t address) {
        uint16_t bits;
        memcpy(&bits, at_window(swizzled(address), 2), 2);
        return half_of(bits, 0);
    }
};

// Adds the product to the sums' values.
inline void compute(const Product& product) {
    Sums& sums = *product.sums;
    int columns = sums.columns;
    bool held = product.left_held[0] != nullptr;
    static thread_local float left[64][16], right[16][256];
    Operand b(product.right);
    for (int k = 0; k < 16; k++) {
        for (int n = 0; n < columns; n++) {
            right[k][n] = held ? b.across(k, n) : b.along(n, k);
        }
    }
    if (held) {
        for (int t = 0; t < WARPGROUP; t++) {
            for (int i = 0; i < 8; i++) {
                int row = t / LANES * 16 + t % LANES / 4 + i / 2 % 2 * 8, k = t % 4 * 2 + i / 4 * 8 + i % 2;
                left[row][k] = half_of(product.left_held[t][i / 2], i % 2);
            }
        }
    } else {
        Operand a(product.left);
        for (int row = 0; row < 64; row++) {
            for (int k = 0; k < 16; k++) {
                left[row][k] = a.along(row, k);
            }
        }
    }
    for (int row = 0; row < 64; row++) {
        float* to = &sums.values[row * columns];
        if (!product.add) {
            std::fill(to, to + columns, 0.0f);
        }
        for (int k = 0; k < 16; k++) {
            for (int n = 0; n < columns; n++) {
                to[n] += left[row][k] * right[k][n];
            }
        }
    }
}

// What the threads have brought becomes a product in flight.
inline void Warpgroup::start(int columns, bool add) {
    for (int t = 1; t < WARPGROUP; t++) {
        if (descriptors[t][0] != descriptors[0][0] || descriptors[t][1] != descriptors[0][1]) {
            block->fail("threads of a warpgroup name different operands of a product");
        }
    }
    std::shared_ptr<Sums> making;
    for (Product& other : flying) {
        if (other.sums->held[0] == sums[0]) {
            making = other.sums;
        }
    }
    if (!making) {
        making = std::make_shared<Sums>();
        making->columns = columns;
        making->values.resize(64 * columns);
        for (int t = 0; t < WARPGROUP; t++) {
            making->held[t] = sums[t];
            for (int i = 0; i < columns / 2; i++) {
                making->value(t, i) = sums[t][i];
                memcpy(&sums[t][i], &IN_FLIGHT, 4);
            }
        }
    }
    making->products++;
    Product product{making, {}, descriptors[0][0], descriptors[0][1], add, closed[0]};
    std::copy(left, left + WARPGROUP, product.left_held);
    flying.push_back(product);
    if (block->eager_products()) {
        finish(-1);
    }
}

// Gives the threads their sums, which they must have left alone.
inline void deliver(Sums& sums) {
    for (int t = 0; t < WARPGROUP; t++) {
        for (int i = 0; i < sums.columns / 2; i++) {
            if (memcmp(&sums.held[t][i], &IN_FLIGHT, 4) != 0) {
                block->fail("a sum of a product in flight was changed");
            }
            sums.held[t][i] = sums.value(t, i);
        }
    }
}

// Does the products of all but the last `groups_left` closed groups; with −1, those of the open one, too.
inline void Warpgroup::finish(int groups_left) {
    while (!flying.empty() && flying.front().group < closed[0] - groups_left) {
        Product product = flying.front();
        flying.pop_front();
        compute(product);
        if (--product.sums->products == 0) {
            deliver(*product.sums);
        }
    }
}

template <int N>
inline void product(float* sum, const unsigned* held, uint64_t a, uint64_t b, bool add) {
    Warpgroup& group = warpgroup();
    int thread = block->current().index % WARPGROUP;
    if (!group.fenced[thread].names(sum, held)) {
        block->fail("thread %d: a product with registers that no products_fence before it names", block->current().index);
    }
    group.sums[thread] = sum;
    group.left[thread] = held;
    group.descriptors[thread][0] = a;
    group.descriptors[thread][1] = b;
    block->meet(group.meeting, WARPGROUP, "a product of a warpgroup", [&group, add] { group.start(N, add); });
}

}  // namespace emulation

DEVICE unsigned long long matrix_descriptor(const void* tile, int leading, int stride) {
    uint64_t low = emulation::window_address(tile) >> 4 | static_cast<uint64_t>(leading >> 4) << 16;
    return low | static_cast<uint64_t>(stride >> 4) << 32 | 1ull << 62;
}

DEVICE unsigned long long advance(unsigned long long descriptor, int bytes) {
    return descriptor + (bytes >> 4);
}

template <int N>
DEVICE void multiply_shared(float (&sum)[N / 2], unsigned long long a, unsigned long long b, bool add) {
    emulation::product<N>(sum, nullptr, a, b, add);
}

template <int N>
DEVICE void multiply_registers(float (&sum)[N / 2], const unsigned (&a)[4], unsigned long long b, bool add) {
    emulation::product<N>(sum, a, 0, b, add);
}

template <int N> DEVICE void products_fence(float (&sum)[N]) {
    emulation::warpgroup().fenced[thread_index() % WARPGROUP] = {sum};
}

template <int N, int COUNT> DEVICE void products_fence(float (&sum)[N], unsigned (&a)[COUNT][4]) {
    emulation::warpgroup().fenced[thread_index() % WARPGROUP] = {sum, a[0], a[0] + COUNT * 4};
}

DEVICE void products_commit() {
    emulation::warpgroup().closed[thread_index() % WARPGROUP]++;
}

template <int LEFT, int N> DEVICE void products_wait(float (&)[N]) {
    emulation::Warpgroup& group = emulation::warpgroup();
    group.fenced[thread_index() % WARPGROUP] = {};
    emulation::block->meet(group.meeting, WARPGROUP, "products_wait", [&group] { group.finish(LEFT); });
}
