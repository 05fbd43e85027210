// The stages that the library knows. Rules are those of penalties.py, bias.py, temperature.py and truncations.py, in
// plainer words there.

#pragma once

#include "walk.h"

extern "C" {

// What a stage does, as native_choice.py has it. In `value` stands the setting.
enum RuleKind : int32_t {
    ADD,  // amounts to the logits of ids
    SIGN,  // divide positive and multiply negative logits of ids
    PULL,  // add |logit| times the value to the logits of ids
    TEMPERATURE,
    TOP_K,
    TOP_P,
    MIN_P,
    TOP_N_SIGMA,
    TYPICAL,
    EPSILON,
    ETA,
    TOP_A,
    TFS,
    TOP_H,
    XTC
};

struct Rule {
    int32_t kind, count;
    const int64_t* ids;  // (count)
    const double* amounts;  // (count)
    double value;
    int32_t flag;  // TEMPERATURE: the largest logit gets its own size back; XTC: the dart hit
};

}  // extern "C"

constexpr int HEAD = 256;  // as in draw.py and cuts.py

class Stages {
  public:
    explicit Stages(Walk& walk) : walk_(walk) {}

    // True when `next` of the walk holds something new.
    bool apply(const Rule& rule) {
        switch (rule.kind) {
            case ADD:
            case SIGN:
            case PULL:
                return change(rule);
            case TEMPERATURE:
                return divide(rule);
            case TOP_K:
                return top_k(int64_t(rule.value));
            case TOP_P:
                return top_p(rule.value);
            case MIN_P:
                return cut_below(granted(walk_.largest + std::log(rule.value)));
            case TOP_N_SIGMA:
                return cut_below(granted(walk_.largest - rule.value * sigma()));
            case TYPICAL:
                return typical(rule.value);
            case EPSILON:
                return cut_below(granted(walk_.softmax().logit_of(std::log(rule.value))));
            case ETA: {
                const Weights& all = walk_.softmax();
                const double least = std::log(rule.value);
                return cut_below(granted(all.logit_of(std::min(least, least / 2 - all.entropy()))));
            }
            case TOP_A: {
                const Weights& all = walk_.softmax();
                return cut_below(granted(all.logit_of(std::log(rule.value) - 2 * std::log(all.total))));
            }
            case TFS:
                return tfs(rule.value);
            case TOP_H:
                return top_h(rule.value);
            case XTC:
                return rule.flag != 0 && xtc(rule.value);
        }
        return false;
    }

    // What a rule for some ids makes of the logit of its i-th id.
    static float changed(const Rule& rule, int32_t i, float before) {
        const double exact = before;
        double after = exact;
        if (rule.kind == ADD) after = exact + rule.amounts[i];
        if (rule.kind == SIGN) after = exact > 0 ? exact / rule.value : exact * rule.value;
        if (rule.kind == PULL) after = exact + std::fabs(double(std::max(before, LOWEST))) * rule.value;
        return before == CUT || after == double(CUT) ? CUT : limited(after);
    }

    // What the temperature makes of a logit.
    static float divided(float x, const Rule& rule, double largest) {
        double y = (double(x) - largest) / rule.value;
        if (rule.flag != 0) y += largest / rule.value;
        return x == CUT ? CUT : limited(y);
    }

  private:
    static constexpr double EPSILON_OF_FLOAT = std::numeric_limits<float>::epsilon();

    static float limited(double x) { return float(std::min(std::max(x, double(LOWEST)), double(HIGHEST))); }

    bool change(const Rule& rule) {
        if (rule.count == 0) return false;
        std::copy_n(walk_.row, walk_.size, walk_.next.data());
        for (int32_t i = 0; i < rule.count; i++) {
            const int64_t place = walk_.place_of(rule.ids[i]);
            if (place >= 0) walk_.next[place] = changed(rule, i, walk_.row[place]);
        }
        return true;
    }

    bool divide(const Rule& rule) {
        const float* row = walk_.row;
        const double largest = walk_.largest;
        float* next = walk_.next.data();
        if (rule.value <= 0.0) {  // greedy: the first of the largest
            std::fill_n(next, walk_.size, CUT);
            const int64_t best = std::find(row, row + walk_.size, walk_.largest) - row;
            next[best] = row[best];
            return true;
        }
        const double back = rule.flag != 0 ? largest / rule.value : 0.0;
        for (int64_t i = 0; i < walk_.size; i++) {
            double y = (double(row[i]) - largest) / rule.value;
            y = rule.flag != 0 ? y + back : y;
            y = y < double(LOWEST) ? double(LOWEST) : y;
            y = y > double(HIGHEST) ? double(HIGHEST) : y;
            next[i] = row[i] == CUT ? CUT : float(y);
        }
        return true;
    }

