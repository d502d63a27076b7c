// Memory of the emulation, and what AddressSanitizer has to be told where a program is built with it.
//
// Then operands and shared memory are allocations of exactly their size, and an access outside of one ends the program
// with the line that made it. Without sanitizers the memory behind the shared one is looked at when a block is done.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <vector>

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(ZOETROPE_SANITIZED)
#include <sanitizer/asan_interface.h>
#endif

namespace emulation {

#if defined(ZOETROPE_SANITIZED)
constexpr size_t GUARD_BYTES = 0;
// Instrumented functions keep more on their stack.
constexpr size_t STACK_BYTES = 1024 * 1024;
#else
// Bytes behind the block's shared memory that nobody may change.
constexpr size_t GUARD_BYTES = 4096;
constexpr size_t STACK_BYTES = 512 * 1024;
#endif

inline unsigned char* allocate(size_t alignment, size_t bytes) {
    void* memory = nullptr;
    if (posix_memalign(&memory, alignment, bytes) != 0) {
        fprintf(stderr, "emulation: no memory for %zu bytes\n", bytes);
        _Exit(3);
    }
    return static_cast<unsigned char*>(memory);
}

// Memory that an instruction will access later, or on behalf of other lanes, is accessed here and now, so that a
// report names the line that asked for it. Its two ends stand for all of it: it lies in one allocation or outside.
inline void touch(const void* memory, size_t bytes) {
#if defined(ZOETROPE_SANITIZED)
    if (bytes > 0) {
        auto ends = static_cast<const volatile unsigned char*>(memory);
        (void)ends[0];
        (void)ends[bytes - 1];
    }
#else
    (void)memory, (void)bytes;
#endif
}

// Says that nobody may access some bytes, or that they are to be had again. Only AddressSanitizer listens.
inline void forbid(const void* memory, size_t bytes) {
#if defined(ZOETROPE_SANITIZED)
    ASAN_POISON_MEMORY_REGION(memory, bytes);
#else
    (void)memory, (void)bytes;
#endif
}

inline void allow(const void* memory, size_t bytes) {
#if defined(ZOETROPE_SANITIZED)
    ASAN_UNPOISON_MEMORY_REGION(memory, bytes);
#else
    (void)memory, (void)bytes;
#endif
}

// Functions that AddressSanitizer does not look into.
#define UNSEEN __attribute__((noinline, no_sanitize("address")))

// A stack that something runs on.
struct Stack {
    const void* bottom = nullptr;
    size_t bytes = 0;
};

// Stacks that nobody uses; making one asks the system, and a launch wants hundreds. All have their ends at other places
// of the processor's caches, where those of all fibers would otherwise fight for one.
struct Stacks {
    static constexpr size_t APART = 17 * 64, PLACES = 128;

    std::mutex lock;
    std::vector<Stack> unused;
    size_t made = 0;
};

inline Stacks& stacks() {
    static Stacks all;
    return all;
}

inline Stack new_stack() {
    std::lock_guard<std::mutex> guard(stacks().lock);
    if (!stacks().unused.empty()) {
        Stack stack = stacks().unused.back();
        stacks().unused.pop_back();
        return stack;
    }
    void* memory =
        mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        fprintf(stderr, "emulation: no memory for a stack\n");
        _Exit(3);
    }
    return {memory, STACK_BYTES - stacks().made++ % Stacks::PLACES * Stacks::APART};
}

// Takes back a stack whose fiber goes on no more.
inline void keep_stack(const Stack& stack) {
    allow(stack.bottom, stack.bytes);
    std::lock_guard<std::mutex> guard(stacks().lock);
    stacks().unused.push_back(stack);
}

// Where something goes on that has been left. Fibers switch millions of times in a launch: once one has begun, a jump
// of the compiler does it, which keeps a place and two pointers, where swapcontext asks the system.
struct Context {
    ucontext_t whole;
    void* left[5];
    bool begun = false;
};

// Makes `context` one that calls `begin(low, high)` on `stack`, with the halves of `argument`.
inline void prepare(Context& to, const Stack& stack, void (*begin)(unsigned, unsigned), void* argument) {
    ucontext_t& context = to.whole;
    getcontext(&context);
    context.uc_stack.ss_sp = const_cast<void*>(stack.bottom);
    context.uc_stack.ss_size = stack.bytes;
    context.uc_link = nullptr;
    uintptr_t bits = reinterpret_cast<uintptr_t>(argument);
    makecontext(&context, reinterpret_cast<void (*)()>(begin), 2, static_cast<unsigned>(bits),
                static_cast<unsigned>(bits >> 32));
}

// Where a function does not return, AddressSanitizer forgets what it knows of the stack: it would no longer guard the
// arrays of fibers that wait. So it is not told of jumps, but of the stacks.
// The compiler's jump must not be in the function that it returns to.
UNSEEN inline void jump(Context& to) {
    if (to.begun) {
        __builtin_longjmp(to.left, 1);
    }
    to.begun = true;
    setcontext(&to.whole);
}

// Goes on in `to`, which runs on `stack`; returns when something goes on in `from`.
UNSEEN inline void switch_to(Context& from, Context& to, const Stack& stack) {
#if defined(ZOETROPE_SANITIZED)
    void* left = nullptr;
    __sanitizer_start_switch_fiber(&left, stack.bottom, stack.bytes);
#else
    (void)stack;
#endif
    if (__builtin_setjmp(from.left) == 0) {
        from.begun = true;
        jump(to);
    }
#if defined(ZOETROPE_SANITIZED)
    __sanitizer_finish_switch_fiber(left, nullptr, nullptr);
#endif
}

// What a fiber does first: the stack that the switch to it came from.
inline Stack arrive_in_fiber() {
    Stack from;
#if defined(ZOETROPE_SANITIZED)
    __sanitizer_finish_switch_fiber(nullptr, &from.bottom, &from.bytes);
#endif
    return from;
}

}  // namespace emulation
