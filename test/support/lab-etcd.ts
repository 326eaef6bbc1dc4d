// One or three real etcd members on a lab's switch, and agents of the lab's nodes that take their leases from them. The members
// listen on the switch's address, so that a cut between them and the nodes is a packet filter's drop, without a word to anybody.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { agentArguments, agentName } from "../../src/lab/agent-node.js";
import { stopDaemon } from "../../src/lab/daemon.js";
import type { LabNode, LabPlan } from "../../src/lab/plan.js";
import { Runner } from "../../src/lab/runner.js";
import { waitFor } from "../../src/lab/wait.js";

const FIRST_PORT = 2379;
/** Small enough to fill in a moment. */
const QUOTA_BYTES = 2 ** 20;
const PREFIX = "/coreos.com/network";

interface Member {
  readonly name: string;
  readonly client: string;
  readonly peer: string;
  process: ChildProcess | null;
}

export class LabEtcd {
  readonly #plan: LabPlan;
  readonly #folder: string;
  readonly #members: readonly Member[];
  readonly #agents: ChildProcess[] = [];
  readonly #runner = new Runner();
  #generation = 0;

  private constructor(plan: LabPlan, folder: string, members: number) {
    this.#plan = plan;
    this.#folder = folder;
    this.#members = Array.from({ length: members }, (_, i) => ({
      name: `m${i}`,
      client: `http://${plan.gateway}:${FIRST_PORT + 2 * i}`,
      peer: `http://${plan.gateway}:${FIRST_PORT + 2 * i + 1}`,
      process: null,
    }));
  }

  /** Runs `body` with agents on this etcd; their earlier ones are stopped. */
  static async with(plan: LabPlan, members: 1 | 3, body: (etcd: LabEtcd) => Promise<void>): Promise<void> {
    const etcd = new LabEtcd(plan, await mkdtemp(join(tmpdir(), "ripstop-lab-etcd-")), members);
    try {
      for (const index of etcd.#members.keys()) etcd.start(index);
      await etcd.untilHealthy();
      await etcd.ctl(["put", `${PREFIX}/config`, '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}']);
      for (const node of plan.nodes) await etcd.#replaceAgent(node);
      await body(etcd);
    } finally {
      for (const agent of etcd.#agents) await ended(agent, "SIGTERM");
      for (const member of etcd.#members) await ended(member.process, "SIGKILL");
      await rm(etcd.#folder, { recursive: true, force: true });
    }
  }

  signal(index: number, signal: NodeJS.Signals): void {
    this.#member(index).process?.kill(signal);
  }

  start(index: number): void {
    const { name, client, peer } = this.#member(index);
    const argv = [
      "etcd",
      `--name=${name}`,
      `--data-dir=${this.#dataOf(index)}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=${this.#members.map((member) => `${member.name}=${member.peer}`).join()}`,
      `--quota-backend-bytes=${QUOTA_BYTES}`,
      "--unsafe-no-fsync",
      "--logger=zap",
      "--log-outputs=/dev/null",
    ];
    this.#member(index).process = this.#spawn(this.#plan.switchNamespace, argv);
  }

  async kill(index: number): Promise<void> {
    await ended(this.#member(index).process, "SIGKILL");
  }

  async untilHealthy(flags: readonly string[] = []): Promise<void> {
    const words = this.#words([...flags, "endpoint", "health"]);
    const healthy = async () => (await this.#run("etcdctl", words)).code === 0 || null;
    await waitFor("etcd to answer", healthy, { timeoutMs: 30_000, everyMs: 50 });
  }

  /** Against the first member. Rejects with what etcdctl said. */
  async ctl(words: readonly string[], input = ""): Promise<string> {
    return this.#runner.mustIn(this.#plan.switchNamespace, "etcdctl", this.#words(words), { input });
  }

  /** What the nodes send is dropped; what the switch says to itself is not. */
  async cut(): Promise<void> {
    const ports = `${FIRST_PORT}-${FIRST_PORT + 2 * this.#members.length - 1}`;
    const rules = `add table inet cut
add chain inet cut input { type filter hook input priority 0; }
add chain inet cut output { type filter hook output priority 0; }
add rule inet cut input iifname != "lo" tcp dport ${ports} drop
add rule inet cut output oifname != "lo" tcp sport ${ports} drop
`;
    await this.#runner.mustIn(this.#plan.switchNamespace, "nft", ["-f", "-"], { input: rules });
  }

  async heal(): Promise<void> {
    await this.#runner.mustIn(this.#plan.switchNamespace, "nft", ["delete", "table", "inet", "cut"]);
  }

  async backup(): Promise<void> {
    await this.ctl(["snapshot", "save", this.#backup]);
  }

  /** The only member comes back with what it held when the backup was made. */
  async restore(): Promise<void> {
    const { name, peer } = this.#member(0);
    await this.kill(0);
    this.#generation++;
    const cluster = [`--initial-cluster=${name}=${peer}`, `--initial-advertise-peer-urls=${peer}`];
    const words = ["snapshot", "restore", this.#backup, `--data-dir=${this.#dataOf(0)}`, `--name=${name}`, ...cluster];
    await this.#runner.must("etcdctl", words);
    this.start(0);
    await this.untilHealthy();
  }

  get #backup(): string {
    return join(this.#folder, "backup.db");
  }

  #dataOf(index: number): string {
    return join(this.#folder, `${this.#member(index).name}-${this.#generation}`);
  }

  #member(index: number): Member {
    const member = this.#members[index];
    if (member === undefined) throw new Error(`no member ${index}`);
    return member;
  }

  #words(words: readonly string[]): string[] {
    return [`--endpoints=${this.#member(0).client}`, "--dial-timeout=5s", "--command-timeout=20s", ...words];
  }

  #run(program: string, args: readonly string[]) {
    return this.#runner.runIn(this.#plan.switchNamespace, program, args);
  }

  async #replaceAgent(node: LabNode): Promise<void> {
    await stopDaemon(this.#plan.directory, agentName(node));
    const others = agentArguments(this.#plan, node).filter((word) => !/^--(store|store-dir|etcd-.*)=/.test(word));
    const endpoints = this.#members.map(({ client }) => client).join();
    this.#agents.push(this.#spawn(node.namespace, [...others, "--store=etcd", `--etcd-endpoints=${endpoints}`]));
  }

  #spawn(namespace: string, argv: readonly string[]): ChildProcess {
    return spawn("ip", ["netns", "exec", namespace, ...argv], { stdio: "ignore" });
  }
}

async function ended(child: ChildProcess | null, signal: NodeJS.Signals): Promise<void> {
  if (child === null || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGCONT");
  child.kill(signal);
  await gone;
}
