// A distribution on its way through the stages: its logits, what is cut, and the sums that each stage leaves.
//
// The twin of rows.py and of walk in stages.py: the same steps on the same numbers in the same order, so the same bits.
// V vocabulary, A what is left of it.

#pragma once

#include <limits>

#include "doubles.h"
#include "order.h"

constexpr float CUT = -std::numeric_limits<float>::infinity();
constexpr float HIGHEST = std::numeric_limits<float>::max(), LOWEST = -HIGHEST;
constexpr double BITS = 0x1.71547652b82fep+0;  // in a nat

// The weights of a row relative to a logit, and their sum.
struct Weights {
    Line<double> below, weight;  // (A) logits less `reference`, and their exponentials; both 0 where cut
    double reference = 0.0, total = 1.0;
    double mean = 0.0;  // of `below`, nats

    void add() {
        const int64_t n = int64_t(weight.size());
        total = pairwise([&](auto load, int64_t i) { return load(&weight[i]); }, 0, n);
        mean = pairwise([&](auto load, int64_t i) { return load(&weight[i]) * load(&below[i]); }, 0, n) / total;
    }
    double entropy() const { return std::max(0.0, std::log(total) - mean); }  // nats

    void weigh(const float* row, int64_t n, double largest, const double* table) {
        reference = largest;
        below.resize(n);
        weight.resize(n);
        int64_t i = 0;
        for (; i + PACK <= n; i += PACK) {
            const Doubles logits = All{}(row + i);
            const Longs gone = logits == double(CUT);
            const Doubles under = gone ? Doubles{} : logits - largest, weights = gone ? Doubles{} : exp(under, table);
            put(&below[i], under);
            put(&weight[i], weights);
        }
        for (; i < n; i++) weigh_one(row[i], i, table);
        add();
    }
    void weigh_one(float logit, int64_t i, const double* table) {
        below[i] = logit == CUT ? 0.0 : double(logit) - reference;
        weight[i] = logit == CUT ? 0.0 : exp(below[i], table);
    }
    double logit_of(double log_prob) const { return reference + std::log(total) + log_prob; }
};

inline float largest_of(const float* row, int64_t n) {
    float largest = CUT;
#pragma omp simd reduction(max : largest)
    for (int64_t i = 0; i < n; i++) largest = row[i] > largest ? row[i] : largest;
    return largest;
}

inline int64_t kept_of(const float* row, int64_t n) {
    int64_t kept = 0;
#pragma omp simd reduction(+ : kept)
    for (int64_t i = 0; i < n; i++) kept += row[i] != CUT;
    return kept;
}

inline int64_t changed_of(const float* row, const float* old, int64_t n) {
    int64_t changed = 0;
#pragma omp simd reduction(+ : changed)
    for (int64_t i = 0; i < n; i++) changed += row[i] != old[i];
    return changed;
}

struct View {
    int64_t kept;
    double mass, entropy, chosen, reference, total;
};

class Walk {
  public:
    const double* table = nullptr;
    const float* row = nullptr;  // (A)
    int64_t size = 0;  // A
    int64_t kept = 0;
    float largest = CUT;
    Weights tally;
    Line<int32_t> ids;  // (A) whose logits they are, rising; nothing for all
    Line<float> next;  // (A) a stage writes here what it leaves

    // False when these are no logits, or all are cut.
    bool begin(const float* logits, int64_t n, View& view) {
        int64_t broken = 0;
#pragma omp simd reduction(+ : broken)
        for (int64_t i = 0; i < n; i++) broken += !(logits[i] <= HIGHEST);
        row = logits, size = n, kept = kept_of(logits, n), largest = largest_of(logits, n);
        ids.clear();
        if (broken != 0 || kept == 0) return false;
        tally.weigh(row, size, largest, table);
        look(view, 1.0);
        return true;
    }

    int64_t token_at(int64_t place) const { return ids.empty() ? place : ids[place]; }

    // -1 when it is not in the row.
    int64_t place_of(int64_t token) const {
        if (ids.empty()) return token;
        const auto found = std::lower_bound(ids.begin(), ids.end(), int32_t(token));
        return found != ids.end() && *found == token ? found - ids.begin() : -1;
    }

