// Blocks of warpgroups with two tasks: the first one brings boxes of operands, the others compute with them.
#pragma once

// A row of a swizzled box.
constexpr int BOX_ROW_BYTES = 128;
constexpr int BOX_COLUMNS = BOX_ROW_BYTES / 2;
// Eight such rows are a swizzle's pattern; boxes begin at multiples of it.
constexpr int PATTERN_BYTES = 8 * BOX_ROW_BYTES;

// Registers of a thread that brings, and of one of two warpgroups that compute: together what three warpgroups have.
constexpr int BRINGING_REGISTERS = 40;
constexpr int COMPUTING_REGISTERS = 232;

// A place in a ring of STAGES stages, and the parity of the round.
template <int STAGES> struct RingPlace {
    int stage = 0;
    unsigned parity = 0;

    DEVICE void next() {
        stage++;
        if (stage == STAGES) {
            stage = 0;
            parity ^= 1;
        }
    }
};

// Stages of shared memory that one thread fills and warpgroups read, in order. Its barriers lie in shared memory.
template <int STAGES> struct Ring {
    static constexpr int bytes = 2 * STAGES * (int)sizeof(Mbarrier);
    using Place = RingPlace<STAGES>;

    Mbarrier* full;
    Mbarrier* empty;

    DEVICE explicit Ring(unsigned char* memory) : full((Mbarrier*)memory), empty(full + STAGES) {}

    // One thread calls it, `mbarrier_init_fence` and a barrier of the block follow. `readers` warps read every stage.
    DEVICE void init(int readers) const {
        for (int i = 0; i < STAGES; i++) {
            mbarrier_init(full + i, 1);
            mbarrier_init(empty + i, readers);
        }
    }

    // Waits until a stage is free, and announces what will be brought to it. In the first round all are free.
    DEVICE Mbarrier* begin(const Place& place, int bytes) const {
        mbarrier_wait(empty + place.stage, place.parity ^ 1);
        mbarrier_expect(full + place.stage, bytes);
        return full + place.stage;
    }

    DEVICE void wait(const Place& place) const {
        mbarrier_wait(full + place.stage, place.parity);
    }

    // This warp reads the stage no more.
    DEVICE void release(const Place& place) const {
        if (thread_index() % 32 == 0) {
            mbarrier_arrive(empty + place.stage);
        }
    }
};

// Calls `change(values, row, column)` and then `write(values, row, column)` for all fours of neighbours of a product's
// sums, rows and columns counted from the first of the warpgroup. Lanes exchange halves with their neighbours, so that
// four lanes have 16 columns of a row. Eight fours at a time: what changes them is read for all before one is written,
// so that these reads are under way together.
template <int N, class Change, class Write>
DEVICE void each_four(const float (&sums)[N], Change change, Write write) {
    constexpr int together = 8;
    static_assert(N % (together * 4) == 0, "fours come in eights");
    int thread = thread_index() % WARPGROUP, lane = thread % 32;
    bool odd = lane % 2 == 1;
    int first_row = thread / 32 * 16 + lane / 4, first_column = (odd ? 8 : 0) + lane % 4 / 2 * 4;
#pragma unroll
    for (int begin = 0; begin < N / 4; begin += together) {
        float values[together][4];
        auto row_of = [&](int four) { return first_row + four % 2 * 8; };
        auto column_of = [&](int four) { return first_column + (begin + four / 2 * 2) * 8; };
#pragma unroll
        for (int four = 0; four < together; four++) {
            // Even lanes take columns of the first eight, odd ones of the second.
            const float* first = sums + (begin + four / 2 * 2) * 4 + four % 2 * 2;
            const float* second = first + 4;
#pragma unroll
            for (int i = 0; i < 2; i++) {
                float other = shuffle_xor(odd ? first[i] : second[i], 1);
                values[four][i] = odd ? other : first[i];
                values[four][i + 2] = odd ? second[i] : other;
            }
            change(values[four], row_of(four), column_of(four));
        }
#pragma unroll
        for (int four = 0; four < together; four++) {
            write(values[four], row_of(four), column_of(four));
        }
    }
}
