// `ripstop doctor`: all checks, in the order in which one would ask. Reads and probes; changes nothing on the host.
import { readFile } from "node:fs/promises";
import { readNodeStatus } from "../agent/node-status.js";
import type { AgentOptions } from "../config/options.js";
import type { RunPaths } from "../agent/run-dir.js";
import { checkAgent, checkChecksums, checkDataplane, checkDrops, checkStore } from "./agent-checks.js";
import { type CniFolders, checkCni } from "./cni-checks.js";
import { checkDatastore, checkLease } from "./datastore-checks.js";
import { type Expectation, readExpectation } from "./expectation.js";
import { type Finding, fail, ok, skip } from "./finding.js";
import { checkEncapsulationPort, checkFlavours, checkForwardChain, checkTunnelGuard } from "./firewall-checks.js";
import { type HostFacts, readHostFacts } from "./host-facts.js";
import {
  checkBridgeNetfilter,
  checkCapabilities,
  checkForwarding,
  checkKernel,
  checkProgram,
  checkReversePath,
  checkTunDevice,
  checkTuning,
} from "./machine-checks.js";
import { checkBpf, checkLockedMemory } from "./memory-checks.js";
import {
  checkBridge,
  checkDevice,
  checkDuplicates,
  checkLeftovers,
  checkOverlap,
  checkProgrammedPeers,
  checkSubnetFile,
  checkUplinkMtu,
} from "./overlay-checks.js";
import { checkInterface, checkReach } from "./reach-checks.js";
import { readAgentOptions } from "./running-agent.js";
import { checkUplink } from "./uplink-checks.js";
import { RipstopError } from "../lib/errors.js";

export interface DoctorOptions {
  readonly paths: RunPaths;
  readonly stateDir: string;
  readonly subnetFile: string;
  readonly cni: CniFolders;
  readonly nativePath: string | undefined;
  /** False: send nothing to other nodes. */
  readonly probe: boolean;
}

export async function examine(options: DoctorOptions): Promise<readonly Finding[]> {
  const [status, facts] = await Promise.all([readNodeStatus(options.paths), readHostFacts()]);
  const expected = await readExpectation(status, options.stateDir);
  const started = status.agent === null ? null : await readAgentOptions(status.agent.pid);
  return [
    checkKernel(),
    await checkCapabilities(status),
    await checkLockedMemory(status),
    await checkBpf(),
    checkProgram(options.nativePath),
    await checkTunDevice(),
    ...(facts.blind.length === 0 ? [] : [skip("tools", facts.blind.join("; "))]),
    checkAgent(status),
    checkStore(status),
    ...(await checkDatastore(started)),
    checkLease(status),
    checkDataplane(status),
    ...(await hostChecks(facts, expected)),
    ...(expected === null ? [] : await overlayChecks(facts, expected, status, options)),
    await checkChecksums(status),
    checkDrops(status),
    ...(await checkCni(options.cni)),
    await checkTuning(expected?.externalInterface ?? null, pinnedCpus(started)),
  ];
}

async function hostChecks(facts: HostFacts, expected: Expectation | null): Promise<Finding[]> {
  const networks = expected?.networks ?? [];
  const devices = [expected?.externalInterface ?? null, expected?.device ?? null].filter((one) => one !== null);
  return [
    await checkForwarding(networks.some((network) => network.includes(":"))),
    await checkReversePath(devices),
    await checkBridgeNetfilter(),
    checkForwardChain(facts, networks),
    checkEncapsulationPort(facts, expected?.port ?? null),
    checkTunnelGuard(facts, expected?.device ?? null, expected?.port ?? null),
    checkFlavours(facts),
  ];
}

async function overlayChecks(
  facts: HostFacts,
  expected: Expectation,
  status: Awaited<ReturnType<typeof readNodeStatus>>,
  options: DoctorOptions,
): Promise<Finding[]> {
  const subnetFile = status.agent?.network?.subnetFile ?? options.subnetFile;
  const text = await readFile(subnetFile, "utf8").catch(() => null);
  return [
    checkConfig(expected),
    checkSubnetFile(subnetFile, text, expected),
    checkDevice(facts, expected),
    checkDuplicates(expected, [...(status.agent?.refused ?? []), ...(status.agent?.contested ?? [])]),
    checkProgrammedPeers(facts, expected),
    checkOverlap(facts, expected),
    checkBridge(facts, expected),
    checkLeftovers(facts, expected, status.agent?.network?.devices ?? []),
    ...(await checkUplink(facts, expected, status)),
    checkUplinkMtu(facts, expected),
    ...(await withItsTool("interface", async () => [await checkInterface(expected)])),
    ...(options.probe
      ? await withItsTool("reach", () => checkReach(expected))
      : [skip("reach", "not asked: --no-probe")]),
  ];
}

/** A program that is missing leaves out one check, not the rest. */
async function withItsTool(check: string, look: () => Promise<Finding[]>): Promise<Finding[]> {
  try {
    return await look();
  } catch (error) {
    if (error instanceof RipstopError && error.code === "COMMAND_MISSING") return [skip(check, error.message)];
    throw error;
  }
}

function checkConfig({ configProblem, backend, source }: Expectation): Finding {
  if (configProblem === null) return ok("net_conf", `${backend}, as the ${source} knows it`);
  return fail(
    "net_conf",
    configProblem,
    "nodes that start now cannot use it; running ones keep the last good one",
    "correct it in the store",
  );
}

function pinnedCpus(started: AgentOptions | string | null): readonly number[] {
  return started === null || typeof started === "string" ? [] : (started.dataPlane.cpus ?? []);
}
