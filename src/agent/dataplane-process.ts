// Starts the data-plane process so that it outlives the agent: its own session, its own log file, no shared descriptors.
// Used by the supervisor alone; tests give it another launcher.
import { spawn } from "node:child_process";
import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { RipstopError } from "../lib/errors.js";

export interface LaunchedProcess {
  readonly pid: number;
  /** Settles when the process has ended: with what is known about the reason. */
  readonly exited: Promise<string>;
}

/** Starts a process that listens at `socketPath`. */
export type Launcher = (socketPath: string) => LaunchedProcess | Promise<LaunchedProcess>;

export interface LaunchOptions {
  /** Program and arguments up to and including "dataplane". */
  readonly command: readonly [program: string, ...args: string[]];
  readonly logPath: string;
  /** Nothing else of the agent's environment is passed on. */
  readonly environment: Readonly<Record<string, string>>;
}

export function dataplaneLauncher(options: LaunchOptions): (socketPath: string) => LaunchedProcess {
  return (socketPath) => {
    const [program, ...args] = options.command;
    const log = openSync(options.logPath, "a", 0o600);
    const logStart = fstatSync(log).size;
    try {
      const child = spawn(program, [...args, "--socket", socketPath, "--log", options.logPath], {
        detached: true,
        cwd: "/",
        env: options.environment,
        stdio: ["ignore", log, log],
      });
      const exited = new Promise<string>((resolve) => {
        child.once("error", (error) => resolve(`cannot start ${program}: ${error.message}`));
        child.once("exit", (code, signal) => resolve(describeExit(code, signal, lastLine(options.logPath, logStart))));
      });
      child.unref();
      if (child.pid !== undefined) return { pid: child.pid, exited };
    } finally {
      closeSync(log);
    }
    throw new RipstopError(
      "DATAPLANE_START_FAILED",
      `cannot start ${program}: no such program, or no memory; reinstall ripstop`,
      {
        op: "spawn",
      },
    );
  };
}

function describeExit(code: number | null, signal: string | null, line: string): string {
  const how = signal === null ? `exit code ${code}` : signal;
  return line === "" ? how : `${how}: ${line}`;
}

/** The last words of this run, which the file may hold after those of earlier ones. */
function lastLine(path: string, from: number): string {
  try {
    const text = readFileSync(path).subarray(from).toString("utf8");
    return text.trimEnd().split("\n").at(-1)?.slice(0, 500) ?? "";
  } catch {
    return "";
  }
}
