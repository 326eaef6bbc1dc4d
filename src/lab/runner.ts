// Runs short-lived external programs (ip, bridge, ethtool, ping) for the lab, with argument arrays and never a shell.
// Owner: whoever builds or inspects a lab. Each child inherits the lab lock, so that a child that outlives a killed
// `lab up` still holds it and `lab down` waits for it. Must never run long-lived processes (daemon.ts does).
import { spawn } from "node:child_process";
import { RipstopError } from "../lib/errors.js";

export interface CommandResult {
  /** Exit code; 128 + signal number is not used: a signalled child has code -1. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

/** Debian package of each program the lab may need, for the remedy in the error. */
const PACKAGES: Readonly<Record<string, string>> = {
  bridge: "iproute2",
  ethtool: "ethtool",
  etcd: "etcd-server",
  etcdctl: "etcd-client",
  flock: "util-linux",
  ip: "iproute2",
  iperf3: "iperf3",
  ping: "iputils-ping",
};

export class Runner {
  readonly #lockFd: number | null;

  constructor(lockFd: number | null = null) {
    this.#lockFd = lockFd;
  }

  /** Resolves with the exit code, also when it is not 0; rejects when the program cannot be started or time runs out. */
  run(program: string, args: readonly string[], options: RunOptions = {}): Promise<CommandResult> {
    return new Promise((resolve, reject) => {
      const limit = AbortSignal.timeout(options.timeoutMs ?? 30_000);
      const signal = options.signal === undefined ? limit : AbortSignal.any([options.signal, limit]);
      const child = spawn(program, args, {
        stdio: ["pipe", "pipe", "pipe", ...(this.#lockFd === null ? [] : [this.#lockFd])],
        signal,
        killSignal: "SIGKILL",
      });
      const stdout: Buffer[] = [];
      const stderr: Buffer[] = [];
      child.stdout?.on("data", (chunk: Buffer) => stdout.push(chunk));
      child.stderr?.on("data", (chunk: Buffer) => stderr.push(chunk));
      // A child that ends without reading its input gives EPIPE here; its exit code tells the story.
      child.stdin?.on("error", () => undefined);
      child.stdin?.end(options.input ?? "");
      child.once("error", (error: NodeJS.ErrnoException) => reject(startError(program, args, error, limit)));
      child.once("close", (code) =>
        resolve({
          code: code ?? -1,
          stdout: Buffer.concat(stdout).toString(),
          stderr: Buffer.concat(stderr).toString(),
        }),
      );
    });
  }

  /** Like run, but a non-zero exit code is an error. */
  async must(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
    const result = await this.run(program, args, options);
    if (result.code !== 0) {
      const said = result.stderr.trim().split("\n")[0] ?? "";
      throw new RipstopError(
        "LAB_COMMAND",
        `\`${[program, ...args].join(" ")}\` failed with code ${result.code}: ${said}`,
        {
          op: program,
        },
      );
    }
    return result.stdout;
  }

  /** Runs a program inside a network namespace; its exit code is the result's. */
  runIn(namespace: string, program: string, args: readonly string[], options: RunOptions = {}): Promise<CommandResult> {
    return this.run("ip", ["netns", "exec", namespace, program, ...args], options);
  }

  async mustIn(namespace: string, program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
    return this.must("ip", ["netns", "exec", namespace, program, ...args], options);
  }

  /** Many `ip` commands in one process; stops at the first that fails and says which. */
  async ip(namespace: string | null, commands: readonly string[], options: RunOptions = {}): Promise<void> {
    await this.#batch("ip", namespace, commands, options);
  }

  /** The same for `bridge` (FDB entries). */
  async bridge(namespace: string, commands: readonly string[], options: RunOptions = {}): Promise<void> {
    await this.#batch("bridge", namespace, commands, options);
  }

  async #batch(
    program: string,
    namespace: string | null,
    commands: readonly string[],
    options: RunOptions,
  ): Promise<void> {
    if (commands.length === 0) return;
    const args = [...(namespace === null ? [] : ["-n", namespace]), "-batch", "-"];
    const result = await this.run(program, args, { ...options, input: `${commands.join("\n")}\n` });
    if (result.code === 0) return;
    const failed = /Command failed -:(\d+)/.exec(result.stderr)?.[1];
    const command = failed === undefined ? "" : (commands[Number(failed) - 1] ?? "");
    const said = result.stderr.trim().split("\n")[0] ?? "";
    const where = namespace === null ? "" : ` in ${namespace}`;
    throw new RipstopError("LAB_COMMAND", `\`${program} ${command}\`${where} failed: ${said}`, { op: program });
  }
}

function startError(program: string, args: readonly string[], error: NodeJS.ErrnoException, limit: AbortSignal): Error {
  if (error.code === "ENOENT") {
    const name = PACKAGES[program] ?? program;
    return new RipstopError(
      "LAB_TOOL_MISSING",
      `cannot run ${program}: not installed; run \`apt-get install ${name}\``,
      {
        op: program,
        cause: error,
      },
    );
  }
  if (error.name === "AbortError" && limit.aborted) {
    return new RipstopError("LAB_COMMAND_TIMEOUT", `\`${[program, ...args].join(" ")}\` did not end in time`, {
      op: program,
    });
  }
  return error;
}
