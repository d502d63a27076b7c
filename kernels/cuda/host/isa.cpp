// What the lanes of a warp do together: the last one to arrive computes it for all.
#include "isa.cuh"

namespace emulation {

static Lane& lane() {
    return block->warp().lanes[thread_index() % LANES];
}

// Gives every lane the value of the lane that it names.
UNSEEN static void exchange_together(Warp& warp) {
    for (Lane& lane : warp.lanes) {
        *static_cast<float*>(lane.out) = *static_cast<const float*>(warp.lanes[lane.number % LANES].in[0]);
    }
}

float exchange(float value, int from) {
    float result = 0.0f;
    lane() = Lane{{&value}, &result, from};
    Warp& warp = block->warp();
    block->meet_warp("shuffle", [&warp] { exchange_together(warp); });
    return result;
}

static void arrive(const Copy& copy) {
    memset(copy.to, 0, 16);
    memcpy(copy.to, copy.from, copy.bytes);
}

// Lands at once, or only when a wait asks for it: a wait that is missing or too weak is seen in one case, memory that
// others still read in the other.
void copy_async(void* shared, const void* global, int bytes) {
    bool aligned = (reinterpret_cast<uintptr_t>(shared) | reinterpret_cast<uintptr_t>(global)) % 16 == 0;
    if (!aligned || (bytes != 0 && bytes != 16)) {
        block->fail("copy_async of thread %d: not 16 aligned bytes", thread_index());
    }
    touch(global, bytes);
    touch(shared, 16);
    Copies& copies = block->current().copies;
    Copy copy = {shared, global, bytes, copies.open};
    if (block->eager()) {
        arrive(copy);
    } else {
        copies.flying.push_back(copy);
    }
}

void copy_async_commit() {
    block->current().copies.open++;
}

void copy_async_wait(int groups) {
    Copies& copies = block->current().copies;
    auto stays = [&](const Copy& copy) { return copy.group >= copies.open - groups; };
    auto first = std::find_if(copies.flying.begin(), copies.flying.end(), stays);
    std::for_each(copies.flying.begin(), first, arrive);
    copies.flying.erase(copies.flying.begin(), first);
}

// A lane's row of each matrix that is loaded.
static void touch_rows(const void* const* rows, int count, const char* what) {
    for (int i = 0; i < count; i++) {
        if (reinterpret_cast<uintptr_t>(rows[i]) % 16 != 0) {
            block->fail("%s: the row of thread %d is not aligned", what, thread_index());
        }
        touch(rows[i], 16);
    }
}

// Gives the lanes what they receive of four matrices, the `number`th of the rows that they name.
static void load_together(const Warp& warp, int number, bool transposed, unsigned (&to)[LANES][4]) {
    for (int matrix = 0; matrix < 4; matrix++) {
        uint16_t rows[8][8];
        for (int i = 0; i < 8; i++) {
            memcpy(rows[i], static_cast<const void* const*>(warp.lanes[matrix * 8 + i].in[0])[number], 16);
        }
        for (int l = 0; l < LANES; l++) {
            int a = l / 4, b = l % 4 * 2;
            unsigned low = transposed ? rows[b][a] : rows[a][b];
            unsigned high = transposed ? rows[b + 1][a] : rows[a][b + 1];
            to[l][matrix] = low | high << 16;
        }
    }
}

void load_matrices(unsigned (*to)[4], const void* const* rows, int count) {
    touch_rows(rows, count, "load_matrix");
    lane() = Lane{{rows}, to, 0};
    Warp& warp = block->warp();
    block->meet_warp("load_matrix", [&warp, count] {
        unsigned received[LANES][4];
        for (int i = 0; i < count; i++) {
            load_together(warp, i, false, received);
            for (int l = 0; l < LANES; l++) {
                memcpy(static_cast<unsigned(*)[4]>(warp.lanes[l].out)[i], received[l], sizeof(received[l]));
            }
        }
    });
}

// Eight columns of a matrix.
typedef float Columns __attribute__((vector_size(32)));

// What the lanes of a warp hold, as matrices.
struct Left {
    float values[16][16];

