// What the emulation has in a tensor map's place.
#pragma once

#include <cstddef>
#include <cstdint>

namespace emulation {

// What stands for a driver's map, in the same 128 bytes: columns and rows of an operand, and bytes between rows.
struct PlainMap {
    const unsigned char* address;
    uint64_t extents[2];
    uint64_t stride;
    uint32_t tile[2];
    uint64_t mark;

    // Whether it is a map at all.
    bool made() const {
        return mark == MARK;
    }

    // From its first element to behind its last one.
    uint64_t bytes() const {
        return (extents[1] - 1) * stride + extents[0] * 2;
    }

    // What a box may be made of: rows of 128 bytes, at addresses that copies take.
    bool can_be_copied() const {
        return reinterpret_cast<uintptr_t>(address) % 16 == 0 && stride % 16 == 0 && stride < uint64_t(1) << 40 &&
               tile[0] * 2 == 128 && tile[1] >= 1 && tile[1] <= 256 && in_range(extents[0]) && in_range(extents[1]);
    }

    static constexpr uint64_t MARK = 0x70616D2D656E6F7A;

  private:
    static bool in_range(uint64_t extent) {
        return extent >= 1 && extent <= uint64_t(1) << 32;
    }
};

}  // namespace emulation
