// Runs one program to its end: arguments as a list (never a shell), text in, text out, a time limit. For the tools that have no
// library: iptables, nft, wg, and the commands of the extension backend.
import { spawn } from "node:child_process";
import { RipstopError } from "../lib/errors.js";

const OUTPUT_BYTES_MAX = 16 << 20;
const TIME_LIMIT_MS = 30_000;

export interface CommandOptions {
  readonly input?: string;
  /** The whole environment; without it the program inherits ours. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly timeLimitMs?: number;
}

export interface CommandResult {
  /** Null: ended by a signal, also ours when the time ran out. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export type CommandRunner = (argv: readonly string[], options?: CommandOptions) => Promise<CommandResult>;

/** Rejects with COMMAND_MISSING when there is no such program; every exit code is an answer. */
export const runCommand: CommandRunner = (argv, options = {}) =>
  new Promise((resolve, reject) => {
    const [program = "", ...args] = argv;
    const child = spawn(program, args, {
      stdio: "pipe",
      ...environmentOf(options),
    });
    // Not spawn's own time limit: that one goes on where there is no such program, and a process that has nothing else to do waits.
    const late = setTimeout(() => child.kill("SIGKILL"), options.timeLimitMs ?? TIME_LIMIT_MS);
    for (const end of ["exit", "error"]) child.once(end, () => clearTimeout(late));
    const output = { stdout: "", stderr: "" };
    for (const stream of ["stdout", "stderr"] as const) {
      child[stream].setEncoding("utf8");
      child[stream].on("data", (text: string) => {
        if (output[stream].length + text.length <= OUTPUT_BYTES_MAX) output[stream] += text;
        else child.kill("SIGKILL");
      });
    }
    child.once("error", (cause) =>
      reject(
        new RipstopError("COMMAND_MISSING", `cannot run ${program} (${cause.message}); install it`, {
          op: program,
          cause,
        }),
      ),
    );
    child.once("close", (code) => resolve({ code, ...output }));
    // A program that ends without reading its input closes the pipe; its exit code tells the story.
    child.stdin.on("error", () => undefined);
    child.stdin.end(options.input ?? "");
  });

/** Puts a program in front of every command, e.g. `ip netns exec NAME`. */
export function withPrefix(prefix: readonly string[], run: CommandRunner = runCommand): CommandRunner {
  return (argv, options) => run([...prefix, ...argv], options);
}

/** Standard output of a command that must succeed; throws COMMAND_FAILED with the program's own words. */
export async function outputOf(run: CommandRunner, argv: readonly string[], input?: string): Promise<string> {
  const result = await run(argv, input === undefined ? {} : { input });
  if (result.code === 0) return result.stdout;
  const said = result.stderr.trim().split("\n").slice(-2).join(" ") || `exit code ${result.code}`;
  throw new RipstopError(
    "COMMAND_FAILED",
    `${argv.join(" ")} failed: ${said}; run as root, and check that the tool fits the kernel`,
    {
      op: argv[0] ?? "",
    },
  );
}

function environmentOf({ environment }: CommandOptions): { env?: NodeJS.ProcessEnv } {
  return environment === undefined ? {} : { env: environment };
}
