// Turns what the native side answers ({ code, errno, op, detail }) into a RipstopError. Owned by the data-plane host; pure.
// A refusal by the kernel's permission checks always names the capability that was missing.
import { getSystemErrorMap } from "node:util";
import { RipstopError } from "../lib/errors.js";
import type { NativeError } from "./binding.js";

/** Which capability the kernel wants for an operation; the first pattern that fits the native `op` wins. */
const CAPABILITY_OF_OP: ReadonlyArray<readonly [pattern: RegExp, capability: string]> = [
  [/bpf|xdp_attach|tcx|link_create|prog_load|map_create/i, "CAP_BPF and CAP_NET_ADMIN"],
  [/AF_XDP|AF_PACKET|SOCK_RAW|xsk/i, "CAP_NET_RAW"],
  [/TUN|tap|ioctl|netlink|rtm_|setsockopt|nl_/i, "CAP_NET_ADMIN"],
];

/** "EPERM" for 1; "errno 4095" where libuv knows no name. */
export function errnoName(errno: number): string {
  return getSystemErrorMap().get(-Math.abs(errno))?.[0] ?? `errno ${Math.abs(errno)}`;
}

/** "operation not permitted (EPERM)". */
export function describeErrno(errno: number): string {
  const known = getSystemErrorMap().get(-errno);
  return known ? `${known[1]} (${known[0]})` : `errno ${errno}`;
}

function isRefusal(errno: number): boolean {
  const name = errnoName(errno);
  return name === "EPERM" || name === "EACCES";
}

/** The capability that `op` needs, for messages. */
export function missingCapability(op: string): string {
  return CAPABILITY_OF_OP.find(([pattern]) => pattern.test(op))?.[1] ?? "CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF";
}

export function isNativeError(value: unknown): value is NativeError {
  if (typeof value !== "object" || value === null) return false;
  const { code, errno, op, detail } = value as Partial<Record<keyof NativeError, unknown>>;
  return typeof code === "string" && typeof errno === "number" && typeof op === "string" && typeof detail === "string";
}

/** One sentence: what was tried, what the kernel answered, on what, what to do. */
export function toRipstopError(error: NativeError): RipstopError {
  const answer = error.errno > 0 ? `: ${describeErrno(error.errno)}` : "";
  const what = error.op === "" ? error.code : error.op;
  const remedy = isRefusal(error.errno) ? `; run as root or grant ${missingCapability(error.op)}` : "";
  const detail = error.detail === "" ? "" : `: ${error.detail}`;
  return new RipstopError(error.code, `${what} failed${answer}${detail}${remedy}`, {
    op: error.op,
    ...(error.errno > 0 ? { errno: error.errno, cause: systemError(error) } : {}),
  });
}

/** The kernel's answer as Node itself would report it: `cause.code` is "EPERM". */
function systemError({ errno, op }: NativeError): NodeJS.ErrnoException {
  const made: NodeJS.ErrnoException = new Error(`${op}: ${describeErrno(errno)}`);
  return Object.assign(made, { code: errnoName(errno), errno: -errno, syscall: op });
}
