// What a launch hands to a kernel: tensors, parts, and how their elements are read and written.
//
// kernels/src/cuda/arguments.rs writes these structures byte by byte; the layout is fixed there and here.
#pragma once

// Rows of WIDTH elements, `stride` elements apart. The extents are those of all axes but the last, outermost first;
// what an operand does not have is 1.
template <class T, int RANK, int WIDTH> struct Tensor {
    using Element = T;
    static constexpr int rank = RANK;
    static constexpr int width = WIDTH;

    T* data;
    long long stride;
    int extent[4];

    DEVICE long long rows() const {
        return (long long)extent[0] * extent[1] * extent[2] * extent[3];
    }

    // Extents are 32 bits, offsets never.
    DEVICE T* row(long long i) const {
        return data + i * stride;
    }

    DEVICE long long elements() const {
        return rows() * WIDTH;
    }
};

constexpr int MAX_PARTS = 8;

// The one argument of every kernel. Part i has the blocks from end[i - 1] (0 for the first) up to end[i].
template <class K> struct Launch {
    int parts;
    int end[MAX_PARTS];
    typename K::Part part[MAX_PARTS];
};

// Where a block is: its part, its number in the part, and how many blocks the part has.
struct Share {
    int part;
    int block;
    int blocks;
};

template <class K> DEVICE Share share_of_block(const Launch<K>& launch) {
    int block = block_index(), part = 0, first = 0;
    while (part + 1 < launch.parts && block >= launch.end[part]) {
        first = launch.end[part];
        part++;
    }
    return {part, block - first, launch.end[part] - first};
}

// Calls `f(part, block)` with the part that this block belongs to, and the block's number in it.
template <class K, class F> DEVICE void run_part(const Launch<K>& launch, F f) {
    Share share = share_of_block(launch);
    f(launch.part[share.part], share.block);
}

// How TMA finds an operand: opaque to kernels. The driver makes them (CUtensorMap), or the emulation.
struct alignas(128) TensorMap {
    unsigned long long words[16];
};

// The argument of kernels that read operands through tensor maps.
template <class K> struct MappedLaunch {
    Launch<K> launch;
    typename K::Maps maps[MAX_PARTS];
};

// What such a kernel gets for a block's number.
template <class K> struct MappedBlock {
    const typename K::Maps& maps;
    int block;
    int blocks;
};

// Calls `f(part, block)` with this block's part, and with its number, its part's blocks and maps.
template <class K, class F> DEVICE void run_mapped_part(const MappedLaunch<K>& launch, F f) {
    Share share = share_of_block(launch.launch);
    f(launch.launch.part[share.part], MappedBlock<K>{launch.maps[share.part], share.block, share.blocks});
}

// The numbers that a constant expression can be passed as to a generic lambda.
template <int N> struct Count {
    static constexpr int value = N;
};

constexpr int at_most(int x, int y) {
    return x < y ? x : y;
}

constexpr int over(int x, int y) {
    return (x + y - 1) / y;
}

DEVICE float real(float x) {
    return x;
}
DEVICE float real(bf16 x) {
    return widen(x);
}
DEVICE float real(int x) {
    return (float)x;
}
DEVICE float real(unsigned char x) {
    return (float)x;
}

DEVICE void put(float* to, float x) {
    *to = x;
}
DEVICE void put(bf16* to, float x) {
    *to = narrow(x);
}
DEVICE void put(int* to, float x) {
    *to = (int)x;
}
DEVICE void put(unsigned char* to, float x) {
    *to = (unsigned char)(int)x;
}

// N elements that one instruction can move.
template <class T, int N> struct alignas(sizeof(T) * N) Pack {
    T at[N];
};

// How many of N elements move at once: 16 bytes, or all of them where they are fewer.
template <class T, int N> constexpr int AT_ONCE = at_most(N, 16 / (int)sizeof(T));

template <class T, int N> DEVICE bool aligned(const T* at) {
    return (unsigned long long)at % sizeof(Pack<T, AT_ONCE<T, N>>) == 0;
}

// In place of a count of elements: all of them are there, and aligned.
struct Whole {};

