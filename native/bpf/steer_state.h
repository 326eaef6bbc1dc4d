// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* What the workers tell the BPF programs: the one entry of the map `steer_state`. Shared, byte for
 * byte, by steer.bpf.c, redirect.bpf.h and C++. Owner: the data-plane process, which maps the
 * entry; the programs read it, and write their counter. Plain C: no pointers, no implicit padding,
 * network order where a name ends in _be. */
#ifndef RIPSTOP_BPF_STEER_STATE_H
#define RIPSTOP_BPF_STEER_STATE_H

#include <linux/types.h>

enum {
  RS_WORKERS_MAX = 16,
  RS_QUEUES_MAX = 64, /* Entries of the map `xsks`: device queues an XDP port can cover. */
  RS_XDP_FRAME_MAX =
      3712, /* 4096-byte umem frame less XDP_PACKET_HEADROOM (256) less our headroom (128). */
};

/* A packet with exactly this mark at the egress of flannel.<VNI> is for the kernel path, alive or
 * not: `ripstop ping` measures it so. Marks end where a packet leaves its network namespace: pods
 * cannot set one here. No bit is among those that others test for (docs/decisions/0114). */
enum { RS_KERNEL_PATH_MARK = 0x1052 };

enum rs_encapsulation {
  RS_ENCAPSULATION_VXLAN = 1,
  RS_ENCAPSULATION_UDP =
      2, /* flannel's `udp` format: a bare inner IP packet behind the UDP header. */
};

/* One cache line each, so that workers do not take turns owning one. CLOCK_MONOTONIC, as
 * bpf_ktime_get_ns() reads it. */
struct rs_heartbeat {
  __u64 ns;
  __u64 unused[7];
};

struct rs_steer_state {
  struct rs_heartbeat heartbeat[RS_WORKERS_MAX];

  __u64 stale_ns;       /* A heartbeat this old means: leave the packet to the kernel. */
  __u32 workers;        /* Heartbeats that must all be fresh; 0 means the data plane is not up. */
  __u32 encapsulation;  /* enum rs_encapsulation. */
  __u32 vni;            /* Host order. */
  __u16 udp_port_be;    /* Destination port of encapsulated packets. */
  __u16 local_families; /* 4: local_ip4_be is set. 6: local_ip6 is set. Bits RS_LOCAL_*. */
  __u32 local_ip4_be;
  __u8 local_ip6[16];
  __u8 vtep_mac[6]; /* MAC of flannel.<VNI>. */
  __u8 unused0[2];

  __u32 overlay_ifindex;  /* TAP that the overlay side is read from and written to. */
  __u32 underlay_ifindex; /* TAP of the underlay side. */
  __u32 vxlan_ifindex;    /* flannel.<VNI>: the device of inner IPv4. */
  __u32 vxlan_v6_ifindex; /* flannel-v6.<VNI>: of inner IPv6; one device may be both. */
  __u32 nic_ifindex;      /* The external interface. */
  __u32 flags;            /* enum rs_steer_flags. */
  __u32 unused1;

  __u64 refused_packets; /* Dropped by rs_nic_egress. */
};

enum rs_steer_flags {
  /* The underlay port is a packet socket, which has its copy already: drop the original. */
  RS_STEER_DROP_ORIGINAL = 1,
};

enum {
  RS_LOCAL_IP4 = 1,
  RS_LOCAL_IP6 = 2,
};

#endif
