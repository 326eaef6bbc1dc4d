// `ripstop ping NODE`: one peer over the underlay and over each path of the overlay, and the longest packet that gets through
// each. Exit codes: 0 every path that was tried answers, 1 one does not, 2 there is no such peer, or nobody who knows.
import { type Command, InvalidArgumentError, Option } from "commander";
import { readNodeStatus } from "../agent/node-status.js";
import { runPaths } from "../agent/run-dir.js";
import { type ExpectedPeer, readExpectation } from "../doctor/expectation.js";
import { type Leg, measureLegs } from "../doctor/path-legs.js";
import type { PingAnswer } from "../doctor/probe.js";
import { RipstopError } from "../lib/errors.js";
import { textTable } from "../lab/text-table.js";
import { agentAbsent } from "./agent-needed.js";
import type { CommandContext, OptionsCommand } from "./command.js";
import { examples } from "./help.js";
import { toJson } from "./json.js";
import { outputOption, runDirOption, stateDirOption } from "./shared-options.js";

const COUNT = 100;

interface PingFlags {
  readonly output: string;
  readonly runDir: string;
  readonly stateDir: string;
  readonly mtu: boolean;
  readonly count: number;
}

export const pingCommand: OptionsCommand = {
  kind: "options",
  register(program: Command, context: CommandContext, finish: (exitCode: number) => void): void {
    program
      .command("ping")
      .description(
        "one peer over the underlay, and the overlay via user space and via the kernel (exit code: 0 all answer)",
      )
      .argument("<node>", "its public address, an address or its subnet in the overlay, or its lease")
      .addOption(new Option("-c, --count <number>", "pings on each path").default(COUNT).argParser(parseCount))
      .option("--no-mtu", "do not search for the longest packet")
      .addOption(outputOption())
      .addOption(runDirOption())
      .addOption(stateDirOption())
      .addHelpText(
        "after",
        examples(
          ["ripstop ping 192.168.77.2", "100 pings on each path, then the longest packet that each carries"],
          ["ripstop ping -c 10 --no-mtu 192.168.77.2", "a quick look"],
        ),
      )
      .action(async (node: string, flags: PingFlags) => {
        const legs = await measure(node, flags);
        context.out(flags.output === "json" ? toJson(legs) : format(legs));
        finish(legs.some(({ answer }) => answer?.received === 0) ? 1 : 0);
      });
  },
};

async function measure(node: string, { runDir, stateDir, mtu, count }: PingFlags): Promise<readonly Leg[]> {
  const paths = runPaths(runDir);
  const status = await readNodeStatus(paths);
  const expected = await readExpectation(status, stateDir);
  if (expected === null) throw agentAbsent(status);
  const peer = find(expected.peers, node);
  if (peer === undefined) {
    const some = expected.peers.slice(0, 5).map(({ publicIp }) => publicIp);
    throw new RipstopError(
      "PEER_UNKNOWN",
      `no peer is called ${node}; known are ${some.join(", ") || "none"}: see \`ripstop peers\``,
      { exitCode: 2 },
    );
  }
  return measureLegs(peer, expected, { count, mtu, dataplaneSocket: paths.dataplaneSocket });
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

const FORCED = `
OUT and BACK: who encapsulated and who decapsulated on this node. "via kernel" forces the way out alone, by a mark that the
steering knows; the peer decapsulates and answers by whichever path it has chosen, which cannot be seen from here.
`;

function format(legs: readonly Leg[]): string {
  const ms = (value: number | null | undefined) => value?.toFixed(3) ?? "-";
  const loss = ({ sent, received }: PingAnswer) => `${Math.round(((sent - received) / sent) * 1000) / 10} %`;
  const table = textTable([
    ["PATH", "ADDRESS", "LOSS", "MIN MS", "AVG MS", "P99 MS", "LONGEST PACKET", "OUT", "BACK"],
    ...legs.map(({ path, address, answer, mtu, out, back }) => [
      path,
      address,
      answer === null ? "-" : loss(answer),
      ...[answer?.minMs, answer?.avgMs, answer?.p99Ms].map(ms),
      mtu === null ? "-" : `${mtu}`,
      out ?? "-",
      back ?? "-",
    ]),
  ]);
  const missing = legs
    .filter(({ why }) => why !== undefined)
    .map(({ path, why }) => `\n${path}: not measured; ${why}\n`);
  return `${table}${missing.join("")}${legs.length > 2 ? FORCED : ""}`;
}

function parseCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > 1000)
    throw new InvalidArgumentError("It must be a number from 1 to 1000.");
  return count;
}
