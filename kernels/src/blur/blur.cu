// A small filter over height and width, per channel: every thread takes a unit of one pixel's channels.
#pragma once

template <class K> DEVICE void blur_down(const typename K::Part& part, int block) {
    constexpr int taps = K::filter_width, stride = K::blur_down::stride;
    int height = part.x.extent[1], width = part.x.extent[2], rows = part.y.extent[1], columns = part.y.extent[2];
    unit_of<K::y_width, K::threads>(part.y.rows(), block, [&](long long row, int column, int count) {
        long long frame = row / columns / rows;
        int top = (int)(row / columns % rows) * stride - taps / 2, left = (int)(row % columns) * stride - taps / 2;
        float sums[UNIT] = {};
        for (int i = 0; i < taps; i++) {
            for (int j = 0; j < taps; j++) {
                // Outside there are zeros.
                if (top + i < 0 || top + i >= height || left + j < 0 || left + j >= width) {
                    continue;
                }
                float values[UNIT], weight = real(part.filter.row(i)[j]);
                load(values, part.x.row((frame * height + top + i) * width + left + j) + column, count);
#pragma unroll
                for (int k = 0; k < UNIT; k++) {
                    sums[k] = multiply_add(values[k], weight, sums[k]);
                }
            }
        }
        store(part.y.row(row) + column, sums, count);
    });
}
