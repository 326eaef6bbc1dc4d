// `ripstop routes`: what the kernel has for each peer (route, neighbour, FDB entry) beside what it should have. Exit codes: 0 all
// there, 1 something is missing, 2 no agent says what there should be, and none has written it down.
import type { Command } from "commander";
import { readNodeStatus } from "../agent/node-status.js";
import { runPaths } from "../agent/run-dir.js";
import { readExpectation } from "../doctor/expectation.js";
import { readHostFacts } from "../doctor/host-facts.js";
import { missingOf } from "../doctor/overlay-checks.js";
import { textTable } from "../lab/text-table.js";
import { agentAbsent } from "./agent-needed.js";
import type { CommandContext, OptionsCommand } from "./command.js";
import { examples } from "./help.js";
import { toJson } from "./json.js";
import { outputOption, runDirOption, stateDirOption, watchOption } from "./shared-options.js";
import { show } from "./watch.js";

interface RoutesFlags {
  readonly output: string;
  readonly watch?: number;
  readonly runDir: string;
  readonly stateDir: string;
}

interface RouteView {
  readonly subnet: string;
  readonly route: string | null;
  readonly neighbor: string | null;
  readonly fdb: string | null;
  readonly missing: readonly string[];
}

export const routesCommand: OptionsCommand = {
  kind: "options",
  register(program: Command, context: CommandContext, finish: (exitCode: number) => void): void {
    program
      .command("routes")
      .description("the kernel's route, neighbour and FDB entry of each peer (exit code: 0 all there, 1 some missing)")
      .addOption(outputOption())
      .addOption(watchOption())
      .addOption(runDirOption())
      .addOption(stateDirOption())
      .addHelpText(
        "after",
        examples(
          ["ripstop routes", "needs no running agent: then it compares with what the last one wrote down"],
          ["ripstop routes -o json", "for programs"],
        ),
      )
      .action(async (flags: RoutesFlags) => {
        finish(
          await show(context, flags.watch, async () => {
            const routes = await viewRoutes(flags);
            const exitCode = routes.some(({ missing }) => missing.length > 0) ? 1 : 0;
            return { text: flags.output === "json" ? toJson(routes) : format(routes), exitCode };
          }),
        );
      });
  },
};

async function viewRoutes({ runDir, stateDir }: RoutesFlags): Promise<readonly RouteView[]> {
  const status = await readNodeStatus(runPaths(runDir));
  const expected = await readExpectation(status, stateDir);
  if (expected === null) throw agentAbsent(status);
  const facts = await readHostFacts();
  return expected.peers.map((peer) => {
    const route = facts.routes.find(({ dst }) => dst === peer.prefix);
    const network = peer.prefix.split("/")[0];
    const neighbor = facts.neighbors.find(({ dst, dev }) => dst === network && dev === expected.device);
    const entry = facts.fdb.find(
      ({ mac, ifname }) => mac === (peer.alias ?? peer.vtepMac) && ifname === expected.device,
    );
    return {
      subnet: peer.prefix,
      route:
        route === undefined
          ? null
          : `${route.gateway === undefined ? "" : `via ${route.gateway} `}dev ${route.dev ?? "?"}`,
      neighbor: neighbor?.lladdr ?? null,
      fdb: entry?.dst ?? null,
      missing: missingOf(peer, facts, expected),
    };
  });
}

function format(routes: readonly RouteView[]): string {
  if (routes.length === 0) return "no peers\n";
  const table = textTable([
    ["SUBNET", "ROUTE", "NEIGHBOUR", "FDB TO", "STATE"],
    ...routes.map(({ subnet, route, neighbor, fdb, missing }) => [
      subnet,
      route ?? "-",
      neighbor ?? "-",
      fdb ?? "-",
      missing.length === 0 ? "ok" : "incomplete",
    ]),
  ]);
  const notes = routes.flatMap(({ missing }) => missing.map((text) => `- ${text}\n`));
  return `${table}${notes.join("")}`;
}
