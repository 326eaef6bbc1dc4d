// `ripstop lab up|exec|status|down`: virtual clusters in network namespaces on this machine.
import { type Command, InvalidArgumentError, Option } from "commander";
import { type DemoOptions, runDemo } from "../lab/demo/demo.js";
import { labExec, noLab } from "../lab/exec.js";
import { labDown, labUp } from "../lab/lab.js";
import {
  DATAPLANES,
  DEFAULT_OPTIONS,
  LAB_DIRECTORY,
  NODES_MAX,
  UNDERLAY_PORTS,
  labOptionsSchema,
} from "../lab/plan.js";
import { type LabStatus, labStatus } from "../lab/status.js";
import { textTable } from "../lab/text-table.js";
import type { CommandContext, OptionsCommand } from "./command.js";

const EXIT_OF_STATE = { ok: 0, degraded: 1, down: 2 } as const;

interface DirectoryOption {
  readonly directory: string;
}

interface UpOptions extends DirectoryOption {
  readonly nodes: number;
  readonly kernelPeers: readonly number[];
  readonly backend: string;
  readonly ipv6: boolean;
  readonly dataplane: string;
  readonly underlayPort: string;
  readonly disable: readonly string[];
  readonly store: string;
  readonly prefix: string;
}

export const labCommand: OptionsCommand = {
  kind: "options",
  register(program, context, finish) {
    const lab = program.command("lab").description("Virtual clusters in network namespaces on this machine.");
    lab.enablePositionalOptions();
    addUp(lab, context);
    addExec(lab, finish);
    addStatus(lab, context, finish);
    addDown(lab, context);
    addDemo(lab, context, finish);
  },
};

function addUp(lab: Command, context: CommandContext): void {
  lab
    .command("up")
    .description("Build a lab, or repair and change the one that is there.")
    .option("--nodes <n>", `number of nodes, 1 to ${NODES_MAX}`, parseNodes, DEFAULT_OPTIONS.nodes)
    .option(
      "--kernel-peers <list>",
      "nodes without an agent, kernel VXLAN programmed by hand, e.g. 2,3",
      parseIndices,
      [],
    )
    .addOption(
      new Option("--backend <type>", "what carries pod traffic")
        .choices(["vxlan", "udp", "host-gw", "wireguard", "ipip"])
        .default(DEFAULT_OPTIONS.backend),
    )
    .option(
      "--ipv6",
      "dual stack: IPv6 beside IPv4 on the underlay and in every lease (vxlan, host-gw, wireguard)",
      false,
    )
    .addOption(
      new Option("--dataplane <which>", "data plane of the agents")
        .choices(DATAPLANES)
        .default(DEFAULT_OPTIONS.dataplane),
    )
    .addOption(
      new Option("--underlay-port <kind>", "underlay port of the data plane")
        .choices(UNDERLAY_PORTS)
        .default(DEFAULT_OPTIONS.underlayPort),
    )
    .option("--disable <features>", "data-plane features to force off, e.g. tunnel-gso", parseWords, [])
    .addOption(prefixOption())
    .addOption(
      new Option("--store <kind>", "where leases live").choices(["file", "etcd"]).default(DEFAULT_OPTIONS.store),
    )
    .addOption(directoryOption())
    .action(async ({ directory, ...chosen }: UpOptions) => {
      const started = performance.now();
      const options = labOptionsSchema.parse({ ...DEFAULT_OPTIONS, ...chosen });
      const plan = await labUp(options, { directory, report: progress(context, started), signal: context.signal });
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      context.out(`lab is up after ${seconds} s: pods ${plan.nodes.map((node) => node.pod).join(", ")}\n`);
    });
}

function addExec(lab: Command, finish: (exitCode: number) => void): void {
  lab
    .command("exec")
    .description("Run a command in a pod (rs-p1) or node (rs-n1); its exit code is passed on.")
    .argument("<pod>", "namespace of the lab, with or without its prefix")
    .argument("<command...>", "the command, after --")
    .passThroughOptions()
    .addOption(directoryOption())
    .action(async (pod: string, argv: readonly string[], { directory }: DirectoryOption) => {
      finish(await labExec(directory, pod, argv[0] === "--" ? argv.slice(1) : argv));
    });
}

