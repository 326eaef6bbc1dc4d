// One agent per overlay device and per network, in a network namespace, whatever run directories and stores they use: two would take
// turns in programming flannel.<VNI>, or the routes of the same subnets. A claim is an abstract Unix socket, which belongs to the
// network namespace and which the kernel forgets with the process. Agents with other prefixes and other VNIs do not meet.
import { createServer, type Server } from "node:net";
import { formatPrefix } from "../addr/prefix.js";
import { parseUdpOptions, parseVxlanOptions } from "../config/backend-options.js";
import type { NetworkConfig } from "../config/network-config.js";
import { RipstopError } from "../lib/errors.js";

export interface OverlayClaim {
  close(): void;
}

interface Claimed {
  readonly name: string;
  readonly remedy: string;
}

/** Rejects with OVERLAY_CLAIMED. */
export async function claimOverlay(network: NetworkConfig): Promise<OverlayClaim> {
  const servers: Server[] = [];
  const close = (): void => {
    for (const server of servers) server.close();
  };
  try {
    for (const claimed of claimsOf(network)) servers.push(await claim(claimed));
  } catch (error) {
    close();
    throw error;
  }
  return { close };
}

async function claim({ name, remedy }: Claimed): Promise<Server> {
  const server = createServer((socket) => socket.destroy()).unref();
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) =>
      reject(
        new RipstopError(
          "OVERLAY_CLAIMED",
          cause.code === "EADDRINUSE"
            ? `another agent runs the ${name} in this network namespace; stop it, or give this one a network configuration with ${remedy}`
            : `cannot claim the ${name} (${cause.message})`,
          { op: "bind", cause },
        ),
      ),
    );
    server.listen(`\0ripstop/${name.replace(/^overlay /, "")}`, resolve);
  });
  return server;
}

/** An allocator programs nothing, so it is in nobody's way. */
function claimsOf({ backendType, backend, network, ipv6Network }: NetworkConfig): readonly Claimed[] {
  if (backendType === "alloc") return [];
  const networks = [network, ipv6Network].filter((one) => one !== null);
  const own = networks.map((one) => ({ name: `network ${formatPrefix(one)}`, remedy: "a network of its own" }));
  const device = deviceOf(backendType, backend);
  return device === null ? own : [{ name: `overlay ${device}`, remedy: "another VNI or port" }, ...own];
}

function deviceOf(backendType: NetworkConfig["backendType"], backend: NetworkConfig["backend"]): string | null {
  if (backendType === "vxlan") return `vxlan ${parseVxlanOptions(backend).vni}`;
  if (backendType === "udp") return `udp ${parseUdpOptions(backend).port}`;
  return null;
}
