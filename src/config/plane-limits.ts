// What a data plane can be asked for: the limits of the native side (fwd::kWorkersMax, engine::kCpuMax), for flags, network
// configuration and open() alike. Pure data.
export const WORKERS_MAX = 16;
export const CPU_MAX = 1023;
export const CPUS_MAX = 64;
export const BUSY_POLL_MAX_US = 10_000;
/** What `Disable` can force off: every name that the native side asks for. */
export const PLANE_FEATURES = [
  "super-packets",
  "tcx",
  "tunnel-gso",
  "udp-segmentation",
  "udp-super-packets",
  "xdp-native",
  "xdp-zerocopy",
] as const;
