// Elements in another place or order.
#pragma once

template <class K> DEVICE void copy(const typename K::Part& part, int block) {
    unit_of<K::y_width, K::threads>(part.y.rows(), block, [&](long long row, int column, int count) {
        move<UNIT>(part.y.row(row) + column, part.x.row(row) + column, count);
    });
}

// Rows that one step along an axis makes; the last axis makes none.
template <class T> DEVICE long long rows_of_step(const T& tensor, int axis) {
    long long rows = 1;
    for (int i = axis + 1; i < T::rank - 1; i++) {
        rows *= tensor.extent[i];
    }
    return axis == T::rank - 1 ? 0 : rows;
}

// The last axis stays the last: whole rows move.
template <class K> DEVICE void permute_rows(const typename K::Part& part, int block) {
    constexpr int rank = K::permute::axes_count;
    unit_of<K::y_width, K::threads>(part.y.rows(), block, [&](long long row, int column, int count) {
        long long from = 0, rest = row;
#pragma unroll
        for (int axis = rank - 2; axis >= 0; axis--) {
            from += rest % part.y.extent[axis] * rows_of_step(part.x, K::permute::axes[axis]);
            rest /= part.y.extent[axis];
        }
        move<UNIT>(part.y.row(row) + column, part.x.row(from) + column, count);
    });
}

// Squares of this many elements are turned in shared memory, so that both sides move whole runs.
constexpr int SQUARE = 32;

// The last axis of x is another one of y: squares of these two axes, for every place on all others.
template <class K> DEVICE void permute_squares(const typename K::Part& part, int block) {
    constexpr int rank = K::permute::axes_count;
    using Element = typename decltype(part.x)::Element;
    Element* square = (Element*)shared_memory();
    long long from = 0, to = 0, from_step = 0, to_step = 0;
    int across = over(K::y_width, SQUARE), down = over(K::x_width, SQUARE);
    int column = block % across * SQUARE, line = block / across % down * SQUARE;
    long long rest = block / across / down;
#pragma unroll
    for (int axis = rank - 1; axis >= 0; axis--) {
        int x_axis = K::permute::axes[axis];
        if (axis == rank - 1) {
            from_step = rows_of_step(part.x, x_axis);
        } else if (x_axis == rank - 1) {
            to_step = rows_of_step(part.y, axis);
        } else {
            from += rest % part.y.extent[axis] * rows_of_step(part.x, x_axis);
            to += rest % part.y.extent[axis] * rows_of_step(part.y, axis);
            rest /= part.y.extent[axis];
        }
    }
    int lane = thread_index() % SQUARE;
    for (int i = thread_index() / SQUARE; i < SQUARE; i += K::threads / SQUARE) {
        if (column + i < K::y_width && line + lane < K::x_width) {
            square[i * (SQUARE + 1) + lane] = part.x.row(from + (column + i) * from_step)[line + lane];
        }
    }
    block_barrier();
    for (int i = thread_index() / SQUARE; i < SQUARE; i += K::threads / SQUARE) {
        if (line + i < K::x_width && column + lane < K::y_width) {
            set(part.y.row(to + (line + i) * to_step) + column + lane, square[lane * (SQUARE + 1) + i]);
        }
    }
}

template <class K> DEVICE void permute(const typename K::Part& part, int block) {
    constexpr int rank = K::permute::axes_count;
    if constexpr (K::permute::axes[rank - 1] == rank - 1) {
        permute_rows<K>(part, block);
    } else {
        permute_squares<K>(part, block);
    }
}

template <class K> DEVICE void upsample(const typename K::Part& part, int block) {
    int width = part.y.extent[1];
    unit_of<K::y_width, K::threads>(part.y.rows(), block, [&](long long row, int column, int count) {
        long long from = row / width / 2 * part.x.extent[1] + row % width / 2;
        move<UNIT>(part.y.row(row) + column, part.x.row(from) + column, count);
    });
}

// Where the result lies over x, one row moves.
template <class K> DEVICE void put_row(const typename K::Part& part, int block) {
    constexpr int units = over(K::z_width, UNIT), threads = over(units, K::threads) * K::threads;
    int thread = block * K::threads + thread_index();
    long long put = (long long)part.entry.data[0] * part.x.extent[1] + part.row.data[0];
    long long all = part.z.data == part.x.data ? 0 : part.x.rows() * units;
    auto move_unit = [&](long long row, const auto* from, int unit) {
        move<UNIT>(part.z.row(row) + unit * UNIT, from + unit * UNIT, K::z_width - unit * UNIT);
    };
    for (long long i = thread; i < all; i += threads) {
        if (i / units != put) {
            move_unit(i / units, part.x.row(i / units), (int)(i % units));
        }
    }
    if (thread < units) {
        move_unit(put, part.y.row(0), thread);
    }
}
