// `ripstop peers`: whom this node knows and how each is reached. From the agent's memory, the data plane's
// counters, and the kernel's FDB, which remembers when an entry was last used.
import type { Command } from "commander";
import { readNodeStatus } from "../agent/node-status.js";
import { runPaths } from "../agent/run-dir.js";
import { textTable } from "../lab/text-table.js";
import { type PeerView, viewPeers } from "../doctor/peer-view.js";
import type { CommandContext, OptionsCommand } from "./command.js";
import { agentNeeded } from "./agent-needed.js";
import { examples } from "./help.js";
import { toJson } from "./json.js";
import { outputOption, runDirOption, watchOption } from "./shared-options.js";
import { show } from "./watch.js";

interface PeersFlags {
  readonly output: string;
  readonly watch?: number;
  readonly runDir: string;
}

export const peersCommand: OptionsCommand = {
  kind: "options",
  register(program: Command, context: CommandContext, finish: (exitCode: number) => void): void {
    program
      .command("peers")
      .description("the other nodes: subnet, public address, VTEP, path, MTU, bytes, last seen")
      .argument("[filter]", "show only peers that have this in subnet, address, lease or MAC")
      .addOption(outputOption())
      .addOption(watchOption())
      .addOption(runDirOption())
      .addHelpText(
        "after",
        examples(
          ["ripstop peers", "all of them"],
          ["ripstop peers 192.168.77.2", "one, by its address"],
          ["ripstop peers -o json", "for programs"],
        ),
      )
      .action(async (filter: string | undefined, flags: PeersFlags) => {
        const view = async () => {
          const paths = runPaths(flags.runDir);
          const status = agentNeeded(await readNodeStatus(paths));
          const peers = (await viewPeers(status, paths)).filter(
            (peer) => filter === undefined || matches(peer, filter),
          );
          return { text: flags.output === "json" ? toJson(peers) : format(peers), exitCode: 0 };
        };
        finish(await show(context, flags.watch, view));
      });
  },
};

function matches({ subnet, publicIp, lease, vtepMac }: PeerView, word: string): boolean {
  return [subnet, publicIp, lease, vtepMac ?? ""].some((text) => text.includes(word));
}

function size(bytes: number): string {
  for (const [factor, unit] of [
    [2 ** 30, "GiB"],
    [2 ** 20, "MiB"],
    [2 ** 10, "KiB"],
  ] as const)
    if (bytes >= factor) return `${(bytes / factor).toFixed(1)} ${unit}`;
  return `${bytes} B`;
}

function format(peers: readonly PeerView[]): string {
  if (peers.length === 0) return "no peers\n";
  return textTable([
    ["SUBNET", "PUBLIC IP", "VTEP", "PATH", "MTU", "SENT", "RECEIVED", "LAST SEEN"],
    ...peers.map(({ subnet, publicIp, vtepMac, path, mtu, traffic, lastSeenSeconds }) => [
      subnet,
      publicIp,
      vtepMac ?? "-",
      path,
      mtu === null ? "-" : `${mtu}`,
      traffic === null ? "-" : size(traffic.sent.bytes),
      traffic === null ? "-" : size(traffic.received.bytes),
      lastSeenSeconds === null ? "-" : `${lastSeenSeconds} s ago`,
    ]),
  ]);
}
