// Statistics of rows, and of equal slices of rows.
//
// A team of threads takes a slice: a warp where slices are short, the whole block where they are long. Elements are
// read a second time for the result, which finds them in the first-level cache, and lets a result be written over x:
// every thread writes what it has read itself.
#pragma once

// Slices longer than this are a block's; `grid` in kernels/src/cuda/norm.rs has the same number.
constexpr int WARP_SLICE = 1024;

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
#pragma unroll
            for (int i = 0; i < UNIT; i++) {
                total += i < count ? f(values[i]) : 0.0f;
            }
        });
        return team_sum<size>(total, (float*)shared_memory());
    }

    // 1 / sqrt(mean(x²) + eps).
    template <class X> DEVICE float inverse_rms(const X& x, float eps) const {
        float squares = sum(x, [](float x) { return x * x; });
        return 1.0f / sqrtf(squares / SLICE + eps);
    }
};
