// Rows of a weight that stay encoded, decoded on their way into shared memory.
//
// encodings/src/kept says how a row lies. Eight numbers are eight codes that lie together, or in Q4_K halves of eight bytes;
// where rows are aligned as a plan has them, one load brings them, and another one their scales.
#pragma once

enum class Kept { fp8, q8_0, q4_k };

using Eight = Pack<unsigned char, 8>;

// Bytes that lie together, by one load where they are aligned.
template <int N> DEVICE Pack<unsigned char, N> bytes(const unsigned char* from) {
    using All = Pack<unsigned char, N>;
    if ((unsigned long long)from % sizeof(All) == 0) {
        return *(const All*)from;
    }
    All all;
#pragma unroll
    for (int i = 0; i < N; i++) {
        all.at[i] = from[i];
    }
    return all;
}

// Two neighbours of a pack as a number.
template <int N> DEVICE unsigned short pair(const Pack<unsigned char, N>& pack, int at) {
    return (unsigned short)(pack.at[at] | pack.at[at + 1] << 8);
}

// The number of an E4M3 code that stands for one: as a bf16 its bits are that number times 2^-120, also where it is
// subnormal.
DEVICE float e4m3(unsigned code) {
    constexpr float TWO_TO_120 = 1329227995784915872903807060280344576.0f;
    return widen(bf16{(unsigned short)((code & 0x80) << 8 | (code & 0x7F) << 4)}) * TWO_TO_120;
}

// Where codes and scales of a row lie, and what numbers they are. `fetch` reads what `decode` needs for eight columns; the
// fetched zeros (`Codes{}`) are the numbers zero.
template <Kept> struct Form;

// Codes, and behind them the scale of the row.
template <> struct Form<Kept::fp8> {
    struct Codes {
        Eight codes;
        float scale;
    };

    static DEVICE Codes fetch(const unsigned char* row, int column, int columns) {
        return {bytes<8>(row + column), __builtin_bit_cast(float, bytes<4>(row + columns))};
    }

    static DEVICE void decode(float (&to)[EIGHT], const Codes& from, int) {
#pragma unroll
        for (int i = 0; i < EIGHT; i++) {
            to[i] = e4m3(from.codes.at[i]) * from.scale;
        }
    }
};

// Codes, and behind them the scales of every 32.
template <> struct Form<Kept::q8_0> {
    struct Codes {
        Eight codes;
        Pack<unsigned char, 2> scale;
    };

    static DEVICE Codes fetch(const unsigned char* row, int column, int columns) {
        return {bytes<8>(row + column), bytes<2>(row + columns + column / 32 * 2)};
    }

    static DEVICE void decode(float (&to)[EIGHT], const Codes& from, int) {
        float scale = widen(f16{pair(from.scale, 0)});
#pragma unroll
        for (int i = 0; i < EIGHT; i++) {
            to[i] = scale * (float)(signed char)from.codes.at[i];
        }
    }
};

// Blocks of 256: two f16 units, the scales and minima of every 32 in 6 bits of 12 bytes, and codes of 4 bits. A byte has
// those of two columns 32 apart.
template <> struct Form<Kept::q4_k> {
    static constexpr int block = 144, before = 16;

    // The units in the first word, then the lower bits of the scales and minima of four parts each, and what is left of the
    // other four's.
    struct Head {
        unsigned units, scales, minima, both;
    };

    struct Codes {
        Eight codes;
        Head head;
    };

    static DEVICE Codes fetch(const unsigned char* row, int column, int) {
        const unsigned char* from = row + column / 256 * block;
        int inside = column % 256;
        return {bytes<8>(from + before + inside / 64 * 32 + inside % 32), __builtin_bit_cast(Head, bytes<before>(from))};
    }

    static DEVICE void decode(float (&to)[EIGHT], const Codes& from, int column) {
        int part = column % 256 / 32, shift = part % 4 * 8;
        unsigned low = from.head.scales >> shift, high = from.head.minima >> shift, both = from.head.both >> shift;
        unsigned scale = low & 63, least = high & 63;
        if (part >= 4) {
            scale = (both & 15) | (low >> 6 & 3) << 4;
            least = (both >> 4 & 15) | (high >> 6 & 3) << 4;
        }
        float step = widen(f16{(unsigned short)from.head.units}) * (float)scale;
        float minimum = widen(f16{(unsigned short)(from.head.units >> 16)}) * (float)least;
#pragma unroll
        for (int i = 0; i < EIGHT; i++) {
            unsigned code = from.codes.at[i] >> part % 2 * 4 & 15;
            to[i] = step * (float)code - minimum;
        }
    }
};

// Rows of bytes from `first` on, as `columns` numbers each; zeros outside. Eights of a row are whole: encodings have at least
// sixteen numbers together.
template <class W, Kept KEPT> struct EncodedRows {
    using Element = typename W::Element;
    using Codes = typename Form<KEPT>::Codes;
    static constexpr bool may_copy = false;

    const unsigned char* data;
    long long stride;
    int rows;
    int columns;

    DEVICE EncodedRows(const W& w, long long first, int, int columns)
        : data(w.row(first)), stride(w.stride), columns(columns) {
        long long left = w.rows() - first;
        rows = left < (1 << 30) ? (int)left : 1 << 30;
    }

    DEVICE Codes fetch(int row, int column) const {
        return row < rows && column < columns ? Form<KEPT>::fetch(data + row * stride, column, columns) : Codes{};
    }

    DEVICE void decode(float (&to)[EIGHT], const Codes& from, int column) const {
        Form<KEPT>::decode(to, from, column);
    }

    DEVICE void numbers(float (&to)[EIGHT], int row, int column) const {
        decode(to, fetch(row, column), column);
    }
};

template <class W, Kept KEPT> constexpr bool DECODES<EncodedRows<W, KEPT>> = true;

template <class K, class W> struct WeightRows<K, W, unsigned char> {
    using Type = EncodedRows<W, K::decode::kept>;
};
