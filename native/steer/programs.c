#include "steer/programs.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "bpf/generated/steer.lskel.h"

/* The skeleton closes its descriptors when destroyed; ours must outlive it. */
static int keep(int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, 3); }

int rs_programs_load(struct rs_programs* programs) {
  struct steer* skeleton = steer__open();
  if (!skeleton) return -ENOMEM;
  const int error = steer__load(skeleton);
  if (error == 0) {
    programs->overlay_egress = keep(skeleton->progs.rs_overlay_egress.prog_fd);
    programs->overlay_ingress = keep(skeleton->progs.rs_overlay_ingress.prog_fd);
    programs->underlay_ingress = keep(skeleton->progs.rs_underlay_ingress.prog_fd);
    programs->nic_ingress = keep(skeleton->progs.rs_nic_ingress.prog_fd);
    programs->packet_filter = keep(skeleton->progs.rs_packet_filter.prog_fd);
    programs->xdp_redirect = keep(skeleton->progs.rs_xdp_redirect.prog_fd);
    programs->state_map = keep(skeleton->maps.steer_state.map_fd);
    programs->xsks_map = keep(skeleton->maps.xsks.map_fd);
  }
  steer__destroy(skeleton);
  return error;
}
