// One host for an agent: a namespace with an underlay interface eth0 (192.168.90.1/24, default route) and folders of its own.
// Agents are real processes; everything they leave is shown by dump() and removed at the end. Needs root and the addon.
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { pidPathOf } from "../../src/dataplane/socket-path.js";
import { readPidFile } from "../../src/lib/process-identity.js";
import { FileStore } from "../../src/store/file/file-store.js";
import { until } from "./until.js";

const RIPSTOP = fileURLToPath(new URL("../../../bin/ripstop", import.meta.url));
export const NETWORK_CONFIG = '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}';
let made = 0;

export interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class AgentHost {
  readonly namespace = `rst-plane-${process.pid}-${made++}`;
  readonly folder = mkdtempSync(join(tmpdir(), "ripstop-agent-"));
  readonly runDir = join(this.folder, "run");
  readonly stateDir = join(this.folder, "state");
  readonly storeDir = join(this.folder, "store");
  readonly subnetFile = join(this.folder, "flannel", "subnet.env");
  readonly #children: ChildProcess[] = [];
  #started = 0;

  constructor(networkConfig = NETWORK_CONFIG) {
    mkdirSync(this.storeDir);
    writeFileSync(join(this.storeDir, "config"), networkConfig);
    execFileSync("ip", ["netns", "add", this.namespace]);
    // Without duplicate address detection link-local addresses are whole at once, and two dumps can be equal.
    const sysctl = ["net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.accept_dad=0"];
    execFileSync("ip", ["netns", "exec", this.namespace, "sysctl", "-qw", ...sysctl]);
    for (const command of [
      "link set lo up",
      "link add eth0 type veth peer name wire",
      "link set wire up",
      "link set eth0 up",
      "address add 192.168.90.1/24 dev eth0",
      "route add default via 192.168.90.254",
    ]) {
      this.ip(command);
    }
  }

  ip(command: string): string {
    return execFileSync("ip", ["-n", this.namespace, ...command.split(" ")], { encoding: "utf8" });
  }

  tc(command: string, ...more: readonly string[]): string {
    return execFileSync("tc", ["-n", this.namespace, ...command.split(" "), ...more], { encoding: "utf8" });
  }

  nft(): string {
    return execFileSync("ip", ["netns", "exec", this.namespace, "nft", "list", "ruleset"], { encoding: "utf8" });
  }

  get flags(): readonly string[] {
    return [
      "--store=file",
      `--store-dir=${this.storeDir}`,
      `--run-dir=${this.runDir}`,
      `--state-dir=${this.stateDir}`,
      `--subnet-file=${this.subnetFile}`,
    ];
  }

  /** Runs an agent that is expected to end by itself. `wrapper` goes before it, e.g. setpriv. */
  runAgent(extra: readonly string[], wrapper: readonly string[] = [], environment: NodeJS.ProcessEnv = {}): Finished {
    const argv = [
      "netns",
      "exec",
      this.namespace,
      ...wrapper,
      process.execPath,
      RIPSTOP,
      "agent",
      ...this.flags,
      ...extra,
    ];
    const env = { ...process.env, ...environment };
    return spawnSync("ip", argv, { encoding: "utf8", env, timeout: 60_000 });
  }

  /** All that an agent says until it says this; then it is told to end. */
  async hearAgent(extra: readonly string[], says: RegExp, environment: NodeJS.ProcessEnv = {}): Promise<string> {
    const argv = ["netns", "exec", this.namespace, process.execPath, RIPSTOP, "agent", ...this.flags, ...extra];
    const child = spawn("ip", argv, { env: { ...process.env, ...environment }, stdio: ["ignore", "pipe", "pipe"] });
    this.#children.push(child);
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (said += chunk.toString()));
    const closed = new Promise((resolve) => child.once("close", resolve));
    await until(`the agent says ${String(says)}`, () => says.test(said) || child.exitCode !== null);
    await this.stopAgents();
    await closed;
    if (!says.test(said)) throw new Error(`the agent ended with ${child.exitCode}: ${said}`);
    return said;
  }

  /** The kernel makes the route of an IPv6 address a little after the address (addrconf's work queue), also without detection. */
  async awaitOwnRoutes(): Promise<void> {
    const addresses = this.ip("-6 -o address show").matchAll(/inet6 ([0-9a-f:]+)\//g);
    const wanted = [...addresses].map(([, address]) => `local ${address} dev `);
    const missing = () => {
      const routes = this.ip("-6 -o route show table local");
      return wanted.filter((route) => !routes.includes(route));
    };
    await until("a local route for each address", () => missing().length === 0);
  }

  /** Starts an agent and waits until it is ready. */
  async startAgent(extra: readonly string[] = [], environment: NodeJS.ProcessEnv = {}): Promise<ChildProcess> {
    const log = join(this.folder, `agent${this.#started++}.log`);
    const script = 'exec "$@" 2>"$LOG"';
    const argv = ["netns", "exec", this.namespace, "sh", "-c", script, "sh", process.execPath, RIPSTOP, "agent"];
    const child = spawn("ip", [...argv, ...this.flags, ...extra], {
      env: { ...process.env, ...environment, LOG: log },
      stdio: "ignore",
    });
    this.#children.push(child);
    const text = () => (existsSync(log) ? readFileSync(log, "utf8") : "");
    await until("the agent is ready", () => text().includes('"msg":"ready"') || child.exitCode !== null, 30_000);
    if (child.exitCode !== null) throw new Error(`the agent ended with ${child.exitCode}: ${text()}`);
    return child;
  }

  async stopAgents(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    for (const child of this.#children.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill(signal);
      await ended;
    }
  }

  /** The store cannot be reached, as after a network failure. */
  hideStore(): void {
    renameSync(this.storeDir, `${this.storeDir}.away`);
  }

  showStore(): void {
    rmSync(this.storeDir, { recursive: true, force: true });
    renameSync(`${this.storeDir}.away`, this.storeDir);
  }

  /** `ripstop COMMAND` inside the namespace. */
  ripstop(...args: readonly string[]): Finished {
    return spawnSync("ip", ["netns", "exec", this.namespace, process.execPath, RIPSTOP, ...args], { encoding: "utf8" });
  }

  status(): {
    readonly condition: string;
    readonly reasons: readonly string[];
    readonly dataplane: Record<string, unknown>;
  } {
    return JSON.parse(this.ripstop("status", "--run-dir", this.runDir, "-o", "json").stdout) as never;
  }

  /** Once the node says this of itself: on a busy machine an agent may not answer in the time that `status` waits for it. */
  async untilCondition(condition: string, reason = /^/): Promise<void> {
    let last: ReturnType<typeof this.status> | null = null;
    const said = () => {
      last = this.status();
      return last.condition === condition && reason.test(last.reasons.join());
    };
    await until(`condition ${condition}, ${String(reason)}`, said).catch((error: unknown) => {
      throw new Error(`${String(error)}; last: ${JSON.stringify([last?.condition, last?.reasons])}`);
    });
  }

  cleanup(...flags: readonly string[]): Finished {
    const where = ["--run-dir", this.runDir, "--state-dir", this.stateDir, "--subnet-file", this.subnetFile];
    return this.ripstop("cleanup", ...where, ...flags);
  }

  get dataplane() {
    return readPidFile(pidPathOf(join(this.runDir, "dataplane.sock")));
  }

  /** Links, addresses, routes, neighbors, qdiscs and packet-filter rules, without what changes by itself. */
  dump(): string {
    const shown = [
      "-o link",
      "-o address",
      "-o route show table all",
      "-6 -o route show table all",
      "-o rule",
      "neighbor",
    ];
    const texts = shown.map((command) => this.ip(command));
    texts.push(this.tc("qdisc"));
    for (const tool of ["iptables-save", "ip6tables-save"]) {
      const rules = execFileSync("ip", ["netns", "exec", this.namespace, tool], { encoding: "utf8" });
      texts.push(rules.replace(/^(#.*|\*.*|COMMIT|:[A-Z]+ (ACCEPT|DROP) .*)\n/gm, ""));
    }
    // What the kernel changes by itself, and the order in which it happens to tell, say nothing.
    return texts
      .map((text) => text.split("\n").sort().join("\n"))
      .join("\n--\n")
      .replace(/ (qlen|valid_lft|preferred_lft|expires|state) \S+| tentative|NO-CARRIER,|,LOWER_UP/g, "")
      .replace(/ (STALE|REACHABLE|DELAY|PROBE|INCOMPLETE|FAILED)\b/g, "");
  }

  /** dump() once the agent has made its forward rules, which it does beside being ready. */
  async settledDump(): Promise<string> {
    await until("the forward rules", () => this.dump().includes("-A FLANNEL-FWD -d 10.244.0.0/16"), 30_000);
    return this.dump();
  }

  /** Keys of the leases in the store. */
  async leases(): Promise<readonly string[]> {
    const store = new FileStore({ directory: this.storeDir });
    try {
      return [...(await store.listLeases(AbortSignal.timeout(30_000))).leases.keys()].sort();
    } finally {
      await store.close();
    }
  }

  async remove(): Promise<void> {
    await this.stopAgents("SIGKILL");
    // Data planes outlive agents, and a successor that just starts has told nobody yet that it is there.
    for (const pid of execFileSync("ip", ["netns", "pids", this.namespace], { encoding: "utf8" }).split("\n")) {
      try {
        if (pid !== "") process.kill(Number(pid), "SIGKILL");
      } catch {
        // It ended by itself between the list and the signal.
      }
    }
    execFileSync("ip", ["netns", "delete", this.namespace]);
    rmSync(this.folder, { recursive: true });
  }
}

export async function withAgentHost(body: (host: AgentHost) => Promise<void>, networkConfig?: string): Promise<void> {
  const host = new AgentHost(networkConfig);
  try {
    // Carriers come a little after their links are up, and with them what a dump shows.
    const own = () => host.ip("-o address show scope link").split("inet6").length - 1;
    await until("the links' own addresses", () => own() === 2);
    await host.awaitOwnRoutes();
    await body(host);
  } finally {
    await host.remove();
  }
}
