// One agent per overlay device and per network, in a network namespace, whatever run directories and stores they use: two would take
// turns in programming flannel.<VNI>, or the routes of the same subnets. A claim is an abstract Unix socket, which belongs to the
// network namespace and which the kernel forgets with the process. Networks that only overlap have claims of different names: an
// agent first claims its own and then looks for theirs, so of two that start together at least one sees the other. Agents with
// other prefixes and other VNIs do not meet.
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import type { Prefix } from "../addr/address.js";
import { formatPrefix, parsePrefix, prefixEquals, prefixesOverlap } from "../addr/prefix.js";
import { parseUdpOptions, parseVxlanOptions } from "../config/backend-options.js";
import type { NetworkConfig } from "../config/network-config.js";
import { RipstopError } from "../lib/errors.js";

export interface OverlayClaim {
  close(): void;
}

/** The abstract sockets of this process's network namespace among others, one a line. */
const SOCKETS = "/proc/self/net/unix";

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
    if (servers.length > 0) await requireDisjoint(networksOf(network));
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

async function requireDisjoint(own: readonly Prefix[]): Promise<void> {
  const sockets = await readFile(SOCKETS, "utf8").catch((cause: NodeJS.ErrnoException) => {
    const message = `cannot see which networks other agents run (${cause.message}); mount /proc`;
    throw new RipstopError("OVERLAY_CLAIMED", message, { op: "read", cause });
  });
  const met = overlapAmong(sockets, own);
  if (met === null) return;
  throw new RipstopError(
    "OVERLAY_CLAIMED",
    `another agent runs the network ${formatPrefix(met.other)} in this network namespace, which overlaps ${formatPrefix(met.mine)}; ` +
      "stop it, or give this one a network configuration with a network of its own",
    { op: "compare" },
  );
}

/** A network that another agent has claimed, from the text of /proc/net/unix. Equal ones are our own: nobody else could claim them. */
export function overlapAmong(
  sockets: string,
  own: readonly Prefix[],
): { readonly mine: Prefix; readonly other: Prefix } | null {
  for (const [, text] of sockets.matchAll(/ @ripstop\/network (\S+?)@*$/gm)) {
    const other = parsePrefix(text ?? "");
    if (other === null || own.some((one) => prefixEquals(one, other))) continue;
    const mine = own.find((one) => prefixesOverlap(one, other));
    if (mine !== undefined) return { mine, other };
  }
  return null;
}

function networksOf({ network, ipv6Network }: NetworkConfig): readonly Prefix[] {
  return [network, ipv6Network].filter((one) => one !== null);
}

/** An allocator programs nothing, so it is in nobody's way. */
function claimsOf(config: NetworkConfig): readonly Claimed[] {
  const { backendType, backend } = config;
  if (backendType === "alloc") return [];
  const own = networksOf(config).map((one) => ({
    name: `network ${formatPrefix(one)}`,
    remedy: "a network of its own",
  }));
  const device = deviceOf(backendType, backend);
  return device === null ? own : [{ name: `overlay ${device}`, remedy: "another VNI or port" }, ...own];
}

function deviceOf(backendType: NetworkConfig["backendType"], backend: NetworkConfig["backend"]): string | null {
  if (backendType === "vxlan") return `vxlan ${parseVxlanOptions(backend).vni}`;
  if (backendType === "udp") return `udp ${parseUdpOptions(backend).port}`;
  return null;
}
