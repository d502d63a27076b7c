// Statistics of rows, of equal slices of rows, and sums of a whole block.
//
// A team of threads takes a slice: a warp where slices are short, the whole block where they are long. Elements are
// read a second time for the result, which finds them in the first-level cache, and lets a result be written over x:
// every thread writes what it has read itself.
#pragma once

// Slices longer than this are a block's; `grid` in kernels/src/cuda/norm.rs has the same number.
constexpr int WARP_SLICE = 1024;

// The sum of `f(element)` over the elements that a unit has.
template <class F> DEVICE float sum_of(const float (&values)[UNIT], int count, F f) {
    float total = 0.0f;
#pragma unroll
    for (int i = 0; i < UNIT; i++) {
        total += i < count ? f(values[i]) : 0.0f;
    }
    return total;
}

// Where a team is, and its share of the threads' work.
template <int SLICE, int THREADS> struct Team {
    static constexpr int size = SLICE > WARP_SLICE ? THREADS : 32;

    long long row;
    // The slice's first column.
    int first;
    int thread;
    // False for teams behind the last slice, which only keep others company at barriers.
    bool active;

    DEVICE Team(long long rows, int slices, int block) {
        long long slice = (long long)block * (THREADS / size) + thread_index() / size;
        row = slice / slices;
        first = (int)(slice % slices) * SLICE;
        thread = thread_index() % size;
        active = row < rows;
    }

    // Calls `f(column, count)` for this thread's units of the slice, columns counted from the row's first.
    template <class F> DEVICE void units(F f) const {
        if (active) {
            for (int column = thread * UNIT; column < SLICE; column += size * UNIT) {
                f(first + column, at_most(UNIT, SLICE - column));
            }
        }
    }

    // The sum of `f(element)` over the slice of x.
    template <class T, int RANK, int WIDTH, class F> DEVICE float sum(const Tensor<T, RANK, WIDTH>& x, F f) const {
        float total = 0.0f;
        units([&](int column, int count) {
            float values[UNIT];
            load(values, x.row(row) + column, count);
            total += sum_of(values, count, f);
        });
        return team_sum<size>(total, (float*)shared_memory());
    }

    // 1 / sqrt(mean(x²) + eps).
    template <class X> DEVICE float inverse_rms(const X& x, float eps) const {
        float squares = sum(x, [](float x) { return x * x; });
        return 1.0f / sqrtf(squares / SLICE + eps);
    }
};

// A block's sum of `x`, to all of its threads. Sums of warps meet in f64: there are up to 1e8 elements, and a thread's own
// sum has a thousandth of them.
template <int THREADS> DEVICE double block_sum(float x, double* scratch) {
    x = warp_sum(x);
    if (thread_index() % 32 == 0) {
        scratch[thread_index() / 32] = x;
    }
    block_barrier();
    double total = 0.0;
    for (int warp = 0; warp < THREADS / 32; warp++) {
        total += scratch[warp];
    }
    block_barrier();
    return total;
}

// SIZE columns of all rows of x, from `first` on, as one block goes over them.
template <int SIZE, int THREADS, class X> struct Columns {
    const X& x;
    int first;

    // Calls `f(row, column, count)` for this thread's units.
    template <class F> DEVICE void each(F f) const {
        constexpr int units = over(SIZE, UNIT);
        long long all = x.rows() * units;
        for (long long unit = thread_index(); unit < all; unit += THREADS) {
            int column = (int)(unit % units) * UNIT;
            f(unit / units, first + column, at_most(UNIT, SIZE - column));
        }
    }

    // The sum of `f(element)`, to all threads.
    template <class F> DEVICE double sum(F f) const {
        float total = 0.0f;
        each([&](long long row, int column, int count) {
            float values[UNIT];
            load(values, x.row(row) + column, count);
            total += sum_of(values, count, f);
        });
        return block_sum<THREADS>(total, (double*)shared_memory());
    }

    DEVICE double elements() const {
        return (double)x.rows() * SIZE;
    }
};
