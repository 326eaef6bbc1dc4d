// `ripstop status`: what the agent of this node and its data plane say of themselves. Asks both at once over their sockets
// with short deadlines, so that it answers in time whatever hangs. Exit codes: 0 ok, 1 degraded, 2 down.
import type { Command } from "commander";
import { runPaths } from "../agent/run-dir.js";
import { type NodeStatus, readNodeStatus } from "../agent/node-status.js";
import type { CommandContext, OptionsCommand } from "./command.js";
import { formatStatus } from "./status-table.js";

const EXIT_OF_CONDITION = { ok: 0, degraded: 1, starting: 1, stopping: 1, down: 2 } as const;

export const statusCommand: OptionsCommand = {
  kind: "options",
  register(program: Command, context: CommandContext, finish: (exitCode: number) => void): void {
    program
      .command("status")
      .description("show how this node's agent and data plane are (exit code: 0 ok, 1 degraded, 2 down)")
      .option("--run-dir <directory>", "run directory of the agent", "/run/ripstop")
      .option("-o, --output <format>", "table or json", "table")
      .action(async (options: { runDir: string; output: string }) => {
        const status = await readNodeStatus(runPaths(options.runDir));
        context.out(options.output === "json" ? `${toJson(status)}\n` : formatStatus(status));
        finish(EXIT_OF_CONDITION[status.condition]);
      });
  },
};

/** Counters are exact beyond 2^53, so they are strings in JSON. */
function toJson(status: NodeStatus): string {
  return JSON.stringify(status, (_key, value: unknown) => (typeof value === "bigint" ? value.toString() : value), 2);
}
