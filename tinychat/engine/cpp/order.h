// The largest of many numbers, and all of them in order; of equals the lower index comes first.

#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
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

// The largest of 32 numbers.
template <class Number>
inline Number peak(const Number* values) {
    Number top = values[0];
#pragma omp simd reduction(max : top)
    for (int i = 0; i < 32; i++) top = values[i] > top ? values[i] : top;
    return top;
}

// The indices of the `count` largest, falling. Most numbers are looked at once, 32 at a time.
template <class Number>
void likeliest(const Number* values, int64_t n, int64_t count, Line<int32_t>& best) {
    const auto before = [values](int32_t a, int32_t b) {
        return values[a] > values[b] || (values[a] == values[b] && a < b);
    };
    count = std::min(count, n);
    best.clear();
    if (count == 0) return;
    const size_t room = size_t(2 * count) + 64;
    Number least = -std::numeric_limits<Number>::infinity();  // what is not above it is not among the best
    const auto prune = [&] {
        std::nth_element(best.begin(), best.begin() + (count - 1), best.end(), before);
        best.resize(count);
        least = values[best[count - 1]];
    };
    int64_t i = 0;
    for (; i < std::min<int64_t>(n, room); i++) best.push_back(int32_t(i));
    if (int64_t(best.size()) > count) prune();
    for (; i + 32 <= n; i += 32) {
        if (!(peak(values + i) > least)) continue;
        for (int64_t j = i; j < i + 32; j++)
            if (values[j] > least) best.push_back(int32_t(j));
        if (best.size() + 32 > room) prune();
    }
    for (; i < n; i++)
        if (values[i] > least) best.push_back(int32_t(i));
    if (int64_t(best.size()) > count) prune();
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
