// The driver's calls, by the names and types of its library, over driver.h.
#include "isa.cuh"
#include "tensor.cuh"

#include "driver.h"

std::map<std::string, emulation::Function>& emulation::functions() {
    static std::map<std::string, Function> all;
    return all;
}

using namespace emulation;

// After an error every call gives it, as the driver's do.
#define CALL extern "C" __attribute__((visibility("default"))) int
#define ENTER                                                     \
    std::lock_guard<std::recursive_mutex> guard(driver().lock);   \
    if (driver().failed != SUCCESS) {                             \
        return driver().failed;                                   \
    }

CALL cuInit(unsigned) {
    return driver().count > 0 ? SUCCESS : NO_DEVICE;
}
CALL cuDriverGetVersion(int* version) {
    *version = driver().version;
    return SUCCESS;
}
CALL cuDeviceGetCount(int* count) {
    *count = driver().count;
    return SUCCESS;
}
CALL cuDeviceGet(int* device, int number) {
    *device = number;
    return number < driver().count ? SUCCESS : INVALID_DEVICE;
}
CALL cuDeviceGetName(char* name, int length, int) {
    snprintf(name, length, "Stand-in Card");
    return SUCCESS;
}
CALL cuDeviceGetAttribute(int* value, int attribute, int) {
    *value = attribute == 75   ? driver().capability[0]
             : attribute == 76 ? driver().capability[1]
             : attribute == 16 ? driver().processors
             : attribute == 18 ? driver().integrated
                               : 0;
    return SUCCESS;
}
CALL cuDevicePrimaryCtxRetain(void** context, int) {
    *context = &driver();
    return SUCCESS;
}
// With its context, a card forgets an error.
CALL cuDevicePrimaryCtxRelease_v2(int) {
    std::lock_guard<std::recursive_mutex> guard(driver().lock);
    driver().failed = SUCCESS;
    return SUCCESS;
}
CALL cuCtxSetCurrent(void*) {
    return SUCCESS;
}
CALL cuGetErrorName(int error, const char** text) {
    *text = error == OUT_OF_MEMORY     ? "CUDA_ERROR_OUT_OF_MEMORY"
            : error == ILLEGAL_ADDRESS ? "CUDA_ERROR_ILLEGAL_ADDRESS"
            : error == LAUNCH_FAILED   ? "CUDA_ERROR_LAUNCH_FAILED"
            : error == INVALID_VALUE   ? "CUDA_ERROR_INVALID_VALUE"
                                       : "CUDA_ERROR";
    return SUCCESS;
}
CALL cuGetErrorString(int, const char** text) {
    *text = driver().complaint.empty() ? "the stand-in driver refuses" : driver().complaint.c_str();
    return SUCCESS;
}

CALL cuMemGetInfo_v2(size_t* free, size_t* total) {
    ENTER
    uint64_t used = 0;
    for (auto [_, bytes] : driver().memory) {
        used += bytes;
    }
    *total = driver().total;
    *free = driver().total - used;
    return SUCCESS;
}
static int allocate(std::map<uint64_t, uint64_t>& all, uint64_t* address, size_t bytes) {
    void* at = aligned_alloc(256, (bytes + 255) / 256 * 256);
    if (!at) {
        return OUT_OF_MEMORY;
    }
    memset(at, FRESH, bytes);
    *address = reinterpret_cast<uint64_t>(at);
    all[*address] = bytes;
    return SUCCESS;
}
CALL cuMemAlloc_v2(uint64_t* address, size_t bytes) {
    ENTER
    size_t free = 0, total = 0;
    cuMemGetInfo_v2(&free, &total);
    return bytes > free ? int(OUT_OF_MEMORY) : allocate(driver().memory, address, bytes);
}
CALL cuMemFree_v2(uint64_t address) {
    std::lock_guard<std::recursive_mutex> guard(driver().lock);
    driver().until([] {
        auto& all = driver().streams;
        return std::all_of(all.begin(), all.end(), [](Stream* stream) { return stream->entries.empty(); });
    });
    free(reinterpret_cast<void*>(address));
    return driver().memory.erase(address) ? SUCCESS : INVALID_VALUE;
}
CALL cuMemHostAlloc(void** at, size_t bytes, unsigned) {
    ENTER
    uint64_t address = 0;
    int answer = allocate(driver().pinned, &address, bytes);
    *at = reinterpret_cast<void*>(address);
    return answer;
}
CALL cuMemFreeHost(void* at) {
    std::lock_guard<std::recursive_mutex> guard(driver().lock);
    driver().pinned.erase(reinterpret_cast<uint64_t>(at));
    free(at);
    return SUCCESS;
}

