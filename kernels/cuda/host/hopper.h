// The instructions of hopper/isa.cuh on a CPU: what a block keeps for them, registers, and barriers with numbers.
//
// Copies land at once, or only when no thread can go on without them. Products are done at once, or only when a wait
// asks for them, reading their operands then; until then their sums are NaN. So a wait that is missing or too weak is
// seen in one case, and memory or registers that are used again too early in the other. Not modelled: the order in
// which ordinary writes to shared memory become visible to copies and products, and the time that anything takes.
#pragma once

#include "block.h"

namespace emulation {

constexpr int REGISTERS = 65536;
constexpr int NAMED_BARRIERS = 16;

struct Warpgroup;

struct NamedBarrier {
    int threads = 0;
    int arrived = 0;
};

struct Hopper : Extension {
    std::vector<std::unique_ptr<Warpgroup>> warpgroups;
    // Barriers without a fence behind their preparation.
    std::vector<Mbarrier*> prepared;
    NamedBarrier named[NAMED_BARRIERS];
    // Registers that warpgroups gave back.
    int spare = 0;

    Hopper();
    ~Hopper() override;
    void check() override;
};

inline Hopper& hopper() {
    if (!block->extension) {
        block->extension = std::make_unique<Hopper>();
    }
    return static_cast<Hopper&>(*block->extension);
}

inline Warpgroup& warpgroup() {
    return *hopper().warpgroups[block->current().index / WARPGROUP];
}

}  // namespace emulation

#include "tensor_map.h"
#include "wgmma.h"

namespace emulation {

inline Hopper::Hopper() {
    if (block->threads() % WARPGROUP != 0) {
        block->fail("%d threads are no whole warpgroups", block->threads());
    }
    for (int i = 0; i < block->threads() / WARPGROUP; i++) {
        warpgroups.push_back(std::make_unique<Warpgroup>());
        warpgroups.back()->registers = std::min(REGISTERS / block->threads() / 8 * 8, 248);
    }
}

inline Hopper::~Hopper() = default;

inline void Hopper::check() {
    for (auto& group : warpgroups) {
        if (!group->flying.empty()) {
            block->fail("the block ended with %zu products that nobody waited for", group->flying.size());
        }
    }
    for (int i = 0; i < NAMED_BARRIERS; i++) {
        if (named[i].arrived != 0) {
            block->fail("named barrier %d: %d of %d threads arrived", i, named[i].arrived, named[i].threads);
        }
    }
}

// An arrival at a barrier; true when it is the last one.
inline bool arrive_named(int number, int threads) {
    if (number < 1 || number >= NAMED_BARRIERS || threads < 1 || threads % LANES != 0) {
        block->fail("named barrier %d for %d threads", number, threads);
    }
    NamedBarrier& barrier = hopper().named[number];
    if (barrier.arrived > 0 && barrier.threads != threads) {
        block->fail("named barrier %d is for %d and for %d threads", number, barrier.threads, threads);
    }
    barrier.threads = threads;
    if (++barrier.arrived < threads) {
        return false;
    }
    barrier.arrived = 0;
    block->wake(&barrier);
    return true;
}

inline void check_registers(const char* what, int count, bool right) {
    if (count < 24 || count > 256 || count % 8 != 0 || !right) {
        block->fail("%s: %d registers, and a thread has %d", what, count, warpgroup().registers);
    }
}

}  // namespace emulation

DEVICE int warpgroup_index() {
    return thread_index() / WARPGROUP;
}

template <int COUNT> DEVICE void give_registers() {
    using namespace emulation;
    Warpgroup& group = warpgroup();
    block->meet(group.meeting, WARPGROUP, "give_registers", [&group] {
        check_registers("give_registers", COUNT, COUNT <= group.registers);
        hopper().spare += (group.registers - COUNT) * WARPGROUP;
        group.registers = COUNT;
        block->wake(&hopper().spare);
    });
}

template <int COUNT> DEVICE void take_registers() {
    using namespace emulation;
    Warpgroup& group = warpgroup();
    int missing = (COUNT - group.registers) * WARPGROUP;
    if (thread_index() % WARPGROUP == 0) {
        check_registers("take_registers", COUNT, missing >= 0);
        while (hopper().spare < missing) {
            block->sleep(&hopper().spare, "take_registers");
        }
        hopper().spare -= missing;
    }
    block->meet(group.meeting, WARPGROUP, "take_registers", [&group] { group.registers = COUNT; });
}

DEVICE void named_barrier_wait(int number, int threads) {
    using namespace emulation;
    if (!arrive_named(number, threads)) {
        block->sleep(&hopper().named[number], "named_barrier_wait");
    }
}

DEVICE void named_barrier_arrive(int number, int threads) {
    emulation::arrive_named(number, threads);
}
