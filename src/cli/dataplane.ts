// `ripstop dataplane`: the process that hosts the native data plane. Normally started by the agent, detached, so that it
// outlives it. Its modules are loaded only when it runs, so that the other commands start quickly.
import { setFlagsFromString } from "node:v8";
import type { Command } from "commander";
import { nativePath } from "../config/native-path.js";
import type { CommandContext, OptionsCommand } from "./command.js";

export const dataplaneCommand: OptionsCommand = {
  kind: "options",
  register(program: Command, context: CommandContext): void {
    const command = program.command("dataplane");
    command
      .description("host the native data plane behind a Unix socket (started by the agent)")
      .option("--socket <path>", "Unix socket to listen at")
      .option("--log <file>", "append the log to a file instead of standard error")
      .option("--host <run-dir>", "start data planes for an agent with --dataplane-launch=host, and never end with it")
      .action(async (options: { socket?: string; log?: string; host?: string }) => {
        const { socket, log, host } = options;
        if ((socket === undefined) === (host === undefined)) command.error("error: give either --socket or --host");
        if (host !== undefined) {
          const { hostDataplanes } = await import("../agent/dataplane-host.js");
          await hostDataplanes(host, nativePath(), context.signal);
        } else if (socket !== undefined) {
          // A table is a large piece of young garbage: collect it instead of growing around it.
          setFlagsFromString("--semi-space-growth-factor=1");
          const { runDataplane } = await import("../agent/dataplane-host.js");
          const given = { socket, ...(log === undefined ? {} : { log }), nativePath: nativePath() };
          await runDataplane(given, context.signal);
        }
      });
  },
};
