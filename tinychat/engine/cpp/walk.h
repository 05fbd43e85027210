// A distribution on its way through the stages: its logits, what is cut, and the sums that each stage leaves.
//
// The twin of rows.py and of walk in stages.py: the same steps on the same numbers in the same order, so the same bits.
// A stage says what it did in the cheapest way: a few logits are patched where they are, and only a temperature writes
// all of them. V vocabulary, A what is left of it.

#pragma once

#include <limits>

#include "doubles.h"
#include "order.h"

constexpr float CUT = -std::numeric_limits<float>::infinity();
constexpr float HIGHEST = std::numeric_limits<float>::max(), LOWEST = -HIGHEST;
constexpr double BITS = 0x1.71547652b82fep+0;  // in a nat

// Of a row, relative to a logit.
struct Sums {
    double reference = 0.0;
    double total = 1.0;  // of the weights: e to the logits less the reference; 0 where cut
    double spent = 0.0;  // of the weights, each times its logit less the reference

    double mean() const { return spent / total; }  // nats
    double entropy() const { return std::max(0.0, std::log(total) - mean()); }  // nats
    double logit_of(double log_prob) const { return reference + std::log(total) + log_prob; }
};

// The logits there less the reference; 0 where cut.
template <class Load>
inline auto below(Load load, const float* at, double reference) {
    const auto logits = load(at);
    const auto none = decltype(load(at)){};
    return logits == double(CUT) ? none : logits - reference;
}

inline float largest_of(const float* row, int64_t n) {
    float largest = CUT;
#pragma omp simd reduction(max : largest)
    for (int64_t i = 0; i < n; i++) largest = row[i] > largest ? row[i] : largest;
    return largest;
}

struct View {
    int64_t kept;
    double mass, entropy, chosen, reference, total;
};

// What a stage left.
enum Left {
    SAME,
    CHOSEN,  // only the places in `alive`
    PATCHED,  // other logits at some places, in `patches`
    WRITTEN  // other logits, in `next`; what was cut is, and nothing else
};

struct Patch {
    int32_t place;
    float logit;
};

class Walk {
  public:
    const double* table = nullptr;
    const float* row = nullptr;  // (A)
    int64_t size = 0;  // A
    int64_t kept = 0;
    float largest = CUT;
    Sums tally;
    Line<double> weight;  // (A) of the tally
    Line<int32_t> ids;  // (A) whose logits they are, rising; nothing for all
    Line<int32_t> alive;
    Line<Patch> patches;
    Line<float> next;  // (A)

