// Vectors of floats as the compiler knows them (GCC and Clang), and the dot products that a step is made of.
//
// Every dot product adds in one order, whatever stands beside it in a tile and whichever thread computes it: a logit is
// the same bits on any number of threads and beside any number of lanes. Sums over int8 weights are integers, so exact.
// Intrinsics stand only where a compiler's own choice was measured to be much slower.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__) && defined(__AVX512BW__)
constexpr int WIDE = 16;  // floats in a register
#elif defined(__AVX__)
constexpr int WIDE = 8;
#else
constexpr int WIDE = 4;
#endif

typedef float Floats __attribute__((vector_size(4 * WIDE)));
typedef int32_t Ints __attribute__((vector_size(4 * WIDE)));
typedef uint32_t Words __attribute__((vector_size(4 * WIDE)));
typedef float LooseFloats __attribute__((vector_size(4 * WIDE), aligned(4), may_alias));  // at any float's address
typedef uint16_t LooseHalves __attribute__((vector_size(2 * WIDE), aligned(2), may_alias));

inline Floats load(const float* at) { return *reinterpret_cast<const LooseFloats*>(at); }
inline void store(float* at, Floats x) { *reinterpret_cast<LooseFloats*>(at) = x; }

// bfloat16 is the upper half of a float32
inline Floats load(const uint16_t* at) {
#if defined(__AVX2__) && !defined(__AVX512BW__)
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
    return reinterpret_cast<Floats>(_mm256_slli_epi32(wide, 16));
#else
    Words wide = __builtin_convertvector(*reinterpret_cast<const LooseHalves*>(at), Words) << 16;
    return reinterpret_cast<Floats>(wide);
#endif
}

// a * b + c, rounded once where the processor can. Contraction is off: a compiler fuses here and not there, and then a
// row beside seven others has other bits than a row alone.
inline Floats fused(Floats a, Floats b, Floats c) {
#if defined(__AVX512F__) && defined(__AVX512BW__)
    return reinterpret_cast<Floats>(_mm512_fmadd_ps(__m512(a), __m512(b), __m512(c)));
#elif defined(__AVX2__) && defined(__FMA__)
    return reinterpret_cast<Floats>(_mm256_fmadd_ps(__m256(a), __m256(b), __m256(c)));
#else
    return a * b + c;
#endif
}

inline float fused(float a, float b, float c) {
#if defined(__FMA__) || defined(__aarch64__)
    return std::fma(a, b, c);
#else
    return a * b + c;
#endif
}

inline float widen(float x) { return x; }
inline float widen(int8_t x) { return x; }
inline float widen(uint16_t x) {
    uint32_t bits = uint32_t(x) << 16;
    float out;
    std::memcpy(&out, &bits, 4);
    return out;
}

inline void narrow(float x, float* at) { *at = x; }
inline void narrow(float x, uint16_t* at) {  // to the nearest bfloat16, ties to even; NaN stays NaN
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    *at = x != x ? 0x7fc0 : uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// Folded to eight, then neighbours, then pairs of neighbours: the order that AVX adds eight vectors in at once.
inline float sum(Floats x) {
    float a[WIDE < 8 ? 8 : WIDE] = {};
    std::memcpy(a, &x, sizeof x);
    for (int i = 8; i < WIDE; i++) a[i - 8] += a[i];
    return ((a[0] + a[1]) + (a[2] + a[3])) + ((a[4] + a[5]) + (a[6] + a[7]));
}

// out[r] = sum(x[r])
template <int R>
inline void sums_of(const Floats* x, float* out) {
#if defined(__AVX2__) && !defined(__AVX512BW__)
    if constexpr (R % 4 == 0) {
        for (int r = 0; r < R; r += 4) {
            __m256 low = _mm256_hadd_ps(x[r], x[r + 1]), high = _mm256_hadd_ps(x[r + 2], x[r + 3]);
            __m256 four = _mm256_hadd_ps(low, high);
            _mm_storeu_ps(out + r, _mm_add_ps(_mm256_castps256_ps128(four), _mm256_extractf128_ps(four, 1)));
        }
        return;
    }
#endif
    for (int r = 0; r < R; r++) out[r] = sum(x[r]);
}

// e^x to some 2 ulp (Cody and Waite's reduction, then a polynomial); below -87 it is e^-87, above 88 it is e^88.
inline Floats exp(Floats x) {
    const Floats shift = Floats{} + 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
    x = x < -87.0f ? Floats{} - 87.0f : x;
    x = x > 88.0f ? Floats{} + 88.0f : x;
    Floats rounded = x * 1.44269504f + shift;
    Floats n = rounded - shift;
    Floats r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    Floats p = Floats{} + 1.9875691500e-4f;
    for (float next : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f})
        p = fused(p, r, Floats{} + next);
    p = fused(p * r, r, r) + 1.0f;
    Ints power = (reinterpret_cast<Ints>(rounded) - reinterpret_cast<Ints>(shift)) << 23;
    return reinterpret_cast<Floats>(reinterpret_cast<Ints>(p) + power);
}

