// The choice of a token and its record in one call: the raw odds, what each stage left, the candidates, and the draw.
//
// The twin of observe.py and draw.py over the common stages, to the last bit.

#pragma once

#include "past.h"

extern "C" {

struct Choice {
    const float* logits;  // (V)
    const double* table;  // exponential.TABLE
    const Rule* rules;
    History history;
    Place place;
    int64_t size;  // V
    int32_t rule_count, candidates;
    int32_t draws;  // whether a token is drawn

    View* views;  // (1 + rules), the first is raw
    int64_t* tokens;  // these five (candidates)
    double *logit, *raw, *final;
    int32_t* cut_by;  // index of a view; -1 for what could be drawn
    double varentropy;  // bits squared
    double u;  // the dart
    int64_t token, raw_rank, final_rank;
    double token_logit, low, high;
};

}  // extern "C"

class Chooser {
  public:
    // False when it is not for this code to say: broken numbers, or no token left.
    bool run(Choice& choice) {
        c_ = &choice;
        walk_.table = choice.table;
        if (!walk_.begin(choice.logits, choice.size, choice.views[0])) return false;
        choice.varentropy = varentropy();
        list();
        mark_cut(0);
        largest_.assign(choice.rule_count, 0.0);
        past_.read(choice.history, choice.size);
        plain_.resize(choice.rule_count);
        named_.resize(choice.rule_count);
        for (int s = 0; s < choice.rule_count; s++) {
            largest_[s] = walk_.largest;
            plain_[s] = past_.plain(choice.rules[s], named_[s]);
            if (!walk_.follow(stages_.apply(plain_[s], choice.place), choice.views[s + 1])) return false;
            mark_cut(s + 1);
        }
        const int64_t A = walk_.size;
        const double total = walk_.tally.total;
        probs_.resize(A);
        for (int64_t i = 0; i < A; i++) probs_[i] = walk_.weight[i] / total;
        for (int32_t i = 0; i < choice.candidates; i++) {
            const float logit = choice.logits[best_[i]];
            choice.tokens[i] = best_[i];
            choice.logit[i] = logit;
            choice.raw[i] = exp(double(logit) - choice.views[0].reference, choice.table) / choice.views[0].total;
            choice.final[i] = choice.cut_by[i] < 0 ? probs_[walk_.place_of(best_[i])] : 0.0;
        }
        if (choice.draws) {
            choice.u = uniform(choice.place.seed, choice.place.position, choice.place.lane, 0);
            draw();
            describe();
        }
        return true;
    }

  private:
    double varentropy() const {
        const Sums& tally = walk_.tally;
        const double mean = tally.mean();
        const auto term = [&](auto load, int64_t i) {
            const auto apart = below(load, walk_.row + i, tally.reference) - mean;
            return apart * apart * load(&walk_.weight[i]);
        };
        return sum_of(term, 0, walk_.size) / tally.total * (BITS * BITS);
    }

    // ---- candidates ----

    void list() {
        likeliest(c_->logits, c_->size, c_->candidates, best_);
        c_->candidates = int32_t(best_.size());
        std::fill_n(c_->cut_by, best_.size(), -1);
    }

    void mark_cut(int view) {
        if (c_->views[view].kept == (view == 0 ? c_->size : c_->views[view - 1].kept)) return;
        for (size_t i = 0; i < best_.size(); i++) {
            if (c_->cut_by[i] >= 0) continue;
            const int64_t place = walk_.place_of(best_[i]);
            if (place < 0 || walk_.row[place] == CUT) c_->cut_by[i] = view;
        }
    }

    // ---- the draw ----

    void draw() {
        const int64_t A = walk_.size;
        likeliest(probs_.data(), A, HEAD, places_);
        double low = 0.0, reached = 0.0;
        for (size_t i = 0; i + 1 < places_.size(); i++) {
            reached += probs_[places_[i]];
            const double high = std::min(reached, 1.0);
            if (high > c_->u) return place(places_[i], low, high, int64_t(i) + 1);
            low = high;
        }
        // the last of the head, or one of the tail, or whatever is the last of all
        while (probs_[places_.back()] == 0.0) places_.pop_back();
        const size_t head = places_.size();
        if (head == HEAD) {
            head_ = places_;
            std::sort(head_.begin(), head_.end());
            auto skip = head_.begin();
            for (int32_t i = 0; i < A; i++) {
                if (skip != head_.end() && *skip == i) {
                    skip++;
                } else if (probs_[i] != 0.0) {
                    places_.push_back(i);
                }
            }
        }
        low = reached = 0.0;
        for (size_t i = 0; i < places_.size(); i++) {
            reached += probs_[places_[i]];
            const double high = i + 1 == places_.size() ? 1.0 : std::min(reached, 1.0);
            if (high > c_->u) {
                const int64_t rank = i < HEAD ? int64_t(i) + 1 : rank_of(probs_.data(), A, places_[i]);
                return place(places_[i], low, high, rank);
            }
            low = high;
        }
    }

    void place(int64_t at, double low, double high, int64_t rank) {
        c_->token = walk_.token_at(at), c_->low = low, c_->high = high, c_->final_rank = rank;
    }

    template <class Number>
    static int64_t rank_of(const Number* values, int64_t n, int64_t at) {
        const Number value = values[at];
        int64_t rank = 1;
        for (int64_t i = 0; i < n; i++) rank += values[i] > value;
        for (int64_t i = 0; i < at; i++) rank += values[i] == value;
        return rank;
    }

    // The drawn token's way through the stages, none of which cut it.
    void describe() {
        const auto listed = std::find(best_.begin(), best_.end(), int32_t(c_->token));
        c_->raw_rank = listed != best_.end() ? listed - best_.begin() + 1 : rank_of(c_->logits, c_->size, c_->token);
        float logit = c_->logits[c_->token];
        c_->token_logit = logit;
        for (int s = 0; s <= c_->rule_count; s++) {
            if (s > 0) {
                const Rule& rule = plain_[s - 1];
                if (rule.kind <= PULL) {
                    const int64_t* found = std::find(rule.ids, rule.ids + rule.count, c_->token);
                    if (found != rule.ids + rule.count) logit = Stages::changed(rule, int32_t(found - rule.ids), logit);
                } else if (rule.kind == TEMPERATURE && rule.value > 0.0) {
                    logit = Stages::divided(logit, rule, largest_[s - 1]);
                }
            }
            View& view = c_->views[s];
            view.chosen = exp(double(logit) - view.reference, c_->table) / view.total;
        }
    }

    Choice* c_ = nullptr;
    Walk walk_;
    Stages stages_{walk_};
    Past past_;
    std::vector<Rule> plain_;  // (rules)
    std::vector<Named> named_;  // (rules)
    Line<double> largest_;  // (rules) logit, before each stage
    Line<int32_t> best_;  // the candidates
    Line<int32_t> places_, head_;
    Line<double> probs_;
};
