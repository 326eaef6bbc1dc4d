// Finds and removes the tc filters that a data plane without tcx links (Linux < 6.6) leaves when it is killed: priority 158,
// named ripstop, with one of the two handles of an overlay (native/steer/tc_filter.h). For `ripstop cleanup`, through `tc`. Never
// touches another filter, that of another overlay included, nor a clsact qdisc in which one is left.
import { z } from "zod";
import { RipstopError } from "../lib/errors.js";
import { type CommandRunner, runCommand } from "./command.js";

const PRIORITY = 158;
const NAME = "ripstop";
const SIDES = ["ingress", "egress"] as const;

/** Two data planes of an overlay take turns with them. */
function handlesOf(vni: number): readonly string[] {
  return [1, 2].map((turn) => `0x${(2 * vni + turn).toString(16)}`);
}

export interface OwnFilter {
  readonly device: string;
  readonly side: (typeof SIDES)[number];
  readonly handle: string;
}

const QDISCS = z.array(z.object({ kind: z.string(), dev: z.string() }));
const FILTERS = z.array(
  z.object({
    kind: z.string(),
    pref: z.number(),
    options: z.object({ handle: z.unknown().optional(), bpf_name: z.string().optional() }).optional(),
  }),
);

/** Those of the overlays with these VNIs. Without `tc` there is nothing to be found: the answer is empty. */
export async function findOwnFilters(
  vnis: readonly number[],
  run: CommandRunner = runCommand,
): Promise<readonly OwnFilter[]> {
  const handles = new Set(vnis.flatMap(handlesOf));
  let devices: readonly string[];
  try {
    devices = await clsactDevices(run);
  } catch (error) {
    if (error instanceof RipstopError && error.code === "COMMAND_MISSING") return [];
    throw error;
  }
  const found: OwnFilter[] = [];
  for (const device of devices) {
    for (const side of SIDES) {
      for (const { options } of (await filtersAt(run, device, side)).filter(isRipstops)) {
        const handle = String(options?.handle);
        if (handles.has(handle)) found.push({ device, side, handle });
      }
    }
  }
  return found;
}

/** What could not be removed, and why; empty when all went well. */
export async function removeOwnFilter(
  { device, side, handle }: OwnFilter,
  run: CommandRunner = runCommand,
): Promise<readonly string[]> {
  // A data plane that ended in order since has removed the filter itself; the qdisc it never removes.
  const isIt = (filter: Filter) => isRipstops(filter) && filter.options?.handle === handle;
  const there = (await clsactDevices(run)).includes(device);
  const still = there && (await filtersAt(run, device, side)).some(isIt);
  const which = ["protocol", "all", "pref", String(PRIORITY), "handle", handle, "bpf"];
  const removed = still ? await run(["tc", "filter", "delete", "dev", device, side, ...which]) : null;
  if (removed !== null && removed.code !== 0 && !isGone(removed.stderr))
    return [`tc filter on ${device} ${side}: ${removed.stderr.trim()}`];
  if (!(await clsactDevices(run)).includes(device)) return [];
  const left = await Promise.all(SIDES.map((at) => filtersAt(run, device, at)));
  if (left.flat().length > 0) return [];
  const qdisc = await run(["tc", "qdisc", "delete", "dev", device, "clsact"]);
  return qdisc.code === 0 || isGone(qdisc.stderr) ? [] : [`clsact on ${device}: ${qdisc.stderr.trim()}`];
}

type Filter = z.infer<typeof FILTERS>[number];

async function clsactDevices(run: CommandRunner): Promise<readonly string[]> {
  const qdiscs = QDISCS.parse(await ask(run, ["qdisc", "show"]));
  return qdiscs.filter(({ kind }) => kind === "clsact").map(({ dev }) => dev);
}

/** A device that goes meanwhile, as that of a killed data plane does, takes its filters along. */
async function filtersAt(run: CommandRunner, device: string, side: string) {
  return FILTERS.parse(await ask(run, ["filter", "show", "dev", device, side], isGone));
}

function isGone(said: string): boolean {
  return said.includes("Cannot find device") || said.includes("No such device");
}

function isRipstops({ kind, pref, options }: Filter): boolean {
  return kind === "bpf" && pref === PRIORITY && options?.bpf_name === NAME;
}

async function ask(run: CommandRunner, words: readonly string[], isNothing = (_: string) => false): Promise<unknown> {
  const { code, stdout, stderr } = await run(["tc", "-json", ...words]);
  if (code !== 0 && isNothing(stderr)) return [];
  if (code !== 0) {
    throw new RipstopError("TC_FAILED", `tc ${words.join(" ")} failed: ${stderr.trim()}; see \`tc qdisc show\``);
  }
  return JSON.parse(stdout.trim() === "" ? "[]" : stdout);
}
