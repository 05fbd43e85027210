// The stages that the library knows. Rules are those of penalties.py, bias.py, temperature.py and truncations.py, in
// plainer words there.

#pragma once

#include "dice.h"
#include "walk.h"

extern "C" {

// What a stage does, as native_choice.py has it. In `value` stands the setting.
enum RuleKind : int32_t {
    ADD,  // amounts to the logits of ids
    SIGN,  // divide positive and multiply negative logits of ids
    PULL,  // add |logit| times the value to the logits of ids
    REPETITION,  // from here on past.h finds the ids, and makes one of the first two of it
    ENCODER_REPETITION,
    FREQUENCY,
    PRESENCE,
    DRY,
    NO_REPEAT_NGRAM,
    ENCODER_NO_REPEAT_NGRAM,
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
    const uint8_t* breakers;  // (count) DRY: whether the token is one
    double value, base;  // base: of DRY; XTC: the chance
    int64_t n, window;  // n: of the n-grams, or the length that DRY allows; window: of DRY, 0 for everything
    int32_t flag;  // TEMPERATURE: the largest logit gets its own size back; XTC: the stream of the dart
};

struct History {
    const int64_t* ids;  // (length)
    int64_t length, prompt, reach;  // prompt: how many are the prompt's; reach: the first that penalties look at
};

// Whose odds these are.
struct Place {
    uint64_t seed;
    uint32_t position, lane;
};

}  // extern "C"

constexpr int HEAD = 256;  // as in draw.py and cuts.py

class Stages {
  public:
    explicit Stages(Walk& walk) : walk_(walk) {}

