// extension: an operator's commands do the work. PreStartupCommand says what our lease carries, PostStartupCommand prepares the
// host, SubnetAddCommand and SubnetRemoveCommand follow the peers. A failed add or remove is reported and tried again with the
// next pass; the first two end the start. Peers that left while no agent ran are removed at the next start. Announces the interface's address, as flannel does.
import { formatIpv4 } from "../../addr/ipv4.js";
import { formatIpv6 } from "../../addr/ipv6.js";
import { formatPrefix } from "../../addr/prefix.js";
import { type ExtensionOptions, parseExtensionOptions } from "../../config/backend-options.js";
import { processEnvironment } from "../../config/process-environment.js";
import type { Peer, PeerTable } from "../../dataplane/peer-table.js";
import { type CommandRunner, runCommand } from "../../host/command.js";
import type { HostChange, HostFailure, ReconcileReport } from "../../host/host.js";
import { formatUnderlay } from "../../host/text.js";
import type { Lease, LeaseAttrs } from "../../lease/lease.js";
import { RipstopError } from "../../lib/errors.js";
import { jsonEquals } from "../../lib/json.js";
import type { Backend, BackendContext, DesiredPeers, Look, Overlay, PeerHop } from "../backend.js";
import { RoutedOverlay } from "../routed-overlay.js";
import { PLAIN } from "../simple-backend.js";
import { commandLine } from "./command-line.js";
import { readToldPeers, type Told, writeToldPeers } from "./told-peers.js";

const TYPE = "extension";

export function makeExtensionBackend(context: BackendContext, run: CommandRunner = runCommand): Backend {
  const options = parseExtensionOptions(context.network.backend);
  return new ExtensionBackend(context, options, new Commands(run));
}

/** Runs one command with its variables in the environment. */
class Commands {
  readonly #run: CommandRunner;

  constructor(run: CommandRunner) {
    this.#run = run;
  }

  /** Standard output and errors, trimmed; throws EXTENSION_FAILED. "" runs nothing. */
  async run(field: string, text: string, variables: Readonly<Record<string, string>>, input = ""): Promise<string> {
    const environment = { ...processEnvironment(), ...variables };
    const argv = commandLine(text, environment);
    if (argv.length === 0) return "";
    const result = await this.#run(argv, { environment, input });
    const said = `${result.stdout}${result.stderr}`.trim();
    if (result.code === 0) return said;
    throw new RipstopError(
      "EXTENSION_FAILED",
      `Backend.${field} (${argv.join(" ")}) failed with exit code ${result.code}: ${said.slice(-300)}; it runs without a shell, use a script for anything but one program`,
      { op: field },
    );
  }
}

class ExtensionBackend implements Backend {
  readonly type = TYPE;
  readonly carriable = false;
  readonly #context: BackendContext;
  readonly #options: ExtensionOptions;
  readonly #commands: Commands;
  #data: string | null = null;

  constructor(context: BackendContext, options: ExtensionOptions, commands: Commands) {
    this.#context = context;
    this.#options = options;
    this.#commands = commands;
  }

  async leaseAttrs(_previous: LeaseAttrs | null): Promise<LeaseAttrs> {
    this.#data ??= await this.#commands.run("PreStartupCommand", this.#options.preStartupCommand, {});
    const { ipv4, ipv6 } = this.#context.external;
    const data = this.#data === "" ? {} : { backendData: this.#data };
    return { publicIp: ipv4, publicIpv6: ipv6, backendType: TYPE, ...data };
  }

