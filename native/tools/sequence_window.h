// What became of one flow's numbers: unique, doubled, out of order. Pure; fixed memory, whatever
// the length of the run.
#pragma once

#include <array>
#include <cstdint>

namespace tools {

struct SequenceCounts {
  uint64_t unique = 0;
  uint64_t duplicates = 0;
  uint64_t reordered = 0;             // Arrived after a higher number.
  uint64_t reorder_distance_max = 0;  // In packets of the flow.
  uint64_t too_old = 0;               // Further back than the window: unique or doubled, unknown.
};

class SequenceWindow {
 public:
  void Take(uint64_t sequence, SequenceCounts& counts) {
    if (empty_ || sequence > highest_) {
      Advance(sequence);
      Mark(sequence);
      counts.unique++;
      return;
    }
    const uint64_t distance = highest_ - sequence;
    if (distance >= kWindow) {
      counts.too_old++;
      return;
    }
    if (Marked(sequence)) {
      counts.duplicates++;
      return;
    }
    Mark(sequence);
    counts.unique++;
    counts.reordered++;
    if (distance > counts.reorder_distance_max) counts.reorder_distance_max = distance;
  }

 private:
  static constexpr uint64_t kWindow = 8192;  // Numbers remembered below the highest.

  void Advance(uint64_t sequence) {
    if (empty_ || sequence - highest_ >= kWindow) {
      bits_.fill(0);
    } else {
      for (uint64_t n = highest_ + 1; n <= sequence; n++) Clear(n);
    }
    highest_ = sequence;
    empty_ = false;
  }
  static uint64_t Bit(uint64_t n) { return 1ULL << (n % 64); }
  uint64_t& Word(uint64_t n) { return bits_[n % kWindow / 64]; }
  void Mark(uint64_t n) { Word(n) |= Bit(n); }
  void Clear(uint64_t n) { Word(n) &= ~Bit(n); }
  bool Marked(uint64_t n) { return (Word(n) & Bit(n)) != 0; }

  std::array<uint64_t, kWindow / 64> bits_ = {};
  uint64_t highest_ = 0;
  bool empty_ = true;
};

}  // namespace tools
