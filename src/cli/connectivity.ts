// `ripstop connectivity`: from this node to every peer, and from every peer that answers on its health port to every other: ping
// and datagrams of several sizes, and a TCP connection. Exit codes: 0 all pass, 1 some fail.
import { type Command, InvalidArgumentError } from "commander";
import { readNodeStatus } from "../agent/node-status.js";
import { runPaths } from "../agent/run-dir.js";
import { type ConnectivityRow, probeAll, remoteRows } from "../doctor/connectivity.js";
import { textTable } from "../lab/text-table.js";
import { agentNeeded } from "./agent-needed.js";
import type { CommandContext, OptionsCommand } from "./command.js";
import { examples } from "./help.js";
import { toJson } from "./json.js";
import { paint } from "./paint.js";
import { outputOption, runDirOption } from "./shared-options.js";

interface ConnectivityFlags {
  readonly output: string;
  readonly runDir: string;
  readonly remotePort?: number;
}

export const connectivityCommand: OptionsCommand = {
  kind: "options",
  register(program: Command, context: CommandContext, finish: (exitCode: number) => void): void {
    program
      .command("connectivity")
      .description("test all pairs of nodes x sizes x protocols (exit code: 0 all pass, 1 some do not)")
      .option("--remote-port <port>", "ask every peer's agent for its own row too, on its --healthz-port", parsePort)
      .addOption(outputOption())
      .addOption(runDirOption())
      .addHelpText(
        "after",
        examples(
          ["ripstop connectivity", "from this node to all others"],
          ["ripstop connectivity --remote-port 8081", "all pairs; agents must run with --healthz-port=8081"],
        ),
      )
      .action(async (flags: ConnectivityFlags) => {
        const { agent } = agentNeeded(await readNodeStatus(runPaths(flags.runDir)));
        const own = await probeAll(agent);
        const others = flags.remotePort === undefined ? [] : await remoteRows(agent, flags.remotePort);
        const rows = [...own, ...others];
        context.out(flags.output === "json" ? toJson(rows) : format(rows, context.colors));
        finish(rows.every(({ passed }) => passed === true) ? 0 : 1);
      });
  },
};

function format(rows: readonly ConnectivityRow[], colors: boolean): string {
  if (rows.length === 0) return "no peers\n";
  const tests = [...new Set(rows.map(({ test }) => test))];
  const pairs = [...new Set(rows.map(({ from, to }) => `${from} > ${to}`))];
  const word = (pair: string, test: string): string => {
    const row = rows.find((one) => `${one.from} > ${one.to}` === pair && one.test === test);
    return row === undefined ? "-" : row.passed === null ? "unknown" : row.passed ? "pass" : "FAIL";
  };
  const table = textTable([
    ["PAIR", ...tests.map((test) => test.toUpperCase())],
    ...pairs.map((pair) => [pair, ...tests.map((test) => word(pair, test))]),
  ]);
  const failed = rows.filter(({ passed }) => passed === false).length;
  const unknown = rows.filter(({ passed }) => passed === null).length;
  const summary = `${rows.length - failed - unknown} passed, ${failed} failed, ${unknown} unknown\n`;
  return `${colors ? table.replaceAll("FAIL", paint("FAIL", "red")) : table}${summary}`;
}

function parsePort(text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new InvalidArgumentError("It must be a port from 1 to 65535.");
  return port;
}
