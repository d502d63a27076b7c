// Memory of an operand or a result, as one piece or as pieces far apart.
//
// Rows that lie far apart take offsets beyond 32 bits without memory of that size: only their own pages can be
// accessed. Whoever reaches for anything else, as an offset that has lost its upper bits does, is stopped.
#pragma once

#include <csignal>
#include <utility>

#include "memory.h"

namespace emulation {

constexpr size_t BUFFER_ALIGNMENT = 256;
constexpr size_t PAGE = 4096;

// What lies in front of pieces that are apart: no negative offset of 32 bits leaves it.
constexpr size_t IN_FRONT = size_t(1) << 34;

class Buffer {
  public:
    // `bytes` in all, in equal pieces that begin `apart` bytes, whole pages, from each other; one piece is apart from
    // nothing. Buffers are aligned as an arena's.
    Buffer(uint64_t bytes, uint64_t pieces, uint64_t apart) : bytes_(bytes), pieces_(pieces), apart_(apart) {
        if (apart == 0) {
            data_ = allocate(BUFFER_ALIGNMENT, bytes);
            return;
        }
        void* all = mmap(nullptr, span(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (all == MAP_FAILED) {
            fprintf(stderr, "emulation: no addresses for pieces %zu bytes apart\n", size_t(apart));
            _Exit(3);
        }
        data_ = static_cast<unsigned char*>(all) + IN_FRONT;
        each_piece([this](unsigned char* piece, size_t size) {
            mprotect(piece, pages(size), PROT_READ | PROT_WRITE);
            forbid(piece + size, pages(size) - size);
        });
    }

    Buffer(Buffer&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_), pieces_(other.pieces_),
          apart_(other.apart_) {}

    ~Buffer() {
        if (data_ && apart_ == 0) {
            free(data_);
        } else if (data_) {
            each_piece([](unsigned char* piece, size_t size) { allow(piece + size, pages(size) - size); });
            munmap(data_ - IN_FRONT, span());
        }
    }

    unsigned char* data() const {
        return data_;
    }

    // Calls `f(piece, bytes)` for the pieces in order.
    template <class F> void each_piece(F f) const {
        for (uint64_t i = 0; i < pieces_; i++) {
            f(data_ + i * apart_, size_t(bytes_ / pieces_));
        }
    }

  private:
    unsigned char* data_;
    uint64_t bytes_, pieces_, apart_;

    static size_t pages(size_t bytes) {
        return (bytes + PAGE - 1) / PAGE * PAGE;
    }

    size_t span() const {
        return IN_FRONT + (pieces_ - 1) * apart_ + pages(bytes_ / pieces_);
    }
};

// Ends the program with a word where it reaches for memory that is not there. AddressSanitizer says more.
inline void stop_at_missing_memory() {
#if !defined(ZOETROPE_SANITIZED)
    signal(SIGSEGV, [](int) {
        constexpr char text[] = "emulation: an access to memory that is not there\n";
        (void)!write(2, text, sizeof(text) - 1);
        _Exit(3);
    });
#endif
}

}  // namespace emulation
