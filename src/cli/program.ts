// Turns argv into one command's run and its exit code. To add a command: one import and one entry in `commands`.
// Never exits the process itself and never reads process.*; main.ts does.
import type { CommanderError } from "commander";
import { RipstopError } from "../lib/errors.js";
import { ripstopVersion } from "../lib/version.js";
import type { CliCommand, CommandContext } from "./command.js";
import { commands } from "./commands.js";

/** sysexits(3): wrong usage, and a bug in Ripstop. */
export const EXIT_USAGE = 64;
export const EXIT_BUG = 70;
const EXIT_INTERRUPTED = 130;

/** Runs one command line (without node and script); resolves with the exit code, never rejects. */
export async function run(
  argv: readonly string[],
  context: CommandContext,
  list: readonly CliCommand[] = commands,
): Promise<number> {
  try {
    const known = await loadNamed(argv[0], list);
    const [named] = known.filter((command) => command.kind !== "options" && command.name === argv[0]);
    if (named?.kind === "raw") return await named.run(argv.slice(1), context);
    if (named?.kind === "lazy") {
      const quick = await named.quick?.(argv.slice(1), context);
      if (quick !== undefined && quick !== null) return quick;
    }
    return await runOptions(argv, context, list);
  } catch (error) {
    return report(error, context);
  }
}

/** The list with the named command loaded, unless that one has a quick way. */
async function loadNamed(name: string | undefined, list: readonly CliCommand[]): Promise<readonly CliCommand[]> {
  const named = list.find((command) => command.kind === "lazy" && command.name === name);
  if (named?.kind !== "lazy" || named.quick !== undefined) return list;
  const loaded = await named.load();
  return list.map((command) => (command === named ? loaded : command));
}

async function runOptions(
  argv: readonly string[],
  context: CommandContext,
  list: readonly CliCommand[],
): Promise<number> {
  let exitCode = 0;
  const { Command } = await import("commander");
  // `ripstop help NAME` needs the command as much as `ripstop NAME` does.
  const name = argv[0] === "help" ? argv[1] : argv[0];
  const program = new Command("ripstop")
    .description("A flannel-compatible overlay network whose data plane carries the packets itself.")
    .version(ripstopVersion(), "-V, --version")
    .configureOutput({ writeOut: context.out, writeErr: context.err, outputError: () => {} })
    .exitOverride()
    .enablePositionalOptions()
    .showSuggestionAfterError(true);
  for (const listed of list) {
    const command = listed.kind === "lazy" && listed.name === name ? await listed.load() : listed;
    if (command.kind === "options") {
      await command.register(program, context, (code) => {
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
  if (isCommanderError(error)) return reportUsage(error, context);
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

/** By shape: the class would load commander, which most ends of a program do not need. */
function isCommanderError(error: unknown): error is CommanderError {
  return (
    error instanceof Error && "exitCode" in error && "code" in error && String(error.code).startsWith("commander.")
  );
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}

function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, " ");
}
