// The far end of a traffic run: a program that says it is ready, serves one run, and ends when told to. Child of ours:
// it dies with the run, not with the lab.
import { type ChildProcess, spawn } from "node:child_process";
import { RipstopError } from "../../lib/errors.js";

/** A busy machine takes its time to start a program; one that cannot start says so at once. */
const READY_TIMEOUT_MS = 30_000;
const END_TIMEOUT_MS = 30_000;

export class TrafficServer {
  readonly #child: ChildProcess;
  readonly #closed: Promise<number>;
  readonly #name: string;
  #output = "";
  #errors = "";

  private constructor(child: ChildProcess, name: string) {
    this.#child = child;
    this.#name = name;
    child.stdout?.on("data", (chunk: Buffer) => {
      this.#output += chunk.toString();
    });
    child.stderr?.on("data", (chunk: Buffer) => {
      this.#errors += chunk.toString();
    });
    this.#closed = new Promise((resolve) => {
      child.once("error", () => resolve(-1));
      child.once("close", (code) => resolve(code ?? -1));
    });
  }

  /** Starts the program inside a namespace and waits until its output matches `ready`. */
  static async start(
    namespace: string,
    program: string,
    args: readonly string[],
    ready: RegExp,
  ): Promise<TrafficServer> {
    const child = spawn("ip", ["netns", "exec", namespace, program, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    const server = new TrafficServer(child, `${program.split("/").at(-1)} in ${namespace}`);
    await server.#until(ready);
    return server;
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** Asks the program to end and returns all it wrote; it has to end by itself, because then it prints its account. */
  async end(): Promise<string> {
    this.#child.kill("SIGTERM");
    return this.finished();
  }

  /** Waits for the program to end of its own accord. */
  async finished(): Promise<string> {
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), END_TIMEOUT_MS);
    const code = await this.#closed;
    clearTimeout(timer);
    if (code < 0) throw this.#failure("did not end in order");
    return this.#output;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  /** Kills it, and waits until its port is free again. */
  async killed(): Promise<void> {
    this.kill();
    await this.#closed;
  }

  async #until(ready: RegExp): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.kill();
        reject(this.#failure("was not ready in time"));
      }, READY_TIMEOUT_MS);
      const look = (): void => {
        if (!ready.test(this.#output)) return;
        clearTimeout(timer);
        resolve();
      };
      this.#child.stdout?.on("data", look);
      void this.#closed.then(() => {
        clearTimeout(timer);
        if (!ready.test(this.#output)) reject(this.#failure("ended before it was ready"));
      });
    });
  }

  #failure(what: string): RipstopError {
    const said = (this.#errors.trim() || this.#output.trim()).split("\n").at(-1) ?? "";
    return new RipstopError("LAB_TRAFFIC", `${this.#name} ${what}: ${said || "it said nothing"}`);
  }
}