    // False when these are no logits, or all are cut.
    bool begin(const float* logits, int64_t n, View& view) {
        int32_t broken = 0, left = 0;
        float top = CUT;
#pragma omp simd reduction(+ : broken, left) reduction(max : top)
        for (int32_t i = 0; i < int32_t(n); i++) {
            broken += !(logits[i] <= HIGHEST);
            left += logits[i] != CUT;
            top = logits[i] > top ? logits[i] : top;
        }
        row = logits, size = n, kept = left, largest = top;
        ids.clear();
        if (broken != 0 || kept == 0) return false;
        weigh();
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

    // Goes on to what a stage left. False when that is nothing.
    bool follow(Left left, View& view) {
        if (left == WRITTEN) return take_next(view);
        if (left == CHOSEN && int64_t(alive.size()) < kept) {
            if (alive.empty()) return false;
            patches.clear();
            if (shrinks(int64_t(alive.size()))) return shrink(view);
            cut_others();
            left = PATCHED;
        }
        if (left == PATCHED) return patch(view);
        if (!shrinks(kept)) {
            view = {kept, 1.0, bits_, 0.0, tally.reference, tally.total};
            return true;
        }
        patches.clear();
        places_from(row, size, LOWEST, alive);
        return shrink(view);
    }

    // The weights relative to the largest logit, and their sums.
    struct Softmax : Sums {
        const double* weight;
    };
    Softmax softmax() {
        if (tally.reference == double(largest)) {
            if (!exact_) whole_ = summed();
            return {exact_ ? tally : whole_, weight.data()};
        }
        whole_ = weighed(fresh_);
        return {whole_, fresh_.data()};
    }

  private:
    static constexpr double MOST = 0.75;  // these four are those of stages.py and rows.py
    static constexpr int64_t SMALL = 4096, FEW = 8;
    static constexpr double DRIFT = 30.0;

    bool shrinks(int64_t left) const { return left < size && (double(left) <= MOST * double(size) || size <= SMALL); }
    bool drifted() const { return std::fabs(double(largest) - tally.reference) > DRIFT; }

    void look(View& view, double mass) {
        bits_ = tally.entropy() * BITS;
        view = {kept, mass, bits_, 0.0, tally.reference, tally.total};
    }

    // ---- sums ----

    // The row's weights relative to its largest logit.
    Sums weighed(Line<double>& weights) const {
        const double top = largest;
        weights.resize(size);
        double* const to = weights.data();
        const auto term = [from = row, powers = table, to, top](auto load, int64_t i) {
            const auto under = below(load, from + i, top), none = decltype(under){};
            const auto found = load(from + i) == double(CUT) ? none : exp(under, powers);
            put(to + i, found);
            return std::array{found, found * under};
        };
        const std::array<double, 2> found = sums<2>(term, 0, size);
        return {top, found[0], found[1]};
    }

    Sums summed() const {
        const auto term = [&](auto load, int64_t i) {
            const auto found = load(&weight[i]);
            return std::array{found, found * below(load, row + i, tally.reference)};
        };
        const std::array<double, 2> found = sums<2>(term, 0, size);
        return {tally.reference, found[0], found[1]};
    }

    void weigh() { tally = weighed(weight), exact_ = true; }
    void sum_up() { tally = summed(), exact_ = true; }

    // The weights of the patches, where they stand now.
    template <class Where>
    void weigh_patches(const Where& where) {
        const size_t n = patches.size();
        few_.resize(n + PACK);
        for (size_t k = 0; k < n; k++) few_[k] = double(patches[k].logit) - tally.reference;
        for (size_t k = 0; k < n; k += PACK) put(&few_[k], exp(All{}(&few_[k]), table));  // of a cut one: 0
        for (size_t k = 0; k < n; k++) weight[where(patches[k].place)] = few_[k];
    }

    // The sums of the weights at the patches.
    std::array<double, 2> patched() {
        const size_t n = patches.size();
        few_.resize(2 * n);
        for (size_t k = 0; k < n; k++) {
            const int32_t place = patches[k].place;
            few_[k] = weight[place];
            few_[n + k] = weight[place] * below(One{}, row + place, tally.reference);
        }
        const auto term = [&](auto load, int64_t k) { return std::array{load(&few_[k]), load(&few_[n + k])}; };
        return sums<2>(term, 0, int64_t(n));
    }

    // ---- what stages leave ----

    bool take_next(View& view) {
        int32_t changes = 0;
        const float *old = row, *now = next.data();
#pragma omp simd reduction(+ : changes)
        for (int32_t i = 0; i < int32_t(size); i++) changes += now[i] != old[i];
        const bool smaller = shrinks(kept);
        if (changes * FEW <= (smaller ? kept : size)) {
            patches.clear();
            for (int32_t i = 0; i < int32_t(size); i++)
                if (now[i] != old[i]) patches.push_back({i, now[i]});
            return patch(view);
        }
        own_.swap(next);
        row = own_.data();
        if (smaller) {
            places_from(row, size, LOWEST, alive);
            compact();
        }
        largest = largest_of(row, size);
        weigh();
        look(view, 1.0);
        return true;
    }

    // Patches that cut what is not in `alive`.
    void cut_others() {
        int32_t place = 0;
        for (size_t m = 0; m <= alive.size(); m++) {
            const int32_t end = m < alive.size() ? alive[m] : int32_t(size);
            for (; place < end; place++)
                if (row[place] != CUT) patches.push_back({place, CUT});
            place++;
        }
    }

    // Rising, one for a place, and only those that change it.
    void order_patches() {
        const auto before = [](const Patch& a, const Patch& b) { return a.place < b.place; };
        if (!std::is_sorted(patches.begin(), patches.end(), before))
            std::stable_sort(patches.begin(), patches.end(), before);
        size_t n = 0;
        for (size_t k = 0; k < patches.size(); k++) {
            if (k + 1 < patches.size() && patches[k + 1].place == patches[k].place) continue;  // the last one counts
            if (patches[k].logit != row[patches[k].place]) patches[n++] = patches[k];
        }
        patches.resize(n);
    }

    bool patch(View& view) {
        order_patches();
        if (patches.empty()) return follow(SAME, view);
        int64_t gone = 0;
        bool lowers = false;  // a logit that was the largest
        float top = CUT;
        for (const Patch& each : patches) {
            gone += each.logit == CUT;
            lowers |= row[each.place] == largest;
            top = std::max(top, each.logit);
        }
        if (gone == kept) return false;
        const bool smaller = shrinks(kept - gone);
        const std::array<double, 2> lost = smaller ? std::array<double, 2>{} : patched();
        if (row != own_.data()) {
            own_.assign(row, row + size);
            row = own_.data();
        }
        for (const Patch& each : patches) own_[each.place] = each.logit;
        if (smaller) {
            patches.erase(std::remove_if(patches.begin(), patches.end(), [](const Patch& p) { return p.logit == CUT; }),
                          patches.end());
            places_from(row, size, LOWEST, alive);
            return shrink(view);
        }
        double mass = 1.0;
        if (gone > 0) {
            const auto term = [&](auto load, int64_t i) {
                const auto found = load(&weight[i]), none = decltype(found){};
                return load(row + i) == double(CUT) ? none : found;
            };
            mass = sum_of(term, 0, size) / tally.total;
        }
        kept -= gone;
        largest = lowers ? largest_of(row, size) : std::max(largest, top);
        if (int64_t(patches.size()) * FEW > size || drifted()) {
            weigh();
        } else {
            weigh_patches([](int32_t place) { return place; });
            if (lost[0] > tally.total / 2) {
                sum_up();
            } else {
                const std::array<double, 2> won = patched();
                tally.total = tally.total - lost[0] + won[0];
                tally.spent = tally.spent - lost[1] + won[1];
                exact_ = false;
            }
        }
        look(view, mass);
        return true;
    }

    // Goes on with what is in `alive`; patches have been made, and their weights are due.
    bool shrink(View& view) {
        const bool cuts = int64_t(alive.size()) < kept;
        const double total = tally.total;
        compact();
        kept = size;
        largest = largest_of(row, size);
        double mass = 1.0;
        if (!patches.empty()) {
            if (cuts) mass = sum_of([&](auto load, int64_t i) { return load(&weight[i]); }, 0, size) / total;
            weigh_patches([this](int32_t place) {
                return std::lower_bound(alive.begin(), alive.end(), place) - alive.begin();
            });
        }
        sum_up();
        if (patches.empty() && cuts) mass = tally.total / total;
        if (int64_t(patches.size()) * FEW > size || drifted()) weigh();
        look(view, mass);
        return true;
    }

    // Row, weights and ids of what is in `alive`.
    void compact() {
        const int64_t left = int64_t(alive.size());
        const bool whole = ids.empty();
        if (row != own_.data()) own_.resize(left);
        if (whole) ids.resize(left);
        for (int64_t m = 0; m < left; m++) {  // never further on than what it reads
            const int32_t i = alive[m];
            own_[m] = row[i];
            ids[m] = whole ? i : ids[i];
            weight[m] = weight[i];
        }
        row = own_.data();
        size = left;
        ids.resize(left);
        weight.resize(left);
    }

    bool exact_ = true;  // whether the tally's sums are of all weights, not of what changed
    Sums whole_;
    Line<double> fresh_, few_;
    Line<float> own_;  // what `row` points to, once a stage has changed anything
    double bits_ = 0.0;
};
