// Hands a device its configuration by `wg syncconf`, which changes only what differs and removes peers that are not listed. The
// private key goes through a pipe: no argument and no file holds it.
import type { CommandRunner } from "../../host/command.js";
import { RipstopError } from "../../lib/errors.js";

/** Node's own pipes are sockets, which `wg` cannot open by name. Nothing of ours is text that the shell reads. */
const SYNC = 'command -v wg >/dev/null || exit 127; cat | wg syncconf "$1" /dev/stdin';
const NOT_FOUND = 127;

/** Rejects with COMMAND_MISSING without wireguard-tools, and with COMMAND_FAILED and the tool's words when the kernel refuses. */
export async function syncConfig(run: CommandRunner, device: string, config: string): Promise<void> {
  const { code, stderr } = await run(["sh", "-c", SYNC, "wg syncconf", device], { input: config });
  if (code === 0) return;
  if (code === NOT_FOUND) {
    throw new RipstopError("COMMAND_MISSING", "the wireguard backend needs `wg`; install wireguard-tools", {
      op: "wg",
    });
  }
  const said = stderr.trim().split("\n").at(-1) ?? "";
  throw new RipstopError(
    "COMMAND_FAILED",
    `wg syncconf ${device} failed: ${said}; run as root, and check that wireguard-tools fits the kernel`,
    { op: "wg" },
  );
}