  async attach(own: Lease): Promise<Overlay> {
    const { network: config, external } = this.#context;
    await this.#commands.run("PostStartupCommand", this.#options.postStartupCommand, {
      NETWORK: config.network === null ? "" : formatPrefix(config.network),
      SUBNET: own.subnet === null ? "" : formatPrefix(own.subnet),
      IPV6SUBNET: own.ipv6Subnet === null ? "" : formatPrefix(own.ipv6Subnet),
      PUBLIC_IP: external.ipv4 === null ? "" : formatIpv4(external.ipv4),
      PUBLIC_IPV6: external.ipv6 === null ? "" : formatIpv6(external.ipv6),
    });
    const wiring = { ...PLAIN, mtu: external.mtu, overlayMtu: external.mtu, leaseType: TYPE, entriesOf: () => [] };
    const inner = await RoutedOverlay.attach(this.#context, own, wiring);
    const left = await readToldPeers(this.#context.stateDir);
    return new ExtensionOverlay(inner, this.#context, this.#options, this.#commands, left);
  }
}

class ExtensionOverlay implements Overlay {
  readonly mtu: number;
  readonly devices = [];
  readonly tunnel = null;
  readonly dataplane = null;
  readonly routesOver = null;
  readonly own: Lease;
  readonly #inner: RoutedOverlay;
  readonly #context: BackendContext;
  readonly #options: ExtensionOptions;
  readonly #commands: Commands;
  readonly #told = new Map<string, Told>();
  /** What an earlier agent told and nobody has taken back. */
  readonly #left: Map<string, Told>;
  #leases: ReadonlyMap<string, Lease> = new Map();

  constructor(
    inner: RoutedOverlay,
    context: BackendContext,
    options: ExtensionOptions,
    commands: Commands,
    left: Map<string, Told>,
  ) {
    this.#inner = inner;
    this.#context = context;
    this.#left = left;
    this.#options = options;
    this.#commands = commands;
    this.mtu = inner.mtu;
    this.own = inner.own;
  }

  peers(leases: ReadonlyMap<string, Lease>, version: bigint, look?: Look): Promise<DesiredPeers> {
    this.#leases = leases;
    return this.#inner.peers(leases, version, look);
  }

  async reconcile(table: PeerTable): Promise<ReconcileReport> {
    const changes: HostChange[] = [];
    const failures: HostFailure[] = [];
    const wanted = this.#wanted(table.peers);
    const attempt = async (action: "add" | "delete", key: string, told: Told): Promise<void> => {
      const object = `subnet ${told.variables["SUBNET"] ?? ""}${told.variables["IPV6SUBNET"] ?? ""} of ${key}`;
      const { subnetAddCommand, subnetRemoveCommand } = this.#options;
      try {
        if (action === "add")
          await this.#commands.run("SubnetAddCommand", subnetAddCommand, told.variables, told.input);
        else await this.#commands.run("SubnetRemoveCommand", subnetRemoveCommand, told.variables, told.input);
        this.#left.delete(key);
        if (action === "add") this.#told.set(key, told);
        else this.#told.delete(key);
        changes.push({ object, action });
      } catch (error) {
        failures.push({ object, errno: 0, message: error instanceof Error ? error.message : String(error) });
      }
    };
    for (const [key, told] of [...this.#left, ...this.#told]) {
      if (!jsonEquals(wanted.get(key), told)) await attempt("delete", key, told);
    }
    // Those that an earlier agent told are told again, as flannel does: the command may be another one now.
    for (const [key, told] of wanted) if (!this.#told.has(key)) await attempt("add", key, told);
    if (changes.length > 0) {
      const { stateDir, log } = this.#context;
      await writeToldPeers(stateDir, new Map([...this.#left, ...this.#told]), log);
    }
    return { changes, failures };
  }

  async nextHops(): Promise<ReadonlyMap<number, PeerHop>> {
    return new Map();
  }

  #wanted(peers: readonly Peer[]): ReadonlyMap<string, Told> {
    const wanted = new Map<string, Told>();
    for (const { leaseKey, prefix, underlay } of peers) {
      const { backendData } = this.#leases.get(leaseKey)?.attrs ?? {};
      const data = backendData === undefined || backendData === null ? "" : asText(backendData);
      const v4 = prefix.family === 4;
      const variables = {
        [v4 ? "SUBNET" : "IPV6SUBNET"]: formatPrefix(prefix),
        [v4 ? "PUBLIC_IP" : "PUBLIC_IPV6"]: formatUnderlay(underlay),
      };
      const before = wanted.get(leaseKey);
      wanted.set(leaseKey, { variables: { ...before?.variables, ...variables }, input: `${data}\n` });
    }
    return wanted;
  }
}

function asText(data: unknown): string {
  return typeof data === "string" ? data : JSON.stringify(data);
}