// The error function to 2e-7 (Abramowitz and Stegun 7.1.26).
inline Floats erf(Floats x) {
    Floats size = x < 0.0f ? -x : x;
    Floats t = 1.0f / (1.0f + 0.3275911f * size);
    Floats p = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
    Floats y = 1.0f - p * exp(-size * size);
    return x < 0.0f ? -y : y;
}

// out[n][r] = the dot product of row r (a stride apart) with x[n], for a tile of R rows and N vectors of length k.
template <int R, int N, class Stored>
inline void dots(const Stored* rows, int64_t stride, const float* const* x, int k, float (*out)[R]) {
    Floats sums[N][R] = {};
    int i = 0;
    for (; i + WIDE <= k; i += WIDE) {
        Floats w[R];
        for (int r = 0; r < R; r++) w[r] = load(rows + r * stride + i);
        for (int n = 0; n < N; n++) {
            Floats each = load(x[n] + i);
            for (int r = 0; r < R; r++) sums[n][r] = fused(each, w[r], sums[n][r]);
        }
    }
    for (int n = 0; n < N; n++) {
        sums_of<R>(sums[n], out[n]);
        for (int j = i; j < k; j++)
            for (int r = 0; r < R; r++) out[n][r] = fused(x[n][j], widen(rows[r * stride + j]), out[n][r]);
    }
}

// The same with int8 weights and int16 activations; `k` times 127 times the largest activation must fit 31 bits.
template <int R, int N>  // R 1, or a multiple of 4
inline void dots(const int8_t* rows, int64_t stride, const int16_t* const* x, int k, int32_t (*out)[R]) {
    int i = 0;
#if defined(__AVX512BW__)
    __m512i sums[N][R] = {};
    for (; i + 32 <= k; i += 32) {
        __m512i w[R];
        for (int r = 0; r < R; r++)
            w[r] = _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows + r * stride + i)));
        for (int n = 0; n < N; n++) {
            __m512i each = _mm512_loadu_si512(x[n] + i);
#if defined(__AVX512VNNI__)
            for (int r = 0; r < R; r++) sums[n][r] = _mm512_dpwssd_epi32(sums[n][r], each, w[r]);
#else
            for (int r = 0; r < R; r++) sums[n][r] = _mm512_add_epi32(sums[n][r], _mm512_madd_epi16(each, w[r]));
#endif
        }
    }
    for (int n = 0; n < N; n++)
        for (int r = 0; r < R; r++) out[n][r] = _mm512_reduce_add_epi32(sums[n][r]);
#elif defined(__AVX2__)
    __m256i sums[N][R] = {};
    for (; i + 16 <= k; i += 16) {
        __m256i w[R];
        for (int r = 0; r < R; r++)
            w[r] = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(rows + r * stride + i)));
        for (int n = 0; n < N; n++) {
            __m256i each = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x[n] + i));
            for (int r = 0; r < R; r++) sums[n][r] = _mm256_add_epi32(sums[n][r], _mm256_madd_epi16(each, w[r]));
        }
    }
    for (int n = 0; n < N; n++) {
        for (int r = 0; r < R; r += 4) {
            const __m256i none = _mm256_setzero_si256(), *x = sums[n] + r;
            __m256i low = _mm256_hadd_epi32(x[0], R > 1 ? x[1] : none);
            __m256i high = R > 2 ? _mm256_hadd_epi32(x[2], x[3]) : none, four = _mm256_hadd_epi32(low, high);
            __m128i all = _mm_add_epi32(_mm256_castsi256_si128(four), _mm256_extracti128_si256(four, 1));
            std::memcpy(&out[n][r], &all, sizeof(int32_t) * (R < 4 ? R : 4));
        }
    }
#else
    for (int n = 0; n < N; n++)
        for (int r = 0; r < R; r++) out[n][r] = 0;
#endif
    // what is left of a row; all of it where there is no better way than the compiler's own
    for (int n = 0; n < N && i < k; n++) {
        for (int r = 0; r < R; r++) {
            const int8_t* row = rows + r * stride;
            int32_t total = 0;
#pragma omp simd reduction(+ : total)
            for (int j = i; j < k; j++) total += int32_t(row[j]) * int32_t(x[n][j]);
            out[n][r] += total;
        }
    }
}