// In place of a count of elements: at least one is there. They are read without a branch, so that reads of many places
// are under way together; for one that is not there the first is read.
struct Inside {
    int count;
};

// Reads N elements, 16 bytes at once.
template <int N, class T> DEVICE void load(float (&to)[N], const T* from, Whole) {
    constexpr int some = AT_ONCE<T, N>;
#pragma unroll
    for (int i = 0; i < N; i += some) {
        Pack<T, some> pack = *(const Pack<T, some>*)(from + i);
#pragma unroll
        for (int j = 0; j < some; j++) {
            to[i + j] = real(pack.at[j]);
        }
    }
}

template <int N, class T> DEVICE void load(float (&to)[N], const T* from, Inside inside) {
#pragma unroll
    for (int i = 0; i < N; i++) {
        to[i] = real(from[i < inside.count ? i : 0]);
    }
}

// Reads `count` of at most N elements, N a power of two; by 16 bytes where they are all there and aligned. The rest
// becomes zeros.
template <int N, class T> DEVICE void load(float (&to)[N], const T* from, int count) {
    if (count >= N && aligned<T, N>(from)) {
        load(to, from, Whole());
        return;
    }
#pragma unroll
    for (int i = 0; i < N; i++) {
        to[i] = i < count ? real(from[i]) : 0.0f;
    }
}

// Writes N elements, rounded to the storage, 16 bytes at once.
template <int N, class T> DEVICE void store(T* to, const float (&from)[N], Whole) {
    constexpr int some = AT_ONCE<T, N>;
#pragma unroll
    for (int i = 0; i < N; i += some) {
        Pack<T, some> pack;
#pragma unroll
        for (int j = 0; j < some; j++) {
            put(&pack.at[j], from[i + j]);
        }
        *(Pack<T, some>*)(to + i) = pack;
    }
}

// Writes the first `count` of N elements, rounded to the storage; as `load`.
template <int N, class T> DEVICE void store(T* to, const float (&from)[N], int count) {
    if (count >= N && aligned<T, N>(to)) {
        store(to, from, Whole());
        return;
    }
#pragma unroll
    for (int i = 0; i < N; i++) {
        if (i < count) {
            put(to + i, from[i]);
        }
    }
}

// Moves `count` of at most N elements to the same or another storage.
template <int N, class A, class B> DEVICE void move(A* to, const B* from, int count) {
    float values[N];
    load(values, from, count);
    store(to, values, count);
}

template <int N> DEVICE void move(int* to, const int* from, int count) {
#pragma unroll
    for (int i = 0; i < N; i++) {
        if (i < count) {
            to[i] = from[i];
        }
    }
}

// One element to another storage.
template <class A, class B> DEVICE void set(A* to, B from) {
    put(to, real(from));
}

template <class T> DEVICE void set(T* to, T from) {
    *to = from;
}

// Elements that a thread takes at a time: 16 bytes of bf16, twice that of f32.
constexpr int UNIT = 8;

// Calls `f(row, column, count)` for the thread's unit of a result of `rows` rows of WIDTH: at most UNIT elements of
// one row. A block has as many units as threads.
template <int WIDTH, int THREADS, class F> DEVICE void unit_of(long long rows, int block, F f) {
    constexpr int per_row = over(WIDTH, UNIT);
    long long unit = (long long)block * THREADS + thread_index();
    long long row = unit / per_row;
    int column = (int)(unit % per_row) * UNIT;
    if (row < rows) {
        f(row, column, at_most(UNIT, WIDTH - column));
    }
}

// to = f(x, y), element by element: both have the shape of the result.
template <int THREADS, class X, class Y, class Z, class F>
DEVICE void zip(const X& x, const Y& y, const Z& to, int block, F f) {
    unit_of<Z::width, THREADS>(to.rows(), block, [&](long long row, int column, int count) {
        float a[UNIT], b[UNIT];
        load(a, x.row(row) + column, count);
        load(b, y.row(row) + column, count);
#pragma unroll
        for (int i = 0; i < UNIT; i++) {
            a[i] = f(a[i], b[i]);
        }
        store(to.row(row) + column, a, count);
    });
}
