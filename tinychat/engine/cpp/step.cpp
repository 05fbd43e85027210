// One decoding step of a tinychat Transformer on the CPU: for each of B rows one token in, its logits out.
//
// The same sums as model/transformer.py with T = 1, over the same weights and the same cache memory. Weights are
// float32, bfloat16 (widened as they are read) or int8 with a scale per row; what flows between them is float32, and in
// front of int8 weights int16 with a scale per vector: on machines with and without VNNI that is as fast as int8, and
// it costs no accuracy. Five phases a layer, because each needs all of the one before; members of the team share each.
//
// Compiled for one type of weights and of cache: -DWEIGHT=float|uint16_t|int8_t (uint16_t holds bfloat16), -DCACHED.
// Nothing here knows histories, sampling or Python. Letters are those of transformer.py.

#include "attention.h"
#include "choice.h"
#include "model.h"
#include "team.h"

#ifndef WEIGHT
#define WEIGHT float
#endif

namespace {

using Weight = WEIGHT;
constexpr bool WHOLE = sizeof(Weight) == 1;  // int8 weights

enum Phase { QKV, ATTENTION, OUTPUT, UP, DOWN, PHASES };

constexpr int STREAMS = 8;  // places a member reads weights from in turn: a single one leaves half the bandwidth unused
constexpr int CHUNK_BYTES = 16384;  // of weights: a microsecond, so nobody waits long for somebody's last chunk

// What one member of the team writes while it computes: nobody else looks at it.
struct Desk {
    std::vector<float> input;  // (B, widest): what the phase multiplies
    std::vector<int16_t> small;  // (B, widest): the same for int8 weights
    std::vector<float> scale;  // (B): what `small` must be multiplied with
    std::vector<float> scores;  // (context)
    std::vector<float> query, key, value;  // (E)
};

class Step final : public Work {
  public:
    Step(const Model& model, int threads) : m_(model), layers_(model.layer, model.layer + model.layers), desks_(threads) {
        for (Desk& desk : desks_) {
            desk.scores.resize(m_.context);
            for (auto* head : {&desk.query, &desk.key, &desk.value}) head->resize(head_width());
        }
        reserve(1);
        const int phases = m_.layers * PHASES + 1;
        chunks_.resize(size_t(phases) * threads);
        team_ = std::make_unique<Team>(*this, threads, phases);
    }

    void run(const Cache& cache, int n, const Row* rows, float* logits) {
        reserve(n);
        cache_ = cache, rows_ = rows, n_ = n, logits_ = logits;
        for (size_t i = 0; i < chunks_.size(); i++) {
            const int phase = int(i / desks_.size()), part = int(i % desks_.size());
            const Range range = range_of(phase, part);
            const int turns = (range.last - range.first) / STREAMS, grain = grain_of(phase);
            // rows that fill no whole turn belong to the last chunk
            chunks_[i] = is_attention(phase) ? range.last - range.first
                         : turns > 0         ? (turns + grain - 1) / grain
                                             : range.last > range.first;
        }
        for (int b = 0; b < n; b++) embed(b);
        team_->run(chunks_);
    }

    // Whether every logit of a row is a finite number.
    bool is_whole(int b) const {
        float poison = 0.0f;
        const int V = m_.head.rows;
        const float* row = logits_ + int64_t(b) * V;
#pragma omp simd reduction(+ : poison)
        for (int i = 0; i < V; i++) poison += row[i] * 0.0f;  // NaN where a number is not finite
        return poison == 0.0f;
    }

    void prepare(int phase, int member) override {
        Desk& desk = desks_[member];
        const int layer = phase / PHASES;
        if (layer == m_.layers) return normed(desk, m_.norm);
        switch (phase % PHASES) {
            case QKV:
                return normed(desk, layers_[layer].attention_norm);
            case OUTPUT:
                std::copy_n(mixed_.data(), size_t(n_) * m_.width, desk.input.data());
                return shrink(desk, m_.width);
            case UP:
                return normed(desk, layers_[layer].feed_forward_norm);
            case DOWN:
                for (int b = 0; b < n_; b++) bend(&up_[size_t(b) * layers_[0].up.rows], &desk.input[size_t(b) * m_.hidden]);
                return shrink(desk, m_.hidden);
        }
    }

