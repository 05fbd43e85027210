// Doubles, as many at a time as a register holds: the exponential of exponential.py and the sums of numpy, to the last
// bit on any machine.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) && defined(__AVX512BW__)
constexpr int PACK = 8;  // doubles in a register
#elif defined(__AVX__)
constexpr int PACK = 4;
#else
constexpr int PACK = 2;
#endif

typedef double Doubles __attribute__((vector_size(8 * PACK)));
typedef int64_t Longs __attribute__((vector_size(8 * PACK)));
typedef double LooseDoubles __attribute__((vector_size(8 * PACK), aligned(8), may_alias));  // at any double's address
typedef float LooseFew __attribute__((vector_size(4 * PACK), aligned(4), may_alias));

struct All {  // a register of numbers from a place on
    Doubles operator()(const double* at) const { return *reinterpret_cast<const LooseDoubles*>(at); }
    Doubles operator()(const float* at) const {
        return __builtin_convertvector(*reinterpret_cast<const LooseFew*>(at), Doubles);
    }
};

struct One {  // the number there
    double operator()(const double* at) const { return *at; }
    double operator()(const float* at) const { return *at; }
};

inline void put(double* at, Doubles x) { *reinterpret_cast<LooseDoubles*>(at) = x; }

// The sum of term(load, i) for i from `first` on, as numpy adds what lies side by side: in blocks of at most 128, eight
// sums in each. `term` is asked with All for a register of terms, and with One for the rest.
template <class Term>
inline double block(const Term& term, int64_t first, int64_t n) {
    constexpr int EIGHT = 8, PARTS = EIGHT / PACK;
    if (n < EIGHT) {
        double total = 0.0;
        for (int64_t i = first; i < first + n; i++) total += term(One{}, i);
        return total;
    }
    Doubles sums[PARTS];
    for (int p = 0; p < PARTS; p++) sums[p] = term(All{}, first + p * PACK);
    int64_t i = EIGHT;
    for (; i < n - n % EIGHT; i += EIGHT)
        for (int p = 0; p < PARTS; p++) sums[p] += term(All{}, first + i + p * PACK);
    double r[EIGHT];
    std::memcpy(r, sums, sizeof r);
    double total = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    for (; i < n; i++) total += term(One{}, first + i);
    return total;
}

template <class Term>
double pairwise(const Term& term, int64_t first, int64_t n) {
    if (n <= 128) return block(term, first, n);
    int64_t half = n / 2;
    half -= half % 8;
    return pairwise(term, first, half) + pairwise(term, first + half, n - half);
}

// `table` is exponential.TABLE.
inline Doubles exp(Doubles x, const double* table) {
    const Doubles shift = Doubles{} + 6755399441055744.0, least = Doubles{} - 708.0;
    const Longs lost = x < least;
    x = lost ? least : x;
    Doubles t = x * 0x1.71547652b82fep+11 + shift;
    Longs bits;
    std::memcpy(&bits, &t, sizeof bits);
    Doubles found;
    for (int i = 0; i < PACK; i++) found[i] = table[bits[i] & 2047];
    t -= shift;
    x -= t * 0x1.62e42fee00000p-12;
    x -= t * 0x1.a39ef35793c76p-44;
    const Doubles bent = (x * (1.0 / 6.0) + 0.5) * (x * x) + x;
    found += bent * found;
    Longs whole;
    std::memcpy(&whole, &found, sizeof whole);
    whole += (bits >> 11) << 52;
    std::memcpy(&found, &whole, sizeof found);
    return lost ? Doubles{} : found;
}

inline double exp(double x, const double* table) { return exp(Doubles{} + x, table)[0]; }
