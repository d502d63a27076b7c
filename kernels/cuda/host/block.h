// A block of CUDA threads on a CPU: one fiber for every thread, and places where threads meet.
//
// A fiber runs until it has to wait for others; then it goes on with the next one, in order or in an order drawn from
// a seed. The last thread to arrive where a group meets does what the group does together. When no thread can run and
// some are not done, they are listed with what each of them waits for. block.cpp has what kernels do not see.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "memory.h"

namespace emulation {

constexpr int LANES = 32;
constexpr unsigned char FRESH = 0xFF;  // as a float, or two bf16: NaN
constexpr size_t SHARED_ALIGNMENT = 1024;

struct Copy {
    void* to;
    const void* from;
    int bytes;
    int group;
};

// A thread's copies that have not arrived, in groups; the last group is open.
struct Copies {
    std::vector<Copy> flying;
    int open = 0;
};

struct Thread {
    Context context;
    Stack stack;
    int index = 0;
    bool done = false;
    const char* waits_for = nullptr;
    // Where in shared memory lies what it waits for; −1: not there.
    long waits_at = -1;
    Copies copies;
};

// Threads that do something together.
struct Meeting {
    std::vector<int> arrived;
    const char* what = nullptr;
};

// What a lane brings to a meeting of its warp. The pointers are to variables of waiting fibers.
struct Lane {
    const void* in[3];
    void* out;
    int number;
};

struct Warp {
    Meeting meeting;
    Lane lanes[LANES];
};

// What a class of instructions keeps for the block that runs.
struct Extension {
    virtual ~Extension() = default;
    // Complains of what must not be left at the block's end.
    virtual void check() = 0;
};

class Block {
  public:
    int index = 0;
    // Made by the first instruction that needs it.
    std::unique_ptr<Extension> extension;

    explicit Block(int threads, size_t shared_bytes, uint64_t seed);
    ~Block();
    Block(const Block&) = delete;

    // Runs all threads of block `block` through `body`.
    void run(int block, const std::function<void()>& body);

    Thread& current() {
        return threads_[current_];
    }

    Warp& warp() {
        return warps_[current_ / LANES];
    }

    // Odd seeds let asynchronous copies arrive at once.
    bool eager() const {
        return seed_ % 2 == 1;
    }

    // Every other two seeds let products of warpgroups be done at once.
    bool eager_products() const {
        return seed_ / 2 % 2 == 1;
    }

    unsigned char* shared() {
        return shared_;
    }

    size_t shared_bytes() const {
        return shared_bytes_;
    }

    int threads() const {
        return static_cast<int>(threads_.size());
    }

    // The current thread sleeps until `wake` is called for the same place.
    void sleep(const void* place, const char* what, long at = -1);
    void wake(const void* place);

    // What happens by itself after a while: at once, or only when no thread can run without it.
    void land(std::function<void()> landing);

    // The current thread waits until `size` threads have come to `meeting`; the last one calls `together`.
    template <class F> void meet(Meeting& meeting, int size, const char* what, F together) {
        if (!meeting.arrived.empty() && meeting.what != what) {
            fail("threads %d and %d meet in %s and %s", meeting.arrived[0], current_, meeting.what, what);
        }
        meeting.what = what;
        meeting.arrived.push_back(current_);
        if (static_cast<int>(meeting.arrived.size()) < size) {
            wait(what);
            return;
        }
        together();
        release(meeting, current_);
    }

    template <class F> void meet_warp(const char* what, F together) {
        meet(warp().meeting, LANES, what, together);
    }

    void barrier();

    template <class... Args> [[noreturn]] void fail(const char* format, Args... args) {
        fprintf(stderr, "emulation: block %d: ", index);
        fprintf(stderr, format, args...);
        fprintf(stderr, "\n");
        fflush(stderr);
        _Exit(3);
    }

  private:
    std::vector<Thread> threads_;
    std::vector<Warp> warps_;
    std::deque<int> ready_;
    Meeting barrier_;
    std::map<const void*, Meeting> sleepers_;
    std::vector<std::function<void()>> landings_;
    uint64_t seed_;
    uint64_t random_ = 0;
    unsigned char* shared_;
    size_t shared_bytes_;
    int current_ = 0;
    int alive_ = 0;
    Context scheduler_;
    Stack scheduler_stack_;
    const std::function<void()>* body_ = nullptr;

    static void begin(unsigned low, unsigned high);
    void finish();
    int next();
    size_t draw(size_t count);
    void check();

    void wait(const char* what);
    // Leaves the current thread for the next one; returns when it is the next one.
    void go_on();
    void release(Meeting& meeting, int but);
};

inline thread_local Block* block = nullptr;

}  // namespace emulation
