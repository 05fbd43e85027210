// A small team of threads that works through the phases of a step together.
//
// A phase is some chunks in as many parts as there are members; the next begins when all are done. Each has its part and
// helps the others when it is through, so nobody waits for a member that the system has put to sleep, unless it sleeps on
// a chunk. Whoever comes late joins where the others are; the caller alone would do it all. Every counter carries the
// number of its step: a late member of an old step finds foreign counters and leaves, so none needs to be waited for.
//
// Between two steps a member spins for a moment, then sleeps: an idle model costs nothing.

#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

class Work {
  public:
    virtual void prepare(int phase, int member) = 0;  // once per phase and member, before its first chunk
    virtual void chunk(int phase, int part, int chunk, int member) = 0;
    virtual ~Work() = default;
};

class Team {
  public:
    Team(Work& work, int members, int phases) : work_(work), members_(members), phases_(phases) {
        cursors_ = std::make_unique<Cell[]>(size_t(phases) * members);
        remaining_ = std::make_unique<Cell[]>(phases);
        for (int member = 1; member < members; member++) threads_.emplace_back([this, member] { serve(member); });
    }

    ~Team() {
        quit_.store(true);
        {
            std::lock_guard<std::mutex> hold(mutex_);
            wake_.notify_all();
        }
        for (std::thread& thread : threads_) thread.join();
    }

    // All phases; `chunks` (phases, members) says how many chunks each part of each phase has. Returns when all are done.
    void run(const std::vector<int>& chunks) {
        const uint64_t step = (step_.load(std::memory_order_relaxed) + 1) & STEPS;
        for (int phase = 0; phase < phases_; phase++) {
            uint64_t all = 0;
            for (int part = 0; part < members_; part++) {
                const uint64_t n = chunks[phase * members_ + part];
                cursors_[phase * members_ + part].word.store(step << 40 | n << 20, std::memory_order_release);
                all += n;
            }
            remaining_[phase].word.store(step << 40 | all, std::memory_order_release);
        }
        phase_.store(0, std::memory_order_relaxed);
        step_.store(step);
        if (sleeping_.load() > 0) {
            std::lock_guard<std::mutex> hold(mutex_);
            wake_.notify_all();
        }
        take_part(step, 0);
    }

  private:
    static constexpr uint64_t STEPS = (1 << 24) - 1;
    static constexpr uint64_t FIELD = (1 << 20) - 1;
    static constexpr int SPINS = 1000;  // some 30 us, then the core is offered to others
    // Longer than the choice of a token takes: a member that sleeps is woken too late for a step of half a millisecond.
    static constexpr std::chrono::microseconds PATIENCE{2000};

    struct alignas(64) Cell {  // a cache line each: members must not slow each other down
        std::atomic<uint64_t> word{0};
    };

    static void pause() {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        asm volatile("yield");
#endif
    }

    // The next chunk of a part of this step; -1 when there is none.
    int take(Cell& cursor, uint64_t step) {
        uint64_t word = cursor.word.load(std::memory_order_acquire);
        while (word >> 40 == step && (word & FIELD) < (word >> 20 & FIELD)) {
            if (cursor.word.compare_exchange_weak(word, word + 1, std::memory_order_acq_rel)) return int(word & FIELD);
        }
        return -1;
    }

    void take_part(uint64_t step, int member) {
        for (int phase = member == 0 ? 0 : phase_.load(std::memory_order_relaxed); phase < phases_; phase++) {
            if (member == 0) phase_.store(phase, std::memory_order_relaxed);
            bool prepared = false;
            for (int turn = 0; turn < members_; turn++) {
                const int part = (member + turn) % members_;
                Cell& cursor = cursors_[phase * members_ + part];
                for (int chunk = take(cursor, step); chunk >= 0; chunk = take(cursor, step)) {
                    // only who holds a chunk may look at the data: until it is done, the step cannot end
                    if (!prepared) work_.prepare(phase, member);
                    prepared = true;
                    work_.chunk(phase, part, chunk, member);
                    remaining_[phase].word.fetch_sub(1, std::memory_order_acq_rel);
                }
            }
            for (int spins = 0;; spins++) {
                const uint64_t word = remaining_[phase].word.load(std::memory_order_acquire);
                if (word >> 40 != step) return;
                if ((word & FIELD) == 0) break;
                spins < SPINS ? pause() : std::this_thread::yield();
            }
        }
    }

    void serve(int member) {
        uint64_t seen = 0;
        while (wait_for_step(seen)) {
            seen = step_.load();
            take_part(seen, member);
        }
    }

    bool wait_for_step(uint64_t seen) {
        const auto started = std::chrono::steady_clock::now();
        for (int spins = 0; step_.load() == seen && !quit_.load(); spins++) {
            spins < SPINS ? pause() : std::this_thread::yield();
            if (spins % 64 == 63 && std::chrono::steady_clock::now() - started > PATIENCE) {
                std::unique_lock<std::mutex> hold(mutex_);
                sleeping_.fetch_add(1);
                wake_.wait(hold, [&] { return step_.load() != seen || quit_.load(); });
                sleeping_.fetch_sub(1);
            }
        }
        return !quit_.load();
    }

    Work& work_;
    const int members_, phases_;
    std::unique_ptr<Cell[]> cursors_;  // (phases, members): step (24 bits), end and next chunk (20 each) of each part
    std::unique_ptr<Cell[]> remaining_;  // (phases): step, and how many chunks are not done yet
    alignas(64) std::atomic<uint64_t> step_{0};
    std::atomic<int> phase_{0};  // where the caller is
    std::atomic<int> sleeping_{0};
    std::atomic<bool> quit_{false};
    std::mutex mutex_;
    std::condition_variable wake_;
    std::vector<std::thread> threads_;
};
