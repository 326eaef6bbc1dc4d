// tcpdump's filter language -> classic BPF, compiled by the machine's own tcpdump (libpcap), so that a filter means here what
// it means there. native/capture/socket_filter.cc checks and runs it. Opens no device and needs no privilege.
import { RipstopError } from "../lib/errors.js";
import { type CommandRunner, runCommand } from "./command.js";

const INSTRUCTION_BYTES = 8;

/** struct sock_filter, one after the other; an empty expression gives an empty program, which accepts everything. */
export async function compileCaptureFilter(expression: string, run: CommandRunner = runCommand): Promise<Uint8Array> {
  if (expression.trim() === "") return new Uint8Array();
  const { code, stdout, stderr } = await run(["tcpdump", "-ddd", "-y", "EN10MB", "--", expression]);
  if (code !== 0) {
    const said =
      stderr
        .trim()
        .replace(/^tcpdump: /, "")
        .split("\n")
        .at(-1) ?? "";
    throw new RipstopError(
      "CAPTURE_FILTER_BAD",
      `the capture filter '${expression}' is not understood: ${said}; pcap-filter(7) has the language`,
      { op: "tcpdump -ddd" },
    );
  }
  return encode(stdout.trim().split("\n").slice(1), expression);
}

/** Lines of four decimal numbers: code, jt, jf, k. */
function encode(lines: readonly string[], expression: string): Uint8Array {
  const bytes = new Uint8Array(lines.length * INSTRUCTION_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [index, line] of lines.entries()) {
    const fields = /^(\d+) (\d+) (\d+) (\d+)$/.exec(line);
    if (fields === null) {
      throw new RipstopError(
        "CAPTURE_FILTER_BAD",
        `tcpdump answered '${line}' to the capture filter '${expression}'; update tcpdump to 4.99 or newer`,
        { op: "tcpdump -ddd" },
      );
    }
    const [code = 0, jt = 0, jf = 0, k = 0] = fields.slice(1).map(Number);
    const at = index * INSTRUCTION_BYTES;
    view.setUint16(at, code, true);
    view.setUint8(at + 2, jt);
    view.setUint8(at + 3, jf);
    view.setUint32(at + 4, k, true);
  }
  return bytes;
}
