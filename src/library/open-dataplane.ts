// The agent's data plane in a program of one's own: it stands between a kernel VXLAN device, which stays programmed and takes over
// when the program ends, and the network device, with any of the ports that the agent can choose.
import type { OpenOptions } from "../dataplane/binding.js";
import { Dataplane } from "../dataplane/dataplane.js";
import { addon } from "./addon.js";

/**
 * Opens ports and steering on existing devices; carries nothing before the first table (`apply(encodePeerTable(table))`). Throws
 * OPEN_OPTIONS_INVALID or what the kernel refused. Needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF.
 */
export function openDataplane(options: OpenOptions): Dataplane {
  return Dataplane.open(addon(), options);
}