    // `held(l)`: the four registers of lane l.
    template <class F> explicit Left(F held) {
        for (int l = 0; l < LANES; l++) {
            const unsigned* a = held(l);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                float* to = &values[l / 4 + i % 2 * 8][l % 4 * 2 + i / 2 * 8];
                to[0] = half_of(a[i], 0);
                to[1] = half_of(a[i], 1);
            }
        }
    }
};

// Two matrices of eight columns.
struct Right {
    Columns values[2][16];

    template <class F> explicit Right(F held) {
        for (int l = 0; l < LANES; l++) {
            const unsigned* b = held(l);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                int row = l % 4 * 2 + i % 2 * 8;
                values[i / 2][row][l / 4] = half_of(b[i], 0);
                values[i / 2][row + 1][l / 4] = half_of(b[i], 1);
            }
        }
    }
};

// Adds a product to the lanes' sums; `held(l)`: the four of lane l.
template <class F> static void multiply_together(const Left& left, const Columns (&right)[16], F held) {
    Columns sums[16];
    for (int l = 0; l < LANES; l++) {
        const float* sum = held(l);
        memcpy(reinterpret_cast<float*>(&sums[l / 4]) + l % 4 * 2, sum, 8);
        memcpy(reinterpret_cast<float*>(&sums[l / 4 + 8]) + l % 4 * 2, sum + 2, 8);
    }
    for (int row = 0; row < 16; row++) {
        Columns sum = sums[row];
#pragma GCC unroll 16
        for (int k = 0; k < 16; k++) {
            sum += left.values[row][k] * right[k];
        }
        sums[row] = sum;
    }
    for (int l = 0; l < LANES; l++) {
        float* sum = held(l);
        memcpy(sum, reinterpret_cast<float*>(&sums[l / 4]) + l % 4 * 2, 8);
        memcpy(sum + 2, reinterpret_cast<float*>(&sums[l / 4 + 8]) + l % 4 * 2, 8);
    }
}

// Of a lane's sums, an array of rows of `across`, those of one product.
static auto sums_at(const Warp& warp, int across, int row, int column) {
    return [&warp, number = row * across + column](int l) { return static_cast<float(*)[4]>(warp.lanes[l].out)[number]; };
}

// The `number`th registers that lanes have brought as their `operand`th operand.
static auto registers(const Warp& warp, int operand, int number) {
    return [&warp, operand, number](int l) {
        return static_cast<const unsigned(*)[4]>(warp.lanes[l].in[operand])[number];
    };
}

void multiply_all(float (*sums)[4], const unsigned (*a)[4], const unsigned (*b)[4], int down, int across, int first,
                  int pairs) {
    lane() = Lane{{a, b}, sums, 0};
    Warp& warp = block->warp();
    block->meet_warp("multiply_all", [&warp, down, across, first, pairs] {
        for (int j = 0; j < pairs; j++) {
            Right right(registers(warp, 1, j));
            for (int i = 0; i < down; i++) {
                Left left(registers(warp, 0, i));
                for (int half = 0; half < 2; half++) {
                    multiply_together(left, right.values[half], sums_at(warp, across, i, first + j * 2 + half));
                }
            }
        }
    });
}

void multiply_loaded(float (*sums)[4], const unsigned (&a)[4], const void* const* rows, int across, bool transposed) {
    // Lanes that ask for different things do not meet.
    const char* what = transposed ? "multiply_loaded, transposed" : "multiply_loaded";
    touch_rows(rows, across / 2, what);
    lane() = Lane{{rows, &a}, sums, 0};
    Warp& warp = block->warp();
    block->meet_warp(what, [&warp, across, transposed] {
        Left left(registers(warp, 1, 0));
        for (int j = 0; j < across; j += 2) {
            unsigned received[LANES][4];
            load_together(warp, j / 2, transposed, received);
            Right right([&received](int l) { return received[l]; });
            for (int half = 0; half < 2; half++) {
                multiply_together(left, right.values[half], sums_at(warp, across, 0, j + half));
            }
        }
    });
}

}  // namespace emulation
