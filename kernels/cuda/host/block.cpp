// How threads of a block take turns: see block.h.
#include "isa.cuh"

namespace emulation {

Block::Block(int threads, size_t shared_bytes, uint64_t seed)
    : threads_(threads), warps_((threads + LANES - 1) / LANES), seed_(seed), shared_bytes_(shared_bytes) {
    shared_ = allocate(SHARED_ALIGNMENT, shared_bytes + GUARD_BYTES);
    for (int i = 0; i < threads; i++) {
        threads_[i].index = i;
        threads_[i].stack = new_stack();
        prepare(threads_[i].context, threads_[i].stack, begin, this);
    }
}

Block::~Block() {
    free(shared_);
    for (Thread& thread : threads_) {
        keep_stack(thread.stack);
    }
}

void Block::sleep(const void* place, const char* what, long at) {
    sleepers_[place].arrived.push_back(current_);
    current().waits_at = at;
    wait(what);
}

void Block::wake(const void* place) {
    release(sleepers_[place], -1);
}

void Block::land(std::function<void()> landing) {
    if (eager()) {
        landing();
    } else {
        landings_.push_back(std::move(landing));
    }
}

void Block::barrier() {
    meet(barrier_, alive_, "block_barrier", [] {});
}

void Block::wait(const char* what) {
    current().waits_for = what;
    go_on();
}

void Block::go_on() {
    int left = current_;
    current_ = next();
    if (current_ != left) {
        switch_to(threads_[left].context, current().context, current().stack);
    }
}

void Block::release(Meeting& meeting, int but) {
    for (int i : meeting.arrived) {
        if (i != but) {
            threads_[i].waits_for = nullptr;
            threads_[i].waits_at = -1;
            ready_.push_back(i);
        }
    }
    meeting.arrived.clear();
}

// makecontext passes ints only.
void Block::begin(unsigned low, unsigned high) {
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

void Block::finish() {
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
size_t Block::draw(size_t count) {
    if (seed_ == 0) {
        return 0;
    }
    random_ = random_ * 6364136223846793005u + 1442695040888963407u;
    return (random_ >> 32) * count >> 32;
}

int Block::next() {
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

void Block::check() {
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

void Block::run(int number, const std::function<void()>& body) {
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
        thread.copies.flying.clear();
        thread.copies.open = 0;
        ready_.push_back(thread.index);
    }
    current_ = next();
    switch_to(scheduler_, current().context, current().stack);
    check();
    block = nullptr;
}

}  // namespace emulation
