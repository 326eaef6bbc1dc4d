// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Whether a packet on its way out claims to be one that this node encapsulated: from our address,
 * UDP to our port, VXLAN with our VNI. Looser than match.bpf.h, because the peer's kernel is: IP
 * options, extension headers and first fragments count, and a header that is not all there counts
 * as ours. Pure. Assumes an Ethernet device. */
#ifndef RIPSTOP_BPF_FORGED_BPF_H
#define RIPSTOP_BPF_FORGED_BPF_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/steer_state.h"

enum { RS_EXTENSIONS_MAX = 4 }; /* Extension headers looked behind. */

/* Bytes from the frame's first to its UDP header; 0: not UDP from us, or not the first fragment. */
static __always_inline __u32 rs_udp_from_us4(const struct rs_steer_state* state,
                                             struct __sk_buff* skb) {
  struct iphdr ip;
  if (!(state->local_families & RS_LOCAL_IP4)) return 0;
  if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof ip) != 0) return 0;
  if (ip.protocol != IPPROTO_UDP || ip.saddr != state->local_ip4_be) return 0;
  if (ip.frag_off & bpf_htons(0x1fff)) return 0;
  return ETH_HLEN + ip.ihl * 4;
}

static __always_inline __u32 rs_udp_from_us6(const struct rs_steer_state* state,
                                             struct __sk_buff* skb) {
  struct ipv6hdr ip;
  if (!(state->local_families & RS_LOCAL_IP6)) return 0;
  if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof ip) != 0) return 0;
  const __u32 *from = ip.saddr.in6_u.u6_addr32, *ours = (const void*)state->local_ip6;
  if (from[0] != ours[0] || from[1] != ours[1] || from[2] != ours[2] || from[3] != ours[3])
    return 0;
  __u32 at = ETH_HLEN + sizeof ip;
  __u8 next = ip.nexthdr;
  for (int i = 0; i < RS_EXTENSIONS_MAX; ++i) {
    __u8 head[4];
    if (next == IPPROTO_UDP) return at;
    if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS &&
        next != IPPROTO_FRAGMENT)
      return 0;
    if (bpf_skb_load_bytes(skb, at, head, sizeof head) != 0) return 0;
    if (next == IPPROTO_FRAGMENT) {
      if (head[2] != 0 || (head[3] & 0xf8) != 0) return 0;
      at += 8;
    } else {
      at += 8 + head[1] * 8;
    }
    next = head[0];
  }
  return next == IPPROTO_UDP ? at : 0;
}

static __always_inline int rs_looks_sent_by_us(const struct rs_steer_state* state,
                                               struct __sk_buff* skb) {
  __u32 at = 0;
  if (skb->protocol == bpf_htons(ETH_P_IP)) at = rs_udp_from_us4(state, skb);
  if (skb->protocol == bpf_htons(ETH_P_IPV6)) at = rs_udp_from_us6(state, skb);
  if (at == 0) return 0;
  struct udphdr udp;
  if (bpf_skb_load_bytes(skb, at, &udp, sizeof udp) != 0) return 0;
  if (udp.dest != state->udp_port_be) return 0;
  __u8 vxlan[8];
  if (bpf_skb_load_bytes(skb, at + sizeof udp, vxlan, sizeof vxlan) != 0) return 1;
  const __u32 vni = (__u32)vxlan[4] << 16 | (__u32)vxlan[5] << 8 | vxlan[6];
  return vni == state->vni;
}

#endif
