// One TCP stream whose every byte is compared at the far end: the payload check of tests and of every measurement.
import { z } from "zod";
import { RipstopError } from "../../lib/errors.js";
import { Runner } from "../runner.js";
import { TrafficServer } from "./server.js";
import { anyOf, lastJson, toolPath } from "./tools.js";

const sinkSchema = z.object({ bytes: z.number(), first_bad: z.number(), seconds: z.number() });

export interface TcpCheckOptions {
  readonly from: string;
  readonly to: string;
  readonly address: string;
  readonly port?: number;
  readonly mebibytes: number;
  readonly timeoutMs?: number;
}

export interface TcpCheckResult {
  readonly bytes: number;
  readonly seconds: number;
}

/** Rejects with LAB_PAYLOAD when a byte differs or is missing. */
export async function runTcpCheck(options: TcpCheckOptions): Promise<TcpCheckResult> {
  const port = String(options.port ?? 7778);
  const tool = toolPath("tcp_check");
  const sinkArgs = ["sink", "--bind", anyOf(options.address), "--port", port];
  const server = await TrafficServer.start(options.to, tool, sinkArgs, /^ready$/m);
  try {
    const args = ["send", "--to", options.address, "--port", port, "--mebibytes", String(options.mebibytes)];
    const sent = await new Runner().runIn(options.from, tool, args, { timeoutMs: options.timeoutMs ?? 60_000 });
    if (sent.code !== 0) throw new RipstopError("LAB_TRAFFIC", `tcp_check in ${options.from}: ${sent.stderr.trim()}`);
    const sink = sinkSchema.parse(lastJson(await server.finished()));
    const wanted = options.mebibytes * 1024 * 1024;
    if (sink.first_bad >= 0 || sink.bytes !== wanted) {
      const where =
        sink.first_bad >= 0 ? `byte ${sink.first_bad} is wrong` : `${sink.bytes} of ${wanted} bytes arrived`;
      throw new RipstopError(
        "LAB_PAYLOAD",
        `the TCP stream from ${options.from} to ${options.to} was damaged: ${where}`,
      );
    }
    return { bytes: sink.bytes, seconds: sink.seconds };
  } finally {
    server.kill();
  }
}
