// WireGuard on a kernel that has none: wireguard-go makes the device, which is a TUN then, and answers `wg` at a socket. All else
// is what a node does with the kernel's own device: keys, ports, peers, routes, and the packets are WireGuard's.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type CommandRunner, withPrefix } from "../../src/host/command.js";
import type { Host, TunnelSpec } from "../../src/host/host.js";
import type { NetlinkHost } from "../../src/host/netlink-host.js";
import type { TestNamespace } from "./network-namespace.js";
import { until } from "./until.js";

/** Where both programs look for sockets; each node sees a folder of its own there. */
const SOCKETS = "/run/wireguard";

export function programMissing(name: string): string | false {
  try {
    execFileSync("sh", ["-c", `command -v ${name}`], { stdio: "ignore" });
    return false;
  } catch {
    return `needs ${name}`;
  }
}

export class UserspaceWireguard {
  /** Runs `wg` as the node would. */
  readonly run: CommandRunner;
  /** The node's host, on which "wireguard" devices can be made. */
  readonly host: Host;
  readonly #prefix: readonly string[];
  readonly #children: ChildProcess[] = [];

  constructor(namespace: TestNamespace, host: NetlinkHost, folder: string) {
    const sockets = join(folder, `sockets-${namespace.name}`);
    mkdirSync(sockets, { recursive: true });
    mkdirSync(SOCKETS, { recursive: true });
    const inside = `mount --bind ${sockets} ${SOCKETS} && exec "$@"`;
    this.#prefix = ["ip", "netns", "exec", namespace.name, "unshare", "--mount", "sh", "-c", inside, "sh"];
    this.run = withPrefix(this.#prefix);
    this.host = new Proxy<NetlinkHost>(host, {
      get: (target, key) => {
        if (key === "ensureTunnel") return (spec: TunnelSpec) => this.#ensureTunnel(target, spec);
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === "function" ? (value.bind(target) as unknown) : value;
      },
    });
  }

  /** How many devices were ever made. */
  get made(): number {
    return this.#children.length;
  }

  /** What `wg show DEVICE FIELD` says, by line. */
  async show(device: string, field: string): Promise<string[]> {
    const { stdout } = await this.run(["wg", "show", device, field]);
    return stdout.split("\n").filter((line) => line !== "");
  }

  async stop(): Promise<void> {
    for (const child of this.#children) {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      if (child.exitCode !== null || !child.kill("SIGKILL")) continue;
      await ended;
    }
  }

  async #ensureTunnel(host: NetlinkHost, spec: TunnelSpec) {
    if (spec.kind !== "wireguard") return host.ensureTunnel(spec);
    const { name } = spec;
    const present = async () => (await host.links()).some((link) => link.name === name);
    if (!(await present())) {
      const [program = "", ...args] = [...this.#prefix, "wireguard-go", "-f", name];
      this.#children.push(spawn(program, args, { stdio: "ignore" }));
      await until(`wireguard-go makes ${name}`, present, 30_000);
      const answers = async () => (await this.run(["wg", "show", name, "listen-port"])).code === 0;
      await until(`wireguard-go answers for ${name}`, answers, 30_000);
    }
    return host.ensureTunnel({ ...spec, kind: "tun" });
  }
}