CALL cuStreamCreate(void** made, unsigned) {
    ENTER
    Stream* stream = new Stream;
    driver().streams.push_back(stream);
    *made = stream;
    return SUCCESS;
}
CALL cuStreamSynchronize(void* stream) {
    ENTER
    return driver().until([&] { return static_cast<Stream*>(stream)->entries.empty(); });
}
CALL cuStreamDestroy_v2(void* at) {
    std::lock_guard<std::recursive_mutex> guard(driver().lock);
    Stream* stream = static_cast<Stream*>(at);
    driver().until([&] { return stream->entries.empty(); });
    auto& all = driver().streams;
    all.erase(std::find(all.begin(), all.end(), stream));
    delete stream;
    return SUCCESS;
}
CALL cuStreamWaitEvent(void* stream, void* at, unsigned) {
    ENTER
    Event* event = static_cast<Event*>(at);
    static_cast<Stream*>(stream)->entries.push_back({nullptr, event, event->recorded, true});
    return SUCCESS;
}
CALL cuEventCreate(void** made, unsigned) {
    ENTER
    *made = new Event;
    return SUCCESS;
}
CALL cuEventRecord(void* at, void* stream) {
    ENTER
    Event* event = static_cast<Event*>(at);
    static_cast<Stream*>(stream)->entries.push_back({nullptr, event, ++event->recorded, false});
    return SUCCESS;
}
CALL cuEventSynchronize(void* at) {
    ENTER
    Event* event = static_cast<Event*>(at);
    return driver().until([&] { return event->happened >= event->recorded; });
}
CALL cuEventQuery(void* at) {
    ENTER
    Event* event = static_cast<Event*>(at);
    if (event->happened < event->recorded) {
        driver().advance();
        return driver().failed != SUCCESS ? driver().failed : NOT_READY;
    }
    return SUCCESS;
}
CALL cuEventElapsedTime_v2(float* milliseconds, void*, void*) {
    *milliseconds = 1.0f;
    return SUCCESS;
}
CALL cuEventElapsedTime(float* milliseconds, void* from, void* to) {
    return cuEventElapsedTime_v2(milliseconds, from, to);
}
// Streams may still wait for it; it is kept, as a driver keeps what is in use.
CALL cuEventDestroy_v2(void*) {
    return SUCCESS;
}

// Memory of the host is read when the copy happens, pageable memory, too: a driver promises nothing earlier.
CALL cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t bytes, void* stream) {
    ENTER
    if (!Driver::inside(driver().memory, to, bytes)) {
        return driver().complain(INVALID_VALUE, "a copy to memory that is not allocated");
    }
    std::function<void()> work = [=] { memcpy(reinterpret_cast<void*>(to), from, bytes); };
    static_cast<Stream*>(stream)->entries.push_back({work});
    return SUCCESS;
}
CALL cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, void* stream) {
    ENTER
    if (!Driver::inside(driver().memory, from, bytes)) {
        return driver().complain(INVALID_VALUE, "a copy from memory that is not allocated");
    }
    std::function<void()> work = [=] { memcpy(to, reinterpret_cast<void*>(from), bytes); };
    static_cast<Stream*>(stream)->entries.push_back({work});
    return SUCCESS;
}

CALL cuMemsetD8Async(uint64_t at, unsigned char byte, size_t bytes, void* stream) {
    ENTER
    if (!Driver::inside(driver().memory, at, bytes)) {
        return driver().complain(INVALID_VALUE, "bytes to be set in memory that is not allocated");
    }
    std::function<void()> work = [=] { memset(reinterpret_cast<void*>(at), byte, bytes); };
    static_cast<Stream*>(stream)->entries.push_back({work});
    return SUCCESS;
}

