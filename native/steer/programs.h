/* The loaded BPF objects behind a C face: the generated light skeleton is not C++-clean. Control
 * thread only. */
#ifndef RIPSTOP_STEER_PROGRAMS_H
#define RIPSTOP_STEER_PROGRAMS_H

#ifdef __cplusplus
extern "C" {
#endif

/* Descriptors, owned by the caller after rs_programs_load(). */
struct rs_programs {
  int overlay_egress;
  int overlay_ingress;
  int underlay_ingress;
  int nic_ingress;
  int xdp_redirect;
  int packet_filter;
  int state_map;
  int xsks_map;
};

/* 0, or a negative errno from the bpf() system call. */
int rs_programs_load(struct rs_programs* programs);

#ifdef __cplusplus
}
#endif

#endif
