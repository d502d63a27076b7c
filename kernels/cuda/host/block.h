// A block of CUDA threads on a CPU: one fiber for every thread, and places where threads meet.
//
// A fiber runs until it has to wait for others; then it goes on with the next one, in order or in an order drawn from
// a seed. The last thread to arrive where a group meets does what the group does together. When no thread can run and
// some are not done, they are listed with what each of them waits for.
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
};

struct Thread {
    Context context;
    Stack stack;
    int index = 0;
    bool done = false;
    const char* waits_for = nullptr;
    // Where in shared memory lies what it waits for; −1: not there.
    long waits_at = -1;
    // Groups of copies that have not arrived; the last one is open.
    std::deque<std::vector<Copy>> copies;
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

    explicit Block(int threads, size_t shared_bytes, uint64_t seed)
        : threads_(threads), warps_((threads + LANES - 1) / LANES), seed_(seed), shared_bytes_(shared_bytes) {
        shared_ = allocate(SHARED_ALIGNMENT, shared_bytes + GUARD_BYTES);
        for (int i = 0; i < threads; i++) {
            threads_[i].index = i;
            threads_[i].stack = new_stack();
            prepare(threads_[i].context, threads_[i].stack, begin, this);
        }
    }

    ~Block() {
        free(shared_);
        for (Thread& thread : threads_) {
            keep_stack(thread.stack);
        }
    }

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
    void sleep(const void* place, const char* what, long at = -1) {
        sleepers_[place].arrived.push_back(current_);
        current().waits_at = at;
        wait(what);
    }

    void wake(const void* place) {
        release(sleepers_[place], -1);
    }

    // What happens by itself after a while: at once, or only when no thread can run without it.
    void land(std::function<void()> landing) {
        if (eager()) {
            landing();
        } else {
            landings_.push_back(std::move(landing));
        }
    }

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

    void barrier() {
        meet(barrier_, alive_, "block_barrier", [] {});
    }

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

    void wait(const char* what) {
        current().waits_for = what;
        go_on();
    }

    // Leaves the current thread for the next one; returns when it is the next one.
    void go_on() {
        int left = current_;
        current_ = next();
        if (current_ != left) {
            switch_to(threads_[left].context, current().context, current().stack);
        }
    }

    void release(Meeting& meeting, int but) {
        for (int i : meeting.arrived) {
            if (i != but) {
                threads_[i].waits_for = nullptr;
                threads_[i].waits_at = -1;
                ready_.push_back(i);
            }
        }
        meeting.arrived.clear();
    }
};

inline thread_local Block* block = nullptr;

// makecontext passes ints only.
inline void Block::begin(unsigned low, unsigned high) {
    Block* self = reinterpret_cast<Block*>(static_cast<uintptr_t>(low) | static_cast<uintptr_t>(high) << 32);
    Stack from = arrive_in_fiber();
    // The first fiber is begun by what runs the block, all others by fibers.
    if (!self->scheduler_stack_.bottom) {
        self->scheduler_stack_ = from;
    }
    // Once for every block.
    for (;;) {
        (*self->body_)();
        self->finish();
    }
}

inline void Block::finish() {
    Thread& thread = current();
    thread.done = true;
    alive_--;
    // Threads that have left no longer count at a barrier.
    if (alive_ > 0 && static_cast<int>(barrier_.arrived.size()) == alive_) {
        release(barrier_, -1);
    }
    if (alive_ > 0) {
        go_on();
    } else {
        switch_to(thread.context, scheduler_, scheduler_stack_);
    }
}

// One of `count` things, in order or in a random order.
inline size_t Block::draw(size_t count) {
    if (seed_ == 0) {
        return 0;
    }
    random_ = random_ * 6364136223846793005u + 1442695040888963407u;
    return (random_ >> 32) * count >> 32;
}

inline int Block::next() {
    while (ready_.empty() && !landings_.empty()) {
        auto at = landings_.begin() + draw(landings_.size());
        std::function<void()> landing = std::move(*at);
        landings_.erase(at);
        landing();
    }
    if (ready_.empty()) {
        for (Thread& thread : threads_) {
            if (!thread.done && thread.waits_at >= 0) {
                fprintf(stderr, "emulation: thread %d waits in %s at byte %ld of shared memory\n", thread.index,
                        thread.waits_for, thread.waits_at);
            } else if (!thread.done) {
                fprintf(stderr, "emulation: thread %d waits in %s\n", thread.index, thread.waits_for);
            }
        }
        fail("deadlock: %d threads wait, none can run", alive_);
    }
    size_t at = draw(ready_.size());
    int thread = ready_[at];
    if (seed_ != 0) {
        ready_[at] = ready_.back();
        ready_.pop_back();
    } else {
        ready_.pop_front();
    }
    return thread;
}

inline void Block::check() {
    for (size_t i = 0; i < GUARD_BYTES; i++) {
        if (shared_[shared_bytes_ + i] != FRESH) {
            fail("shared memory was written %zu bytes behind its end", i);
        }
    }
    if (!landings_.empty()) {
        fail("the block ended before %zu of its copies landed", landings_.size());
    }
    if (extension) {
        extension->check();
    }
}

inline void Block::run(int number, const std::function<void()>& body) {
    block = this;
    index = number;
    body_ = &body;
    alive_ = static_cast<int>(threads_.size());
    random_ = seed_ ^ (static_cast<uint64_t>(number) << 20);
    memset(shared_, FRESH, shared_bytes_ + GUARD_BYTES);
    sleepers_.clear();
    extension.reset();
    for (Thread& thread : threads_) {
        thread.done = false;
        thread.waits_for = nullptr;
        thread.copies.assign(1, {});
        ready_.push_back(thread.index);
    }
    current_ = next();
    switch_to(scheduler_, current().context, current().stack);
    check();
    block = nullptr;
}

}  // namespace emulation
