// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Steering: five tc programs around the data plane, the filter of a packet socket, and the XDP
 * programs of redirect.bpf.h. Links are owned by the data-plane process: when it dies they are
 * gone, when it hangs rs_alive() says no; either way the packet takes the kernel's own VXLAN path.
 * No program changes a packet; none drops one but what a packet socket has already, and what a pod
 * encapsulated to be taken for ours.
 *
 *   out: flannel.<VNI> egress  -> rs_overlay_egress   -> overlay TAP  -> worker encapsulates
 *        underlay TAP ingress  -> rs_underlay_ingress -> external interface, next hop found by the
 * kernel in:  external if. ingress  -> rs_nic_ingress      -> underlay TAP -> worker decapsulates
 *        overlay TAP ingress   -> rs_overlay_ingress  -> flannel.<VNI>, as if it had received the
 * frame
 *
 * With both families there are two devices, flannel.<VNI> and flannel-v6.<VNI>, in front of one
 * TAP: what a frame carries says which of them it belongs to. */
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>

#include "bpf/forged.bpf.h"
#include "bpf/redirect.bpf.h"

#ifndef TCX_NEXT
#define TCX_NEXT                                                                        \
  (-1) /* Linux 6.6; in an ordinary tc filter -1 means the same: continue with what was \
          configured. */
#endif

/* Frames that a user-space worker can carry: unicast IPv4 or IPv6. The kernel path decides about
 * everything else. */
static __always_inline int rs_carried(const struct __sk_buff* skb, const struct ethhdr* eth) {
  if (eth->h_dest[0] & 1) return 0;
  return skb->protocol == bpf_htons(ETH_P_IP) || skb->protocol == bpf_htons(ETH_P_IPV6);
}

SEC("tc")
int rs_overlay_egress(struct __sk_buff* skb) {
  const struct rs_steer_state* state = rs_state();
  if (!state || !rs_alive(state)) return TCX_NEXT;
  /* A frame that came from our overlay TAP is one the worker handed back for the kernel path. */
  if (skb->ingress_ifindex == state->overlay_ifindex) return TCX_NEXT;
  if (skb->mark == RS_KERNEL_PATH_MARK) return TCX_NEXT;
  const struct ethhdr* eth = (const void*)(long)skb->data;
  if ((const void*)(eth + 1) > (const void*)(long)skb->data_end || !rs_carried(skb, eth))
    return TCX_NEXT;
  return bpf_redirect(state->overlay_ifindex, 0);
}

SEC("tc")
int rs_overlay_ingress(struct __sk_buff* skb) {
  const struct rs_steer_state* state = rs_state();
  if (!state) return TCX_NEXT;
  const struct ethhdr* eth = (const void*)(long)skb->data;
  if ((const void*)(eth + 1) > (const void*)(long)skb->data_end) return TCX_NEXT;
  /* Sent by our own VTEP: handed back by the worker, so out again and past rs_overlay_egress. */
  const __u16 *source = (const void*)eth->h_source, *ours = (const void*)state->vtep_mac;
  const int punted = source[0] == ours[0] && source[1] == ours[1] && source[2] == ours[2];
  /* Volatile: both are read and one is chosen. Choosing an address instead is for holders of
   * CAP_PERFMON. */
  const volatile __u32 *device = &state->vxlan_ifindex, *device_v6 = &state->vxlan_v6_ifindex;
  const __u32 v4 = *device, v6 = *device_v6;
  return bpf_redirect(skb->protocol == bpf_htons(ETH_P_IPV6) ? v6 : v4, punted ? 0 : BPF_F_INGRESS);
}

SEC("tc")
int rs_underlay_ingress(struct __sk_buff* skb __attribute__((unused))) {
  const struct rs_steer_state* state = rs_state();
  if (!state) return TCX_NEXT;
  return bpf_redirect_neigh(state->nic_ifindex, 0, 0, 0);
}

SEC("tc")
int rs_nic_ingress(struct __sk_buff* skb) {
  const struct rs_steer_state* state = rs_state();
  if (!state || !rs_alive(state)) return TCX_NEXT;
  if (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6))
    return TCX_NEXT;
  /* Drivers may leave headers in page fragments; the pull makes the part we read linear (no-op when
   * it is). */
  if (bpf_skb_pull_data(skb, 0) != 0) return TCX_NEXT;
  const struct rs_bound bound = {(const void*)(long)skb->data_end, 0};
  if (!rs_ours(state, (const void*)(long)skb->data, bound)) return TCX_NEXT;
  if (state->flags & RS_STEER_DROP_ORIGINAL) return TC_ACT_SHOT;
  return bpf_redirect(state->underlay_ifindex, 0);
}

/* Which packets a packet socket gets a copy of: those that rs_nic_ingress takes out behind it, at
 * the same moment. A socket of a data plane that hangs or has let go gets none, so nothing is
 * delivered by both paths. */
SEC("socket")
int rs_packet_filter(struct __sk_buff* skb) {
  enum { V4 = 50, V6 = 70 }; /* Ethernet, IP, UDP, VXLAN. */
  const struct rs_steer_state* state = rs_state();
  if (!state || !rs_alive(state)) return 0;
  if (skb->pkt_type != PACKET_HOST || skb->vlan_present) return 0;
  /* Two bytes in, so that the addresses behind 14 bytes of Ethernet are aligned. */
  __u8 room[2 + V6] __attribute__((aligned(8))) = {};
  __u8* head = room + 2;
  const struct rs_bound whole = {0, 1};
  if (skb->protocol == bpf_htons(ETH_P_IP)) {
    if (bpf_skb_load_bytes(skb, 0, head, V4) != 0) return 0;
    return rs_ours(state, head, whole) ? (int)skb->len : 0;
  }
  if (skb->protocol != bpf_htons(ETH_P_IPV6) || bpf_skb_load_bytes(skb, 0, head, V6) != 0) return 0;
  return rs_ours(state, head, whole) ? (int)skb->len : 0;
}

/* What leaves through the external interface. A pod that encapsulates by itself, for our port and
 * VNI, would be believed by every peer once masquerading has given its packet our address: peers
 * know nodes, not pods. Such a packet was forwarded, so it came in from somewhere and was addressed
 * to this host's MAC. The kernel's VXLAN device clears where a packet came from; what comes out of
 * a TAP, ours or that of a data plane beside us, is not addressed to the TAP. Whether the data
 * plane is alive does not matter. */
SEC("tc")
int rs_nic_egress(struct __sk_buff* skb) {
  struct rs_steer_state* state = rs_writable_state();
  if (!state || skb->ingress_ifindex == 0 || skb->pkt_type != PACKET_HOST) return TCX_NEXT;
  if (!rs_looks_sent_by_us(state, skb)) return TCX_NEXT;
  __sync_fetch_and_add(&state->refused_packets, skb->gso_segs > 1 ? skb->gso_segs : 1);
  return TC_ACT_SHOT;
}

char _license[] SEC("license") = "Dual BSD/GPL";
