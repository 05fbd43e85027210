// What the history says of the tokens to come: which were seen, which would repeat something.
//
// The twin of context.seen and of what penalties.py and bias.py find in a history, without Python's loops over it.
// V vocabulary, K ids.

#pragma once

#include <cmath>
#include <cstdint>

#include "order.h"
#include "rules.h"

// Ids (K), rising, and what is added to the logit of each, or nothing.
struct Named {
    Line<int64_t> ids;
    Line<double> amounts;
};

class Past {
  public:
    void read(const History& history, int64_t size) {
        past_ = history, size_ = size;
        is_counted_ = false;
        found_.resize(size);
        marks_.assign((size + 63) / 64, 0);
    }

    // The rule as one for ids; `named` must live as long. Others stay as they are.
    Rule plain(const Rule& rule, Named& named) {
        Rule plain = rule;
        plain.kind = ADD;
        switch (rule.kind) {
            case REPETITION:
                plain.kind = SIGN;
                return over(count(), plain);
            case ENCODER_REPETITION:
                plain.kind = SIGN;
                collect(past_.ids, past_.prompt, named.ids);
                return over(named.ids, plain);
            case PRESENCE:
                named.amounts.assign(count().size(), -rule.value);
                return over(count(), plain, &named.amounts);
            case FREQUENCY:
                named.amounts.clear();
                count();
                for (int32_t times : times_) named.amounts.push_back(double(times) * -rule.value);
                return over(seen_, plain, &named.amounts);
            case DRY:
                repeats(rule, named);
                return over(named.ids, plain, &named.amounts);
            case NO_REPEAT_NGRAM:
            case ENCODER_NO_REPEAT_NGRAM:
                completions(rule.kind == NO_REPEAT_NGRAM ? past_.length : past_.prompt, rule.n, named.ids);
                named.amounts.assign(named.ids.size(), double(CUT));
                return over(named.ids, plain, &named.amounts);
        }
        return rule;
    }

  private:
    static Rule over(const Line<int64_t>& ids, Rule rule, const Line<double>* amounts = nullptr) {
        rule.count = int32_t(ids.size()), rule.ids = ids.data();
        rule.amounts = amounts == nullptr ? nullptr : amounts->data();
        return rule;
    }

    // ---- a set of ids, each with a number ----

    bool knows(int64_t id) const { return 0 <= id && id < size_; }

    // The number of an id, which is in the set from now on; 0 when it was not.
    int32_t& found(int64_t id) {
        uint64_t& marks = marks_[id / 64];
        const uint64_t mark = uint64_t(1) << id % 64;
        if ((marks & mark) == 0) found_[id] = 0;
        marks |= mark;
        return found_[id];
    }

    // Those in the set whose number is taken, rising; and empties the set.
    template <class Take>
    void drain(Line<int64_t>& ids, const Take& take) {
        ids.clear();
        for (size_t word = 0; word < marks_.size(); word++) {
            for (uint64_t left = marks_[word]; left != 0; left &= left - 1) {
                const int64_t id = int64_t(word) * 64 + __builtin_ctzll(left);
                if (take(found_[id])) ids.push_back(id);
            }
            marks_[word] = 0;
        }
    }

    void collect(const int64_t* text, int64_t length, Line<int64_t>& ids) {
        for (int64_t i = 0; i < length; i++)
            if (knows(text[i])) found(text[i]);
        drain(ids, [](int32_t) { return true; });
    }

    // ---- what the history says ----

    // The ids in the penalties' reach.
    const Line<int64_t>& count() {
        if (is_counted_) return seen_;
        for (int64_t i = past_.reach; i < past_.length; i++)
            if (knows(past_.ids[i])) found(past_.ids[i])++;
        times_.clear();
        drain(seen_, [this](int32_t times) {
            times_.push_back(times);
            return true;
        });
        is_counted_ = true;
        return seen_;
    }

    // What follows the last n - 1 tokens of the history wherever they stand in its first `length`.
    void completions(int64_t length, int64_t n, Line<int64_t>& ids) {
        const int64_t before = n - 1;
        ids.clear();
        if (n == 0 || past_.length < before || length < n) return;
        const int64_t* last = past_.ids + past_.length - before;
        for (int64_t i = 0; i + before < length; i++) {
            const int64_t next = past_.ids[i + before];
            if (std::equal(last, last + before, past_.ids + i) && knows(next)) found(next);
        }
        drain(ids, [](int32_t) { return true; });
    }

    // Gusfield's Z-algorithm on the history from its end, as in penalties.py.
    void repeats(const Rule& rule, Named& named) {
        const int64_t size = rule.window > 0 ? std::min(rule.window, past_.length) : past_.length;
        const int64_t* end = past_.ids + past_.length;
        const auto back = [end](int64_t place) { return end[-1 - place]; };
        const auto breaks = [&rule](int64_t id) { return 0 <= id && id < rule.count && rule.breakers[id] != 0; };
        named.ids.clear();
        named.amounts.clear();
        int64_t limit = 0;
        while (limit < size && !breaks(back(limit))) limit++;
        if (limit == 0) return;
        lengths_.assign(size, 0);
        int64_t left = 0, right = 0;
        for (int64_t place = 1; place < size; place++) {
            if (back(place) != back(0)) continue;
            int64_t length = place < right ? std::min(int64_t(lengths_[place - left]), right - place) : 0;
            while (length < limit && place + length < size && back(length) == back(place + length)) length++;
            lengths_[place] = int32_t(length);
            if (place + length > right) left = place, right = place + length;
            const int64_t follower = back(place - 1);
            if (!knows(follower) || breaks(follower)) continue;
            int32_t& longest = found(follower);
            longest = std::max(longest, int32_t(length));
        }
        drain(named.ids, [&](int32_t length) {
            if (length < rule.n) return false;
            const double grown = rule.value * std::pow(rule.base, double(length - rule.n));
            named.amounts.push_back(-std::min(grown, double(HIGHEST)));
            return true;
        });
    }

    History past_ = {};
    int64_t size_ = 0;
    bool is_counted_ = false;
    Line<int64_t> seen_;  // (K)
    Line<int32_t> times_;  // (K)
    Line<int32_t> lengths_;  // of the history from its end
    Line<int32_t> found_;  // (V) the numbers of those in the set
    Line<uint64_t> marks_;  // (V / 64) which those are
};
