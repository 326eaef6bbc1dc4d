// Every command: name, one line for the help, and where its code is. Imports nothing of it: to add a command, add an entry.
import type { LazyCommand } from "./command.js";

/** In the order in which the help lists them; bin/flanneld runs "flanneld". */
export const commands: readonly LazyCommand[] = [
  {
    kind: "lazy",
    name: "agent",
    summary: "join this node to the overlay network (takes flanneld's flags)",
    load: async () => (await import("./agent.js")).agentCommand,
  },
  {
    kind: "lazy",
    name: "flanneld",
    summary: "the agent with flanneld's manners and exit codes",
    hidden: true,
    load: async () => (await import("./agent.js")).flanneldCommand,
  },
  {
    kind: "lazy",
    name: "dataplane",
    summary: "host the native data plane behind a Unix socket (started by the agent)",
    load: async () => (await import("./dataplane.js")).dataplaneCommand,
  },
  {
    kind: "lazy",
    name: "status",
    summary: "how this node's agent and data plane are (exit code: 0 ok, 1 degraded, 2 down)",
    load: async () => (await import("./status.js")).statusCommand,
    quick: async (args, context) => (await import("./status.js")).quickStatus(args, context),
  },
  {
    kind: "lazy",
    name: "peers",
    summary: "the other nodes: subnet, public address, VTEP, path, MTU, bytes, last seen",
    load: async () => (await import("./peers.js")).peersCommand,
  },
  {
    kind: "lazy",
    name: "routes",
    summary: "the kernel's route, neighbour and FDB entry of each peer (exit code: 0 all there, 1 some missing)",
    load: async () => (await import("./routes.js")).routesCommand,
  },
  {
    kind: "lazy",
    name: "top",
    summary: "rates, batch fill, drops and rings of the data plane's workers and ports, again and again",
    load: async () => (await import("./top.js")).topCommand,
  },
  {
    kind: "lazy",
    name: "ping",
    summary: "one peer over the underlay, and the overlay via user space and via the kernel (exit code: 0 all answer)",
    load: async () => (await import("./ping.js")).pingCommand,
  },
  {
    kind: "lazy",
    name: "connectivity",
    summary: "test all pairs of nodes x sizes x protocols (exit code: 0 all pass, 1 some do not)",
    load: async () => (await import("./connectivity.js")).connectivityCommand,
  },
  {
    kind: "lazy",
    name: "capture",
    summary: "show packets that the data plane receives, sends or drops (tcpdump does not see them all)",
    load: async () => (await import("./capture.js")).captureCommand,
  },
  {
    kind: "lazy",
    name: "doctor",
    summary:
      "examine this node: what is wrong, what follows, what to do (exit code: 0 nothing fails, 1 something does)",
    load: async () => (await import("./doctor.js")).doctorCommand,
  },
  {
    kind: "lazy",
    name: "support-bundle",
    summary: "collect what is needed to understand this node into one archive, without secrets",
    load: async () => (await import("./support-bundle.js")).supportBundleCommand,
  },
  {
    kind: "lazy",
    name: "completion",
    summary: "print a completion script for bash, zsh or fish",
    load: async () => (await import("./completion.js")).completionCommand,
  },
  {
    kind: "lazy",
    name: "cleanup",
    summary: "remove from this host what Ripstop made: device, routes, data plane, files",
    load: async () => (await import("./cleanup.js")).cleanupCommand,
  },
  {
    kind: "lazy",
    name: "lab",
    summary: "Virtual clusters in network namespaces on this machine.",
    load: async () => (await import("./lab.js")).labCommand,
  },
  {
    kind: "lazy",
    name: "bench",
    summary: "compare kernel VXLAN, our data planes and a classic UDP proxy on this machine, in one run",
    load: async () => (await import("./bench.js")).benchCommand,
  },
];