    // What a stage left: `next` when it changed anything. False when nothing is left.
    bool follow(bool changed, View& view) {
        const float* after = changed ? next.data() : row;
        const int64_t left = changed ? kept_of(after, size) : kept, before = kept;
        if (left == 0) return false;
        const bool shrinks = left < size && (double(left) <= MOST * double(size) || size <= SMALL);
        if (!changed && !shrinks) {
            view = {left, 1.0, bits_, 0.0, tally.reference, tally.total};
            return true;
        }
        double mass = 1.0;
        const double total = tally.total;
        if (shrinks) {
            shrink(after, left);
            tally.add();
            if (left < before) mass = tally.total / total;
        } else {
            if (left < before) {
                const auto term = [&](auto load, int64_t i) { return load(&tally.weight[i]) * alive(load, after + i); };
                mass = pairwise(term, 0, size) / total;
            }
            changes_ = changed_of(after, row, size);
            if (changes_ * FEW <= size) list_changes(after);
            spare_.swap(next);
        }
        row = spare_.data(), kept = left, largest = largest_of(row, size);
        if (changes_ * FEW > size || std::fabs(double(largest) - tally.reference) > DRIFT) {
            tally.weigh(row, size, largest, table);
        } else if (changes_ > 0) {
            for (int64_t i = 0; i < changes_; i++) tally.weigh_one(row[places_[i]], places_[i], table);
            tally.add();
        }
        look(view, mass);
        return true;
    }

    // The weights relative to the largest logit; the tally itself where it has them.
    const Weights& softmax() {
        if (tally.reference == double(largest)) return tally;
        fresh_.weigh(row, size, largest, table);
        return fresh_;
    }

  private:
    static constexpr double MOST = 0.75;  // these four are those of stages.py and rows.py
    static constexpr int64_t SMALL = 4096, FEW = 8;
    static constexpr double DRIFT = 30.0;

    static Doubles alive(All, const float* at) {
        return All{}(at) == double(CUT) ? Doubles{} : Doubles{} + 1.0;
    }
    static double alive(One, const float* at) { return *at == CUT ? 0.0 : 1.0; }

    void look(View& view, double mass) {
        bits_ = tally.entropy() * BITS;
        view = {kept, mass, bits_, 0.0, tally.reference, tally.total};
    }

    void list_changes(const float* after) {
        places_.clear();
        for (int64_t i = 0; i < size; i++)
            if (after[i] != row[i]) places_.push_back(i);
    }

    // Row, weights and ids of what is not cut, and which of its logits are new.
    void shrink(const float* after, int64_t left) {
        find_alive(after, left);
        const bool whole = ids.empty();
        ids.resize(whole ? left : ids.size());
        compact_.resize(left);
        places_.resize(left + 1);
        changes_ = 0;
        for (int64_t m = 0; m < left; m++) {  // never further on than what it reads
            const int64_t i = alive_[m];
            compact_[m] = after[i];
            ids[m] = whole ? int32_t(i) : ids[i];
            tally.below[m] = tally.below[i];
            tally.weight[m] = tally.weight[i];
            places_[changes_] = m;
            changes_ += after[i] != row[i];
        }
        size = left;
        ids.resize(left);
        tally.below.resize(left);
        tally.weight.resize(left);
        spare_.swap(compact_);
    }

    void find_alive(const float* after, int64_t left) {
        alive_.resize(left + 1);
        int64_t m = 0, i = 0;
        if (left * 32 < size) {
            for (; i + 32 <= size; i += 32) {
                if (peak(after + i) == CUT) continue;
                for (int64_t j = i; j < i + 32; j++) alive_[m] = int32_t(j), m += after[j] != CUT;
            }
        }
        for (; i < size; i++) alive_[m] = int32_t(i), m += after[i] != CUT;
    }

    Weights fresh_;
    Line<float> spare_, compact_;  // spare_ is what `row` points to, once a stage has changed anything
    Line<int32_t> alive_;
    Line<int64_t> places_;
    int64_t changes_ = 0;
    double bits_ = 0.0;
};
