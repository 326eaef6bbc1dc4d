// Turns argv into one command's run and its exit code. To add a command: one import and one entry in `commands`.
// Never exits the process itself and never reads process.*; main.ts does.
import { Command, CommanderError } from "commander";
import { RipstopError } from "../lib/errors.js";
import { ripstopVersion } from "../lib/version.js";
import { agentCommand, flanneldCommand } from "./agent.js";
import { cleanupCommand } from "./cleanup.js";
import type { CliCommand, CommandContext } from "./command.js";
import { dataplaneCommand } from "./dataplane.js";
import { labCommand } from "./lab.js";
import { statusCommand } from "./status.js";

/** sysexits(3): wrong usage, and a bug in Ripstop. */
export const EXIT_USAGE = 64;
export const EXIT_BUG = 70;
const EXIT_INTERRUPTED = 130;

/** Every command, in the order in which the help lists them; bin/flanneld runs the raw command "flanneld". */
export const commands: readonly CliCommand[] = [
  agentCommand,
  flanneldCommand,
  dataplaneCommand,
  statusCommand,
  cleanupCommand,
  labCommand,
];

/** Runs one command line (without node and script); resolves with the exit code, never rejects. */
export async function run(
  argv: readonly string[],
  context: CommandContext,
  list: readonly CliCommand[] = commands,
): Promise<number> {
  try {
    const raw = list.find((command) => command.kind === "raw" && command.name === argv[0]);
    if (raw?.kind === "raw") return await raw.run(argv.slice(1), context);
    return await runOptions(argv, context, list);
  } catch (error) {
    return report(error, context);
  }
}

async function runOptions(
  argv: readonly string[],
  context: CommandContext,
  list: readonly CliCommand[],
): Promise<number> {
  let exitCode = 0;
  const program = new Command("ripstop")
    .description("A flannel-compatible overlay network whose data plane carries the packets itself.")
    .version(ripstopVersion(), "-V, --version")
    .configureOutput({ writeOut: context.out, writeErr: context.err, outputError: () => {} })
    .exitOverride()
    .enablePositionalOptions()
    .showSuggestionAfterError(true);
  for (const command of list) {
    if (command.kind === "options") {
      command.register(program, context, (code) => {
        exitCode = code;
      });
    } else {
      program.command(command.name, { hidden: command.hidden ?? false }).description(command.summary);
    }
  }
  await program.parseAsync([...argv], { from: "user" });
  return exitCode;
}

function report(error: unknown, context: CommandContext): number {
  if (error instanceof CommanderError) return reportUsage(error, context);
  if (error instanceof RipstopError) {
    context.err(`ripstop: ${oneLine(error.message)} (${error.code})\n`);
    return error.exitCode;
  }
  if (context.signal.aborted && (error === context.signal.reason || isAbort(error))) return EXIT_INTERRUPTED;
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  context.err(`ripstop: unexpected error, please report it: ${text}\n`);
  return EXIT_BUG;
}

function reportUsage(error: CommanderError, context: CommandContext): number {
  if (error.exitCode === 0) return 0;
  // Help that was shown because no command was given has been written already.
  if (error.code !== "commander.help") {
    const reason = oneLine(error.message.replace(/^error: /, ""));
    context.err(`ripstop: ${reason}; 'ripstop --help' and 'ripstop COMMAND --help' list what there is\n`);
  }
  return EXIT_USAGE;
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}

function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, " ");
}