    // A rule for ids is one of the first three kinds.
    Left apply(const Rule& rule, const Place& place) {
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
                const Sums all = walk_.softmax();
                const double least = std::log(rule.value);
                return cut_below(granted(all.logit_of(std::min(least, least / 2 - all.entropy()))));
            }
            case TOP_A: {
                const Sums all = walk_.softmax();
                return cut_below(granted(all.logit_of(std::log(rule.value) - 2 * std::log(all.total))));
            }
            case TFS:
                return tfs(rule.value);
            case TOP_H:
                return top_h(rule.value);
            case XTC:
                if (uniform(place.seed, place.position, place.lane, uint32_t(rule.flag)) >= rule.base) return SAME;
                return xtc(rule.value);
        }
        return SAME;
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

    Left change(const Rule& rule) {
        walk_.patches.clear();
        for (int32_t i = 0; i < rule.count; i++) {
            const int64_t place = walk_.place_of(rule.ids[i]);
            if (place >= 0) walk_.patches.push_back({int32_t(place), changed(rule, i, walk_.row[place])});
        }
        return PATCHED;
    }

    Left divide(const Rule& rule) {
        const float* row = walk_.row;
        const double largest = walk_.largest;
        if (rule.value <= 0.0) {  // greedy: the first of the largest
            walk_.alive.assign(1, int32_t(std::find(row, row + walk_.size, walk_.largest) - row));
            return CHOSEN;
        }
        walk_.next.resize(walk_.size);
        float* next = walk_.next.data();
        const double back = rule.flag != 0 ? largest / rule.value : 0.0;
        for (int64_t i = 0; i < walk_.size; i++) {
            double y = (double(row[i]) - largest) / rule.value;
            y = rule.flag != 0 ? y + back : y;
            y = y < double(LOWEST) ? double(LOWEST) : y;
            y = y > double(HIGHEST) ? double(HIGHEST) : y;
            next[i] = row[i] == CUT ? CUT : float(y);
        }
        return WRITTEN;
    }

    // The least logit that counts as reaching a floor: cuts.granted.
    float granted(double floor) const {
        const double largest = walk_.largest;
        if (floor >= largest) return walk_.largest;
        floor -= EPSILON_OF_FLOAT * std::max(std::fabs(largest), std::fabs(floor));
        const float least = float(std::max(floor, double(LOWEST)));
        return double(least) >= floor ? least : std::nextafter(least, HIGHEST);
    }

    Left cut_below(float least) {
        if (least <= LOWEST) return SAME;
        places_from(walk_.row, walk_.size, least, walk_.alive);
        return CHOSEN;
    }

    Left top_k(int64_t k) {
        if (k <= 0 || k >= walk_.size) return SAME;
        if (k <= HEAD) {
            likeliest(walk_.row, walk_.size, k, places_);
            return cut_below(walk_.row[places_.back()]);
        }
        falling_.assign(walk_.row, walk_.row + walk_.size);
        std::nth_element(falling_.begin(), falling_.begin() + (k - 1), falling_.end(), std::greater<float>());
        return cut_below(falling_[k - 1]);
    }

    double sigma() const {
        const double largest = walk_.largest, n = double(walk_.kept);
        const auto plain = [&](auto load, int64_t i) { return below(load, walk_.row + i, largest); };
        const double mean = sum_of(plain, 0, walk_.size) / n;
        const auto square = [&](auto load, int64_t i) {
            const auto logit = load(walk_.row + i), none = decltype(logit){};
            const auto apart = logit == double(CUT) ? none : logit - largest - mean;
            return apart * apart;
        };
        return std::sqrt(sum_of(square, 0, walk_.size) / n);
    }

    // ---- the largest first ----

    // How far from the first, by apart(place), the tokens reach that hold this weight together, to a sixteenth of a nat
    // too far; infinite when it takes all. It says how many are worth sorting, no more: what is kept, their order says.
    template <class Apart>
    double reach_of(double goal, const double* weight, const Apart& apart) {
        constexpr int HEAPS = 1024, A_NAT = 16;
        double heaps[HEAPS] = {};
        for (int64_t i = 0; i < walk_.size; i++) heaps[int(std::min(apart(i) * A_NAT, HEAPS - 1.0))] += weight[i];
        double reached = 0.0;
        for (int heap = 0; heap + 1 < HEAPS; heap++) {
            reached += heaps[heap];
            if (reached > goal * (1.0 + 1e-9)) return double(heap + 1) / A_NAT;
        }
        return std::numeric_limits<double>::infinity();
    }

    // The HEAD largest logits, falling, into falling_; false where there are not so many, or no more.
    bool fall_head() {
        if (walk_.size <= HEAD || walk_.kept < HEAD) return false;
        likeliest(walk_.row, walk_.size, HEAD, places_);
        falling_.clear();
        for (int32_t place : places_) falling_.push_back(walk_.row[place]);
        return true;
    }

    // The logits of at least this, falling, into falling_.
    void fall(float least) {
        places_from(walk_.row, walk_.size, std::max(least, LOWEST), places_);
        const int64_t n = int64_t(places_.size());
        keys_.resize(n);
        for (int64_t i = 0; i < n; i++) keys_[i] = ~rising_key(walk_.row[places_[i]]);
        sort_by_key(keys_, spare_keys_);
        falling_.resize(n);
        for (int64_t i = 0; i < n; i++) falling_[i] = of_key(~keys_[i]);
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
    Left keep_first(int64_t count) {
        const float last = falling_[count - 1];
        places_from(walk_.row, walk_.size, last, walk_.alive);
        Line<int32_t>& alive = walk_.alive;
        if (int64_t(alive.size()) == count) return CHOSEN;
        int64_t equal = count;  // how many of those equal to the last stay
        for (int64_t i = 0; i < count; i++) equal -= falling_[i] > last;
        const auto out = [&](int32_t place) { return walk_.row[place] == last && --equal < 0; };
        alive.erase(std::remove_if(alive.begin(), alive.end(), out), alive.end());
        return CHOSEN;
    }

    Left top_p(double p) {
        const Walk::Softmax whole = walk_.softmax();
        const double largest = walk_.largest;
        for (Part part : {FEW, ENOUGH, ALL}) {
            if (part == FEW && !fall_head()) continue;
            if (part == ENOUGH) {
                const auto apart = [&](int64_t i) { return largest - double(walk_.row[i]); };
                const double reach = reach_of(p * whole.total, whole.weight, apart);
                if (reach > HIGHEST) continue;
                fall(float(largest - reach));
            }
            if (part == ALL) fall(LOWEST);
            weigh_falling(largest);
            double reached = 0.0;
            for (size_t i = 0; i < terms_.size(); i++) {
                reached += terms_[i] / whole.total;
                if (reached >= p) return keep_first(int64_t(i) + 1);
            }
        }
        return SAME;
    }

    Left top_h(double share) {
        const Sums whole = walk_.softmax();
        const double limit = share * whole.entropy(), log_total = std::log(whole.total), largest = walk_.largest;
        for (Part part : {FEW, ALL}) {
            if (part == FEW && !fall_head()) continue;
            if (part == ALL) fall(LOWEST);
            if (limit <= 0.0) return keep_first(1);
            weigh_falling(largest);
            double reached = 0.0;
            int64_t count = 1;
            for (size_t i = 0; i < terms_.size(); i++) {
                reached += terms_[i] / whole.total * (log_total - (double(falling_[i]) - largest));
                if (i > 0 && reached <= limit) count++;
            }
            if (part == ALL || reached > limit) return keep_first(count);
        }
        return SAME;
    }

    Left tfs(double z) {
        fall(LOWEST);
        weigh_falling(falling_[0]);
        const int64_t bends = int64_t(terms_.size()) - 2;
        if (bends < 1) return SAME;
        const double total = sum_of([&](auto load, int64_t i) { return load(&terms_[i]); }, 0, bends + 2);
        for (double& term : terms_) term /= total;
        double reached = 0.0;
        for (int64_t i = 0; i < bends; i++) {
            reached += std::fabs((terms_[i + 2] - terms_[i + 1]) - (terms_[i + 1] - terms_[i]));
            terms_[i] = reached;
        }
        if (reached == 0.0) return SAME;
        int64_t count = 1;
        for (int64_t i = 0; i < bends; i++) count += terms_[i] <= z * reached;
        return keep_first(count);
    }

    Left typical(double goal) {
        const Walk::Softmax whole = walk_.softmax();
        const int64_t A = walk_.size;
        const double middle = whole.entropy() - std::log(whole.total);
        nearness_.resize(A);
        for (int64_t i = 0; i < A; i++) {
            const double distance = std::fabs(double(walk_.row[i]) - whole.reference + middle);
            nearness_[i] = walk_.row[i] == CUT ? double(CUT) : -distance;
        }
        for (Part part : {ENOUGH, ALL}) {
            if (part == ENOUGH) {
                const auto apart = [this](int64_t i) { return -nearness_[i]; };
                const double reach = reach_of(goal * whole.total, whole.weight, apart);
                if (reach > HIGHEST) continue;
                sort_near(-reach);
            } else {
                sort_near(-HIGHEST);
            }
            double reached = 0.0;
            for (size_t i = 0; i < places_.size(); i++) {
                reached += whole.weight[places_[i]];
                const bool enough = !(reached / whole.total < goal);
                if (!enough && !(part == ALL && i + 1 == places_.size())) continue;
                places_from(nearness_.data(), A, nearness_[places_[i]], walk_.alive);
                return CHOSEN;
            }
        }
        return SAME;
    }

    // The places of all that are at least so near into places_, the nearest first.
    void sort_near(double least) {
        places_from(nearness_.data(), walk_.size, least, places_);
        keyed_.clear();
        for (int32_t i : places_) keyed_.push_back(uint64_t(~rising_key(limited(nearness_[i]))) << 32 | uint32_t(i));
        sort_by_key(keyed_, spare_);
        for (size_t i = 0; i < keyed_.size(); i++) places_[i] = int32_t(uint32_t(keyed_[i]));
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

    Left xtc(double threshold) {
        const double floor = threshold > 0.0 ? walk_.softmax().logit_of(std::log(threshold)) : double(LOWEST);
        if (floor > walk_.largest) return SAME;
        const float* row = walk_.row;
        places_from(row, walk_.size, granted(floor), places_);
        int32_t last = places_[0];
        for (int32_t place : places_)
            if (row[place] <= row[last]) last = place;
        walk_.patches.clear();
        for (int32_t place : places_)
            if (place != last) walk_.patches.push_back({place, CUT});
        return PATCHED;
    }

    enum Part { FEW, ENOUGH, ALL };

    Walk& walk_;
    Line<int32_t> places_;
    Line<double> terms_, nearness_;
    Line<float> falling_;
    Line<uint32_t> keys_, spare_keys_;
    Line<uint64_t> keyed_, spare_;  // a key over a place
};
