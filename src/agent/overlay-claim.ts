// One agent per overlay device and network namespace, whatever run directories and stores they use: two would take turns in
// programming flannel.<VNI>. The claim is an abstract Unix socket, which belongs to the network namespace and which the kernel
// forgets with the process. Agents with other prefixes and other VNIs do not meet.
import { createServer, type Server } from "node:net";
import { parseUdpOptions, parseVxlanOptions } from "../config/backend-options.js";
import type { NetworkConfig } from "../config/network-config.js";
import { RipstopError } from "../lib/errors.js";

/** Null for a backend that makes no device of its own. Rejects with OVERLAY_CLAIMED. */
export async function claimOverlay(network: NetworkConfig): Promise<Server | null> {
  const overlay = overlayOf(network);
  if (overlay === null) return null;
  const server = createServer((socket) => socket.destroy()).unref();
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) =>
      reject(
        new RipstopError(
          "OVERLAY_CLAIMED",
          cause.code === "EADDRINUSE"
            ? `another agent runs the overlay ${overlay} in this network namespace; stop it, or give this one a network configuration with another VNI or port`
            : `cannot claim the overlay ${overlay} (${cause.message})`,
          { op: "bind", cause },
        ),
      ),
    );
    server.listen(`\0ripstop/${overlay}`, resolve);
  });
  return server;
}

function overlayOf({ backendType, backend }: NetworkConfig): string | null {
  if (backendType === "vxlan") return `vxlan ${parseVxlanOptions(backend).vni}`;
  if (backendType === "udp") return `udp ${parseUdpOptions(backend).port}`;
  return null;
}
