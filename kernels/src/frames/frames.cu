// Frames as encoders take them.
#pragma once

// A pixel weighed by BT.709, in the order of the meaning's sum.
DEVICE float weigh(const float (&pixel)[3], float red, float green, float blue) {
    return red * pixel[0] + green * pixel[1] + blue * pixel[2];
}

// Two pixels beside each other, in 0..1.
template <class K, class X> DEVICE void load_pair(float (&to)[2][3], const X& x, long long row) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
#pragma unroll
        for (int c = 0; c < 3; c++) {
            float value = real(x.row(row + i)[c]) * K::affine::scale + K::affine::offset;
            to[i][c] = clamp(value, K::clamp::lo, K::clamp::hi);
        }
    }
}

// Writes the numbers of a plane, which begins at line `first` of y's frames: place `column` of its line `line`, where
// its lines are `width` long and stand one behind the other.
template <class K, class Y> DEVICE void put_byte(const Y& y, long long first, int line, int width, int column, float x) {
    int place = line * width + column;
    put(y.row(first + place / K::y_width) + place % K::y_width, clamp(x, K::clamp_2::lo, K::clamp_2::hi));
}

// A thread takes 2×2 pixels: four numbers of luma, one of each chroma plane. Planes lie below each other in a frame.
template <class K> DEVICE void rgb_to_yuv420(const typename K::Part& part, int block) {
    constexpr int width = K::y_width, half = width / 2;
    int height = part.x.extent[1];
    long long square = (long long)block * K::threads + thread_index();
    long long frame = square / (half * (height / 2));
    int place = (int)(square % (half * (height / 2))), line = place / half, column = place % half;
    if (frame >= part.x.extent[0]) {
        return;
    }
    long long first = frame * part.y.extent[1];
    float blue = 0, red = 0;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        float pair[2][3];
        load_pair<K>(pair, part.x, (frame * height + 2 * line + i) * width + 2 * column);
#pragma unroll
        for (int j = 0; j < 2; j++) {
            float luma = weigh(pair[j], 0.2126f, 0.7152f, 0.0722f) * 219.0f + 16.0f;
            put_byte<K>(part.y, first, 2 * line + i, width, 2 * column + j, luma);
            blue += weigh(pair[j], -0.1146f, -0.3854f, 0.5f);
            red += weigh(pair[j], 0.5f, -0.4542f, -0.0458f);
        }
    }
    put_byte<K>(part.y, first + height, line, half, column, blue * 0.25f * 224.0f + 128.0f);
    put_byte<K>(part.y, first + height + height / 4, line, half, column, red * 0.25f * 224.0f + 128.0f);
}
