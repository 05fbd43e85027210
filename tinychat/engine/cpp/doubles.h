// Doubles, as many at a time as a register holds: the exponential of exponential.py and the sums of numpy, to the last
// bit on any machine.

#pragma once

#include <array>
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
inline void put(double* at, double x) { *at = x; }

// N sums at once, each of term(load, i)[k] for i from `first` on, as numpy adds what lies side by side: in blocks of at
// most 128, eight sums in each. `term` is asked with All for a register of terms, and with One for the rest.
template <size_t N, class Term>
inline std::array<double, N> block(const Term& term, int64_t first, int64_t n) {
    constexpr int EIGHT = 8, PARTS = EIGHT / PACK;
    std::array<double, N> total = {};
    int64_t i = 0;
    if (n >= EIGHT) {
        std::array<Doubles, N> sums[PARTS];
        for (int p = 0; p < PARTS; p++) sums[p] = term(All{}, first + p * PACK);
        for (i = EIGHT; i < n - n % EIGHT; i += EIGHT) {
            for (int p = 0; p < PARTS; p++) {
                const std::array<Doubles, N> more = term(All{}, first + i + p * PACK);
                for (size_t k = 0; k < N; k++) sums[p][k] += more[k];
            }
        }
        for (size_t k = 0; k < N; k++) {
            double r[EIGHT];
            for (int p = 0; p < PARTS; p++) std::memcpy(r + p * PACK, &sums[p][k], sizeof(Doubles));
            total[k] = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
        }
    }
    for (; i < n; i++) {
        const std::array<double, N> more = term(One{}, first + i);
        for (size_t k = 0; k < N; k++) total[k] += more[k];
    }
    return total;
}

template <size_t N, class Term>
std::array<double, N> sums(const Term& term, int64_t first, int64_t n) {
    if (n <= 128) return block<N>(term, first, n);
    int64_t half = n / 2;
    half -= half % 8;
    std::array<double, N> total = sums<N>(term, first, half);
    const std::array<double, N> rest = sums<N>(term, first + half, n - half);
    for (size_t k = 0; k < N; k++) total[k] += rest[k];
    return total;
}

template <class Term>
double sum_of(const Term& term, int64_t first, int64_t n) {
    return sums<1>([&](auto load, int64_t i) { return std::array{term(load, i)}; }, first, n)[0];
}

// `table` is exponential.TABLE. Inlined by force: a call keeps the sums around it in memory.
__attribute__((always_inline)) inline Doubles exp(Doubles x, const double* table) {
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
