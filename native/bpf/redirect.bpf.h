/* XDP: hands encapsulated packets that are ours to the AF_XDP socket of their queue, everything else to the kernel.
 * Included by the object that carries the steering programs and by redirect.bpf.c (the XDP port alone).
 * Must never drop, never change a packet, and must pass when in doubt: the kernel path judges what it does not know.
 *
 *   1. data plane alive?           4. UDP to our port?
 *   2. frame fits a umem frame?    5. VXLAN: our VNI?
 *   3. IP to us, no fragment?      6. redirect; a queue without a socket passes
 *
 * Loaded without BPF_F_XDP_HAS_FRAGS (docs/decisions/0020): multi-buffer frames do not fit one umem frame anyway. */
#ifndef RIPSTOP_BPF_REDIRECT_BPF_H
#define RIPSTOP_BPF_REDIRECT_BPF_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/steer_map.bpf.h"

struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, RS_QUEUES_MAX);
  __type(key, __u32);
  __type(value, __u32);
} xsks SEC(".maps");

/* The UDP header, when the packet is an unfragmented IPv4 or IPv6 packet to our address without options or extension
 * headers; NULL otherwise. */
static __always_inline const struct udphdr *rs_xdp_udp(const struct rs_steer_state *state, const __u8 *data,
                                                       const __u8 *end) {
  const struct ethhdr *eth = (const void *)data;
  if ((const __u8 *)(eth + 1) > end) return 0;
  if (eth->h_proto == bpf_htons(ETH_P_IP)) {
    const struct iphdr *ip = (const void *)(eth + 1);
    if ((const __u8 *)(ip + 1) + sizeof(struct udphdr) > end) return 0;
    if (ip->ihl != 5 || ip->protocol != IPPROTO_UDP || (ip->frag_off & bpf_htons(0x3fff))) return 0;
    if (!(state->local_families & RS_LOCAL_IP4) || ip->daddr != state->local_ip4_be) return 0;
    return (const void *)(ip + 1);
  }
  if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
    const struct ipv6hdr *ip = (const void *)(eth + 1);
    if ((const __u8 *)(ip + 1) + sizeof(struct udphdr) > end) return 0;
    if (ip->nexthdr != IPPROTO_UDP || !(state->local_families & RS_LOCAL_IP6)) return 0;
    const __u32 *to = (const void *)&ip->daddr, *ours = (const void *)state->local_ip6;
    if (to[0] != ours[0] || to[1] != ours[1] || to[2] != ours[2] || to[3] != ours[3]) return 0;
    return (const void *)(ip + 1);
  }
  return 0;
}

SEC("xdp")
int rs_xdp_redirect(struct xdp_md *context) {
  const __u8 *data = (const void *)(long)context->data;
  const __u8 *end = (const void *)(long)context->data_end;
  const struct rs_steer_state *state = rs_state();
  if (!state || !rs_alive(state)) return XDP_PASS;
  if (end - data > RS_XDP_FRAME_MAX) return XDP_PASS;

  const struct udphdr *udp = rs_xdp_udp(state, data, end);
  if (!udp || udp->dest != state->udp_port_be) return XDP_PASS;
  if (state->encapsulation == RS_ENCAPSULATION_VXLAN) {
    const __u8 *vxlan = (const void *)(udp + 1);
    if (vxlan + 8 > end) return XDP_PASS;
    const __u32 vni = (__u32)vxlan[4] << 16 | (__u32)vxlan[5] << 8 | vxlan[6];
    if (vni != state->vni) return XDP_PASS;
  }
  return bpf_redirect_map(&xsks, context->rx_queue_index, XDP_PASS);
}

#endif