    void chunk(int phase, int part, int chunk, int member) override {
        Desk& desk = desks_[member];
        const int layer = phase / PHASES;
        const Range range = range_of(phase, part);
        if (layer == m_.layers) return multiply<false>(desk, m_.head, range, chunk, logits_);
        switch (phase % PHASES) {
            case QKV:
                return multiply<false>(desk, layers_[layer].qkv, range, chunk, qkv_.data());
            case ATTENTION:
                return head(desk, layer, range.first + chunk);
            case OUTPUT:
                return multiply<true>(desk, layers_[layer].output, range, chunk, x_.data());
            case UP:
                return multiply<false>(desk, layers_[layer].up, range, chunk, up_.data());
            case DOWN:
                return multiply<true>(desk, layers_[layer].down, range, chunk, x_.data());
        }
    }

  private:
    struct Range {
        int first, last;
    };

    // Room for the vectors of n rows.
    void reserve(size_t n) {
        const size_t D = m_.width, widest = std::max(m_.width, m_.hidden);
        if (x_.size() >= n * D) return;
        x_.resize(n * D);
        mixed_.resize(n * D);
        qkv_.resize(n * layers_[0].qkv.rows);
        up_.resize(n * layers_[0].up.rows);
        for (Desk& desk : desks_) {
            desk.input.resize(n * widest);
            desk.small.resize(WHOLE ? n * widest : 0);
            desk.scale.resize(n);
        }
    }

    int head_width() const { return m_.width / m_.heads; }
    bool is_attention(int phase) const { return phase % PHASES == ATTENTION; }

    const Matrix& matrix(int phase) const {
        if (phase / PHASES == m_.layers) return m_.head;
        const Layer& layer = layers_[phase / PHASES];
        const Matrix* each[] = {&layer.qkv, nullptr, &layer.output, &layer.up, &layer.down};
        return *each[phase % PHASES];
    }

    // A part's share of a phase: rows of its matrix, or heads of all rows of the batch.
    Range range_of(int phase, int part) const {
        const int64_t all = is_attention(phase) ? n_ * m_.heads : matrix(phase).rows, parts = int64_t(desks_.size());
        return {int(all * part / parts), int(all * (part + 1) / parts)};
    }

    // Turns through the streams in one chunk.
    int grain_of(int phase) const {
        if (is_attention(phase)) return 1;
        return std::max(1, int(CHUNK_BYTES / (int64_t(matrix(phase).columns) * STREAMS * sizeof(Weight))));
    }

    void embed(int b) {
        float* x = &x_[size_t(b) * m_.width];
        const Row& row = rows_[b];
        const Weight* line = static_cast<const Weight*>(m_.embedding.weight) + row.token * m_.width;
        const float scale = WHOLE ? m_.embedding.scale[row.token] : 1.0f;
        for (int d = 0; d < m_.width; d++) x[d] = widen(line[d]) * scale;
        if (m_.positions == nullptr) return;
        for (int d = 0; d < m_.width; d++) x[d] += m_.positions[row.position * m_.width + d];
    }

    void normed(Desk& desk, const Norm& norm) {
        const int D = m_.width;
        for (int b = 0; b < n_; b++) {
            const float* x = &x_[size_t(b) * D];
            float* out = &desk.input[size_t(b) * D];
            std::copy_n(x, D, out);
            if (m_.norm_type == LAYER) {
                const float mean = total(out, D, [](auto y) { return y; }) / D;
                for (int d = 0; d < D; d++) out[d] -= mean;
            }
            const float squares = total(out, D, [](auto y) { return y * y; });
            const float inverse = 1.0f / std::sqrt(squares / D + m_.eps);
            for (int d = 0; d < D; d++) out[d] = out[d] * inverse * norm.weight[d];
            if (norm.bias == nullptr) continue;
            for (int d = 0; d < D; d++) out[d] += norm.bias[d];
        }
        shrink(desk, D);
    }

    template <class Term>
    static float total(const float* x, int n, Term term) {
        Floats sums = {};
        int i = 0;
        for (; i + WIDE <= n; i += WIDE) sums += term(load(x + i));
        float rest = sum(sums);
        for (; i < n; i++) rest += term(x[i]);
        return rest;
    }

