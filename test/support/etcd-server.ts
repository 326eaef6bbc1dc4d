// A real etcd on loopback with free ports, and the faults the tests do to it. Only processes started here are signalled.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { execFile } from "node:child_process";
import { pause, resume } from "./pause.js";
import { until } from "./until.js";

const run = promisify(execFile);

export interface EtcdServerOptions {
  readonly arguments?: readonly string[];
  /** Ports and a directory of an earlier server, to start it again. */
  readonly ports?: readonly [number, number];
  readonly directory?: string;
  readonly name?: string;
  readonly cluster?: string;
  readonly scheme?: "http" | "https";
}

export class EtcdServer {
  readonly directory: string;
  readonly clientPort: number;
  readonly peerPort: number;
  readonly #options: EtcdServerOptions;
  #process: ChildProcess | null = null;
  #output = "";

  private constructor(options: EtcdServerOptions, directory: string, ports: readonly [number, number]) {
    this.#options = options;
    this.directory = directory;
    [this.clientPort, this.peerPort] = ports;
  }

  /** Started but perhaps not ready: a member waits for its quorum. */
  static async spawn(options: EtcdServerOptions = {}): Promise<EtcdServer> {
    const directory = options.directory ?? (await mkdtemp(join(tmpdir(), "ripstop-etcd-")));
    const server = new EtcdServer(options, directory, options.ports ?? [await freePort(), await freePort()]);
    server.start();
    return server;
  }

  static async ready(options: EtcdServerOptions = {}): Promise<EtcdServer> {
    const server = await EtcdServer.spawn(options);
    await server.untilHealthy();
    return server;
  }

  get endpoint(): string {
    return `${this.#options.scheme ?? "http"}://127.0.0.1:${this.clientPort}`;
  }

  get peer(): string {
    return `http://127.0.0.1:${this.peerPort}`;
  }

  start(): void {
    const name = this.#options.name ?? "only";
    this.#process = spawn(
      "/usr/bin/etcd",
      [
        `--name=${name}`,
        `--data-dir=${join(this.directory, "data")}`,
        `--listen-client-urls=${this.endpoint}`,
        `--advertise-client-urls=${this.endpoint}`,
        `--listen-peer-urls=${this.peer}`,
        `--initial-advertise-peer-urls=${this.peer}`,
        `--initial-cluster=${this.#options.cluster ?? `${name}=${this.peer}`}`,
        ...(this.#options.arguments ?? []),
      ],
      { stdio: ["ignore", "pipe", "pipe"] },
    );
    const keep = (chunk: Buffer) => {
      this.#output = (this.#output + chunk.toString()).slice(-4_000);
    };
    this.#process.stdout?.on("data", keep);
    this.#process.stderr?.on("data", keep);
  }

  async untilHealthy(): Promise<void> {
    await until(
      "etcd answers",
      async () => {
        if (this.#process?.exitCode !== null) throw new Error(`etcd ended:\n${this.#output}`);
        return await this.ctl(["endpoint", "health"], ["--command-timeout=3s"]).then(
          () => true,
          () => false,
        );
      },
      30_000,
    );
  }

  /** etcdctl with the v3 API against this member. */
  async ctl(words: readonly string[], flags: readonly string[] = []): Promise<string> {
    const { stdout } = await run(
      "etcdctl",
      [`--endpoints=${this.endpoint}`, "--dial-timeout=10s", "--command-timeout=15s", ...flags, ...words],
      {
        env: { PATH: process.env["PATH"], ETCDCTL_API: "3" },
      },
    );
    return stdout;
  }

  /** Applies many changes in one transaction. */
  async txn(changes: readonly string[]): Promise<void> {
    const child = spawn("etcdctl", [`--endpoints=${this.endpoint}`, "txn"], {
      env: { PATH: process.env["PATH"], ETCDCTL_API: "3" },
      stdio: ["pipe", "ignore", "inherit"],
    });
    const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
    // Comparisons, changes, changes if they fail: blocks that end with an empty line.
    child.stdin.end(`\n${changes.join("\n")}\n\n\n`);
    if ((await ended) !== 0) throw new Error("etcdctl txn failed");
  }

  /** Answers nothing until resume(). */
  async pause(): Promise<void> {
    await pause(this.#pid());
  }

  resume(): void {
    resume(this.#pid());
  }

  #pid(): number {
    if (this.#process?.pid === undefined) throw new Error("etcd does not run");
    return this.#process.pid;
  }

  async stop(): Promise<void> {
    const child = this.#process;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  }

  async destroy(): Promise<void> {
    await this.stop();
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** Given once: the kernel may find the same port free again before anybody listens there. */
const given = new Set<number>();

export async function freePort(): Promise<number> {
  for (;;) {
    const port = await unusedPort();
    if (given.has(port)) continue;
    given.add(port);
    return port;
  }
}

function unusedPort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() =>
        typeof address === "object" && address !== null ? resolve(address.port) : reject(new Error("no port")),
      );
    });
  });
}
