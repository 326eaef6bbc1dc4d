// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Which packets are ours: one answer for XDP and tc. Pure: reads the packet and the state, changes
 * nothing. */
#ifndef RIPSTOP_BPF_MATCH_BPF_H
#define RIPSTOP_BPF_MATCH_BPF_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/steer_state.h"

/* Where the packet ends; or, `whole`, that every header up to VXLAN is known to be there: a copy on
 * the stack, whose addresses only a holder of CAP_PERFMON may compare. Known at compile time. */
struct rs_bound {
  const __u8* end;
  int whole;
};

static __always_inline int rs_beyond(const void* at, struct rs_bound bound) {
  return !bound.whole && (const __u8*)at > bound.end;
}

/* The UDP header, when the packet is an unfragmented IPv4 or IPv6 packet to our address without
 * options or extension headers; NULL otherwise. */
static __always_inline const struct udphdr* rs_outer_udp(const struct rs_steer_state* state,
                                                         const __u8* data, struct rs_bound bound) {
  const struct ethhdr* eth = (const void*)data;
  if (rs_beyond(eth + 1, bound)) return 0;
  if (eth->h_proto == bpf_htons(ETH_P_IP)) {
    const struct iphdr* ip = (const void*)(eth + 1);
    if (rs_beyond((const __u8*)(ip + 1) + sizeof(struct udphdr), bound)) return 0;
    if (ip->ihl != 5 || ip->protocol != IPPROTO_UDP || (ip->frag_off & bpf_htons(0x3fff))) return 0;
    if (!(state->local_families & RS_LOCAL_IP4) || ip->daddr != state->local_ip4_be) return 0;
    return (const void*)(ip + 1);
  }
  if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
    const struct ipv6hdr* ip = (const void*)(eth + 1);
    if (rs_beyond((const __u8*)(ip + 1) + sizeof(struct udphdr), bound)) return 0;
    if (ip->nexthdr != IPPROTO_UDP || !(state->local_families & RS_LOCAL_IP6)) return 0;
    const __u32 *to = (const void*)&ip->daddr, *ours = (const void*)state->local_ip6;
    if (to[0] != ours[0] || to[1] != ours[1] || to[2] != ours[2] || to[3] != ours[3]) return 0;
    return (const void*)(ip + 1);
  }
  return 0;
}

/* Encapsulated for us: our address, our port and, for VXLAN, our VNI. Other VNIs belong to other
 * kernel devices. */
static __always_inline int rs_ours(const struct rs_steer_state* state, const __u8* data,
                                   struct rs_bound bound) {
  const struct udphdr* udp = rs_outer_udp(state, data, bound);
  if (!udp || udp->dest != state->udp_port_be) return 0;
  if (state->encapsulation != RS_ENCAPSULATION_VXLAN) return 1;
  const __u8* vxlan = (const void*)(udp + 1);
  if (rs_beyond(vxlan + 8, bound)) return 0;
  const __u32 vni = (__u32)vxlan[4] << 16 | (__u32)vxlan[5] << 8 | vxlan[6];
  return vni == state->vni;
}

#endif
