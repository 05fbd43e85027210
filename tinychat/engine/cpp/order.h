// The largest of many numbers, and all of them in order; of equals the lower index comes first.

#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <new>
#include <utility>
#include <vector>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

// A vector whose new entries are whatever is there: those of a long one would else be cleared at every step.
template <class T>
struct Uncleared : std::allocator<T> {
    template <class U>
    struct rebind {
        using other = Uncleared<U>;
    };
    Uncleared() = default;
    template <class U>
    Uncleared(const Uncleared<U>&) {}
    template <class U>
    void construct(U* at) {
        ::new (static_cast<void*>(at)) U;
    }
    template <class U, class... Values>
    void construct(U* at, Values&&... values) {
        ::new (static_cast<void*>(at)) U(std::forward<Values>(values)...);
    }
};

template <class T>
using Line = std::vector<T, Uncleared<T>>;

// The largest of each WIDTH numbers, of the last ones fewer.
template <int WIDTH, class Number>
void peaks(const Number* values, int64_t n, Line<Number>& tops) {
    tops.resize(size_t((n + WIDTH - 1) / WIDTH));
    for (size_t b = 0; b < tops.size(); b++) {
        const Number* first = values + int64_t(b) * WIDTH;
        Number top = first[0];
        if (int64_t(b + 1) * WIDTH <= n) {
#pragma omp simd reduction(max : top)
            for (int j = 0; j < WIDTH; j++) top = first[j] > top ? first[j] : top;
        } else {
            top = *std::max_element(first, values + n);
        }
        tops[b] = top;
    }
}

// The indices of the `count` largest, falling. What is below the count-th peak of as many blocks is none of them: most
// numbers are looked at once, many at a time.
template <class Number>
void likeliest(const Number* values, int64_t n, int64_t count, Line<int32_t>& best) {
    const auto before = [values](int32_t a, int32_t b) {
        return values[a] > values[b] || (values[a] == values[b] && a < b);
    };
    count = std::min(count, n);
    best.clear();
    if (count == 0) return;
    const int64_t width = n >= 32 * 4 * count ? 32 : 8;
    if (n < width * 2 * count) {
        for (int64_t i = 0; i < n; i++) best.push_back(int32_t(i));
    } else {
        Line<Number> tops, order;
        width == 32 ? peaks<32>(values, n, tops) : peaks<8>(values, n, tops);
        order = tops;
        std::nth_element(order.begin(), order.begin() + (count - 1), order.end(), std::greater<Number>());
        const Number least = order[count - 1];
        Line<int32_t> equal;  // to the least: the first of them
        for (size_t b = 0; b < tops.size(); b++) {
            if (tops[b] < least) continue;
            const int64_t last = std::min(n, int64_t(b + 1) * width);
            for (int64_t i = int64_t(b) * width; i < last; i++) {
                if (values[i] > least) best.push_back(int32_t(i));
                if (values[i] == least && int64_t(equal.size()) < count) equal.push_back(int32_t(i));
            }
        }
        best.insert(best.end(), equal.begin(), equal.end());
    }
    if (int64_t(best.size()) > count) {
        std::nth_element(best.begin(), best.begin() + (count - 1), best.end(), before);
        best.resize(count);
    }
    std::sort(best.begin(), best.end(), before);
}

// The places of the numbers of at least `least`, rising.
template <class Number>
void places_from(const Number* values, int64_t n, Number least, Line<int32_t>& places) {
    places.resize(size_t(n) + 8);  // whoever writes may write more than counts
    int32_t* to = places.data();
    int64_t i = 0;
#if defined(__AVX2__)
    if constexpr (sizeof(Number) == 4) {
        // the places of the bits of a byte, a nibble each: a compiler's own loop takes five times as long
        static const std::array<uint32_t, 256> table = [] {
            std::array<uint32_t, 256> made = {};
            for (uint32_t byte = 0; byte < 256; byte++)
                for (uint32_t bit = 0, at = 0; bit < 8; bit++)
                    if (byte >> bit & 1) made[byte] |= bit << 4 * at++;
            return made;
        }();
        const __m256 floor = _mm256_set1_ps(least);
        const __m256i shifts = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28), nibble = _mm256_set1_epi32(15);
        for (; i + 8 <= n; i += 8) {
            const int found = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(values + i), floor, _CMP_GE_OQ));
            const __m256i packed = _mm256_set1_epi32(int(table[found]));
            const __m256i which = _mm256_and_si256(_mm256_srlv_epi32(packed, shifts), nibble);
            const __m256i all = _mm256_add_epi32(which, _mm256_set1_epi32(int(i)));
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), all);
            to += __builtin_popcount(unsigned(found));
        }
    }
#endif
    for (; i < n; i++) *to = int32_t(i), to += values[i] >= least;
    places.resize(size_t(to - places.data()));
}

// Keys are in the order of the numbers; and back.
inline uint32_t rising_key(float x) {
    x += 0.0f;  // no -0
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    return bits ^ (bits >> 31 ? 0xffffffffu : 0x80000000u);
}

inline float of_key(uint32_t key) {
    const uint32_t bits = key ^ (key >> 31 ? 0x80000000u : 0xffffffffu);
    float x;
    std::memcpy(&x, &bits, 4);
    return x;
}

// Sorts by the upper 32 bits; equal ones keep their order. Three rounds of 2048 heaps.
template <class Item>
void sort_by_key(Line<Item>& items, Line<Item>& spare) {
    constexpr int ROUNDS = 3, BITS_OF_HEAP = 11, HEAPS = 1 << BITS_OF_HEAP, BELOW = 8 * sizeof(Item) - 32;
    if (items.size() < 512) {
        std::stable_sort(items.begin(), items.end(), [](Item a, Item b) { return a >> BELOW < b >> BELOW; });
        return;
    }
    uint32_t sizes[ROUNDS][HEAPS] = {};
    const auto heap_of = [](Item item, int round) { return item >> (BELOW + BITS_OF_HEAP * round) & (HEAPS - 1); };
    for (Item item : items)
        for (int round = 0; round < ROUNDS; round++) sizes[round][heap_of(item, round)]++;
    spare.resize(items.size());
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t next = 0, *heaps = sizes[round];
        for (int heap = 0; heap < HEAPS; heap++) {
            const uint32_t size = heaps[heap];
            heaps[heap] = next;
            next += size;
        }
        Item* __restrict to = spare.data();
        for (Item item : items) to[heaps[heap_of(item, round)]++] = item;
        items.swap(spare);
    }
}