function addStatus(lab: Command, context: CommandContext, finish: (exitCode: number) => void): void {
  lab
    .command("status")
    .description("Show every node; exit code 0: all work, 1: some do not, 2: none does.")
    .addOption(new Option("-o, --output <form>", "form of the answer").choices(["table", "json"]).default("table"))
    .addOption(directoryOption())
    .action(async ({ directory, output }: DirectoryOption & { readonly output: string }) => {
      const status = await labStatus(directory);
      if (status === null) throw noLab(directory);
      context.out(output === "json" ? `${JSON.stringify(status, null, 2)}\n` : statusTable(status));
      finish(EXIT_OF_STATE[status.state]);
    });
}

function addDown(lab: Command, context: CommandContext): void {
  lab
    .command("down")
    .description("Remove the lab and everything that runs in it.")
    .addOption(directoryOption())
    .action(async ({ directory }: DirectoryOption) => {
      const removed = await labDown({ directory, report: progress(context, performance.now()) });
      context.out(removed ? "lab is down\n" : "there was no lab\n");
    });
}

function addDemo(lab: Command, context: CommandContext, finish: (exitCode: number) => void): void {
  lab
    .command("demo")
    .description("Show it all on two nodes: leases, ping, TCP and UDP on three paths, who carried them, a crash.")
    .option("--keep", "leave the lab up", false)
    .option("--rounds <n>", "measured rounds per path", parseRounds, 3)
    .addOption(prefixOption())
    .addOption(directoryOption())
    .action(async (chosen: Pick<DemoOptions, "keep" | "rounds" | "prefix" | "directory">) => {
      const report = progress(context, performance.now());
      finish((await runDemo({ ...chosen, out: context.out, report, signal: context.signal })) ? 0 : 1);
    });
}

function prefixOption(): Option {
  return new Option("--prefix <text>", "start of every namespace name, for a second lab beside the first")
    .argParser(parsePrefix)
    .default(DEFAULT_OPTIONS.prefix);
}

function directoryOption(): Option {
  return new Option("--directory <path>", "folder of the lab's state").default(LAB_DIRECTORY);
}

function progress(context: CommandContext, started: number): (line: string) => void {
  return (line) => context.err(`[${((performance.now() - started) / 1000).toFixed(1).padStart(5)} s] ${line}\n`);
}

function statusTable(status: LabStatus): string {
  const table = textTable([
    ["NODE", "KIND", "UNDERLAY", "SUBNET", "MTU", "POD", "ADDRESS", "AGENT", "REACHES"],
    ...status.nodes.map((node) => [
      node.node,
      node.kind,
      node.underlay,
      node.subnet ?? "-",
      String(node.mtu ?? "-"),
      node.pod,
      node.podAddress ?? "-",
      node.kind === "kernel-peer" ? "none" : node.agentPid === null ? "dead" : `pid ${node.agentPid}`,
      node.reaches === null ? "-" : `${node.reaches.pod} ${node.reaches.reached ? "yes" : "NO"}`,
    ]),
  ]);
  return `${table}lab in ${status.directory}: ${status.state}\n`;
}

function parseNodes(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > NODES_MAX)
    throw new InvalidArgumentError(`Give a number from 1 to ${NODES_MAX}.`);
  return count;
}

function parsePrefix(text: string): string {
  if (!labOptionsSchema.shape.prefix.safeParse(text).success)
    throw new InvalidArgumentError("Give lower-case letters and digits that end with '-'.");
  return text;
}

function parseRounds(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > 100)
    throw new InvalidArgumentError("Give a number from 1 to 100.");
  return count;
}

function parseIndices(text: string): number[] {
  return text
    .split(",")
    .filter((part) => part !== "")
    .map(parseNodes);
}

function parseWords(text: string): string[] {
  const words = text.split(",").filter((part) => part !== "");
  if (words.some((word) => !/^[a-z0-9-]+$/.test(word)))
    throw new InvalidArgumentError("Give feature names separated by commas.");
  return words;
}
