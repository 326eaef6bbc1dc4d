// Makes a device as wanted by `wg`, writing only what differs. Texts with keys go through a pipe: no argument and no file holds them.
import type { CommandRunner } from "../../host/command.js";
import { RipstopError } from "../../lib/errors.js";
import { type DeviceConfig, parseDump, planDevice } from "./device-plan.js";

/** Node's own pipes are sockets, which `wg` cannot open by name. Nothing of ours is text that the shell reads. */
const FROM_PIPE = 'command -v wg >/dev/null || exit 127; cat | wg "$1" "$2" /dev/stdin';
const NOT_FOUND = 127;
/** Public keys in one call: far below what an argument list may hold. */
const REMOVED_AT_ONCE = 500;

/** Rejects with COMMAND_MISSING without wireguard-tools, and with COMMAND_FAILED and the tool's words when the kernel refuses. */
export async function configureDevice(run: CommandRunner, device: string, wanted: DeviceConfig): Promise<void> {
  const plan = planDevice(wanted, await readDevice(run, device));
  if (plan.kind === "sync") return write(run, ["syncconf", device], plan.text);
  if (plan.kind === "nothing") return;
  // What moves from one peer to another is moved by adding it: nothing is without a peer in between.
  if (plan.add !== "") await write(run, ["addconf", device], plan.add);
  for (let at = 0; at < plan.remove.length; at += REMOVED_AT_ONCE) {
    const keys = plan.remove.slice(at, at + REMOVED_AT_ONCE);
    const words = ["set", device, ...keys.flatMap((key) => ["peer", key, "remove"])];
    check(["set", device], await run(["wg", ...words]));
  }
}

/** Null: it did not answer; writing to it tells why. */
async function readDevice(run: CommandRunner, device: string) {
  const shown = await run(["sh", "-c", 'command -v wg >/dev/null || exit 127; wg show "$1" dump', "wg show", device]);
  return shown.code === 0 ? parseDump(shown.stdout) : null;
}

async function write(run: CommandRunner, words: readonly string[], text: string): Promise<void> {
  check(words, await run(["sh", "-c", FROM_PIPE, "wg", ...words], { input: `${text}\n` }));
}

function check(words: readonly string[], { code, stderr }: Awaited<ReturnType<CommandRunner>>): void {
  if (code === 0) return;
  if (code === NOT_FOUND) {
    throw new RipstopError("COMMAND_MISSING", "the wireguard backend needs `wg`; install wireguard-tools", {
      op: "wg",
    });
  }
  const said = stderr.trim().split("\n").at(-1) ?? "";
  throw new RipstopError(
    "COMMAND_FAILED",
    `wg ${words.join(" ")} failed: ${said}; run as root, and check that wireguard-tools fits the kernel`,
    { op: "wg" },
  );
}
