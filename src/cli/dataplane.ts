// `ripstop dataplane`: the process that hosts the native data plane. Normally started by the agent, detached, so that it
// outlives it. Its modules are loaded only when it runs, so that the other commands start quickly.
import type { Command } from "commander";
import { nativePath } from "../config/native-path.js";
import type { CommandContext, OptionsCommand } from "./command.js";

export const dataplaneCommand: OptionsCommand = {
  kind: "options",
  register(program: Command, context: CommandContext): void {
    program
      .command("dataplane")
      .description("host the native data plane behind a Unix socket (started by the agent)")
      .requiredOption("--socket <path>", "Unix socket to listen at")
      .option("--log <file>", "append the log to a file instead of standard error")
      .action(async (options: { socket: string; log?: string }) => {
        const { runDataplane } = await import("../agent/dataplane-host.js");
        await runDataplane({ ...options, nativePath: nativePath() }, context.signal);
      });
  },
};
