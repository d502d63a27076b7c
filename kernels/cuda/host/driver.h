// A stand-in for the CUDA driver on a machine without one: the calls that an executor makes, over memory of the host,
// with the kernels under emulation.
//
// Work is begun as late as it may be. Streams are queues; nothing in them happens until somebody waits, and then the
// queues advance in an order drawn from a seed, a launch of a graph in a random order that its edges allow. One stream
// goes on for a while, now a few entries, now hundreds, before another one does: were they to alternate, none would ever
// be far ahead of the others. So an executor that forgets to wait, or an edge that is missing, gives wrong numbers. Fresh
// memory is NaN. Every launch is checked: threads, shared memory and argument are those of the function, and every
// operand, also what a tensor map describes, lies in allocated memory.
//
// Not modelled: time, more than one card, contexts, errors that only hardware has.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <thread>

#include "function.h"
#include "plain_map.h"

namespace emulation {

enum Answer {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    NOT_FOUND = 500,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
    LAUNCH_FAILED = 719,
    NOT_SUPPORTED = 801,
};

struct Event {
    uint64_t recorded = 0;  // how often it was
    uint64_t happened = 0;  // the last recording that has
};

// An entry of a stream: something to do, an event that happens, or one that has to have happened.
struct Entry {
    std::function<void()> work;
    Event* event = nullptr;
    uint64_t number = 0;
    bool waits = false;
};

struct Stream {
    std::deque<Entry> entries;
};

// Arguments lie in these: tensor maps are aligned.
struct alignas(TensorMap) Line {
    uint64_t words[alignof(TensorMap) / 8];
};

struct Launch {
    Function* function;
    uint32_t blocks;
    size_t shared;
    std::vector<Line> argument;

    // The argument from a byte on.
    const uint64_t* at(size_t byte) const {
        return &argument[byte / sizeof(Line)].words[byte % sizeof(Line) / 8];
    }
};

struct GraphNode {
    Launch launch;
    std::vector<size_t> behind;
};

struct Graph {
    std::vector<std::unique_ptr<GraphNode>> nodes;
};

// All that the driver knows. One lock; an executor has one thread or few.
struct Driver {
    std::recursive_mutex lock;
    std::map<uint64_t, uint64_t> memory;  // address and bytes
    std::map<uint64_t, uint64_t> pinned;
    std::vector<Stream*> streams;
    Stream* running = nullptr;  // the stream that goes on, for so many entries more
    uint64_t entries_left = 0;
    uint64_t random = 1;
    Answer failed = SUCCESS;  // stays: a context is gone after an error
    std::string complaint;

    // What a test may set.
    int version = 13000;
    int count = 1;
    int capability[2] = {8, 0};
    int processors = 3;  // few, so that blocks with strides have several pieces of work
    int integrated = 0;
    uint64_t total = uint64_t(16) << 30;
    int64_t launches_left = -1;

    uint64_t draw(uint64_t below) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        return (random >> 33) % below;
    }

    Answer complain(Answer answer, const std::string& what) {
        complaint = what;
        return answer;
    }

    // Whether a range lies in one allocation.
    static bool inside(const std::map<uint64_t, uint64_t>& all, uint64_t from, uint64_t bytes) {
        auto behind = all.upper_bound(from);
        if (behind == all.begin()) {
            return false;
        }
        auto [base, size] = *std::prev(behind);
        return from - base <= size && bytes <= size - (from - base);
    }

    // Shared memory that a block may have, in bytes.
    int most_shared() const {
        int of[2] = {capability[0], capability[1]};
        if (of[0] == 8) {
            return (of[1] == 0 || of[1] == 7 ? 163 : 99) * 1024;
        }
        return (of[0] == 9 || of[0] == 10 ? 227 : 99) * 1024;
    }

    // One of the streams that can go on: the one that is running, or one that is drawn.
    Stream* choose(const std::vector<Stream*>& ready) {
        bool goes_on = entries_left > 0 && std::find(ready.begin(), ready.end(), running) != ready.end();
        if (!goes_on) {
            running = ready[draw(ready.size())];
            entries_left = uint64_t(1) << draw(10);
        }
        entries_left--;
        return running;
    }

    // Does the next entry of some stream. False when none can go on.
    bool advance() {
        std::vector<Stream*> ready;
        for (Stream* stream : streams) {
            if (!stream->entries.empty()) {
                const Entry& entry = stream->entries.front();
                if (!entry.waits || entry.event->happened >= entry.number) {
                    ready.push_back(stream);
                }
            }
        }
        if (ready.empty()) {
            return false;
        }
        Stream* stream = choose(ready);
        Entry entry = std::move(stream->entries.front());
        stream->entries.pop_front();
        if (entry.work && failed == SUCCESS) {
            entry.work();
        } else if (entry.event && !entry.waits) {
            entry.event->happened = std::max(entry.event->happened, entry.number);
        }
        return true;
    }

    // Works until `enough` holds.
    template <class F> Answer until(F enough) {
        while (!enough()) {
            if (!advance()) {
                failed = complain(LAUNCH_FAILED, "streams wait for each other, and none can go on");
                break;
            }
        }
        return failed;
    }