    // The least logit that counts as reaching a floor: cuts.granted.
    float granted(double floor) const {
        const double largest = walk_.largest;
        if (floor >= largest) return walk_.largest;
        floor -= EPSILON_OF_FLOAT * std::max(std::fabs(largest), std::fabs(floor));
        const float least = float(std::max(floor, double(LOWEST)));
        return double(least) >= floor ? least : std::nextafter(least, HIGHEST);
    }

    bool cut_below(float least) {
        if (least <= LOWEST) return false;
        const float* row = walk_.row;
        float* next = walk_.next.data();
        for (int64_t i = 0; i < walk_.size; i++) next[i] = row[i] >= least ? row[i] : CUT;
        return true;
    }

    bool top_k(int64_t k) {
        if (k <= 0 || k >= walk_.size) return false;
        if (k <= HEAD) {
            likeliest(walk_.row, walk_.size, k, places_);
            return cut_below(walk_.row[places_.back()]);
        }
        falling_.assign(walk_.row, walk_.row + walk_.size);
        std::nth_element(falling_.begin(), falling_.begin() + (k - 1), falling_.end(), std::greater<float>());
        return cut_below(falling_[k - 1]);
    }

    double sigma() {
        const double largest = walk_.largest, n = double(walk_.kept);
        terms_.resize(walk_.size);
        for (int64_t i = 0; i < walk_.size; i++) terms_[i] = walk_.row[i] == CUT ? 0.0 : double(walk_.row[i]) - largest;
        const auto plain = [&](auto load, int64_t i) { return load(&terms_[i]); };
        const double mean = pairwise(plain, 0, walk_.size) / n;
        for (int64_t i = 0; i < walk_.size; i++) terms_[i] = walk_.row[i] == CUT ? 0.0 : terms_[i] - mean;
        const auto square = [&](auto load, int64_t i) { return load(&terms_[i]) * load(&terms_[i]); };
        return std::sqrt(pairwise(square, 0, walk_.size) / n);
    }

    // The largest logits, falling, into falling_: some of them, or all that are not cut.
    bool fall(bool all) {
        if (!all) {
            if (walk_.size <= HEAD || walk_.kept < HEAD) return false;
            likeliest(walk_.row, walk_.size, HEAD, places_);
            falling_.clear();
            for (int32_t place : places_) falling_.push_back(walk_.row[place]);
            return true;
        }
        keys_.resize(walk_.size);
        for (int64_t i = 0; i < walk_.size; i++) keys_[i] = ~rising_key(walk_.row[i]);
        sort_by_key(keys_, spare_keys_);
        falling_.resize(walk_.kept);  // what is cut stands at the end
        for (int64_t i = 0; i < walk_.kept; i++) falling_[i] = of_key(~keys_[i]);
        return true;
    }

    // e to the falling logits less the largest, into terms_.
    void weigh_falling(double largest) {
        const size_t n = falling_.size();
        falling_.resize((n + PACK - 1) / PACK * PACK, falling_.back());
        terms_.resize(falling_.size());
        for (size_t i = 0; i < n; i += PACK) put(&terms_[i], exp(All{}(&falling_[i]) - largest, walk_.table));
        falling_.resize(n);
        terms_.resize(n);
    }

    // Keeps the first `count` of falling_; of those equal to the last, the lowest ids.
    bool keep_first(int64_t count) {
        const float last = falling_[count - 1];
        int64_t above = 0, equal = 0;
        for (int64_t i = 0; i < count; i++) above += falling_[i] > last;
        const float* row = walk_.row;
        if (!cut_below(last)) std::copy_n(row, walk_.size, walk_.next.data());
        for (int64_t i = 0; i < walk_.size; i++) {
            if (row[i] != last) continue;
            if (++equal > count - above) walk_.next[i] = CUT;
        }
        return true;
    }

    bool top_p(double p) {
        const double total = walk_.softmax().total, largest = walk_.largest;
        for (bool all : {false, true}) {
            if (!fall(all)) continue;
            weigh_falling(largest);
            double reached = 0.0;
            for (size_t i = 0; i < terms_.size(); i++) {
                reached += terms_[i] / total;
                if (reached >= p) return keep_first(int64_t(i) + 1);
            }
        }
        return false;
    }

