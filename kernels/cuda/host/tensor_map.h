// Tensor maps, barriers that count bytes, and copies of boxes on a CPU.
#pragma once

#include "block.h"
#include "plain_map.h"

namespace emulation {

static_assert(sizeof(PlainMap) <= sizeof(TensorMap), "a map has 128 bytes");

// Where something of shared memory is for instructions: the window begins behind a kilobyte of the system.
constexpr uint32_t WINDOW = 1024;

inline uint32_t window_address(const void* shared) {
    long offset = static_cast<const unsigned char*>(shared) - block->shared();
    if (offset < 0 || offset >= static_cast<long>(block->shared_bytes())) {
        block->fail("thread %d names an address outside of shared memory", block->current().index);
    }
    return static_cast<uint32_t>(offset) + WINDOW;
}

inline unsigned char* at_window(uint32_t address, size_t bytes) {
    if (address < WINDOW || address - WINDOW + bytes > block->shared_bytes()) {
        block->fail("byte %ld of shared memory, which has %zu", static_cast<long>(address) - WINDOW,
                    block->shared_bytes());
    }
    return block->shared() + (address - WINDOW);
}

inline uint32_t swizzled(uint32_t address) {
    return address ^ (address >> 7 & 7) << 4;
}

// A barrier's state in its eight bytes of shared memory.
struct BarrierState {
    uint64_t mark : 12, known : 1, phase : 1, arrivals : 12, missing : 12, bytes : 26;
};
constexpr uint64_t BARRIER_MARK = 0x5AB;
// Bytes that a barrier can count.
constexpr uint64_t MOST_BYTES = (1 << 20) - 1;

inline long offset_of(const Mbarrier* barrier) {
    return reinterpret_cast<const unsigned char*>(barrier) - block->shared();
}

// The state of a barrier that has been prepared.
inline BarrierState state_of(const Mbarrier* barrier) {
    window_address(barrier);
    BarrierState state;
    memcpy(&state, barrier, sizeof(state));
    if (state.mark != BARRIER_MARK) {
        block->fail("the mbarrier at byte %ld is not prepared", offset_of(barrier));
    }
    return state;
}

// Stores a changed state; where nothing is missing, the phase is over.
inline void change(Mbarrier* barrier, BarrierState state) {
    bool over = state.missing == 0 && state.bytes == 0;
    if (over) {
        state.phase ^= 1;
        state.missing = state.arrivals;
    }
    memcpy(barrier, &state, sizeof(state));
    if (over) {
        block->wake(barrier);
    }
}

inline void arrive(Mbarrier* barrier, uint64_t bytes) {
    BarrierState state = state_of(barrier);
    if (state.missing == 0) {
        block->fail("the mbarrier at byte %ld: more arrivals than its %d", offset_of(barrier), int(state.arrivals));
    }
    if (state.bytes + bytes > MOST_BYTES) {
        block->fail("the mbarrier at byte %ld: more bytes announced than it can count", offset_of(barrier));
    }
    state.bytes += bytes;
    state.missing--;
    change(barrier, state);
}

inline void land_bytes(Mbarrier* barrier, uint64_t bytes) {
    BarrierState state = state_of(barrier);
    if (bytes > state.bytes) {
        block->fail("the mbarrier at byte %ld: %d bytes landed, of which %d were announced", offset_of(barrier),
                    int(bytes), int(state.bytes));
    }
    state.bytes -= bytes;
    change(barrier, state);
}

// Moves a box from its first column and row on; returns how many bytes it has.
inline uint64_t move_box(const PlainMap& map, int column, int row, uint32_t to) {
    constexpr uint32_t PIECE = 16;
    uint32_t place = to;
    for (uint32_t y = 0; y < map.tile[1]; y++) {
        for (uint32_t x = 0; x < map.tile[0]; x++, place += 2) {
            int64_t at[2] = {static_cast<int64_t>(column) + x, static_cast<int64_t>(row) + y};
            bool inside = at[0] >= 0 && at[1] >= 0 && at[0] < static_cast<int64_t>(map.extents[0]) &&
                          at[1] < static_cast<int64_t>(map.extents[1]);
            uint16_t element = 0;
            if (inside) {
                memcpy(&element, map.address + at[1] * map.stride + at[0] * 2, 2);
            }
            memcpy(at_window(swizzled(place / PIECE * PIECE) + place % PIECE, 2), &element, 2);
        }
    }
    return place - to;
}

inline void check_box(const PlainMap& map, const TensorMap& bytes, uint32_t to) {
    if (!map.made() || reinterpret_cast<uintptr_t>(&bytes) % 128 != 0) {
        block->fail("copy_box: no tensor map");
    }
    if (!map.can_be_copied() || to % 128 != 0) {
        block->fail("copy_box: a map or a place that the instruction does not take");
    }
}

}  // namespace emulation

DEVICE void mbarrier_init(Mbarrier* barrier, int arrivals) {
    using namespace emulation;
    if (window_address(barrier) % 8 != 0 || arrivals < 1 || arrivals > 4095) {
        block->fail("mbarrier_init: not aligned, or %d arrivals", arrivals);
    }
    uint64_t count = static_cast<uint64_t>(arrivals);
    BarrierState state = {BARRIER_MARK, 0, 0, count, count, 0};
    memcpy(barrier, &state, sizeof(state));
    hopper().prepared.push_back(barrier);
}

DEVICE void mbarrier_init_fence() {
    using namespace emulation;
    for (Mbarrier* barrier : hopper().prepared) {
        BarrierState state = state_of(barrier);
        state.known = 1;
        memcpy(barrier, &state, sizeof(state));
    }
    hopper().prepared.clear();
}

DEVICE void mbarrier_arrive(Mbarrier* barrier) {
    emulation::arrive(barrier, 0);
}

DEVICE void mbarrier_expect(Mbarrier* barrier, int bytes) {
    emulation::arrive(barrier, static_cast<uint64_t>(bytes));
}

DEVICE void mbarrier_wait(Mbarrier* barrier, unsigned parity) {
    using namespace emulation;
    while (state_of(barrier).phase == parity) {
        block->sleep(barrier, parity == 0 ? "mbarrier_wait for phase 0" : "mbarrier_wait for phase 1",
                     offset_of(barrier));
    }
}

DEVICE void copy_box(void* shared, const TensorMap& bytes, Mbarrier* barrier, int column, int row) {
    using namespace emulation;
    PlainMap map;
    memcpy(&map, &bytes, sizeof(map));
    uint32_t to = window_address(shared);
    check_box(map, bytes, to);
    if (!state_of(barrier).known) {
        block->fail("copy_box: the mbarrier at byte %ld has no fence behind its preparation", offset_of(barrier));
    }
    block->land([=] { land_bytes(barrier, move_box(map, column, row, to)); });
}

DEVICE void prefetch_map(const TensorMap&) {}