    // Whether a launch is one that the function takes; says what is wrong otherwise.
    Answer check(const Launch& launch, uint32_t threads) {
        const Function& function = *launch.function;
        if (!function.variant.run) {
            return SUCCESS;  // until it runs
        }
        if (int(threads) != function.threads) {
            return complain(INVALID_VALUE, "a wrong number of threads");
        }
        if (launch.shared != function.shared || launch.shared > function.allowed) {
            return complain(INVALID_VALUE, "shared memory that is not the function's, or more than was allowed");
        }
        // The number of parts, and where the blocks of each end.
        const int32_t* header = reinterpret_cast<const int32_t*>(launch.at(0));
        int parts = header[0];
        if (parts < 1 || parts > MAX_PARTS) {
            return complain(INVALID_VALUE, "a wrong number of parts");
        }
        if (launch.blocks == 0 || int64_t(launch.blocks) != header[parts]) {
            return complain(INVALID_VALUE, "a number of blocks that is not the parts'");
        }
        for (int part = 0; part < parts; part++) {
            for (size_t i = 0; i < function.operands.size(); i++) {
                size_t at = HEADER_BYTES + (part * function.operands.size() + i) * TENSOR_BYTES;
                const uint64_t* tensor = launch.at(at);
                const int32_t* extents = reinterpret_cast<const int32_t*>(tensor + 2);
                uint64_t rows = uint64_t(extents[0]) * extents[1] * extents[2] * extents[3];
                Shape shape = function.operands[i];
                uint64_t bytes = rows == 0 ? 0 : ((rows - 1) * tensor[1] + shape.width) * shape.bytes;
                if (tensor[0] % shape.bytes != 0 || !inside(memory, tensor[0], bytes)) {
                    return complain(ILLEGAL_ADDRESS, "operand " + std::to_string(i) + " of part " +
                                                         std::to_string(part) + " is not in allocated memory");
                }
            }
        }
        return check_maps(launch, parts);
    }

    // Those of all possible parts end the argument.
    Answer check_maps(const Launch& launch, int parts) {
        const Variant& variant = launch.function->variant;
        if (variant.maps > 0 && capability[0] != 9) {
            return complain(INVALID_IMAGE, "a function with tensor maps on a card of another class");
        }
        size_t first = variant.bytes - MAX_PARTS * variant.maps * MAP_BYTES;
        for (int i = 0; i < parts * variant.maps; i++) {
            PlainMap map;
            memcpy(&map, launch.at(first + i * MAP_BYTES), sizeof(map));
            std::string what = "tensor map " + std::to_string(i);
            if (!map.made()) {
                return complain(INVALID_VALUE, what + " is not made");
            }
            if (!inside(memory, reinterpret_cast<uint64_t>(map.address), map.bytes())) {
                return complain(ILLEGAL_ADDRESS, what + " describes memory that is not allocated");
            }
        }
        return SUCCESS;
    }

    void execute(const Launch& launch) {
        if (launches_left == 0) {
            failed = complain(LAUNCH_FAILED, "a test lets the card fail here");
            return;
        }
        launches_left -= launches_left > 0;
        if (!launch.function->variant.run) {
            failed = complain(NOT_FOUND, "this library was built without a function that is launched");
            return;
        }
        uint64_t seed = draw(1000);
        std::atomic<uint32_t> next{0};
        auto work = [&] {
            Block block(launch.function->threads, launch.shared, seed);
            std::function<void()> body = [&] { launch.function->variant.run(launch.argument.data()); };
            for (uint32_t i; (i = next++) < launch.blocks;) {
                block.run(i, body);
            }
        };
        std::vector<std::thread> workers;
        for (int i = 1; i < WORKERS && i < int(launch.blocks); i++) {
            workers.emplace_back(work);
        }
        work();
        for (std::thread& worker : workers) {
            worker.join();
        }
    }

    // Puts a graph's launches into a stream, in an order that its edges allow.
    void enqueue(const Graph& graph, Stream* stream) {
        std::vector<bool> queued(graph.nodes.size(), false);
        for (size_t n = 0; n < graph.nodes.size(); n++) {
            std::vector<size_t> ready;
            // The nodes that have waited longest and a few behind them: all that a random order needs.
            for (size_t i = 0; i < graph.nodes.size() && ready.size() < 8; i++) {
                const auto& behind = graph.nodes[i]->behind;
                if (!queued[i] && std::all_of(behind.begin(), behind.end(), [&](size_t b) { return queued[b]; })) {
                    ready.push_back(i);
                }
            }
            size_t chosen = ready[draw(ready.size())];
            queued[chosen] = true;
            Launch launch = graph.nodes[chosen]->launch;
            stream->entries.push_back({[this, launch] { execute(launch); }});
        }
    }
};

inline Driver& driver() {
    static Driver the;
    return the;
}

// What the argument of a launch is, checked.
inline Answer launch_of(Function* function, uint32_t blocks, uint32_t threads, size_t shared, void** arguments,
                        Launch& launch) {
    size_t bytes = function->variant.bytes;
    if (function->variant.maps > 0 && reinterpret_cast<uintptr_t>(arguments[0]) % alignof(TensorMap) != 0) {
        return driver().complain(INVALID_VALUE, "an argument that is not aligned as its tensor maps are");
    }
    launch = {function, blocks, shared, std::vector<Line>((bytes + sizeof(Line) - 1) / sizeof(Line))};
    memcpy(launch.argument.data(), arguments[0], bytes);
    return driver().check(launch, threads);
}

}  // namespace emulation
