// `ripstop status`: what the agent of this node and its data plane say of themselves. Asks both at once over their sockets
// with short deadlines, so that it answers in time whatever hangs. Exit codes: 0 ok, 1 degraded, 2 down.
// Imports next to nothing at run time: most of its 300 ms are the start of Node.
import { parseArgs } from "node:util";
import type { Command } from "commander";
import { readNodeStatus } from "../agent/node-status.js";
import { runPaths } from "../agent/run-dir.js";
import { agentFolder } from "../config/agent-folders.js";
import type { CommandContext, OptionsCommand } from "./command.js";
import { toJson } from "./json.js";
import { formatStatus } from "./status-table.js";
import { show } from "./watch.js";

/** Of 300 ms; the rest is for the start of Node and for a machine that is busy. */
const DATAPLANE_MS = 120;
const EXIT_OF_CONDITION = { ok: 0, degraded: 1, starting: 1, stopping: 1, down: 2 } as const;

interface StatusFlags {
  readonly runDir: string;
  readonly output: string;
  readonly watch?: number;
}

export const statusCommand: OptionsCommand = {
  kind: "options",
  async register(program: Command, context: CommandContext, finish: (exitCode: number) => void): Promise<void> {
    const { outputOption, runDirOption, watchOption } = await import("./shared-options.js");
    const { examples } = await import("./help.js");
    program
      .command("status")
      .description("how this node's agent and data plane are (exit code: 0 ok, 1 degraded, 2 down)")
      .addOption(outputOption())
      .addOption(watchOption())
      .addOption(runDirOption())
      .addHelpText(
        "after",
        examples(
          ["ripstop status", "store, lease, data plane, ports with the reason for each, and what is wrong"],
          ["ripstop status -o json", "the same for programs"],
        ),
      )
      .action(async (flags: StatusFlags) => finish(await showStatus(flags, context)));
  },
};

/** The plain forms; null for everything else, help and mistakes included. */
export async function quickStatus(args: readonly string[], context: CommandContext): Promise<number | null> {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { "run-dir": { type: "string" }, output: { type: "string", short: "o" } },
    });
    const { "run-dir": runDir = agentFolder("run-dir"), output = "table" } = values;
    if (output !== "table" && output !== "json") return null;
    return await showStatus({ runDir, output }, context);
  } catch (error) {
    if (String((error as NodeJS.ErrnoException).code).startsWith("ERR_PARSE_ARGS")) return null;
    throw error;
  }
}

function showStatus({ runDir, output, watch }: StatusFlags, context: CommandContext): Promise<number> {
  return show(context, watch, async () => {
    const status = await readNodeStatus(runPaths(runDir), DATAPLANE_MS);
    const text = output === "json" ? toJson(status) : formatStatus(status, context.colors);
    return { text, exitCode: EXIT_OF_CONDITION[status.condition] };
  });
}
