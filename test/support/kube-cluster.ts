// A real Kubernetes API server over a real etcd, in one network namespace, with the nodes a test makes: no kubelets, no
// controllers. Authentication and RBAC are on; our agents come with a service-account token and the rules of deploy/.
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { until } from "./until.js";

const run = promisify(execFile);
const DEPLOY = resolve(import.meta.dirname, "../../../deploy");
const WRITER = resolve(import.meta.dirname, "node-writer.js");
const ADMIN_TOKEN = "test-admin";

export interface KubeClusterOptions {
  /** Paths of the programs. */
  readonly apiserver: string;
  readonly kubectl: string;
  /** Where it listens: a namespace and an address in it; null: where the test runs. */
  readonly namespace: string | null;
  readonly address: string;
}

export class KubeCluster {
  readonly directory = mkdtempSync(join(tmpdir(), "ripstop-kube-"));
  readonly #options: KubeClusterOptions;
  #etcd: ChildProcess | null = null;
  #server: ChildProcess | null = null;

  private constructor(options: KubeClusterOptions) {
    this.#options = options;
    mkdirSync(join(this.directory, "certs"));
    const key = join(this.directory, "accounts.key");
    execFileSync("openssl", ["genrsa", "-out", key, "2048"], { stdio: "ignore" });
    writeFileSync(join(this.directory, "tokens.csv"), `${ADMIN_TOKEN},admin,admin,"system:masters"\n`);
    writeFileSync(join(this.directory, "admin.conf"), this.#kubeconfig({ token: ADMIN_TOKEN }, this.url));
  }

  static async start(options: KubeClusterOptions): Promise<KubeCluster> {
    const cluster = new KubeCluster(options);
    try {
      cluster.#etcd = cluster.#spawn("etcd", [
        "etcd",
        `--data-dir=${join(cluster.directory, "etcd")}`,
        `--listen-client-urls=http://${options.address}:2381`,
        `--advertise-client-urls=http://${options.address}:2381`,
        `--listen-peer-urls=http://${options.address}:2382`,
        "--unsafe-no-fsync",
      ]);
      await cluster.startServer();
      return cluster;
    } catch (error) {
      await cluster.destroy();
      throw error;
    }
  }

  get url(): string {
    return `https://${this.#options.address}:6443`;
  }

  /** `flags`: beside ours. */
  async startServer(flags: readonly string[] = []): Promise<void> {
    const { apiserver, address } = this.#options;
    const at = (name: string) => join(this.directory, name);
    this.#server = this.#spawn("apiserver", [
      apiserver,
      `--etcd-servers=http://${address}:2381`,
      `--cert-dir=${at("certs")}`,
      `--bind-address=${address}`,
      `--advertise-address=${address}`,
      "--secure-port=6443",
      "--authorization-mode=RBAC",
      `--token-auth-file=${at("tokens.csv")}`,
      "--service-account-issuer=https://kubernetes.default.svc",
      `--service-account-signing-key-file=${at("accounts.key")}`,
      `--service-account-key-file=${at("accounts.key")}`,
      "--service-cluster-ip-range=10.96.0.0/16",
      "--endpoint-reconciler-type=none",
      "--anonymous-auth=false",
      "--v=0",
      ...flags,
    ]);
    await until(
      "the API server is ready",
      async () => {
        if (this.#server?.exitCode !== null) throw new Error(`kube-apiserver ended:\n${this.#log("apiserver")}`);
        return await this.kubectl(["get", "--raw", "/readyz"]).then(
          () => true,
          () => false,
        );
      },
      120_000,
    );
  }

  async stopServer(): Promise<void> {
    await end(this.#server);
    this.#server = null;
  }

  /** Takes away all history from the etcd behind the server: what was changed cannot be read as it was before. */
  async compactHistory(): Promise<void> {
    const etcdctl = async (...words: readonly string[]): Promise<string> => {
      const endpoint = `--endpoints=http://${this.#options.address}:2381`;
      const [program, args] = this.#inside("etcdctl", [endpoint, ...words]);
      return (await run(program, args, { env: { ...process.env, ETCDCTL_API: "3" } })).stdout;
    };
    const status = JSON.parse(await etcdctl("endpoint", "status", "--write-out=json")) as readonly [
      { readonly Status: { readonly header: { readonly revision: number } } },
    ];
    await etcdctl("compact", String(status[0].Status.header.revision), "--physical");
  }

  /** What a cluster admin applies: namespace, account and rules, from the files that users apply. */
  async applyRules(): Promise<void> {
    for (const file of ["namespace.yaml", "rbac.yaml"])
      await this.kubectl(["apply", "-f", join(DEPLOY, "kustomize/base", file)]);
  }

  async kubectl(words: readonly string[]): Promise<string> {
    const [program, args] = this.#inside(this.#options.kubectl, [
      "--kubeconfig",
      join(this.directory, "admin.conf"),
      ...words,
    ]);
    const { stdout } = await run(program, args, {
      maxBuffer: 1 << 28,
      env: { PATH: process.env["PATH"], HOME: this.directory },
    });
    return stdout;
  }

  async accountToken(seconds = 3600): Promise<string> {
    const words = ["create", "token", "flannel", "-n", "kube-flannel", `--duration=${seconds}s`];
    return (await this.kubectl(words)).trim();
  }

  /** A kubeconfig with a fresh token of the service account; written again to the same path, it is a rotation. */
  async accountConfig(name: string, seconds = 3600): Promise<string> {
    return this.writeConfig(name, { token: await this.accountToken(seconds) });
  }

  /** A kubeconfig for `user`; `url`: another way to the server. */
  writeConfig(name: string, user: object, url = this.url): string {
    const path = join(this.directory, name);
    writeFileSync(path, this.#kubeconfig(user, url));
    return path;
  }

  async createNode(name: string, podCidrs: readonly string[], annotations: Record<string, string> = {}): Promise<void> {
    const spec = podCidrs.length === 0 ? {} : { podCIDR: podCidrs[0], podCIDRs: podCidrs };
    await this.#apply(["create", "-f"], { apiVersion: "v1", kind: "Node", metadata: { name, annotations }, spec });
  }

  async patchNode(name: string, patch: object): Promise<void> {
    await this.#apply(["patch", "node", name, "--type", "merge", "--patch-file"], patch);
  }

  async annotate(name: string, annotations: Record<string, string | null>): Promise<void> {
    await this.patchNode(name, { metadata: { annotations } });
  }

  async node(name: string): Promise<{ annotations: Record<string, string>; conditions: Record<string, string>[] }> {
    const object = JSON.parse(await this.kubectl(["get", "node", name, "-o", "json"])) as {
      metadata: { annotations?: Record<string, string> };
      status: { conditions?: Record<string, string>[] };
    };
    return { annotations: object.metadata.annotations ?? {}, conditions: object.status.conditions ?? [] };
  }

  /** Runs test/support/node-writer.ts where the server is: many nodes, faster than kubectl may. */
  async writeNodes(...words: readonly string[]): Promise<string> {
    const [program, args] = this.#inside(process.execPath, [WRITER, this.url, ADMIN_TOKEN, ...words]);
    return (await run(program, args, { timeout: 300_000 })).stdout;
  }

  async destroy(): Promise<void> {
    await end(this.#server);
    await end(this.#etcd);
    rmSync(this.directory, { recursive: true, force: true });
  }

  async #apply(verb: readonly string[], body: object): Promise<void> {
    const file = join(this.directory, `body-${process.hrtime.bigint()}.json`);
    writeFileSync(file, JSON.stringify(body));
    try {
      await this.kubectl([...verb, file]);
    } finally {
      rmSync(file, { force: true });
    }
  }

  #kubeconfig(user: object, server: string): string {
    return JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      "current-context": "test",
      contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
      clusters: [
        {
          name: "test",
          cluster: { server, "certificate-authority": join(this.directory, "certs/apiserver.crt") },
        },
      ],
      users: [{ name: "test", user }],
    });
  }

  #inside(program: string, args: readonly string[]): [string, string[]] {
    const { namespace } = this.#options;
    return namespace === null ? [program, [...args]] : ["ip", ["netns", "exec", namespace, program, ...args]];
  }

  #spawn(name: string, [program, ...args]: readonly [string, ...string[]]): ChildProcess {
    const [command, words] = this.#inside(program, args);
    const log = openSync(join(this.directory, `${name}.log`), "a");
    return spawn(command, words, { stdio: ["ignore", log, log] });
  }

  #log(name: string): string {
    return readFileSync(join(this.directory, `${name}.log`), "utf8")
      .split("\n")
      .slice(-15)
      .join("\n");
  }
}

async function end(child: ChildProcess | null): Promise<void> {
  if (child === null || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((done) => child.once("exit", done));
  child.kill("SIGKILL");
  await ended;
}