    // One vector through the activation: (2 F) or (F) -> (F).
    void bend(const float* up, float* out) const {
        const int F = m_.hidden;
        const bool gated = m_.activation == SWIGLU;
        for (int i = 0; i < F; i += WIDE) {
            const size_t bytes = std::min(WIDE, F - i) * sizeof(float);
            Floats h = {}, other = {};
            std::memcpy(&h, up + i, bytes);
            if (gated) std::memcpy(&other, up + F + i, bytes);
            switch (m_.activation) {
                case SWIGLU:
                    h = h / (1.0f + exp(-h)) * other;
                    break;
                case GELU:
                    h = 0.5f * h * (1.0f + erf(h * 0.70710678f));
                    break;
                case GELU_TANH:  // 0.5 h (1 + tanh u) = h / (1 + e^-2u)
                    h = h / (1.0f + exp(-1.5957691216f * (h + 0.044715f * h * h * h)));
                    break;
                case RELU2:
                    h = h < 0.0f ? Floats{} : h * h;  // NaN stays NaN
                    break;
            }
            std::memcpy(out + i, &h, bytes);
        }
    }

    // For int8 weights: each vector as int16 times a scale, as fine as 31-bit sums of `k` products allow.
    void shrink(Desk& desk, int k) const {
        if (!WHOLE) return;
        const float finest = float(std::min(32767, INT32_MAX / 127 / k));
        for (int b = 0; b < n_; b++) {
            const float* x = &desk.input[size_t(b) * k];
            int16_t* out = &desk.small[size_t(b) * k];
            float largest = 0.0f, poison = 0.0f;
#pragma omp simd reduction(max : largest) reduction(+ : poison)
            for (int i = 0; i < k; i++) {
                largest = std::fabs(x[i]) > largest ? std::fabs(x[i]) : largest;
                poison += x[i] * 0.0f;  // NaN when a number is not finite, which must show
            }
            const float inverse = largest > 0.0f && poison == 0.0f ? finest / largest : 0.0f;
            desk.scale[b] = largest / finest + poison;
            if (inverse == 0.0f) {
                std::fill_n(out, k, int16_t(0));
            } else {
                for (int i = 0; i < k; i++) out[i] = int16_t(int32_t(std::nearbyint(x[i] * inverse)));
            }
        }
    }

    // A chunk of the rows in `range` of matrix times vectors (+ bias), put or added into `to` (B, rows). The range is
    // read as STREAMS runs side by side; weights come from memory once for all vectors.
    template <bool ADD>
    void multiply(const Desk& desk, const Matrix& matrix, Range range, int chunk, float* to) const {
        const int turns = (range.last - range.first) / STREAMS;
        const int grain = std::max(1, int(CHUNK_BYTES / (int64_t(matrix.columns) * STREAMS * sizeof(Weight))));
        const int end = std::min(turns, (chunk + 1) * grain);
        for (int turn = chunk * grain; turn < end; turn++) {
            const int row = range.first + turn;
            int b = 0;
            for (; b + 2 <= n_; b += 2) {
                tile<4, 2, ADD>(desk, matrix, row, turns, b, to);
                tile<4, 2, ADD>(desk, matrix, row + 4 * turns, turns, b, to);
            }
            if (b < n_) tile<8, 1, ADD>(desk, matrix, row, turns, b, to);
        }
        if (end < turns) return;
        for (int row = range.first + turns * STREAMS; row < range.last; row++)
            for (int b = 0; b < n_; b++) tile<1, 1, ADD>(desk, matrix, row, 1, b, to);
    }

    // R rows of the matrix, `apart` from each other, times N vectors.
    template <int R, int N, bool ADD>
    void tile(const Desk& desk, const Matrix& matrix, int row, int apart, int b, float* to) const {
        const int k = matrix.columns;
        const Weight* weight = static_cast<const Weight*>(matrix.weight) + int64_t(row) * k;
        float out[N][R];
        if constexpr (WHOLE) {
            const int16_t* x[N];
            int32_t whole[N][R];
            for (int n = 0; n < N; n++) x[n] = &desk.small[size_t(b + n) * k];
            dots<R, N>(weight, int64_t(apart) * k, x, k, whole);
            for (int n = 0; n < N; n++)
                for (int r = 0; r < R; r++)
                    out[n][r] = float(whole[n][r]) * (matrix.scale[row + r * apart] * desk.scale[b + n]);
        } else {
            const float* x[N];
            for (int n = 0; n < N; n++) x[n] = &desk.input[size_t(b + n) * k];
            dots<R, N>(weight, int64_t(apart) * k, x, k, out);
        }
        for (int n = 0; n < N; n++) {
            float* line = to + int64_t(b + n) * matrix.rows + row;
            for (int r = 0; r < R; r++) {
                const float y = out[n][r] + (matrix.bias != nullptr ? matrix.bias[row + r * apart] : 0.0f);
                line[r * apart] = ADD ? line[r * apart] + y : y;
            }
        }
    }

