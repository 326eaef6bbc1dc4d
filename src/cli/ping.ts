// `ripstop ping NODE`: one peer over the underlay and over the overlay, who carried the latter, and the longest packet that gets
// through. Exit codes: 0 the overlay answers, 1 it does not.
import type { Command } from "commander";
import { askDataplane, readNodeStatus } from "../agent/node-status.js";
import { runPaths } from "../agent/run-dir.js";
import { type ExpectedPeer, readExpectation } from "../doctor/expectation.js";
import { ping, type PingAnswer, searchMtu } from "../doctor/probe.js";
import { overlayAddress } from "../doctor/reach-checks.js";
import { RipstopError } from "../lib/errors.js";
import { textTable } from "../lab/text-table.js";
import type { CommandContext, OptionsCommand } from "./command.js";
import { examples } from "./help.js";
import { toJson } from "./json.js";
import { outputOption, runDirOption, stateDirOption } from "./shared-options.js";

const COUNT = 10;
const LEAST_BYTES = 100;
const MOST_BYTES = 9_000;
const USUAL_BYTES = 1_500;

interface PingFlags {
  readonly output: string;
  readonly runDir: string;
  readonly stateDir: string;
  readonly mtu: boolean;
}

interface Leg {
  readonly path: string;
  readonly address: string;
  readonly answer: PingAnswer;
  readonly mtu: number | null;
}

export const pingCommand: OptionsCommand = {
  kind: "options",
  register(program: Command, context: CommandContext, finish: (exitCode: number) => void): void {
    program
      .command("ping")
      .description("compare underlay and overlay to one peer: latency, who carried it, longest packet")
      .argument("<node>", "its public address, an address or its subnet in the overlay, or its lease")
      .option("--no-mtu", "do not search for the longest packet")
      .addOption(outputOption())
      .addOption(runDirOption())
      .addOption(stateDirOption())
      .addHelpText("after", examples(["ripstop ping 192.168.77.2", "10 pings on each path, then the MTU of each"]))
      .action(async (node: string, flags: PingFlags) => {
        const legs = await measure(node, flags);
        context.out(flags.output === "json" ? toJson(legs) : format(legs));
        finish(legs.at(-1)?.answer.received === 0 ? 1 : 0);
      });
  },
};

async function measure(node: string, { runDir, stateDir, mtu }: PingFlags): Promise<readonly Leg[]> {
  const paths = runPaths(runDir);
  const status = await readNodeStatus(paths);
  const expected = await readExpectation(status, stateDir);
  const peer = expected === null ? undefined : find(expected.peers, node);
  if (expected === null || peer === undefined) {
    const known =
      expected?.peers
        .slice(0, 5)
        .map(({ publicIp }) => publicIp)
        .join(", ") ?? "";
    throw new RipstopError(
      "PEER_UNKNOWN",
      `no peer is called ${node}; known are ${known || "none"}: see \`ripstop peers\``,
    );
  }
  const inside = overlayAddress(peer, expected.backend);
  const inner = expected.mtu ?? USUAL_BYTES - expected.overhead[4];
  const leg = async (path: string, address: string, guess: number): Promise<Leg> => {
    const answer = await ping(address, { count: COUNT });
    const longest = !mtu || answer.received === 0 ? null : await searchMtu(address, LEAST_BYTES, MOST_BYTES, guess);
    return { path, address, answer, mtu: longest };
  };
  const legs = [await leg("underlay", peer.publicIp, inner + expected.overhead[peer.publicIp.includes(":") ? 6 : 4])];
  if (inside === null) return legs;
  const sent = async () => (await askDataplane(paths.dataplaneSocket)).counters?.encap.txPackets ?? null;
  const before = await sent();
  const over = await leg("overlay", inside, inner);
  const after = await sent();
  const carried =
    before === null || after === null ? "kernel" : after - before >= BigInt(COUNT) ? "user space" : "kernel";
  return [...legs, { ...over, path: peer.direct ? "overlay (direct route)" : `overlay (${carried})` }];
}

function find(peers: readonly ExpectedPeer[], node: string): ExpectedPeer | undefined {
  return peers.find(({ publicIp, prefix, lease }) => {
    const network = prefix.split("/")[0] ?? "";
    return (
      node === publicIp ||
      node === prefix ||
      node === lease ||
      node === network ||
      node.startsWith(network.replace(/\.0$/, "."))
    );
  });
}

function format(legs: readonly Leg[]): string {
  const ms = (value: number | null) => (value === null ? "-" : value.toFixed(3));
  return textTable([
    ["PATH", "ADDRESS", "ANSWERED", "MIN MS", "MEDIAN MS", "MAX MS", "LONGEST PACKET"],
    ...legs.map(({ path, address, answer, mtu }) => [
      path,
      address,
      `${answer.received}/${answer.sent}`,
      ms(answer.minMs),
      ms(answer.medianMs),
      ms(answer.maxMs),
      mtu === null ? "-" : `${mtu}`,
    ]),
  ]);
}