    bool top_h(double part) {
        const Weights& whole = walk_.softmax();
        const double limit = part * whole.entropy(), log_total = std::log(whole.total), largest = walk_.largest;
        for (bool all : {false, true}) {
            if (!fall(all)) continue;
            if (limit <= 0.0) return keep_first(1);
            weigh_falling(largest);
            double reached = 0.0;
            int64_t count = 1;
            for (size_t i = 0; i < terms_.size(); i++) {
                reached += terms_[i] / whole.total * (log_total - (double(falling_[i]) - largest));
                if (i > 0 && reached <= limit) count++;
            }
            if (all || reached > limit) return keep_first(count);
        }
        return false;
    }

    bool tfs(double z) {
        fall(true);
        weigh_falling(falling_[0]);
        const int64_t bends = int64_t(terms_.size()) - 2;
        if (bends < 1) return false;
        const double total = pairwise([&](auto load, int64_t i) { return load(&terms_[i]); }, 0, bends + 2);
        for (double& term : terms_) term /= total;
        double reached = 0.0;
        for (int64_t i = 0; i < bends; i++) {
            reached += std::fabs((terms_[i + 2] - terms_[i + 1]) - (terms_[i + 1] - terms_[i]));
            terms_[i] = reached;
        }
        if (reached == 0.0) return false;
        int64_t count = 1;
        for (int64_t i = 0; i < bends; i++) count += terms_[i] <= z * reached;
        return keep_first(count);
    }

    bool typical(double goal) {
        const Weights& whole = walk_.softmax();
        const int64_t A = walk_.size;
        const double middle = whole.entropy() - std::log(whole.total);
        nearness_.resize(A);
        for (int64_t i = 0; i < A; i++) {
            const double distance = std::fabs(whole.below[i] + middle);
            nearness_[i] = walk_.row[i] == CUT ? double(CUT) : -distance;
        }
        for (bool all : {false, true}) {
            if (!all && (A <= HEAD || walk_.kept < HEAD)) continue;
            all ? sort_near() : likeliest(nearness_.data(), A, HEAD, places_);
            double reached = 0.0;
            for (size_t i = 0; i < places_.size(); i++) {
                reached += whole.weight[places_[i]];
                const bool enough = !(reached / whole.total < goal);
                if (!enough && !(all && i + 1 == places_.size())) continue;
                const double furthest = nearness_[places_[i]];
                for (int64_t j = 0; j < A; j++) walk_.next[j] = nearness_[j] >= furthest ? walk_.row[j] : CUT;
                return true;
            }
        }
        return false;
    }

    // The places of all that are not cut into places_, the nearest first.
    void sort_near() {
        keyed_.resize(walk_.size);
        for (int64_t i = 0; i < walk_.size; i++)
            keyed_[i] = uint64_t(~rising_key(walk_.row[i] == CUT ? CUT : limited(nearness_[i]))) << 32 | uint32_t(i);
        sort_by_key(keyed_, spare_);
        keyed_.resize(walk_.kept);  // what is cut stands at the end
        places_.clear();
        for (uint64_t item : keyed_) places_.push_back(int32_t(uint32_t(item)));
        // keys are coarser than distances: what shares one is put in order by itself
        for (size_t first = 0; first < keyed_.size();) {
            size_t last = first + 1;
            while (last < keyed_.size() && keyed_[last] >> 32 == keyed_[first] >> 32) last++;
            if (last - first > 1)
                std::stable_sort(&places_[first], &places_[first] + (last - first),
                                 [this](int32_t a, int32_t b) { return nearness_[a] > nearness_[b]; });
            first = last;
        }
    }

    bool xtc(double threshold) {
        const double floor = threshold > 0.0 ? walk_.softmax().logit_of(std::log(threshold)) : double(LOWEST);
        if (floor > walk_.largest) return false;
        const float least = granted(floor), *row = walk_.row;
        int64_t last = -1;
        for (int64_t i = 0; i < walk_.size; i++)
            if (row[i] >= least && (last < 0 || row[i] <= row[last])) last = i;
        for (int64_t i = 0; i < walk_.size; i++) walk_.next[i] = row[i] >= least && i != last ? CUT : row[i];
        return true;
    }

    Walk& walk_;
    Line<int32_t> places_;
    Line<double> terms_, nearness_;
    Line<float> falling_;
    Line<uint32_t> keys_, spare_keys_;
    Line<uint64_t> keyed_, spare_;  // a key over a place
};