// Any image will do: functions are found by name, whatever was compiled from them.
CALL cuModuleLoadData(void** module, const void*) {
    ENTER
    *module = &driver();
    return SUCCESS;
}
CALL cuModuleUnload(void*) {
    return SUCCESS;
}
CALL cuModuleGetFunction(void** function, void*, const char* name) {
    ENTER
    // One that this library was built without is there, but cannot run.
    *function = &functions()[name];
    return SUCCESS;
}
CALL cuFuncSetAttribute(void* at, int attribute, int value) {
    ENTER
    constexpr int most_shared = 8;
    if (attribute == most_shared) {
        if (value > driver().most_shared()) {
            return driver().complain(INVALID_VALUE, "more shared memory than a block can have");
        }
        static_cast<Function*>(at)->allowed = std::max(value, 48 * 1024);
    }
    return SUCCESS;
}
// As a driver's: two axes of bf16 without gaps between elements, a swizzle of 128 bytes, zeros outside. What else there
// is, no kernel asks for.
CALL cuTensorMapEncodeTiled(void* to, int dtype, unsigned axes, void* address, const uint64_t* extents,
                            const uint64_t* strides, const uint32_t* tile, const uint32_t* steps, int interleave,
                            int swizzle, int, int fill) {
    ENTER
    constexpr int bfloat16 = 9, swizzle_128b = 3;
    if (driver().capability[0] < 9) {
        return driver().complain(NOT_SUPPORTED, "the card has no tensor maps");
    }
    bool known = dtype == bfloat16 && axes == 2 && steps[0] == 1 && steps[1] == 1 && interleave == 0 &&
                 swizzle == swizzle_128b && fill == 0 && reinterpret_cast<uintptr_t>(to) % alignof(TensorMap) == 0;
    if (!known) {
        return driver().complain(INVALID_VALUE, "a tensor map of another kind");
    }
    PlainMap map = {static_cast<const unsigned char*>(address), {extents[0], extents[1]}, strides[0],
                    {tile[0], tile[1]}, PlainMap::MARK};
    if (!map.can_be_copied()) {
        return driver().complain(INVALID_VALUE, "an operand that no tensor map describes");
    }
    memset(to, 0, sizeof(TensorMap));
    memcpy(to, &map, sizeof(map));
    return SUCCESS;
}

CALL cuLaunchKernel(void* function, unsigned blocks, unsigned y, unsigned z, unsigned threads, unsigned ty,
                    unsigned tz, unsigned shared, void* stream, void** arguments, void**) {
    ENTER
    emulation::Launch launch;
    int answer = y * z * ty * tz != 1 ? int(INVALID_VALUE)
                                      : launch_of(static_cast<Function*>(function), blocks, threads, shared, arguments,
                                                  launch);
    if (answer == SUCCESS) {
        static_cast<Stream*>(stream)->entries.push_back({[launch] { driver().execute(launch); }});
    }
    return answer;
}

CALL cuGraphCreate(void** graph, unsigned) {
    ENTER
    *graph = new Graph;
    return SUCCESS;
}
// As the driver's parameters of a kernel node lie in memory.
struct NodeParameters {
    Function* function;
    unsigned grid[3], block[3], shared;
    void** arguments;
};
CALL cuGraphAddKernelNode_v2(void** made, void* at, void* const* behind, size_t count, const NodeParameters* given) {
    ENTER
    Graph* graph = static_cast<Graph*>(at);
    auto node = std::make_unique<GraphNode>();
    int answer = launch_of(given->function, given->grid[0], given->block[0], given->shared, given->arguments,
                           node->launch);
    if (answer != SUCCESS) {
        return answer;
    }
    for (size_t i = 0; i < count; i++) {
        // A node's handle is its number, from 1 on.
        size_t number = reinterpret_cast<size_t>(behind[i]);
        if (number == 0 || number > graph->nodes.size()) {
            return driver().complain(INVALID_VALUE, "a node of another graph");
        }
        node->behind.push_back(number - 1);
    }
    graph->nodes.push_back(std::move(node));
    *made = reinterpret_cast<void*>(graph->nodes.size());
    return SUCCESS;
}
CALL cuGraphInstantiateWithFlags(void** made, void* at, unsigned long long) {
    ENTER
    Graph* copy = new Graph;
    for (const auto& node : static_cast<Graph*>(at)->nodes) {
        copy->nodes.push_back(std::make_unique<GraphNode>(*node));
    }
    *made = copy;
    return SUCCESS;
}
CALL cuGraphUpload(void*, void*) {
    ENTER
    return SUCCESS;
}
CALL cuGraphLaunch(void* graph, void* stream) {
    ENTER
    driver().enqueue(*static_cast<Graph*>(graph), static_cast<Stream*>(stream));
    return SUCCESS;
}
CALL cuGraphExecDestroy(void* graph) {
    delete static_cast<Graph*>(graph);
    return SUCCESS;
}
CALL cuGraphDestroy(void* graph) {
    delete static_cast<Graph*>(graph);
    return SUCCESS;
}

// What a test sets before an executor is made: version, count, capability, processors,
// integrated, total, launches_left, seed.
CALL standin_set(const char* name, int64_t value) {
    std::lock_guard<std::recursive_mutex> guard(driver().lock);
    std::string what = name;
    Driver& d = driver();
    if (what == "version") d.version = int(value);
    else if (what == "count") d.count = int(value);
    else if (what == "capability") d.capability[0] = int(value / 10), d.capability[1] = int(value % 10);
    else if (what == "total") d.total = uint64_t(value);
    else if (what == "launches_left") d.launches_left = value;
    else if (what == "integrated") d.integrated = int(value);
    else if (what == "processors") d.processors = int(value);
    else if (what == "seed") d.random = uint64_t(value);
    else return NOT_FOUND;
    return SUCCESS;
}
