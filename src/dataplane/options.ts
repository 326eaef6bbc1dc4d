// The schema of OpenOptions: what a data plane may be asked to open. Pure. Used at both edges where options arrive as data
// (the data-plane socket, the library), so that C++ may assert what is promised here.
import { z } from "zod";
import { BUSY_POLL_MAX_US, CPU_MAX, CPUS_MAX, WORKERS_MAX } from "../config/plane-limits.js";
import { RipstopError } from "../lib/errors.js";
import type { OpenOptions, PortKind } from "./binding.js";

export const PORT_KINDS = ["tap", "xdp", "packet", "udp", "tun", "memory"] as const satisfies readonly PortKind[];
/** IFNAMSIZ without the final NUL. */
const DEVICE_NAME_MAX = 15;

const portChoice = z.enum(["auto", ...PORT_KINDS], { error: `must be auto or one of ${PORT_KINDS.join(", ")}` });
export const deviceName = z
  .string()
  .max(DEVICE_NAME_MAX, `is longer than the kernel's ${DEVICE_NAME_MAX} characters`)
  .regex(/^[^\s/]*$/, "is not a network device name");

export const openOptionsSchema = z.strictObject({
  encapsulation: z.enum(["vxlan", "udp"], { error: "must be vxlan or udp" }),
  vni: z.int().min(0).max(0xff_ffff, "does not fit 24 bits; choose 1 to 16777215"),
  port: z.int().min(1, "must be 1 to 65535").max(65_535, "must be 1 to 65535"),
  overlayDevice: deviceName,
  overlayDeviceV6: deviceName,
  underlayDevice: deviceName.min(1, "is empty; name the interface that reaches the other nodes (--iface)"),
  overlayPort: portChoice,
  underlayPort: portChoice,
  disable: z.array(z.string().regex(/^[a-z0-9-]{1,32}$/, "is not the name of a feature")).max(32),
  checksumV4: z.boolean(),
  workers: z.int().min(1, "must be at least 1").max(WORKERS_MAX, `must be at most ${WORKERS_MAX}`),
  cpus: z
    .array(z.int().min(0, "is no CPU number").max(CPU_MAX, `is no CPU number up to ${CPU_MAX}`))
    .max(CPUS_MAX, `are more than ${CPUS_MAX}`),
  busyPollUs: z.int().min(0).max(BUSY_POLL_MAX_US, `must be at most ${BUSY_POLL_MAX_US} microseconds`),
});

/** Rejects with OPEN_OPTIONS_INVALID, naming the first wrong field, its value and what it must be. */
export function checkOpenOptions(given: unknown): OpenOptions {
  const parsed = openOptionsSchema.safeParse(given);
  if (!parsed.success) throw invalidOptions("OPEN_OPTIONS_INVALID", "data-plane", parsed.error, given);
  const options = parsed.data;
  if (options.encapsulation === "vxlan" && options.overlayDevice === "") {
    throw invalidField(
      "overlayDevice",
      "",
      "is empty; VXLAN steers traffic from the kernel device flannel.<VNI>: name it",
    );
  }
  return options;
}

/** True when a running data plane opened with `a` does what `b` wants, so that it can be adopted. */
export function sameOpenOptions(a: OpenOptions, b: OpenOptions): boolean {
  return a === b || canonical(a) === canonical(b);
}

function canonical(options: OpenOptions): string {
  const entries = Object.entries({ ...options, disable: options.disable.toSorted() });
  return JSON.stringify(entries.sort(([left], [right]) => (left < right ? -1 : 1)));
}

/** The first complaint of a schema as an error that names field, value and remedy. `whose` is the kind of options. */
export function invalidOptions(code: string, whose: string, error: z.ZodError, given: unknown): RipstopError {
  const issue = error.issues[0];
  const field = issue?.path.join(".") ?? "";
  let value: unknown = given;
  for (const step of issue?.path ?? []) value = (value as Record<PropertyKey, unknown> | undefined)?.[step];
  return new RipstopError(code, describe(whose, field, value, issue?.message ?? "is invalid"), { op: "open" });
}

function invalidField(field: string, value: unknown, remedy: string): RipstopError {
  return new RipstopError("OPEN_OPTIONS_INVALID", describe("data-plane", field, value, remedy), { op: "open" });
}

function describe(whose: string, field: string, value: unknown, remedy: string): string {
  const shown = value === undefined ? "missing" : (JSON.stringify(value) ?? String(value)).slice(0, 80);
  return `${whose} option ${field === "" ? "object" : field} (${shown}): ${remedy}`;
}
