// Rows of the connectivity table: one node, one peer, one test. The agent answers with its own rows at /connectivity of its
// health server, at most once in some seconds, so that nobody can make it send more than that.
import type { AgentStatus } from "../agent/status.js";
import { ping, tcpAnswers, udpAnswers } from "./probe.js";
import { overlayAddress } from "./reach-checks.js";

export interface ConnectivityRow {
  readonly from: string;
  readonly to: string;
  readonly test: string;
  /** Null: could not be asked. */
  readonly passed: boolean | null;
}

const SMALL = 100;
const MIDDLE = 1_000;
const AT_ONCE = 16;
const REMOTE_MS = 15_000;
/** A row of probes is not repeated before this, whoever asks. */
const FRESH_MS = 5_000;

export async function probeAll(agent: AgentStatus): Promise<readonly ConnectivityRow[]> {
  const { network, peers } = agent;
  const from = network?.publicIp ?? network?.publicIpv6 ?? "this node";
  const rows: ConnectivityRow[] = [];
  for (let at = 0; at < peers.length; at += AT_ONCE) {
    const some = peers.slice(at, at + AT_ONCE).map((peer) => probePeer(from, peer, agent));
    rows.push(...(await Promise.all(some)).flat());
  }
  return rows;
}

async function probePeer(
  from: string,
  peer: AgentStatus["peers"][number],
  { network }: AgentStatus,
): Promise<ConnectivityRow[]> {
  const address = overlayAddress(peer, network?.backend ?? "");
  if (network === null || address === null) return [{ from, to: peer.publicIp, test: "ping", passed: null }];
  const { mtu } = network;
  const sizes = [SMALL, MIDDLE, mtu].filter((bytes) => bytes <= mtu);
  const answers = await Promise.all([
    ...sizes.map(async (bytes) => [`ping ${bytes}`, (await ping(address, { count: 3, bytes })).received > 0] as const),
    ...[SMALL, mtu].map(async (bytes) => [`udp ${bytes}`, await udpAnswers(address, bytes)] as const),
    (async () => ["tcp", await tcpAnswers(address)] as const)(),
  ]);
  return answers.map(([test, passed]) => ({ from, to: peer.publicIp, test, passed }));
}

/** Every peer's own rows; a peer that does not answer there is one row that says so. */
export async function remoteRows({ peers }: AgentStatus, port: number): Promise<readonly ConnectivityRow[]> {
  const nodes = [...new Set(peers.map(({ publicIp }) => publicIp))];
  const rows = await Promise.all(
    nodes.map(async (node): Promise<readonly ConnectivityRow[]> => {
      try {
        const host = node.includes(":") ? `[${node}]` : node;
        const answer = await fetch(`http://${host}:${port}/connectivity`, { signal: AbortSignal.timeout(REMOTE_MS) });
        return ((await answer.json()) as readonly ConnectivityRow[]).map(({ to, test, passed }) => ({
          from: node,
          to,
          test,
          passed,
        }));
      } catch {
        return [{ from: node, to: "others", test: "asked", passed: null }];
      }
    }),
  );
  return rows.flat();
}

/** What the health server hands out: one run at a time, kept for a while. */
export class ConnectivityPage {
  readonly #status: () => AgentStatus;
  readonly #nowMs: () => number;
  #last: { readonly atMs: number; readonly rows: Promise<readonly ConnectivityRow[]> } | null = null;

  constructor(status: () => AgentStatus, nowMs: () => number) {
    this.#status = status;
    this.#nowMs = nowMs;
  }

  async body(): Promise<string> {
    if (this.#last === null || this.#nowMs() - this.#last.atMs > FRESH_MS)
      this.#last = { atMs: this.#nowMs(), rows: probeAll(this.#status()) };
    return JSON.stringify(await this.#last.rows);
  }
}
