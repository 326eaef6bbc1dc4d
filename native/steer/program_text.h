// The form in which compiled BPF programs are part of the addon: what scripts/write-bpf-header.mjs
// writes and steer/programs.cc loads.
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <span>

namespace steer {

// By their names in the BPF source.
enum class MapName : uint8_t { steer_state, xsks, overlay_xsks };

// An instruction that gets the descriptor of a map.
struct MapPlace {
  uint32_t instruction;
  MapName map;
};

struct ProgramText {
  const char* name;
  bpf_prog_type type;
  uint32_t attach_type;  // enum bpf_attach_type, or 0.
  std::span<const bpf_insn> code;
  std::span<const MapPlace> maps;
};

}  // namespace steer
