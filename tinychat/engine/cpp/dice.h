// The uniform number of a place in a reply: the twin of draw.uniform.

#pragma once

#include <cstdint>

// Philox-4x32-10 of Salmon et al., "Parallel random numbers", SC 2011; the key is the seed, the counter the place. The
// top 53 of the first 64 bits, so below 1.
inline double uniform(uint64_t seed, uint32_t position, uint32_t lane, uint32_t stream) {
    uint32_t c[4] = {position, lane, stream, 0}, key[2] = {uint32_t(seed), uint32_t(seed >> 32)};
    for (int round = 0; round < 10; round++) {
        const uint64_t left = uint64_t(c[0]) * 0xD2511F53u, right = uint64_t(c[2]) * 0xCD9E8D57u;
        const uint32_t next[4] = {uint32_t(right >> 32) ^ c[1] ^ key[0], uint32_t(right),
                                  uint32_t(left >> 32) ^ c[3] ^ key[1], uint32_t(left)};
        for (int i = 0; i < 4; i++) c[i] = next[i];
        key[0] += 0x9E3779B9u, key[1] += 0xBB67AE85u;
    }
    return double((uint64_t(c[0]) << 32 | c[1]) >> 11) * 0x1p-53;
}
