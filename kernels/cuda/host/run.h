// A program that runs launches of kernels on the CPU: requests on its standard input, memory on its standard output.
//
// A request is: variant, threads, shared bytes, blocks, buffers (u32 each), the seed of the order of threads (u64; 0:
// in order); of every buffer how many bytes it has, in how many pieces, and how far these are apart (u64 each; see
// buffer.h), and the bytes; the kernel's argument behind its size (u64), in which an address is a buffer's number
// shifted by 40 plus an offset, and a tensor map is a PlainMap of tensor_map.h. The answer is the bytes of all buffers.
#pragma once

#include "block.h"

namespace emulation {

// A compiled variant: its kernel on the bytes of its argument, and how many tensors and tensor maps a part has.
struct Variant {
    void (*run)(const void* argument);
    int tensors;
    int maps;
    size_t bytes;
};

constexpr int WORKERS = 2;
constexpr size_t TENSOR_BYTES = 32;
constexpr size_t HEADER_BYTES = 40;
constexpr size_t MAP_BYTES = sizeof(TensorMap);

// Answers requests until there are no more; returns the program's exit code.
int serve(const Variant* variants);

}  // namespace emulation