    // One query head of one row. Every head turns its group's new key anew: cheaper than a phase for it. The first of
    // a group also writes key and value into the cache.
    void head(Desk& desk, int layer, int unit) {
        const int H = m_.heads, G = m_.groups, E = head_width();
        const int b = unit / H, head = unit % H, group = head / (H / G);
        const Row& row = rows_[b];
        const float* qkv = &qkv_[size_t(b) * (H + 2 * G) * E];
        const int64_t place = layer * cache_.layer_stride + row.lane * cache_.lane_stride + group * cache_.group_stride;
        Cached* keys = static_cast<Cached*>(cache_.keys) + place;
        Cached* values = static_cast<Cached*>(cache_.values) + place;
        float *q = desk.query.data(), *k = desk.key.data(), *v = desk.value.data();
        turn(qkv + head * E, row.position, q);
        turn(qkv + (H + group) * E, row.position, k);
        std::copy_n(qkv + (H + G + group) * E, E, v);
        const int64_t own = row.position * cache_.position_stride;
        for (int e = 0; e < E; e++) {
            Cached key, value;
            narrow(k[e], &key);
            narrow(v[e], &value);
            k[e] = widen(key), v[e] = widen(value);  // as the cache will give them back
            if (head % (H / G) == 0) keys[own + e] = key, values[own + e] = value;
        }
        float* y = &mixed_[size_t(b) * m_.width + head * E];
        attend(keys, values, cache_.position_stride, int(row.position), q, k, v, E, desk.scores.data(), y);
    }

    // Llama's half-split rotary embedding of one head; a copy where positions are learned.
    void turn(const float* from, int64_t position, float* to) const {
        const int E = head_width(), half = E / 2;
        if (m_.rope == nullptr) {
            std::copy_n(from, E, to);
            return;
        }
        const float *cos = m_.rope + position * E, *sin = cos + int64_t(m_.context) * E;
        for (int e = 0; e < half; e++) to[e] = from[e] * cos[e] + from[e + half] * sin[e];
        for (int e = half; e < E; e++) to[e] = from[e] * cos[e] + from[e - half] * sin[e];
    }

    const Model m_;
    const std::vector<Layer> layers_;
    std::vector<float> x_, mixed_, qkv_, up_;  // (B, D), (B, D), (B, (H + 2 G) E), (B, 2 F or F)
    std::vector<Desk> desks_;
    std::vector<int> chunks_;  // (phases, parts)
    Cache cache_ = {};
    const Row* rows_ = nullptr;
    int n_ = 0;
    float* logits_ = nullptr;
    std::unique_ptr<Team> team_;  // last, so that its threads end before what they look at
};

}  // namespace

extern "C" {

// Null when memory or threads are not to be had. `model` may go afterwards, what it points to (but for `layer`) must stay.
void* tinychat_step_new(const Model* model, int32_t threads) {
    try {
        return new Step(*model, threads);
    } catch (...) {
        return nullptr;
    }
}

// `rows` (n), no lane twice; `logits` (n, V). The cache holds what stands before each row's position, and takes its own
// keys and values there. `whole` (n) says whose logits are all finite. False when memory is not to be had; then nothing
// has changed.
bool tinychat_step_run(void* step, const Cache* cache, int32_t n, const Row* rows, float* logits, bool* whole) {
    try {
        static_cast<Step*>(step)->run(*cache, n, rows, logits);
        for (int b = 0; b < n; b++) whole[b] = static_cast<Step*>(step)->is_whole(b);
        return true;
    } catch (...) {
        return false;
    }
}

void tinychat_step_free(void* step) { delete static_cast<Step*>(step); }

void* tinychat_chooser_new() { return new (std::nothrow) Chooser; }

// False when this choice is not for the library, or memory is not to be had; then nothing in `choice` counts.
bool tinychat_choose(void* chooser, Choice* choice) {
    try {
        return static_cast<Chooser*>(chooser)->run(*choice);
    } catch (...) {
        return false;
    }
}

void tinychat_chooser_free(void* chooser) { delete static_cast<Chooser*>(chooser); }

}  // extern "C"
