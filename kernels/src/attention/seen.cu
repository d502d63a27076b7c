// Who sees whom in attention, and what is added to scores: keys from a first to a last one, and biases of pairs.
#pragma once

// What a query may see, as the first and the last key; all of them here.
struct All {
    // Whether something is added to scores.
    static constexpr bool adds = false;

    int keys;

    DEVICE int first(int) const {
        return 0;
    }
    DEVICE int last(int) const {
        return keys - 1;
    }
    DEVICE bool sees(int, int key) const {
        return key < keys;
    }
    // True when no query needs to be asked of keys below `end`.
    DEVICE bool sees_all(int end) const {
        return end <= keys;
    }
    // The score of a key that is seen, where `one` is what a bias of 1 adds to a product.
    DEVICE float score(float product, float, int, int) const {
        return product;
    }
};

// Causal: key j is seen by query i when i − window < j ≤ i and valid[j] ≠ 0.
struct Windowed {
    static constexpr bool adds = false;

    int keys;
    const int* valid;
    int window;

    DEVICE int first(int query) const {
        return query < window ? 0 : query - window + 1;
    }
    DEVICE int last(int query) const {
        return query < keys ? query : keys - 1;
    }
    DEVICE bool sees(int query, int key) const {
        return key < keys && key <= query && key > query - window && valid[key] != 0;
    }
    DEVICE bool sees_all(int) const {
        return false;
    }
    DEVICE float score(float product, float, int, int) const {
        return product;
    }
};

// The same up to key until[i] instead of i, for as many queries as keys. `until` never falls, so the last query of several
// sees as far as any of them.
struct Spanned : Windowed {
    const int* until;

    DEVICE int last(int query) const {
        return until[query] < keys ? until[query] : keys - 1;
    }
    // A tile may have more queries than there are, and those see nothing.
    DEVICE bool sees(int query, int key) const {
        return key < keys && query < keys && key <= until[query] && key > query - window && valid[key] != 0;
    }
};

constexpr float LOG2_E = 1.44269504f;

// By its bits: compilers leave a division by zero to the machine.
DEVICE float minus_infinity() {
    return widen(bf16{0xFF80});
}

// What the largest score begins with: below all of them, and a number, so that its difference to −∞ is −∞.
constexpr float LEAST = -1e30f;

// No score is less than LEAST: a query whose biases are all the lowest number weighs all keys alike.
DEVICE float biased(float product, float one, float bias) {
    float score = multiply_add(bias, one, product);
    return score < LEAST ? LEAST : score;
}

// All of them, each with a bias.
template <class K> struct Biased : All {
    static constexpr bool adds = true;

    const typename K::Part& part;

    DEVICE explicit Biased(const typename K::Part& part) : All{K::bias_width}, part(part) {}

    // A tile may have more queries than there are, and those have no biases.
    DEVICE bool sees(int query, int key) const {
        return All::sees(query, key) && query < part.q.extent[0];
    }
    DEVICE bool sees_all(int) const {
        return false;
    }
    DEVICE float score(float product, float one, int query, int key) const {
        return biased(product, one, real(part.bias.row(query)[key]));
    }
};

// All of them, each with a bias that is the same for all queries.
template <class K> struct KeyBiased : All {
    static constexpr bool adds = true;

    const typename K::Part& part;

    DEVICE explicit KeyBiased(const typename K::Part& part) : All{K::bias_width}, part(part) {}

    DEVICE bool sees_all(int) const {
        return false;
    }
    DEVICE float score(float product, float one, int, int key) const {
        return biased(product, one, real(part.bias.data[key]));
    }
};

// All of them, each with a bias that is the same for all queries, and one that is a product of the query's numbers with
// the key's.
template <class K> struct LowRankBiased : All {
    static constexpr bool adds = true;

    const typename K::Part& part;

    DEVICE explicit LowRankBiased(const typename K::Part& part) : All{K::bias_width}, part(part) {}

    // A tile may have more queries than there are, and those have no numbers.
    DEVICE bool sees(int query, int key) const {
        return All::sees(query, key) && query < part.q.extent[0];
    }
    DEVICE bool sees_all(int) const {
        return false;
    }
    DEVICE float score(float product, float one, int query, int key) const {
        const auto* own = part.own.row(query);
        const auto* share = part.share.row(key);
        float bias = real(part.bias.data[key]);
#pragma unroll
        for (int i = 0; i < K::own_width; i++) {
            bias = multiply_add(real(own[i]), real(share[i]), bias);
        }
        return biased(product, one, bias);
    }
};
