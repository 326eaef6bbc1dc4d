// `ripstop agent`, and `flanneld` as bin/flanneld calls it: the command line as flannel has it, then the agent. The agent's
// modules are loaded only when it runs, so that the other commands start quickly.
import { setFlagsFromString } from "node:v8";
import { processEnvironment } from "../config/process-environment.js";
import { nativePath } from "../config/native-path.js";
import { type CommandLineManners, parseAgentCommandLine } from "../config/options.js";
import { RipstopError } from "../lib/errors.js";
import { ripstopVersion } from "../lib/version.js";
import type { CommandContext, RawCommand } from "./command.js";

export const agentCommand: RawCommand = {
  kind: "raw",
  name: "agent",
  summary: "join this node to the overlay network (takes flanneld's flags)",
  run: (args, context) => runAgentCommand("ripstop", args, context),
};

export const flanneldCommand: RawCommand = {
  kind: "raw",
  name: "flanneld",
  summary: "the agent with flanneld's manners and exit codes",
  hidden: true,
  run: (args, context) => runAgentCommand("flanneld", args, context),
};

async function runAgentCommand(
  manners: CommandLineManners,
  args: readonly string[],
  context: CommandContext,
): Promise<number> {
  const environment = processEnvironment();
  const outcome = parseAgentCommandLine(args, environment, manners, ripstopVersion());
  if (outcome.kind === "exit") {
    context.err(outcome.stderr);
    return outcome.exitCode;
  }
  const { options, warnings } = outcome;
  // A large cluster's changes leave garbage of several times what lives; V8 would let it grow to four times that (0048).
  setFlagsFromString("--semi-space-growth-factor=1");
  setFlagsFromString("--heap-growing-percent=60");
  // By the main thread alone: where other programs have the cores, helpers are waited for up to 100 ms.
  setFlagsFromString("--no-parallel-scavenge");
  const { runAgent } = await import("../agent/compose.js");
  try {
    await runAgent({ options, warnings, nativePath: nativePath(environment) }, context.signal);
    return 0;
  } catch (error) {
    // A signal during the start is an orderly end, as flanneld's exit code says.
    if (context.signal.aborted) return 0;
    if (!(error instanceof RipstopError)) throw error;
    const program = manners === "flanneld" ? "flanneld" : "ripstop agent";
    context.err(`${program}: ${error.message.trim().replace(/\s*\n\s*/g, " ")} (${error.code})\n`);
    return error.exitCode;
  }
}
