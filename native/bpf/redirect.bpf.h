// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* XDP: hands encapsulated packets that are ours to the AF_XDP socket of their queue, everything
 * else to the kernel; and, on our own end of a private pair, all frames, because only the steering
 * sends any there. Included by steer.bpf.c, so that both share one state map. Must never drop,
 * never change a packet, and must pass when in doubt: the kernel path judges what it does not know.
 *
 *   1. data plane alive?           4. UDP to our port?
 *   2. frame fits a umem frame?    5. VXLAN: our VNI?
 *   3. IP to us, no fragment?      6. redirect; a queue without a socket passes
 *
 * Loaded without BPF_F_XDP_HAS_FRAGS (docs/decisions/0020): multi-buffer frames do not fit one umem
 * frame anyway. */
#ifndef RIPSTOP_BPF_REDIRECT_BPF_H
#define RIPSTOP_BPF_REDIRECT_BPF_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "bpf/match.bpf.h"
#include "bpf/steer_map.bpf.h"

struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, RS_QUEUES_MAX);
  __type(key, __u32);
  __type(value, __u32);
} xsks SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, RS_WORKERS_MAX);
  __type(key, __u32);
  __type(value, __u32);
} overlay_xsks SEC(".maps");

SEC("xdp")
int rs_xdp_redirect(struct xdp_md* context) {
  const __u8* data = (const void*)(long)context->data;
  const __u8* end = (const void*)(long)context->data_end;
  const struct rs_steer_state* state = rs_state();
  if (!state || !rs_alive(state)) return XDP_PASS;
  /* Compared, not subtracted: differences of pointers are for holders of CAP_PERFMON. */
  if (data + RS_XDP_FRAME_MAX < end) return XDP_PASS;

  if (!rs_ours(state, data, (struct rs_bound){end, 0})) return XDP_PASS;
  return bpf_redirect_map(&xsks, context->rx_queue_index, XDP_PASS);
}

/* What no socket takes ends in a stack without addresses. */
SEC("xdp")
int rs_xdp_overlay(struct xdp_md* context) {
  return bpf_redirect_map(&overlay_xsks, context->rx_queue_index, XDP_PASS);
}

#endif
