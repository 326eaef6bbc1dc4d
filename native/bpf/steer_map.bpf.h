// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The map `steer_state` and the question every program asks first: is the data plane alive?
 * Included once by each BPF object. Reads only, but for counting. */
#ifndef RIPSTOP_BPF_STEER_MAP_BPF_H
#define RIPSTOP_BPF_STEER_MAP_BPF_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "bpf/steer_state.h"

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct rs_steer_state);
} steer_state SEC(".maps");

static __always_inline struct rs_steer_state* rs_writable_state(void) {
  const __u32 only = 0;
  return bpf_map_lookup_elem(&steer_state, &only);
}
static __always_inline const struct rs_steer_state* rs_state(void) { return rs_writable_state(); }

/* All workers, because a flow may belong to any of them. A heartbeat can be ahead of `now`: the
 * worker beat after the clock was read here. */
static __always_inline int rs_alive(const struct rs_steer_state* state) {
  const __u64 now = bpf_ktime_get_ns();
  const __u32 workers = state->workers;
  if (workers == 0 || workers > RS_WORKERS_MAX) return 0;
  for (__u32 i = 0; i < RS_WORKERS_MAX; ++i) {
    if (i == workers) break;
    const __u64 beat = *(const volatile __u64*)&state->heartbeat[i].ns;
    if (now > beat && now - beat >= state->stale_ns) return 0;
  }
  return 1;
}

#endif
