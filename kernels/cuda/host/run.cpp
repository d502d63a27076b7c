// A program's requests and answers: see run.h.
#include "isa.cuh"
#include "tensor.cuh"
#include "run.h"

#include <atomic>
#include <memory>
#include <thread>

#include "buffer.h"

namespace emulation {

template <class T> static bool get(T* to, size_t count = 1) {
    return fread(to, sizeof(T), count, stdin) == count;
}

// Puts the address of what a number of the request means where the number stands.
static void resolve(uint64_t& address, const std::vector<Buffer>& buffers) {
    address = reinterpret_cast<uint64_t>(buffers[address >> 40].data()) + (address & ((1ull << 40) - 1));
}

static void launch(const Variant& variant, const uint32_t (&numbers)[5], uint64_t seed, std::vector<Buffer>& buffers) {
    uint64_t size = 0;
    get(&size);
    if (size != variant.bytes) {
        fprintf(stderr, "emulation: an argument of %zu bytes, not %zu\n", size_t(size), variant.bytes);
        _Exit(3);
    }
    constexpr size_t align = alignof(TensorMap);
    std::unique_ptr<uint64_t[], void (*)(void*)> argument(
        static_cast<uint64_t*>(aligned_alloc(align, (size + align - 1) / align * align)), free);
    get(reinterpret_cast<unsigned char*>(argument.get()), size);
    int parts = static_cast<int>(argument[0]);
    for (int tensor = 0; tensor < parts * variant.tensors; tensor++) {
        resolve(argument[(HEADER_BYTES + tensor * TENSOR_BYTES) / 8], buffers);
    }
    // A map begins with its address; those of all possible parts end the argument.
    size_t maps = size - MAX_PARTS * variant.maps * MAP_BYTES;
    for (int map = 0; map < parts * variant.maps; map++) {
        resolve(argument[(maps + map * MAP_BYTES) / 8], buffers);
    }
    auto [_, threads, shared, blocks, __] = numbers;
    std::atomic<uint32_t> next{0};
    auto work = [&, threads = threads, shared = shared, blocks = blocks] {
        Block block(threads, shared, seed);
        std::function<void()> body = [&] { variant.run(argument.get()); };
        for (uint32_t i; (i = next++) < blocks;) {
            block.run(i, body);
        }
    };
    std::vector<std::thread> workers;
    for (int i = 1; i < WORKERS && i < static_cast<int>(blocks); i++) {
        workers.emplace_back(work);
    }
    work();
    for (std::thread& worker : workers) {
        worker.join();
    }
}

int serve(const Variant* variants) {
    stop_at_missing_memory();
    uint32_t numbers[5];
    while (get(numbers, 5)) {
        uint64_t seed = 0;
        get(&seed);
        std::vector<Buffer> buffers;
        for (uint32_t i = 0; i < numbers[4]; i++) {
            uint64_t layout[3] = {};
            get(layout, 3);
            buffers.emplace_back(layout[0], layout[1], layout[2]);
            buffers.back().each_piece([](unsigned char* piece, size_t bytes) { get(piece, bytes); });
        }
        launch(variants[numbers[0]], numbers, seed, buffers);
        for (const Buffer& buffer : buffers) {
            buffer.each_piece([](unsigned char* piece, size_t bytes) { fwrite(piece, 1, bytes, stdout); });
        }
        fflush(stdout);
    }
    return 0;
}

}  // namespace emulation
