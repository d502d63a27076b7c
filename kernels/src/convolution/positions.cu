// Where a convolution's results are, and what their taps see.
#pragma once

// Three axes, the last ones the real ones; an axis that is not there has one place.
struct Axes {
    int at[3];
};

template <class K> struct Shape {
    using X = decltype(K::Part::x);
    using W = decltype(K::Part::w);
    static constexpr int axes = X::rank - 1, skipped = 3 - axes;
    static constexpr int in = K::x_width, out = K::w_shape[0];
    static constexpr int stride = K::conv::stride, dilation = K::conv::dilation;
    // Products of bf16 go to tensor cores, which would round operands that are stored as f32.
    static constexpr bool tensor = IS_BF16<typename X::Element> && IS_BF16<typename W::Element>;

    static constexpr int kernel(int axis) {
        return axis < skipped ? 1 : K::w_shape[1 + axis - skipped];
    }
    static constexpr int pad(int axis, int side) {
        return axis < skipped ? 0 : K::conv::pads[2 * (axis - skipped) + side];
    }
    static constexpr int taps = kernel(0) * kernel(1) * kernel(2);

    static DEVICE Axes extents(const X& x) {
        Axes extent = {1, 1, 1};
        for (int axis = skipped; axis < 3; axis++) {
            extent.at[axis] = x.extent[axis - skipped];
        }
        return extent;
    }

    // Positions of the result; stride and dilation are those of the last axis.
    static DEVICE Axes positions(const X& x) {
        Axes extent = extents(x);
        for (int axis = 0; axis < 3; axis++) {
            int reach = (kernel(axis) - 1) * (axis == 2 ? dilation : 1) + 1;
            int padded = extent.at[axis] + pad(axis, 0) + pad(axis, 1);
            extent.at[axis] = (padded - reach) / (axis == 2 ? stride : 1) + 1;
        }
        return extent;
    }

    // The row of x at a place counted from the first padded one; null where zeros are.
    static DEVICE const typename X::Element* seen(const X& x, const Axes& extent, Axes place) {
        bool inside = true;
#pragma unroll
        for (int axis = 0; axis < 3; axis++) {
            int at = place.at[axis] - pad(axis, 0), last = extent.at[axis] - 1;
            if (K::conv::replicate && axis == skipped) {
                at = at < 0 ? 0 : at_most(at, last);
            }
            inside = inside && at >= 0 && at <= last;
            place.at[axis] = at;
        }
        long long line = (long long)place.at[0] * extent.at[1] + place.at[1];
        return inside ? x.row(line * extent.at[2] + place.at[2]) : nullptr;
    }
};

// Where in its three axes position `row` is.
DEVICE Axes place_of(long long row, const Axes& extent) {
    long long plane = row / extent.at[2];
    return {(int)(plane / extent.at[1]), (int)(plane % extent.at[1]), (int)(row % extent.at[2])};
}

// True where every eight of a tensor's rows is aligned, so that it can be copied asynchronously.
template <class X> DEVICE bool aligned_rows(const X& x) {
    return x.stride % EIGHT == 0 && (unsigned long long)x.data % 16 == 0;
}

// 1/RMS of a row whose squares have this sum; the norm is over all channels.
template <class K> DEVICE float factor_of(float squares) {
    static_assert(K::rms_norm::groups == 1, "the norm is over all channels");
    return 1.0f / sqrtf(squares / Shape<K>::in + K::rms_norm::eps);
}
