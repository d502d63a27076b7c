// Memory of the emulation, and what AddressSanitizer has to be told where a program is built with it.
//
// Then operands and shared memory are allocations of exactly their size, and an access outside of one ends the program
// with the line that made it. Without sanitizers the memory behind the shared one is looked at when a block is done.
#pragma once

#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

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
constexpr size_t STACK_BYTES = 256 * 1024;
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

// A stack that something runs on.
struct Stack {
    const void* bottom = nullptr;
    size_t bytes = 0;
};

inline Stack new_stack() {
    void* memory =
        mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        fprintf(stderr, "emulation: no memory for a stack\n");
        _Exit(3);
    }
    return {memory, STACK_BYTES};
}

// Where something goes on that has been left. Fibers switch millions of times in a launch: once one has begun, a jump
// does it, which leaves signals alone and so makes no call of the system, as swapcontext does.
struct Context {
    ucontext_t whole;
#if !defined(ZOETROPE_SANITIZED)
    jmp_buf left;
    bool begun = false;
#endif
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
    // AddressSanitizer forgets, at every switch, what it knows of the stack that a context names. It would no longer
    // guard the arrays of waiting fibers; makecontext alone needs the size.
    context.uc_stack.ss_size = 0;
#if !defined(ZOETROPE_SANITIZED)
    to.begun = false;
#endif
}

// Goes on in `to`, which runs on `stack`; returns when something goes on in `from`.
inline void switch_to(Context& from, Context& to, const Stack& stack) {
#if defined(ZOETROPE_SANITIZED)
    void* left = nullptr;
    __sanitizer_start_switch_fiber(&left, stack.bottom, stack.bytes);
    swapcontext(&from.whole, &to.whole);
    __sanitizer_finish_switch_fiber(left, nullptr, nullptr);
#else
    (void)stack;
    if (_setjmp(from.left) == 0) {
        from.begun = true;
        if (to.begun) {
            _longjmp(to.left, 1);
        }
        to.begun = true;
        setcontext(&to.whole);
    }
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

// What a fiber does last, as its functions never return: nothing on its stack is guarded any longer.
inline void leave_fiber() {
#if defined(ZOETROPE_SANITIZED)
    __asan_handle_no_return();
#endif
}

}  // namespace emulation
