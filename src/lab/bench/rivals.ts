// Who is compared: every way a packet can take from pod to pod, and what it stands for. Pure.
import type { LabOptions } from "../plan.js";

export interface Rival {
  readonly id: string;
  /** As tables and plots name it. */
  readonly name: string;
  readonly what: string;
  readonly lab: Partial<LabOptions>;
  /** The packets go through a classic proxy on top of the lab's plain routes. */
  readonly classic?: true;
  /** The port that the data planes must have; absent: they must have none, or whichever they choose. */
  readonly port?: "tap" | "xdp" | "packet" | "udp";
}

/** The rival that every ratio of ours is against, and the one our claims are about. */
export const KERNEL = "kernel";
export const AUTO = "auto";
export const CLASSIC = "classic";
export const OUR_UDP = "udp";
/** Not a rival: generator and sink on a bare cable, for what they cost by themselves. */
export const NULL_PATH = "null";

export const RIVALS: readonly Rival[] = [
  {
    id: "route",
    name: "plain route",
    what: "host-gw: routes between the nodes, no encapsulation",
    lab: { backend: "host-gw" },
  },
  {
    id: KERNEL,
    name: "kernel VXLAN",
    what: "the kernel's VXLAN device, programmed as flannel does",
    lab: { dataplane: "kernel" },
  },
  { id: AUTO, name: "ripstop auto", what: "our VXLAN with default options", lab: { dataplane: "auto" } },
  {
    id: "tap",
    name: "ripstop tap",
    what: "our VXLAN, underlay port tap forced",
    lab: { dataplane: "userspace", underlayPort: "tap" },
    port: "tap",
  },
  {
    id: "xdp",
    name: "ripstop xdp",
    what: "our VXLAN, underlay port xdp forced (the cable then finishes checksums and segments, as a NIC would)",
    lab: { dataplane: "userspace", underlayPort: "xdp" },
    port: "xdp",
  },
  {
    id: "packet",
    name: "ripstop packet",
    what: "our VXLAN, underlay port packet forced",
    lab: { dataplane: "userspace", underlayPort: "packet" },
    port: "packet",
  },
  {
    id: OUR_UDP,
    name: "ripstop udp",
    what: "our udp backend: flannel's udp format with segmentation offloads",
    lab: { backend: "udp" },
    port: "udp",
  },
  {
    id: CLASSIC,
    name: "classic proxy",
    what: "a UDP proxy with one packet a system call and no offloads, as flannel's udp backend is",
    lab: { backend: "host-gw" },
    classic: true,
  },
];
