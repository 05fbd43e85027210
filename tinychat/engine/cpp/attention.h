// One query head of one row over its lane's cache: the only part of a step whose cost grows with the text.

#pragma once

#include <algorithm>

#include "vectors.h"

#ifndef CACHED
#define CACHED float
#endif

using Cached = CACHED;  // numbers of the cache: float, or uint16_t holding bfloat16

// Dot products of `n` rows with one vector, eight streams of memory at a time: one alone leaves the prefetcher idle.
inline void scores_of(const Cached* keys, int64_t stride, const float* query, int E, int n, float* scores) {
    const int apart = n / 8;
    float eight[1][8], one[1][1];
    for (int d = 0; d < apart; d++) {
        dots<8, 1>(keys + d * stride, apart * stride, &query, E, eight);
        for (int s = 0; s < 8; s++) scores[d + s * apart] = eight[0][s];
    }
    for (int t = apart * 8; t < n; t++) {
        dots<1, 1>(keys + t * stride, stride, &query, E, one);
        scores[t] = one[0][0];
    }
}

// scores -> e^(scale * (score - largest)); what they must be multiplied with to sum to 1.
inline float softmax(float* scores, int n, float scale) {
    float largest = scores[0];
    for (int i = 1; i < n; i++) largest = scores[i] > largest ? scores[i] : largest;
    Floats sums = {};
    int i = 0;
    for (; i + WIDE <= n; i += WIDE) {
        Floats y = exp((load(scores + i) - largest) * scale);
        store(scores + i, y);
        sums += y;
    }
    Floats rest = Floats{} + largest;
    std::memcpy(&rest, scores + i, (n - i) * sizeof(float));
    rest = exp((rest - largest) * scale);
    std::memcpy(scores + i, &rest, (n - i) * sizeof(float));
    float total = sum(sums);
    for (; i < n; i++) total += scores[i];
    return 1.0f / total;
}

// C registers of channels of the mix of `n` cached values and the row's own.
template <int C>
inline void mix(const Cached* values, int64_t stride, const float* own, const float* scores, int n, float weight,
                float* y) {
    Floats sums[C] = {};
    for (int t = 0; t < n; t++)
        for (int c = 0; c < C; c++) sums[c] = fused(Floats{} + scores[t], load(values + t * stride + c * WIDE), sums[c]);
    for (int c = 0; c < C; c++) store(y + c * WIDE, fused(Floats{} + scores[n], load(own + c * WIDE), sums[c]) * weight);
}

// y (E) = attention of `query` (E) over `n` cached keys and values and the row's own. `scores` has room for n + 1.
inline void attend(const Cached* keys, const Cached* values, int64_t stride, int n, const float* query, const float* key,
                   const float* value, int E, float* scores, float* y) {
    float own[1][1];
    scores_of(keys, stride, query, E, n, scores);
    dots<1, 1>(key, E, &query, E, own);
    scores[n] = own[0][0];
    const float weight = softmax(scores, n + 1, 1.0f / std::sqrt(float(E)));
    int e = 0;
    for (; e + 4 * WIDE <= E; e += 4 * WIDE) mix<4>(values + e, stride, value + e, scores, n, weight, y + e);
    for (; e + WIDE <= E; e += WIDE) mix<1>(values + e, stride, value + e, scores, n, weight, y + e);
    for (; e < E; e++) {
        float total = 0.0f;
        for (int t = 0; t < n; t++) total = fused(scores[t], widen(values[t * stride + e]), total);
        y[e] = fused(scores[n], value[e], total) * weight;
    }
}
